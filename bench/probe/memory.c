/* Memory as an instance takes it.
 *
 * probe touch BYTES: says what its kernel has ({"total", "free"}), then at each line from outside: takes that many bytes
 * of anonymous memory and writes to every page (0: all that is free, less a reserve), gives them back, ends.
 * probe map FILE: reads every page of a file of the root file system through a mapping, says how much of it lies in the
 * page cache as mincore(2) tells, and keeps it mapped until it is told to end.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

/* What stays free in a guest that takes everything: its kernel must not OOM-kill. */
#define RESERVE (24ull << 20)

static int answer(const char *format, unsigned long long one, unsigned long long other)
{
    char line[128];
    int n = snprintf(line, sizeof line, format, one, other);
    return write_all(STDOUT_FILENO, line, (size_t)n);
}

/* Differs between instances: the kernel's random numbers, where they do not come yet (a young guest) the time. */
static uint64_t page_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed)
        return seed;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int verb_touch(int argc, char **argv)
{
    struct sysinfo s;
    unsigned long long bytes = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, page = (unsigned long long)sysconf(_SC_PAGESIZE);
    say_ready();
    if (sysinfo(&s) < 0)
        return answer_error("sysinfo", errno);
    unsigned long long total = (unsigned long long)s.totalram * s.mem_unit, spare = (unsigned long long)s.freeram * s.mem_unit;
    if (bytes == 0)
        bytes = spare > RESERVE ? spare - RESERVE : 0;
    answer("{\"total\": %llu, \"free\": %llu}\n", total, spare);
    await_release();
    char *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == 0 || area == MAP_FAILED)
        return answer_error("no memory to touch", bytes ? errno : ENOMEM);
    uint64_t seed = page_seed();
    for (unsigned long long at = 0; at < bytes; at += page) { /* an odd factor: no two pages are alike to KSM */
        uint64_t word = seed + at / page * 0x9e3779b97f4a7c15u;
        memcpy(area + at, &word, sizeof word);
    }
    answer("{\"touched\": %llu, \"page\": %llu}\n", bytes, page);
    await_release();
    munmap(area, bytes);
    answer("{\"freed\": %llu, \"page\": %llu}\n", bytes, page);
    await_release();
    return 0;
}

int verb_map(int argc, char **argv)
{
    char file[512];
    const char *root = getenv("ISOBENCH_ROOT");
    size_t page = (size_t)sysconf(_SC_PAGESIZE), resident = 0;
    struct stat s;
    volatile char sink = 0;
    say_ready();
    snprintf(file, sizeof file, "%s/%s", root && *root ? root : "", argc > 1 ? argv[1] : "");
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s) < 0)
        return answer_error(file, errno);
    size_t size = (size_t)s.st_size, pages = (size + page - 1) / page;
    const char *area = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    unsigned char *there = calloc(pages, 1);
    if (area == MAP_FAILED || there == NULL)
        return answer_error("mapping the file", errno);
    for (size_t at = 0; at < size; at += page)
        sink += area[at];
    if (mincore((void *)(uintptr_t)area, size, there) < 0)
        return answer_error("mincore", errno);
    for (size_t i = 0; i < pages; i++)
        resident += there[i] & 1;
    answer("{\"bytes\": %llu, \"resident\": %llu}\n", pages * page, resident * page);
    await_release();
    return 0;
}
