/* System calls measured in the manner of lmbench (McVoy and Staelin 1996), without any of isobench's code: one long
 * loop of at least 5 ms, eleven times, the median; timed with CLOCK_MONOTONIC_RAW.
 * On one CPU, so that where the scheduler puts a child is not what is compared.
 *
 * usage: syscalls OPERATION PROGRAM   prints the nanoseconds of one. PROGRAM is what is looked at and executed. What
 * needs a folder makes one beside this program's own file.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REPEATS 11
#define ENOUGH 0.005 /* seconds a loop */

static const char *program;
static int fd, to, from;
static pid_t self;
static char *pages, place[4096];
static double not_counted; /* seconds in a loop that are no part of the operation */
static sem_t ping, pong;
static char buffer[4096] __attribute__((aligned(4096)));
static char ballast[9 << 18]; /* what isobench's program has beyond this one, some of it written to: fork copies it */

static void check(int fine)
{
    if (!fine) {
        perror("reference");
        exit(1);
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void memory_file(void)
{
    fd = memfd_create("reference", 0);
    check(fd >= 0 && write(fd, buffer, sizeof buffer) == sizeof buffer);
}

/* A child that sends back what comes in, until its input ends; `ours` is what it must not keep open. */
static void reflect(int in, int out, int ours)
{
    if (fork() != 0)
        return;
    close(ours);
    while (read(in, buffer, 1) == 1)
        check(write(out, buffer, 1) == 1);
    _exit(0);
}

/* The same for datagrams, which have no end. */
static void reflect_until_killed(int socket)
{
    if (fork() != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (recv(socket, buffer, 1, 0) == 1)
        check(send(socket, buffer, 1, 0) == 1);
    _exit(0);
}

static void two_pipes(void)
{
    int a[2], b[2];
    check(pipe(a) == 0 && pipe(b) == 0);
    reflect(a[0], b[1], a[1]);
    to = a[1];
    from = b[0];
}

static void unix_sockets(void)
{
    int pair[2];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    reflect(pair[1], pair[1], pair[0]);
    close(pair[1]);
    to = from = pair[0];
}

static void tcp_sockets(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int yes = 1, server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    check(bind(server, (void *)&address, size) == 0 && listen(server, 1) == 0);
    check(getsockname(server, (void *)&address, &size) == 0 && connect(client, (void *)&address, size) == 0);
    int accepted = accept(server, NULL, NULL);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    reflect(accepted, accepted, client);
    close(accepted);
    to = from = client;
}

static void udp_sockets(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}, b = a;
    socklen_t size = sizeof a;
    int one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, 0);
    check(bind(one, (void *)&a, size) == 0 && bind(two, (void *)&b, size) == 0);
    check(getsockname(one, (void *)&a, &size) == 0 && getsockname(two, (void *)&b, &size) == 0);
    check(connect(one, (void *)&b, size) == 0 && connect(two, (void *)&a, size) == 0);
    reflect_until_killed(two);
    to = from = one;
}

/* A server that reads 17 bytes of each connection, answers one and reads to the end; in the style of lat_connect. */
static struct sockaddr_in server_address;

static void connect_server(void)
{
    socklen_t size = sizeof server_address;
    int server = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    server_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    check(bind(server, (void *)&server_address, size) == 0 && listen(server, 8) == 0);
    check(getsockname(server, (void *)&server_address, &size) == 0);
    if (fork() != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        int c = accept(server, NULL, NULL);
        setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        check(read(c, buffer, 17) == 17 && write(c, buffer, 1) == 1);
        while (read(c, buffer, 1) > 0)
            ;
        close(c);
    }
}

static void connect_once(void)
{
    struct linger now = {1, 0};
    int yes = 1, c = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(c, (void *)&server_address, sizeof server_address) == 0);
    setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    check(write(c, buffer, 17) == 17 && read(c, buffer, 1) == 1);
    setsockopt(c, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(c);
}

static void handler(int number)
{
    (void)number;
}

static void catch(void)
{
    self = getpid();
    signal(SIGUSR1, handler);
}

static void own_folder(void)
{
    check(mkdtemp(place) != NULL);
}

static void full_folder(void)
{
    own_folder();
    fd = open(place, O_RDONLY | O_DIRECTORY);
    for (char name[] = "00"; name[0] < '4'; name[0]++)
        for (name[1] = '0'; name[1] < '8'; name[1]++)
            check(close(openat(fd, name, O_CREAT | O_WRONLY, 0600)) == 0);
}

static void own_mounts(void)
{
    own_folder();
    check(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_PRIVATE | MS_REC, NULL) == 0);
}

/* Small pages, none of which is there; forgetting them again is not what is measured. Few enough to find those that are
 * given again in the CPU's cache, as isobench's do: with 512 a fault takes a fifth longer. */
#define PAGES 128
static void no_pages(void)
{
    pages = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(pages != MAP_FAILED);
    madvise(pages, PAGES * 4096, MADV_NOHUGEPAGE);
}

static void forget_pages(void)
{
    double start = seconds();
    check(madvise(pages, PAGES * 4096, MADV_DONTNEED) == 0);
    not_counted += seconds() - start;
}

static void ready_event(void)
{
    struct epoll_event wanted = {.events = EPOLLIN};
    int event = eventfd(1, 0);
    fd = epoll_create1(0);
    check(fd >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, event, &wanted) == 0);
}

static void file_and_pipe(void)
{
    int ends[2];
    memory_file();
    check(pipe(ends) == 0);
    from = ends[0];
    to = ends[1];
}

/* A second thread that answers each post of one semaphore with one of another. */
static void *answer(void *p)
{
    for (;;)
        check(sem_wait(&ping) == 0 && sem_post(&pong) == 0);
    return p;
}

static void second_thread(void)
{
    pthread_t t;
    check(sem_init(&ping, 0, 0) == 0 && sem_init(&pong, 0, 0) == 0 && pthread_create(&t, NULL, answer, NULL) == 0);
}

static void *nothing(void *p)
{
    return p;
}

/* Not posix_spawn: glibc's asks for and sets the disposition of every signal between clone and exec (some 120 system
 * calls, 6 % of an execution here) and maps a stack for the child (another 3 %), which a bare vfork does not. */
static void execute(void)
{
    char *none[] = {NULL}, *arguments[] = {(char *)program, "syscall", "exit", NULL};
    pid_t child = vfork();
    if (child == 0) {
        execve(program, arguments, none);
        _exit(127);
    }
    check(child > 0 && waitpid(child, NULL, 0) == child);
}

/* The loops: each the plainest way to write it. */
#define LOOP(name, ...)                \
    static void name(long n)           \
    {                                  \
        for (long i = 0; i < n; i++) { \
            __VA_ARGS__                \
        }                              \
    }
LOOP(do_getppid, getppid();)
LOOP(do_clock, struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);)
LOOP(do_clock_syscall, struct timespec t; check(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t) == 0);)
LOOP(do_read_1b, check(pread(fd, buffer, 1, 0) == 1);)
LOOP(do_read_4k, check(pread(fd, buffer, 4096, 0) == 4096);)
LOOP(do_write_1b, check(pwrite(fd, buffer, 1, 0) == 1);)
LOOP(do_write_4k, check(pwrite(fd, buffer, 4096, 0) == 4096);)
LOOP(do_open, int f = open(program, O_RDONLY); check(f >= 0); close(f);)
LOOP(do_stat, struct stat s; check(stat(program, &s) == 0);)
LOOP(do_list, lseek(fd, 0, SEEK_SET); check(getdents64(fd, buffer, sizeof buffer) > 0);)
LOOP(do_map, void *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
     check(munmap(p, 4096) == 0);)
LOOP(do_fault, pages[i % PAGES * 4096] = 1; if (i % PAGES == PAGES - 1 || i == n - 1) forget_pages();)
LOOP(do_brk, check(sbrk(4096) != (void *)-1 && sbrk(-4096) != (void *)-1);)
LOOP(do_touch, char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); p[0] = 1;
     munmap(p, 4096);)
LOOP(do_fork, pid_t p = fork(); if (p == 0) _exit(0); check(p > 0 && waitpid(p, NULL, 0) == p);)
LOOP(do_exec, execute();)
LOOP(do_thread, pthread_t t; check(pthread_create(&t, NULL, nothing, NULL) == 0); pthread_join(t, NULL);)
LOOP(do_trip, check(write(to, buffer, 1) == 1 && read(from, buffer, 1) == 1);)
LOOP(do_datagram, check(send(to, buffer, 1, 0) == 1 && recv(from, buffer, 1, 0) == 1);)
LOOP(do_connect, connect_once();)
LOOP(do_signal, check(kill(self, SIGUSR1) == 0);)
LOOP(do_wake, static uint32_t word; check(syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1) == 0);)
LOOP(do_turns, check(sem_post(&ping) == 0 && sem_wait(&pong) == 0);)
LOOP(do_epoll, struct epoll_event e; check(epoll_wait(fd, &e, 1, 0) == 1);)
LOOP(do_sendfile, off_t o = 0; check(sendfile(to, fd, &o, 4096) == 4096 && read(from, buffer, 4096) == 4096);)
LOOP(do_mount, check(mount("none", place, "tmpfs", 0, NULL) == 0 && umount2(place, 0) == 0);)

static const struct {
    const char *name;
    void (*prepare)(void);
    void (*loop)(long);
} table[] = {
    {"getppid", NULL, do_getppid},
    {"clock-vdso", NULL, do_clock},
    {"clock-syscall", NULL, do_clock_syscall},
    {"read-1b", memory_file, do_read_1b},
    {"read-4k", memory_file, do_read_4k},
    {"write-1b", memory_file, do_write_1b},
    {"write-4k", memory_file, do_write_4k},
    {"open-close", NULL, do_open},
    {"stat", NULL, do_stat},
    {"getdents", full_folder, do_list},
    {"mmap", NULL, do_map},
    {"mmap-touch", NULL, do_touch},
    {"minor-fault", no_pages, do_fault},
    {"brk", NULL, do_brk},
    {"fork", NULL, do_fork},
    {"vfork-exec", NULL, do_exec},
    {"thread", NULL, do_thread},
    {"pipe", two_pipes, do_trip},
    {"socketpair", unix_sockets, do_trip},
    {"tcp", tcp_sockets, do_trip},
    {"futex-wake", NULL, do_wake},
    {"futex-pair", second_thread, do_turns},
    {"signal", catch, do_signal},
    {"epoll", ready_event, do_epoll},
    {"sendfile", file_and_pipe, do_sendfile},
    {"mount", own_mounts, do_mount},
    {"udp", udp_sockets, do_datagram},
    {"connect", connect_server, do_connect},
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    for (size_t at = 0; at < sizeof ballast; at += sizeof ballast / 5)
        ((volatile char *)ballast)[at] = 1;
    double taken[REPEATS];
    check(argc == 3);
    program = argv[2];
    check(snprintf(place, sizeof place, "%s-XXXXXX", argv[0]) < (int)sizeof place);
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    check(sched_setaffinity(0, sizeof here, &here) == 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, argv[1]) != 0)
            continue;
        if (table[i].prepare)
            table[i].prepare();
        long n = 1;
        for (;; n *= 2) {
            double start = seconds();
            table[i].loop(n);
            if (seconds() - start >= ENOUGH)
                break;
        }
        for (int r = 0; r < REPEATS; r++) {
            double start = seconds();
            not_counted = 0;
            table[i].loop(n);
            taken[r] = (seconds() - start - not_counted) / (double)n;
        }
        qsort(taken, REPEATS, sizeof *taken, ascending);
        printf("%.2f\n", taken[REPEATS / 2] * 1e9);
        return 0;
    }
    return 2;
}
