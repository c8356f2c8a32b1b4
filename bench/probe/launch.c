/* probe launch: start one program in isolation for the harness, stamp its events, clean up.
 *
 * Each instance has a fresh small process as its launcher, so that neither the size nor the language of the harness is
 * in the timed path. The harness passes descriptors: `control` (SOCK_SEQPACKET, messages of lines), `watch` (the
 * reading end of the program's standard output, only polled here) and `feed` (the writing end of its standard input).
 *
 *   launcher: prepared: clone3, into-cgroup, netns-watch: 0 for what is refused here. Everything untimed is done
 *   harness:  go
 *   launcher: ready: requested, created, started, ready, pid, and the nanoseconds that each step took
 *   harness:  release
 *   launcher: exited: released, exited, gone, status, CPU time of the program and of the launcher, oom (1 if something
 *             in its cgroup was OOM-killed)
 * or `error: REASON` at any point. The program may also exit without `release`. When `control` closes, everything is
 * killed and removed.
 */
#include "probe.h"
#include "isolate.h"
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int control = -1;
static struct isolation how = {.into_cgroup = -1};
static volatile struct stamps *stamps;
static int child_pid = -1, child_fd = -1;
static int reaped, status;
static struct rusage child_usage;

static void tell(const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (n >= (int)sizeof text)
        n = (int)sizeof text - 1;
    send(control, text, (size_t)n, MSG_NOSIGNAL);
}

/* Kill and reap everything that descends from this process (it is their subreaper). */
static void kill_descendants(void)
{
    char file[64], list[4096];
    snprintf(file, sizeof file, "/proc/self/task/%d/children", getpid());
    if (child_pid > 0 && !reaped)
        kill(child_pid, SIGKILL);
    for (int round = 0; round < 2000; round++) {
        read_text(file, list, sizeof list);
        for (char *p = strtok(list, " "); p; p = strtok(NULL, " "))
            kill(atoi(p), SIGKILL);
        pid_t pid;
        int s;
        struct rusage u;
        while ((pid = wait4(-1, &s, WNOHANG, &u)) > 0)
            if (pid == child_pid) {
                reaped = 1;
                status = s;
                child_usage = u;
            }
        if (pid < 0 && errno == ECHILD)
            return;
        usleep(1000);
    }
}

/* Whether something in the cgroup was OOM-killed (memory.events of version 2, memory.oom_control of version 1). */
static int killed_for_memory(void)
{
    static const char *const files[] = {"memory.events", "memory.oom_control"};
    for (int i = 0; i < MAX_CGROUPS && how.cgroups[i]; i++)
        for (int j = 0; j < 2; j++) {
            char file[512], text[512];
            snprintf(file, sizeof file, "%s/%s", how.cgroups[i], files[j]);
            read_text(file, text, sizeof text);
            const char *count = strstr(text, "oom_kill ");
            if (count && atoi(count + 9) > 0)
                return 1;
        }
    return 0;
}

static int remove_cgroups(uint64_t deadline)
{
    for (int i = 0; i < MAX_CGROUPS && how.cgroups[i]; i++)
        while (rmdir(how.cgroups[i]) < 0 && errno != ENOENT) {
            if (now_ns() > deadline)
                return -1;
            usleep(20);
        }
    return 0;
}

static _Noreturn void abandon(const char *format, ...)
{
    char why[512];
    va_list list;
    va_start(list, format);
    vsnprintf(why, sizeof why, format, list);
    va_end(list);
    kill_descendants();
    remove_cgroups(now_ns() + 5000000000u);
    tell("error: %s", why);
    exit(1);
}

static int make_cgroups(void)
{
    for (int i = 0; i < MAX_CGROUPS && how.cgroups[i]; i++) {
        if (mkdir(how.cgroups[i], 0755) < 0)
            return -1;
        for (int j = 0; j < MAX_LIMITS && how.limits[j]; j++) {
            char file[512];
            const char *equals = strchr(how.limits[j], '=');
            snprintf(file, sizeof file, "%s/%.*s", how.cgroups[i], (int)(equals - how.limits[j]), how.limits[j]);
            int fd = open(file, O_WRONLY | O_CLOEXEC);
            if (fd < 0 && errno == ENOENT)
                continue; /* another controller's file */
            if (fd < 0 || write_all(fd, equals + 1, strlen(equals + 1)) < 0)
                return -1;
            close(fd);
        }
    }
    return 0;
}

/* The errno with which the kernel, or a filter around this process, refuses clone3, or 0. clone replaces it then, which
 * does the same, except for time namespaces and for being created inside a cgroup. */
static int refused;

/* Both without leaving this frame in between: the child of a vfork runs on the same stack, so there must be no return
 * address of a C library wrapper on it. */
static inline __attribute__((always_inline)) long clone3(struct clone_args *args, size_t size)
{
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(SYS_clone3), "D"(args), "S"(size) : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = (long)size;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
    return x0;
#else
#error "isobench knows clone3 on x86-64 and aarch64"
#endif
}

static inline __attribute__((always_inline)) long old_clone(struct clone_args *args)
{
    uint64_t flags = args->flags | args->exit_signal;
#if defined(__x86_64__)
    long result;
    register long stack __asm__("r10") = 0;
    register long tls __asm__("r8") = 0;
    __asm__ volatile("syscall" : "=a"(result) : "0"(SYS_clone), "D"(flags), "S"(0L), "d"(args->pidfd), "r"(stack), "r"(tls) : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_clone;
    register long x0 __asm__("x0") = (long)flags;
    register long x1 __asm__("x1") = 0;
    register long x2 __asm__("x2") = (long)args->pidfd;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
#endif
}

/* The child of a rehearsal: run the probe with no verb, which ends at once. */
static int nowhere = -1;
static _Noreturn void rehearse(void)
{
    static char *const nothing[] = {"probe", NULL};
    dup2(nowhere, STDOUT_FILENO);
    execve("/proc/self/exe", nothing, nothing + 1);
    _exit(0);
}

__attribute__((noinline)) static long start_child(struct clone_args *args, char **program)
{
    long pid = __builtin_expect(__builtin_expect(refused, 0) ? old_clone(args) : clone3(args, sizeof *args), 1);
    if (pid == 0) {
        if (program == NULL)
            rehearse();
        isolate_and_exec(&how, stamps, program);
    }
    return pid;
}

/* Run the timed path twice, untimed: a C loop has it in its caches, but a process that has just started has not. Also
 * learns whether clone3 is refused, as unknown or as forbidden, by an older container engine's filter. */
static void warm_up(void)
{
    int fd = -1;
    struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD, .pidfd = (uintptr_t)&fd, .exit_signal = SIGCHLD};
    nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        long pid = start_child(&args, NULL);
        if (!refused && (pid == -ENOSYS || pid == -EPERM)) {
            refused = (int)-pid;
            pid = start_child(&args, NULL);
        }
        struct pollfd p = {fd, POLLIN, 0};
        if (pid < 0)
            return;
        poll(&p, 1, 1000);
        struct rusage u;
        wait4((pid_t)pid, NULL, 0, &u);
        close(fd);
    }
    close(nowhere);
}

/* Whether a child can be created inside a cgroup, as with clone3 since Linux 5.7. The descriptor is invalid on purpose,
 * so no child is created; a kernel that knows the flag reports a bad descriptor. */
static int can_enter_cgroup(void)
{
    struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = INT32_MAX};
    if (refused)
        return 0;
    return syscall(SYS_clone3, &args, sizeof args) < 0 && errno != EINVAL && errno != E2BIG;
}

/* Wait for a message of the harness, the end of the child, or the first byte in `watch`. */
enum { SEEN_BYTE = 1, SEEN_EXIT = 2, SEEN_MESSAGE = 4, SEEN_CLOSED = 8 };
static int await(int watch, int child, uint64_t deadline, char *message, size_t size)
{
    struct pollfd p[3] = {{watch, POLLIN, 0}, {child, POLLIN, 0}, {control, POLLIN, 0}};
    for (;;) {
        uint64_t now = now_ns();
        int r = now >= deadline ? 0 : poll(p, 3, (int)((deadline - now) / 1000000) + 1);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return 0;
        int seen = 0;
        if (watch >= 0 && p[0].revents & POLLIN)
            seen |= SEEN_BYTE;
        if (child >= 0 && p[1].revents & POLLIN)
            seen |= SEEN_EXIT;
        if (p[2].revents) {
            ssize_t n = recv(control, message, size - 1, 0);
            if (n <= 0)
                return SEEN_CLOSED;
            message[n] = 0;
            seen |= SEEN_MESSAGE;
        }
        if (seen)
            return seen;
    }
}

static const void *load_filter(const char *file)
{
    static struct sock_fprog program;
    static struct sock_filter code[4096];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, code, sizeof code);
    if (fd >= 0)
        close(fd);
    if (n <= 0 || n % (ssize_t)sizeof *code)
        return NULL;
    program.len = (unsigned short)(n / (ssize_t)sizeof *code);
    program.filter = code;
    return &program;
}

static uint64_t namespace_flags(char *names)
{
    static const struct {
        const char *name;
        uint64_t flag;
    } known[] = {{"mnt", CLONE_NEWNS},   {"uts", CLONE_NEWUTS},   {"ipc", CLONE_NEWIPC},       {"pid", CLONE_NEWPID},
                 {"net", CLONE_NEWNET},  {"user", CLONE_NEWUSER}, {"cgroup", CLONE_NEWCGROUP}, {"time", CLONE_NEWTIME}};
    uint64_t flags = 0;
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcmp(known[i].name, name))
            i++;
        if (i == sizeof known / sizeof *known)
            abandon("no namespace is called %s", name);
        flags |= known[i].flag;
    }
    return flags;
}

static const struct option options[] = {
    {"control", 1, 0, 'c'},  {"watch", 1, 0, 'w'},  {"feed", 1, 0, 'f'},    {"timeout", 1, 0, 't'},
    {"namespaces", 1, 0, 'n'}, {"plain-fork", 0, 0, 'F'}, {"map-ids", 1, 0, 'u'}, {"cgroup", 1, 0, 'g'},
    {"limit", 1, 0, 'l'},    {"into-cgroup", 0, 0, 'i'}, {"chroot", 1, 0, 'r'}, {"pivot", 1, 0, 'p'},
    {"overlay", 1, 0, 'o'},  {"mounts", 0, 0, 'm'}, {"drop-caps", 0, 0, 'd'},
    {"seccomp", 1, 0, 's'},  {"delay", 1, 0, 'D'}, {"idle", 1, 0, 'I'},  {"no-watch", 0, 0, 'N'},
    {"loopback", 0, 0, 'L'}, {"open-files", 1, 0, 'O'},
    {0, 0, 0, 0},
};

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static double own_cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return seconds(&u.ru_utime) + seconds(&u.ru_stime);
}

/* Wait until a moment, to the microsecond: a sleep ends tens of microseconds late, so the last part is a busy loop. */
static void wait_exactly(uint64_t until)
{
    const uint64_t early = 500000;
    uint64_t now = now_ns();
    if (until > now + early) {
        uint64_t rest = until - now - early;
        struct timespec t = {(time_t)(rest / 1000000000u), (long)(rest % 1000000000u)};
        nanosleep(&t, NULL);
    }
    while (now_ns() < until)
        ;
}

/* " step-NAME NANOSECONDS" for every step that was taken. */
static void describe_steps(char *text, size_t size)
{
    static const char *const names[STEPS] = {
        [STEP_MAKE_CGROUP] = "make-cgroup", [STEP_JOIN_CGROUP] = "join-cgroup", [STEP_ROOT] = "root",
        [STEP_MOUNTS] = "mounts",           [STEP_CAPS] = "caps",               [STEP_SECCOMP] = "seccomp"};
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < STEPS; i++)
        if (stamps->took[i])
            used += (size_t)snprintf(text + used, size - used, " step-%s %llu", names[i], (unsigned long long)stamps->took[i]);
}

/* The launcher's own options; those of the program's isolation are in `how`. */
struct asked {
    int watch, feed, into_cgroup;
    int watch_end; /* whether the end of its network namespace is awaited */
    double timeout, delay, idle;
};

static int read_options(int argc, char **argv, struct asked *asked)
{
    int option, cgroups = 0, limits = 0;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case 'c': control = atoi(optarg); break;
        case 'w': asked->watch = atoi(optarg); break;
        case 'f': asked->feed = atoi(optarg); break;
        case 't': asked->timeout = atof(optarg); break;
        case 'n': how.namespaces = namespace_flags(optarg); break;
        case 'F': how.plain_fork = 1; break;
        case 'u': how.map_ids = optarg; break;
        case 'g': if (cgroups < MAX_CGROUPS) how.cgroups[cgroups++] = optarg; break;
        case 'l': if (limits < MAX_LIMITS && strchr(optarg, '=')) how.limits[limits++] = optarg; break;
        case 'i': asked->into_cgroup = 1; break;
        case 'r': how.chroot = optarg; break;
        case 'p': how.pivot = optarg; break;
        case 'o': how.overlay = optarg; break;
        case 'm': how.mounts = 1; break;
        case 'd': how.drop_caps = 1; break;
        case 'L': how.loopback = 1; break;
        case 'O': how.open_files = (unsigned)atoi(optarg); break;
        case 's': how.seccomp = optarg; break;
        case 'N': asked->watch_end = 0; break;
        /* The validity controls inject a known truth: one side waits inside the timed path, the other just before it,
         * so that both start on a CPU that has waited as long (0.2 ms slower after 100 ms). */
        case 'D': asked->delay = atof(optarg); break;
        case 'I': asked->idle = atof(optarg); break;
        default: return -1;
        }
    }
    return 0;
}

/* Wait for the release, or for the program's exit by itself. Afterwards everything is removed, and
 * its network namespace (`net`, if one is watched) is awaited. */
static void finish(const struct asked *asked, struct netns_watch *net, uint64_t deadline, double cpu_before)
{
    char message[256];
    uint64_t released = 0, exited = 0;
    while (!exited) {
        int seen = await(-1, child_fd, deadline, message, sizeof message);
        if (seen & SEEN_EXIT)
            exited = now_ns();
        if (seen & SEEN_CLOSED || (seen & SEEN_MESSAGE && strcmp(message, "release")))
            abandon("the harness gave up");
        if (seen & SEEN_MESSAGE) {
            uint64_t now = now_ns();
            released = exited ? exited : now;
            if (!exited && write(asked->feed, "\n", 1) < 0 && errno != EPIPE && errno != EAGAIN)
                abandon("writing to its standard input: %s", strerror(errno));
        }
        if (seen == 0)
            abandon("deadline: still running after %g s", asked->timeout);
    }
    if (!released)
        released = exited; /* a working verb ends when its work is done */
    while (wait4(child_pid, &status, 0, &child_usage) < 0 && errno == EINTR)
        ;
    reaped = 1;
    for (pid_t left = 0; left >= 0;) { /* processes that it left behind: wait a moment, then kill them */
        left = wait4(-1, NULL, WNOHANG, NULL);
        if (left == 0) {
            if (now_ns() > exited + 2000000000u)
                kill_descendants();
            else
                usleep(100);
        }
    }
    int out_of_memory = status != 0 && killed_for_memory();
    if (remove_cgroups(deadline) < 0)
        abandon("the cgroup cannot be removed: %s", strerror(errno));
    if (net && netns_await_gone(net, deadline) < 0)
        abandon("the network namespace is still there: %s", strerror(errno));
    uint64_t gone = now_ns();
    tell("exited: released %llu exited %llu status %d gone %llu cpu_payload_us %lld cpu_launcher_us %lld oom %d",
         (unsigned long long)released, (unsigned long long)exited, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
         (unsigned long long)gone, (long long)((seconds(&child_usage.ru_utime) + seconds(&child_usage.ru_stime)) * 1e6),
         (long long)((own_cpu() - cpu_before) * 1e6), out_of_memory);
}

int verb_launch(int argc, char **argv)
{
    struct asked asked = {.watch = -1, .feed = -1, .watch_end = 1, .timeout = 60};
    if (read_options(argc, argv, &asked) < 0)
        return 2;
    char **program = argv + optind;
    if (control < 0 || asked.watch < 0 || asked.feed < 0 || program[0] == NULL)
        return answer_error("launch is for the harness: it wants control, watch, feed and a program", 0);
    fcntl(control, F_SETFD, FD_CLOEXEC);
    fcntl(asked.watch, F_SETFD, FD_CLOEXEC);
    fcntl(asked.feed, F_SETFD, FD_CLOEXEC);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

    /* Untimed preparation. */
    struct netns_watch net = {-1, -1, -1, -1};
    int watching = 0, unwatchable = 0;
    stamps = mmap(NULL, sizeof *stamps, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (stamps == MAP_FAILED)
        abandon("no memory");
    if (how.seccomp && (how.filter = load_filter(how.seccomp)) == NULL)
        abandon("cannot read the seccomp program %s", how.seccomp);
    if (asked.watch_end && how.namespaces & CLONE_NEWNET && geteuid() == 0) {
        watching = netns_prepare(&net) == 0;
        unwatchable = !watching && netns_is_refused(errno);
        if (!watching && !unwatchable)
            abandon("cannot watch network namespaces: %s", strerror(errno));
    }
    const int watch = asked.watch;
    const double delay = asked.delay, idle = asked.idle;
    warm_up();
    const int into_cgroup = asked.into_cgroup && can_enter_cgroup();
    if (refused && how.namespaces & CLONE_NEWTIME)
        abandon("a time namespace wants clone3, which is refused here: %s", strerror(refused));

    char message[256];
    uint64_t deadline = now_ns() + (uint64_t)(asked.timeout * 1e9);
    tell("prepared: clone3 %d into-cgroup %d netns-watch %d", !refused, into_cgroup, !unwatchable);
    if (await(-1, -1, deadline, message, sizeof message) != SEEN_MESSAGE)
        exit(0);

    /* The timed path. */
    double cpu_before = own_cpu();
    if (idle > 0)
        wait_exactly(now_ns() + (uint64_t)(idle * 1e9));
    uint64_t requested = now_ns();
    if (delay > 0)
        wait_exactly(requested + (uint64_t)(delay * 1e9));
    struct clone_args args = {.flags = how.namespaces | CLONE_PIDFD, .pidfd = (uintptr_t)&child_fd, .exit_signal = SIGCHLD};
    if (!how.plain_fork)
        args.flags |= CLONE_VM | CLONE_VFORK;
    if (how.cgroups[0]) {
        if (make_cgroups() < 0)
            abandon("cannot make the cgroup: %s", strerror(errno));
        stamps->took[STEP_MAKE_CGROUP] = now_ns() - requested;
    }
    if (how.cgroups[0] && into_cgroup) {
        how.into_cgroup = open(how.cgroups[0], O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)how.into_cgroup;
    }
    long pid = start_child(&args, program);
    if (pid < 0)
        abandon("%s: %s", refused ? "clone" : "clone3", strerror((int)-pid));
    child_pid = (int)pid;
    int seen = await(watch, child_fd, deadline, message, sizeof message);
    uint64_t ready = now_ns();
    /* The end of the timed path. */

    if (stamps->error)
        abandon("%s: %s", stamps->step, strerror(stamps->error));
    if (seen & (SEEN_CLOSED | SEEN_MESSAGE) || seen == 0)
        abandon(seen == 0 ? "deadline: not ready within %g s" : "the harness gave up", asked.timeout);
    if (!(seen & SEEN_BYTE)) {
        kill_descendants();
        if (WIFSIGNALED(status))
            abandon("it was killed by signal %d before it was ready%s", WTERMSIG(status),
                    killed_for_memory() ? " (OOM-killed)" : "");
        abandon("it ended with status %d before it was ready", WEXITSTATUS(status));
    }
    signal(SIGPIPE, SIG_IGN);
    int net_lost = watching && netns_watch_pid(&net, child_pid) < 0 ? errno : 0;
    char steps[512];
    describe_steps(steps, sizeof steps);
    tell("ready: requested %llu created %llu started %llu ready %llu pid %d%s", (unsigned long long)requested,
         (unsigned long long)stamps->created, (unsigned long long)stamps->started, (unsigned long long)ready, child_pid, steps);

    finish(&asked, watching && !net_lost ? &net : NULL, deadline, cpu_before);
    return 0;
}
