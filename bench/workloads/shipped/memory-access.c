// What memory-access.toml runs: the four kernels of STREAM (McCalpin, 1995) over arrays larger than caches, and a chain of
// dependent loads over growing sets (McVoy and Staelin, lmbench, 1996). Debian has no program of either that runs in
// every guest, so these are written here. Usage: memory-access one|all small|huge
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { ARRAY = 64 << 20, COUNT = ARRAY / sizeof(double), PASSES = 4, LINE = 64, LOADS = 1 << 20, HUGE_PAGE = 2 << 20 };
static const char *const names[] = {"copy", "scale", "add", "triad"};
static const int moved[] = {2, 2, 3, 3}; // arrays that a kernel reads or writes

static double *a, *b, *c;
static int threads;
static double best[4];
static pthread_barrier_t together;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

// Memory that is made of small pages only, or of huge pages as far as the kernel grants them.
static void *pages(size_t bytes, int huge) {
    char *p = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) { perror("mmap"); exit(1); }
    p = (char *)(((uintptr_t)p + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    madvise(p, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE); // a kernel without huge pages refuses both
    return p;
}

static void kernel(int which, size_t from, size_t to) {
    switch (which) {
    case 0: for (size_t i = from; i < to; i++) c[i] = a[i]; break;
    case 1: for (size_t i = from; i < to; i++) b[i] = 3.0 * c[i]; break;
    case 2: for (size_t i = from; i < to; i++) c[i] = a[i] + b[i]; break;
    case 3: for (size_t i = from; i < to; i++) a[i] = b[i] + 3.0 * c[i]; break;
    }
}

static void *stream(void *argument) {
    size_t me = (size_t)argument, from = COUNT / threads * me, to = me + 1 == (size_t)threads ? COUNT : from + COUNT / threads;
    for (size_t i = from; i < to; i++) a[i] = 1.0, b[i] = 2.0, c[i] = 0.0;
    for (int pass = 0; pass < PASSES; pass++)
        for (int which = 0; which < 4; which++) {
            pthread_barrier_wait(&together);
            double began = now();
            kernel(which, from, to);
            pthread_barrier_wait(&together);
            double took = now() - began;
            if (me == 0 && pass > 0 && (best[which] == 0 || took < best[which])) best[which] = took; // as STREAM counts
        }
    return NULL;
}

// Seconds of one load that needs the one before it, over so many bytes: lines in a random cycle (Sattolo, 1986).
static double chase(char *set, size_t bytes) {
    size_t lines = bytes / LINE;
    for (size_t i = 0; i < lines; i++) *(size_t *)(set + i * LINE) = i;
    uint64_t seed = 1;
    for (size_t i = lines - 1; i > 0; i--) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t other = (seed >> 33) % i, *x = (size_t *)(set + i * LINE), *y = (size_t *)(set + other * LINE), kept = *x;
        *x = *y;
        *y = kept;
    }
    size_t place = 0;
    for (size_t i = 0; i < lines && i < LOADS; i++) place = *(volatile size_t *)(set + place * LINE);
    double began = now();
    for (size_t i = 0; i < LOADS; i++) place = *(volatile size_t *)(set + place * LINE);
    return (now() - began) / LOADS;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    const char *cpus = argv[1];
    int huge = !strcmp(argv[2], "huge");
    cpu_set_t given;
    threads = !strcmp(cpus, "all") && !sched_getaffinity(0, sizeof given, &given) ? CPU_COUNT(&given) : 1;
    a = pages(ARRAY, huge), b = pages(ARRAY, huge), c = pages(ARRAY, huge);
    if (!strcmp(cpus, "one"))
        for (size_t bytes = 16 << 10, step = 0; step < 4; bytes *= 16, step++)
            printf("load-%zuK-%s %.4g\n", bytes >> 10, argv[2], chase((char *)a, bytes));
    pthread_barrier_init(&together, NULL, threads);
    pthread_t *each = calloc(threads, sizeof *each);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&each[i], NULL, stream, (void *)(size_t)i)) { perror("pthread_create"); return 1; }
    for (int i = 0; i < threads; i++) pthread_join(each[i], NULL);
    for (int which = 0; which < 4; which++)
        printf("%s-%s-%s %.6g\n", names[which], cpus, argv[2], best[which] / moved[which] / ARRAY);
    // After the passes every element has one known value, so that a result which memory lost is seen.
    double x = 1.0, y = 2.0, z = 0.0;
    for (int pass = 0; pass < PASSES; pass++) z = x, y = 3.0 * z, z = x + y, x = y + 3.0 * z;
    for (size_t i = 0; i < COUNT; i += 4096)
        if (a[i] != x || b[i] != y || c[i] != z) { printf("wrong at %zu\n", i); return 1; }
    return 0;
}
