/* The operations of `probe syscall`.
 *
 * Each does the same work in every root: files are a memfd (a chroot has no /dev, so neither /dev/zero nor
 * /dev/null is there everywhere) or the program's own file, opened relative to its folder so that the depth of the
 * path does not count; the storage of the environment matters only where the operation is about it.
 */
#include "probe.h"
#include "syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static int folder = -1;         /* where the program's own file is */
static char own[256];           /* its name there */
static int file = -1;           /* of one operation: a memfd, a socket, an epoll */
static char page[PAGE];
static cpu_set_t cpus_before; /* where this process may run */

void prepare_operations(void)
{
    static char path[4096], copy[4096];
    const char *self = (const char *)getauxval(AT_EXECFN);
    snprintf(path, sizeof path, "%s", self && *self ? self : "/probe");
    memcpy(copy, path, sizeof copy);
    folder = open(dirname(path), O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(own, sizeof own, "%s", basename(copy));
    sched_getaffinity(0, sizeof cpus_before, &cpus_before);
}

static void clean_file(void)
{
    if (file >= 0)
        close(file);
    file = -1;
}

/* The trivial call: what entering the kernel and leaving it costs. */
static int run_getppid(long n)
{
    while (n-- > 0)
        getppid();
    return 0;
}

static int prepare_memfd(void)
{
    file = (int)syscall(SYS_memfd_create, "isobench", 1u /* MFD_CLOEXEC */);
    return file < 0 ? -1 : write_all(file, page, PAGE);
}

static int run_read_1b(long n)
{
    while (n-- > 0)
        if (pread(file, page, 1, 0) != 1)
            return -1;
    return 0;
}

static int run_write_1b(long n)
{
    while (n-- > 0)
        if (pwrite(file, page, 1, 0) != 1)
            return -1;
    return 0;
}

static int prepare_own(void)
{
    struct stat s;
    return fchdir(folder) < 0 ? -1 : stat(own, &s);
}

static int run_open_close(long n)
{
    while (n-- > 0) {
        int fd = open(own, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return -1;
        close(fd);
    }
    return 0;
}

static int run_stat(long n)
{
    struct stat s;
    while (n-- > 0)
        if (stat(own, &s) < 0)
            return -1;
    return 0;
}

static int run_mmap_touch(long n)
{
    while (n-- > 0) {
        char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return -1;
        *(volatile char *)p = 1;
        munmap(p, PAGE);
    }
    return 0;
}

static int reap(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    if (status == 0)
        return 0;
    errno = ECHILD;
    return -1;
}

static int run_fork(long n)
{
    while (n-- > 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        if (child < 0 || reap(child) < 0)
            return -1;
    }
    return 0;
}

/* Round trips of one byte with a second process that sends back what it gets, over two pipes or one socket. */
static struct {
    pid_t child;
    int out, in;
} partner = {0, -1, -1};

static void close_partner(void)
{
    if (partner.in >= 0)
        close(partner.in);
    if (partner.out >= 0 && partner.out != partner.in)
        close(partner.out);
    if (partner.child > 0) {
        kill(partner.child, SIGKILL);
        waitpid(partner.child, NULL, 0);
    }
    partner.child = 0;
    partner.in = partner.out = -1;
}

/* Fork the partner, which reads `its_in` and writes `its_out`; ours are already in `partner`. */
static int start_partner(int its_in, int its_out)
{
    partner.child = fork();
    if (partner.child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        close(partner.in);
        if (partner.out != partner.in)
            close(partner.out);
        char c;
        while (read(its_in, &c, 1) == 1 && write(its_out, &c, 1) == 1)
            ;
        _exit(0);
    }
    int saved = errno;
    close(its_in);
    if (its_out != its_in)
        close(its_out);
    errno = saved;
    return partner.child < 0 ? -1 : 0;
}

/* Both ends on one CPU: left alone, the scheduler keeps them together in one instance and parts them in the next,
 * and a round trip between two idle CPUs of a virtual machine takes thirty times as long. */
static int stay_on_one_cpu(void)
{
    cpu_set_t one;
    int here = sched_getcpu();
    if (here < 0)
        return -1;
    CPU_ZERO(&one);
    CPU_SET(here, &one);
    return sched_setaffinity(0, sizeof one, &one);
}

static void clean_partner(void)
{
    close_partner();
    sched_setaffinity(0, sizeof cpus_before, &cpus_before);
}

static int prepare_pipe(void)
{
    if (stay_on_one_cpu() < 0)
        return -1;
    int there[2], back[2];
    if (pipe2(there, O_CLOEXEC) < 0)
        return -1;
    partner.out = there[1];
    if (pipe2(back, O_CLOEXEC) < 0) {
        close(there[0]);
        return -1;
    }
    partner.in = back[0];
    return start_partner(there[0], back[1]);
}

static int run_round_trip(long n)
{
    char c = 0;
    while (n-- > 0)
        if (write(partner.out, &c, 1) != 1 || read(partner.in, &c, 1) != 1)
            return -1;
    return 0;
}

const struct operation operations[] = {
    {"getppid", NULL, run_getppid, NULL, NULL, 0},
    {"read-1b", prepare_memfd, run_read_1b, NULL, clean_file, 0},
    {"write-1b", prepare_memfd, run_write_1b, NULL, clean_file, 0},
    {"open-close", prepare_own, run_open_close, NULL, NULL, 0},
    {"stat", prepare_own, run_stat, NULL, NULL, 0},
    {"mmap-touch", NULL, run_mmap_touch, NULL, NULL, 0},
    {"fork", NULL, run_fork, NULL, NULL, 0},
    {"pipe", prepare_pipe, run_round_trip, NULL, clean_partner, 0},
};
const unsigned operation_count = sizeof operations / sizeof *operations;
