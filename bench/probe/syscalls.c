/* probe syscall [--batches=N] [--pin] [NAME...]: the cost of system calls inside an instance.
 *
 * Answers with the conditions, then one line per operation (all of them if none is named): the nanoseconds that one
 * operation takes, batch by batch. A batch repeats the operation until the clock's step is small against it. Nothing is
 * subtracted: the cost of an iteration of an empty loop, the minimum of a few batches, is reported as empty_ns. An
 * operation that does not exist here (forbidden, no second CPU) answers with the reason. `about` instead of a name gives
 * all conditions.
 */
#include "probe.h"
#include "syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LEAST_BATCH_NS 100000u   /* a batch is at least this long: 0.1 ms */
#define MOST_BATCH_NS 20000000u  /* and not longer than 20 ms for the sake of a coarse clock */
#define CLOCK_STEPS 200u         /* a batch is this many steps of the clock: the error of reading it is 0.5 % */
#define LEAST_REPEATS 8          /* a batch repeats a slow operation this often, */
#define SLOW_BATCH_NS 2000000u   /* unless it then lasts longer than 2 ms */
#define SLOW_TRIES 6             /* and still does when it is timed this often again */
#define DEFERRED_BATCH_NS 5000000u /* where the kernel frees things later, in bursts: enough for each batch's share */
#define BUDGET_NS 2000000u       /* times the batches wanted: then an operation ends, if it has LEAST_BATCHES */
#define LEAST_BATCHES 5
#define MOST_BATCHES 400
#define EMPTY_BATCHES 7        /* of the empty loop, each of this many iterations, if the operation has no more: */
#define EMPTY_ITERATIONS 100000

static int batches_wanted = 30;
static int pinned;
static uint64_t batch_ns = LEAST_BATCH_NS;

struct text {
    char data[16384];
    size_t size;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(t->data + t->size, sizeof t->data - t->size, format, list);
    va_end(list);
    if (n > 0)
        t->size += (size_t)n < sizeof t->data - t->size ? (size_t)n : sizeof t->data - t->size - 1;
}

/* The smallest step the clock is seen to make, which is no less than what reading it costs. */
static uint64_t clock_step(void)
{
    uint64_t least = MOST_BATCH_NS, start = now_ns(), before = start;
    for (int i = 0; i < 2000 && before - start < MOST_BATCH_NS; i++) {
        uint64_t now = now_ns();
        if (now > before && now - before < least)
            least = now - before;
        before = now;
    }
    return least;
}

void calibrate_clock(void)
{
    uint64_t enough = clock_step() * CLOCK_STEPS;
    batch_ns = enough < LEAST_BATCH_NS ? LEAST_BATCH_NS : enough > MOST_BATCH_NS ? MOST_BATCH_NS : enough;
}

static int run_empty(long n)
{
    for (long i = 0; i < n; i++)
        __asm__ volatile("" ::: "memory");
    return 0;
}

/* Nanoseconds n operations take; 0 with errno where one fails. */
static uint64_t time_batch(const struct operation *o, long n)
{
    uint64_t start = now_ns();
    if (o->run(n) < 0)
        return 0;
    uint64_t end = now_ns();
    if (o->restore && o->restore() < 0)
        return 0;
    return end > start ? end - start : 1;
}

/* How many operations make a batch long enough: raised until it is, which warms the operation up as well. Timed
 * twice, and the shortest counts: an interruption must not pass for a long batch. A batch of few that seems slow is
 * timed more often: where two processes share a CPU with others, each turn may have to wait for it. */
static long calibrate(const struct operation *o)
{
    uint64_t least = o->defers && batch_ns < DEFERRED_BATCH_NS ? DEFERRED_BATCH_NS : batch_ns;
    long n = 1;
    for (;;) {
        uint64_t took = time_batch(o, n);
        for (int i = 0; took >= least && i < (n < LEAST_REPEATS ? SLOW_TRIES : 1); i++) {
            uint64_t again = time_batch(o, n);
            took = again < took ? again : took;
        }
        if (took == 0)
            return 0;
        int often_enough = n >= LEAST_REPEATS || took >= SLOW_BATCH_NS;
        if ((took >= least && often_enough) || n == o->most)
            return n;
        int far_off = took * 8 < least || took >= least;
        long next = far_off ? n * 4 : (long)((double)n * 1.05 * (double)least / (double)took) + 1;
        n = o->most && next > o->most ? o->most : next;
    }
}

/* Nanoseconds of an iteration of the empty loop: the least, because an interruption only ever adds to it. */
static double measure_empty(long n)
{
    static const struct operation empty = {.name = "empty", .run = run_empty};
    uint64_t least = UINT64_MAX;
    if (n < EMPTY_ITERATIONS)
        n = EMPTY_ITERATIONS;
    for (int i = 0; i < EMPTY_BATCHES; i++) {
        uint64_t took = time_batch(&empty, n);
        least = took < least ? took : least;
    }
    return (double)least / (double)n;
}

static int measure(const struct operation *o, struct text *line)
{
    static double ns[MOST_BATCHES];
    long n = calibrate(o);
    if (n == 0)
        return -1;
    double empty_ns = measure_empty(n);
    uint64_t start = now_ns(), budget = (uint64_t)BUDGET_NS * (uint64_t)batches_wanted;
    int count = 0;
    while (count < batches_wanted && (count < LEAST_BATCHES || now_ns() - start < budget)) {
        uint64_t took = time_batch(o, n);
        if (took == 0)
            return -1;
        ns[count++] = (double)took / (double)n;
    }
    add(line, "{\"name\":\"%s\",\"iterations_per_batch\":%ld,\"batches\":%d,\"empty_ns\":%.3g,\"ns\":[", o->name, n,
        count, empty_ns);
    for (int i = 0; i < count; i++)
        add(line, ns[i] < 9999.5 ? "%s%.4g" : "%s%.0f", i ? "," : "", ns[i]);
    add(line, "]}\n");
    return 0;
}

void answer_operation(const struct operation *o)
{
    static struct text line;
    line.size = 0;
    errno = 0;
    refusal = NULL;
    if ((o->prepare && o->prepare() < 0) || measure(o, &line) < 0)
        add(&line, "{\"name\":\"%s\",\"unavailable\":\"%s\"}\n", o->name,
            refusal ? refusal : strerror(errno ? errno : EPROTO));
    if (o->clean)
        o->clean();
    write_all(STDOUT_FILENO, line.data, line.size);
}

/* The first line of a file of sysfs as JSON text, with what JSON would have to escape replaced; "" without it. */
static const char *first_line(const char *path)
{
    static char text[256];
    read_text(path, text, sizeof text);
    text[strcspn(text, "\n")] = 0;
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 32 || *c == '"' || *c == '\\')
            *c = '?';
    return text;
}

/* What the figures depend on, as far as the instance can see it itself. In full: the kernel's mitigations too. */
static void answer_circumstances(int full)
{
    static const char *const weak[] = {"meltdown", "spectre_v1", "spectre_v2", "spec_store_bypass", "l1tf", "mds",
                                       "retbleed", "srso", "spec_rstack_overflow", "gather_data_sampling"};
    static struct text line;
    struct utsname system;
    uname(&system);
    line.size = 0;
    add(&line, "{\"kernel\":\"%s\",\"machine\":\"%s\",\"seccomp\":%d,\"no_new_privs\":%d", system.release,
        system.machine, prctl(PR_GET_SECCOMP, 0, 0, 0, 0), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    const char *source = first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    if (*source)
        add(&line, ",\"clocksource\":\"%s\"", source);
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
        add(&line, ",\"cpus\":%d", CPU_COUNT(&cpus));
    add(&line, ",\"batch_ns\":%llu,\"pinned\":%d", (unsigned long long)batch_ns, pinned);
    for (size_t i = 0; full && i < sizeof weak / sizeof *weak; i++) {
        char path[128];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/vulnerabilities/%s", weak[i]);
        const char *state = first_line(path);
        if (*state)
            add(&line, ",\"%s\":\"%s\"", weak[i], state);
    }
    add(&line, "}\n");
    write_all(STDOUT_FILENO, line.data, line.size);
}

static const struct operation *find(const char *name)
{
    for (unsigned i = 0; i < operation_count; i++)
        if (strcmp(operations[i].name, name) == 0)
            return &operations[i];
    return NULL;
}

int verb_syscall(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "exit") == 0)
        _exit(0); /* what the operation that executes a program executes */
    say_ready();
    int first = 1;
    for (; first < argc && argv[first][0] == '-'; first++) {
        if (sscanf(argv[first], "--batches=%d", &batches_wanted) == 1 && batches_wanted > 0 &&
            batches_wanted <= MOST_BATCHES)
            continue;
        if (strcmp(argv[first], "--pin") != 0)
            return answer_error("syscall: wrong option", 0);
        pinned = 1;
    }
    int about = first + 1 == argc && strcmp(argv[first], "about") == 0;
    for (int i = first; i < argc && !about; i++)
        if (find(argv[i]) == NULL)
            return answer_error("syscall: no such operation", 0);
    if (pinned && stay_on_one_cpu() < 0)
        return answer_error("pinning to a CPU", errno);
    prepare_operations();
    calibrate_clock();
    answer_circumstances(about);
    for (int i = first; i < argc && !about; i++)
        answer_operation(find(argv[i]));
    for (unsigned i = 0; i < operation_count && first == argc; i++)
        answer_operation(&operations[i]);
    return 0;
}
