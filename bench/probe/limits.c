/* What an instance can have before a limit stops it. Each verb takes more and more of one thing and says what it got.
 *
 * probe burn THREADS ROUNDS: at a line from outside keeps so many CPUs busy, until the next line; says the longest time
 * in which none of its threads' clocks went on ({"stall": NS}). At another line does a fixed piece of work, divided
 * among the threads, and says how long it took ({"work": NS}).
 * probe hoard BYTES: a child takes memory page by page, up to so much. Says how much it had, how it ended (signal, or
 * errno), and the nanoseconds from its last page to its end.
 * probe fork COUNT, probe open COUNT: processes and descriptors, up to so many: how many there were with those that
 * were there before, and the error (0: none).
 * probe write direct|fsync|syncfs BYTES [PIECE]: a file in the data folder, past the page cache or into it, PIECE bytes
 * at a time (a MiB, and no more): the nanoseconds until all is written, and until it is on the disk as well, brought
 * there by the program itself (fsync) or by the kernel's threads (syncfs).
 * probe read direct|buffered BYTES [PIECE]: such a file, of which nothing is in the page cache: the nanoseconds of
 * reading so much of it, past the page cache or through it.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_THREADS 64

static int say(const char *format, unsigned long long one, unsigned long long other, unsigned long long third)
{
    char line[128];
    int n = snprintf(line, sizeof line, format, one, other, third);
    return write_all(STDOUT_FILENO, line, (size_t)n) < 0;
}

static unsigned long long number(int argc, char **argv, int at)
{
    return argc > at ? strtoull(argv[at], NULL, 10) : 0;
}

struct burner {
    pthread_t thread;
    uint64_t stall, rounds;
};

static int burning = 1;

static void *burn(void *given)
{
    struct burner *own = given;
    uint64_t last = now_ns(), now;
    while (__atomic_load_n(&burning, __ATOMIC_RELAXED)) {
        now = now_ns();
        if (now - last > own->stall)
            own->stall = now - last;
        last = now;
    }
    return NULL;
}

void step_by_step(uint64_t rounds)
{
    volatile uint64_t sink;
    uint64_t x = 1;
    for (uint64_t i = 0; i < rounds; i++)
        x = x * 6364136223846793005u + 1442695040888963407u;
    sink = x;
    (void)sink;
}

static void *work(void *given)
{
    struct burner *own = given;
    step_by_step(own->rounds);
    return NULL;
}

static int start(struct burner *burners, unsigned count, void *(*what)(void *))
{
    for (unsigned i = 0; i < count; i++) {
        int failed = pthread_create(&burners[i].thread, NULL, what, &burners[i]);
        if (failed)
            return failed;
    }
    return 0;
}

static void join(struct burner *burners, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pthread_join(burners[i].thread, NULL);
}

int verb_burn(int argc, char **argv)
{
    static struct burner burners[MOST_THREADS];
    unsigned long long count = number(argc, argv, 1), rounds = number(argc, argv, 2);
    say_ready();
    if (count < 1 || count > MOST_THREADS)
        return answer_error("burn wants 1 to 64 threads", 0);
    await_release();
    int failed = start(burners, (unsigned)count, burn);
    if (failed)
        return answer_error("a thread", failed);
    if (say("{\"burning\": %llu}\n", count, 0, 0))
        return 1;
    await_release();
    __atomic_store_n(&burning, 0, __ATOMIC_RELAXED);
    join(burners, (unsigned)count);
    uint64_t stall = 0;
    for (unsigned i = 0; i < count; i++) {
        stall = burners[i].stall > stall ? burners[i].stall : stall;
        burners[i].rounds = rounds / count;
    }
    say("{\"stall\": %llu}\n", stall, 0, 0);
    await_release();
    uint64_t began = now_ns();
    failed = start(burners, (unsigned)count, work);
    if (failed)
        return answer_error("a thread", failed);
    join(burners, (unsigned)count);
    say("{\"work\": %llu}\n", now_ns() - began, 0, 0);
    await_release();
    return 0;
}

/* What the child has had so far, in memory that both share: the child does not live to tell. */
struct hoard {
    volatile uint64_t bytes, last;
    volatile int error;
};

#define PIECE (1u << 20)

/* Take pieces that are contiguous, so that they stay one mapping, and write to every page of them. */
static void take(struct hoard *hoard, uint64_t most, uint64_t page)
{
    while (hoard->bytes < most) {
        char *piece = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (piece == MAP_FAILED) {
            hoard->error = errno;
            return;
        }
        madvise(piece, PIECE, MADV_NOHUGEPAGE); /* a kernel without huge pages refuses, and has none to be avoided */
        for (uint64_t at = 0; at < PIECE; at += page) {
            piece[at] = 1;
            hoard->bytes += page;
            hoard->last = now_ns();
        }
    }
}

int verb_hoard(int argc, char **argv)
{
    uint64_t most = number(argc, argv, 1), page = (uint64_t)sysconf(_SC_PAGESIZE);
    struct hoard *hoard = mmap(NULL, sizeof *hoard, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    say_ready();
    if (hoard == MAP_FAILED)
        return answer_error("no memory to count in", errno);
    hoard->last = now_ns();
    pid_t child = fork();
    if (child < 0)
        return answer_error("fork", errno);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        take(hoard, most, page);
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    uint64_t waited = now_ns() - hoard->last;
    say("{\"bytes\": %llu, \"ns\": %llu, ", hoard->bytes, waited, 0);
    say("\"signal\": %llu, \"errno\": %llu}\n", WIFSIGNALED(status) ? (unsigned)WTERMSIG(status) : 0,
        (unsigned)hoard->error, 0);
    await_release();
    return 0;
}

int verb_fork(int argc, char **argv)
{
    unsigned long long most = number(argc, argv, 1), had = 1;
    int why = 0;
    pid_t *children = calloc(most + 1, sizeof *children);
    say_ready();
    if (children == NULL)
        return answer_error("no memory to count in", ENOMEM);
    while (had < most && !why) {
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
            for (;;)
                pause();
        }
        if (child < 0)
            why = errno;
        else
            children[had++] = child;
    }
    for (unsigned long long i = 1; i < had; i++)
        kill(children[i], SIGKILL);
    for (unsigned long long i = 1; i < had; i++)
        waitpid(children[i], NULL, 0);
    return say("{\"count\": %llu, \"errno\": %llu}\n", had, (unsigned)why, 0);
}

int verb_open(int argc, char **argv)
{
    unsigned long long most = number(argc, argv, 1), had = 0;
    int why = 0;
    say_ready();
    for (int fd = 0; fd < 1024; fd++)
        had += fcntl(fd, F_GETFD) >= 0;
    while (had < most && !why) {
        if (open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0)
            why = errno;
        else
            had++;
    }
    return say("{\"count\": %llu, \"errno\": %llu}\n", had, (unsigned)why, 0);
}

/* What a verb that writes or reads the storage was asked for. */
struct transfer {
    const char *how;
    unsigned long long bytes, size; /* all of them, and those of one call */
    void *piece;                    /* memory for PIECE bytes, aligned for O_DIRECT */
};

/* Says ready, then reads the words and takes the memory; 0 if that went well. */
static int prepare(struct transfer *transfer, int argc, char **argv)
{
    say_ready();
    transfer->how = argc > 1 ? argv[1] : "";
    transfer->bytes = number(argc, argv, 2);
    transfer->size = argc > 3 ? number(argc, argv, 3) : PIECE;
    if (transfer->size < 1 || transfer->size > PIECE)
        return answer_error("a piece has 1 byte to 1 MiB", 0);
    if (posix_memalign(&transfer->piece, 4096, PIECE) != 0)
        return answer_error("no memory to transfer", ENOMEM);
    memset(transfer->piece, 0x5a, PIECE);
    return 0;
}

/* A file without a name on the instance's storage, or -1 after the reason has been answered. */
static int open_data(int flags)
{
    char path[512];
    snprintf(path, sizeof path, "%s/limited", setting("ISOBENCH_DATA", "/data"));
    int fd = open(path, flags | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0)
        unlink(path);
    else if (errno == EINVAL && flags & O_DIRECT)
        answer_error("the file system does not support O_DIRECT", errno);
    else
        answer_error(path, errno);
    return fd;
}

int verb_write(int argc, char **argv)
{
    struct transfer asked;
    if (prepare(&asked, argc, argv) != 0)
        return 1;
    int fd = open_data(O_WRONLY | (strcmp(asked.how, "direct") ? 0 : O_DIRECT));
    if (fd < 0)
        return 1;
    if (strcmp(asked.how, "syncfs") == 0)
        syncfs(fd); /* what others have written must not be waited for */
    uint64_t began = now_ns();
    for (unsigned long long left = asked.bytes; left > 0; left -= left < asked.size ? left : asked.size)
        if (write_all(fd, asked.piece, left < asked.size ? left : asked.size) < 0)
            return answer_error("write", errno);
    uint64_t written = now_ns() - began;
    if ((strcmp(asked.how, "syncfs") == 0 ? syncfs(fd) : fsync(fd)) < 0)
        return answer_error(asked.how, errno);
    return say("{\"written\": %llu, \"synced\": %llu}\n", written, now_ns() - began, 0);
}

/* Writes a file past the page cache, so that none of it is there, then times reading it. */
int verb_read(int argc, char **argv)
{
    struct transfer asked;
    if (prepare(&asked, argc, argv) != 0)
        return 1;
    int fd = open_data(O_RDWR | O_DIRECT);
    if (fd < 0)
        return 1;
    for (unsigned long long had = 0; had < asked.bytes; had += PIECE)
        if (write_all(fd, asked.piece, PIECE) < 0)
            return answer_error("write", errno);
    if (fsync(fd) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return answer_error("fsync", errno);
    if (strcmp(asked.how, "direct") != 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_DIRECT) < 0)
        return answer_error("leaving O_DIRECT", errno);
    uint64_t began = now_ns();
    for (unsigned long long had = 0; had < asked.bytes;) {
        ssize_t n = read(fd, asked.piece, asked.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return answer_error("read", n < 0 ? errno : EIO);
        had += (unsigned long long)n;
    }
    return say("{\"read\": %llu}\n", now_ns() - began, 0, 0);
}
