/* The operations of `probe syscall`, and the table of all.
 *
 * Each does the same work in every root: files are a memfd (a chroot has no /dev, so neither /dev/zero nor
 * /dev/null is there everywhere) or the program's own file, opened relative to its folder so that the depth of the
 * path does not count; only getdents and mount use the environment's own storage.
 */
#include "probe.h"
#include "syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define REGION (512 * PAGE) /* what minor faults walk through: 2 MiB */
#define ENTRIES 32          /* in the folder that getdents lists */

const char *refusal;
int own_folder = -1;
char own_name[256];

static cpu_set_t cpus_before;
static int file = -1;   /* of one operation: a memfd, a folder, an epoll */
static int other = -1;  /* a second one */
static int pipe_in = -1;
static char page[PAGE] __attribute__((aligned(PAGE))); /* copying depends on it */
static char *region;
static uintptr_t heap_end;
static char place[512]; /* a folder of our own on the environment's storage */

void prepare_operations(void)
{
    static char path[4096], copy[4096];
    const char *self = (const char *)getauxval(AT_EXECFN);
    snprintf(path, sizeof path, "%s", self && *self ? self : "/probe");
    memcpy(copy, path, sizeof copy);
    own_folder = open(dirname(path), O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(own_name, sizeof own_name, "%s", basename(copy));
    sched_getaffinity(0, sizeof cpus_before, &cpus_before);
}

int stay_on_one_cpu(void)
{
    cpu_set_t one;
    int here = sched_getcpu();
    if (here < 0)
        return -1;
    CPU_ZERO(&one);
    CPU_SET(here, &one);
    return sched_setaffinity(0, sizeof one, &one);
}

void leave_cpu(void)
{
    sched_setaffinity(0, sizeof cpus_before, &cpus_before);
}

static void close_it(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void clean_files(void)
{
    close_it(&file);
    close_it(&other);
    close_it(&pipe_in);
}

/* The trivial call: what entering the kernel and leaving it costs. */
static int run_getppid(long n)
{
    while (n-- > 0)
        getppid();
    return 0;
}

static int run_clock_vdso(long n)
{
    struct timespec t;
    while (n-- > 0)
        clock_gettime(CLOCK_MONOTONIC, &t);
    return 0;
}

static int run_clock_syscall(long n)
{
    struct timespec t;
    while (n-- > 0)
        if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t) < 0)
            return -1;
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

static int run_read_4k(long n)
{
    while (n-- > 0)
        if (pread(file, page, PAGE, 0) != PAGE)
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

static int run_write_4k(long n)
{
    while (n-- > 0)
        if (pwrite(file, page, PAGE, 0) != PAGE)
            return -1;
    return 0;
}

static int prepare_own(void)
{
    struct stat s;
    return fchdir(own_folder) < 0 ? -1 : stat(own_name, &s);
}

static int run_open_close(long n)
{
    while (n-- > 0) {
        int fd = open(own_name, O_RDONLY | O_CLOEXEC);
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
        if (stat(own_name, &s) < 0)
            return -1;
    return 0;
}

/* Make `place`: where the harness says that storage is, or where there usually is some. */
static int make_place(void)
{
    const char *candidates[] = {getenv("ISOBENCH_DATA"), "/data", "/tmp", "/"};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        if (candidates[i] == NULL)
            continue;
        snprintf(place, sizeof place, "%s/syscall-XXXXXX", candidates[i]);
        if (mkdtemp(place))
            return 0;
    }
    place[0] = 0;
    return -1;
}

static void clean_place(void)
{
    char name[16];
    for (int i = 0; i < ENTRIES && file >= 0; i++) {
        snprintf(name, sizeof name, "%02d", i);
        unlinkat(file, name, 0);
    }
    clean_files();
    if (*place)
        rmdir(place);
    place[0] = 0;
}

static int prepare_getdents(void)
{
    char name[16];
    if (make_place() < 0 || (file = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return -1;
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(name, sizeof name, "%02d", i);
        int fd = openat(file, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0)
            return -1;
        close(fd);
    }
    return 0;
}

static int run_getdents(long n)
{
    while (n-- > 0)
        if (lseek(file, 0, SEEK_SET) < 0 || syscall(SYS_getdents64, file, page, PAGE) <= 0)
            return -1;
    return 0;
}

static char *map(size_t size)
{
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static int run_mmap(long n)
{
    while (n-- > 0) {
        char *p = map(PAGE);
        if (p == NULL || munmap(p, PAGE) < 0)
            return -1;
    }
    return 0;
}

static int run_mmap_touch(long n)
{
    while (n-- > 0) {
        char *p = map(PAGE);
        if (p == NULL)
            return -1;
        *(volatile char *)p = 1;
        munmap(p, PAGE);
    }
    return 0;
}

static int forget_region(void)
{
    return madvise(region, REGION, MADV_DONTNEED);
}

static int prepare_fault(void)
{
    region = map(REGION);
    if (region == NULL)
        return -1;
    madvise(region, REGION, MADV_NOHUGEPAGE); /* fails where the kernel has no huge pages, which is as good */
    return 0;
}

static int run_fault(long n)
{
    for (long i = 0; i < n; i++)
        *(volatile char *)(region + i * PAGE) = 1;
    return 0;
}

static void clean_fault(void)
{
    if (region)
        munmap(region, REGION);
    region = NULL;
}

static int prepare_brk(void)
{
    heap_end = (uintptr_t)syscall(SYS_brk, 0);
    return 0;
}

static int run_brk(long n)
{
    while (n-- > 0)
        if ((uintptr_t)syscall(SYS_brk, heap_end + PAGE) != heap_end + PAGE ||
            (uintptr_t)syscall(SYS_brk, heap_end) != heap_end) {
            errno = ENOMEM;
            return -1;
        }
    return 0;
}

static void on_signal(int number)
{
    (void)number;
}

static int prepare_signal(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    return sigaction(SIGUSR1, &action, NULL);
}

static int run_signal(long n)
{
    long process = getpid(), thread = syscall(SYS_gettid);
    while (n-- > 0)
        if (syscall(SYS_tgkill, process, thread, SIGUSR1) < 0)
            return -1;
    return 0;
}

static int prepare_epoll(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    file = epoll_create1(EPOLL_CLOEXEC);
    other = eventfd(1, EFD_CLOEXEC);
    return file < 0 || other < 0 ? -1 : epoll_ctl(file, EPOLL_CTL_ADD, other, &event);
}

static int run_epoll(long n)
{
    struct epoll_event event;
    while (n-- > 0)
        if (epoll_wait(file, &event, 1, 0) != 1)
            return -1;
    return 0;
}

/* From a file into a pipe, which is emptied again. */
static int prepare_sendfile(void)
{
    int ends[2];
    if (prepare_memfd() < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    other = ends[0];
    pipe_in = ends[1];
    return 0;
}

static int run_sendfile(long n)
{
    while (n-- > 0) {
        off_t from = 0;
        if (sendfile(pipe_in, file, &from, PAGE) != PAGE || read(other, page, PAGE) != PAGE)
            return -1;
    }
    return 0;
}

/* In a mount namespace of its own, in which this process then stays: nothing reaches the host, or outlives it. */
static int prepare_mount(void)
{
    if (make_place() < 0 || unshare(CLONE_NEWNS) < 0)
        return -1;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        return 0;
    if (errno == EINVAL)
        refusal = "the root is no mount point, so that mounts could not be kept from the host";
    return -1;
}

static int run_mount(long n)
{
    while (n-- > 0)
        if (mount("isobench", place, "tmpfs", 0, NULL) < 0 || umount(place) < 0)
            return -1;
    return 0;
}

const struct operation operations[] = {
    {"getppid", NULL, run_getppid, NULL, NULL, 0, 0},
    {"clock-vdso", NULL, run_clock_vdso, NULL, NULL, 0, 0},
    {"clock-syscall", NULL, run_clock_syscall, NULL, NULL, 0, 0},
    {"read-1b", prepare_memfd, run_read_1b, NULL, clean_files, 0, 0},
    {"read-4k", prepare_memfd, run_read_4k, NULL, clean_files, 0, 0},
    {"write-1b", prepare_memfd, run_write_1b, NULL, clean_files, 0, 0},
    {"write-4k", prepare_memfd, run_write_4k, NULL, clean_files, 0, 0},
    {"open-close", prepare_own, run_open_close, NULL, NULL, 0, 0},
    {"stat", prepare_own, run_stat, NULL, NULL, 0, 0},
    {"getdents", prepare_getdents, run_getdents, NULL, clean_place, 0, 0},
    {"mmap", NULL, run_mmap, NULL, NULL, 0, 1},
    {"mmap-touch", NULL, run_mmap_touch, NULL, NULL, 0, 1},
    {"minor-fault", prepare_fault, run_fault, forget_region, clean_fault, REGION / PAGE, 0},
    {"brk", prepare_brk, run_brk, NULL, NULL, 0, 1},
    {"fork", NULL, run_fork, NULL, NULL, 0, 1},
    {"vfork-exec", prepare_exec, run_exec, NULL, clean_exec, 0, 1},
    {"thread", NULL, run_thread, NULL, NULL, 0, 1},
    {"pipe", prepare_pipe, run_round_trip, NULL, clean_partner, 0, 0},
    {"pipe-2cpu", prepare_pipe_two_cpus, run_round_trip, NULL, clean_partner, 0, 0},
    {"futex-wake", NULL, run_futex_wake, NULL, NULL, 0, 0},
    {"futex-pair", prepare_futex, run_futex_pair, NULL, clean_futex, 0, 0},
    {"signal", prepare_signal, run_signal, NULL, NULL, 0, 0},
    {"socketpair", prepare_socketpair, run_round_trip, NULL, clean_partner, 0, 0},
    {"tcp", prepare_tcp, run_round_trip, NULL, clean_partner, 0, 0},
    {"epoll", prepare_epoll, run_epoll, NULL, clean_files, 0, 0},
    {"sendfile", prepare_sendfile, run_sendfile, NULL, clean_files, 0, 0},
    {"mount", prepare_mount, run_mount, NULL, clean_place, 0, 1},
};
const unsigned operation_count = sizeof operations / sizeof *operations;
