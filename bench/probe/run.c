/* probe run STEP...: run commands in the root file system, one after the other, and answer what each took.
 *
 * A step is words of the form OPTION=VALUE, then "--", then the words of its command:
 *   words=COUNT       how many words the command has (so that no word of it can be mistaken for anything else)
 *   cwd=FOLDER        its working folder
 *   env=NAME=VALUE    a variable, any number of them; the command has no others
 *   user=UID:GID      the user and group it runs as, without other groups; by default the probe's
 *   cpus=COUNT        how many CPUs it may use: the first of those that the probe may; by default all of them
 *   after=COUNT       how many CPUs before those are somebody else's
 *   keep=BYTES        how much of the end of its output is answered
 *   most=BYTES        how much it may write at most
 *   within=SECONDS    how long it may take to succeed or to become ready
 *   as=command        run it once (the default)
 *   as=retry          run it until it exits with 0
 *   as=server         start it and leave it running; it is ready once it accepts connections (port=NUMBER), once its
 *                     output contains a text (line=TEXT), or without either as soon as it is started
 *   as=stop           (without a command) end the server and answer what it took
 * Says ready. For each step it waits for a line, does the step, and answers one line of JSON; then it waits for a line and
 * exits, with 1 if a step failed. No step follows one that failed. Standard input is empty, and there is no terminal; both
 * outputs are one.
 *
 * ISOBENCH_ROOT says where the root file system is; unless that is "/", a command enters it by chroot.
 */
#include "probe.h"
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_WORDS 300 /* what a guest reads out of its file, guest.c */
#define KEPT 65536
#define GRACE_NS 1000000000u /* what a command leaves running may still end by itself */
#define STOP_NS 5000000000u  /* from SIGTERM to SIGKILL */

extern char **environ;

enum kind { COMMAND, RETRY, SERVER, STOP };

struct step {
    enum kind kind;
    const char *cwd, *line;
    int has_user;
    unsigned user, group, port, cpus, after;
    unsigned long long keep, most, within;
    char *environ[MOST_WORDS + 1], *words[MOST_WORDS + 1];
};

/* What a command has written, shared with the process that reads it. */
struct output {
    volatile unsigned long long written;
    volatile int is_flood, has_line;
    char last[KEPT]; /* a ring */
};

/* A command that has been started: its process, the process that reads its output, and how its start failed, if it did. */
struct failure {
    int number;
    char what[32];
};
struct running {
    pid_t command, reader;
    int report;
    uint64_t began;
    struct output *output;
};

/* How a step ended. */
struct result {
    uint64_t took;
    int status, left, late;
    struct rusage usage;
    struct failure failure;
};

static int kind_of(const char *name)
{
    static const char *const names[] = {[COMMAND] = "command", [RETRY] = "retry", [SERVER] = "server", [STOP] = "stop"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

/* The next step out of the words; how many words it took, or -1. */
static int read_step(int argc, char **argv, struct step *step)
{
    int at = 0, variables = 0, kind = 0;
    unsigned long long count = 0;
    memset(step, 0, sizeof *step);
    step->cwd = "/";
    step->keep = 2000;
    step->most = 64ull << 20;
    step->within = 60;
    for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
        char *word = argv[at];
        if (strncmp(word, "words=", 6) == 0)
            count = strtoull(word + 6, NULL, 10);
        else if (strncmp(word, "as=", 3) == 0 && (kind = kind_of(word + 3)) >= 0)
            step->kind = (enum kind)kind;
        else if (strncmp(word, "port=", 5) == 0)
            step->port = (unsigned)strtoul(word + 5, NULL, 10);
        else if (strncmp(word, "cpus=", 5) == 0)
            step->cpus = (unsigned)strtoul(word + 5, NULL, 10);
        else if (strncmp(word, "after=", 6) == 0)
            step->after = (unsigned)strtoul(word + 6, NULL, 10);
        else if (strncmp(word, "line=", 5) == 0)
            step->line = word + 5;
        else if (strncmp(word, "within=", 7) == 0)
            step->within = strtoull(word + 7, NULL, 10);
        else if (strncmp(word, "cwd=", 4) == 0)
            step->cwd = word + 4;
        else if (strncmp(word, "env=", 4) == 0)
            step->environ[variables++] = word + 4;
        else if (strncmp(word, "user=", 5) == 0)
            step->has_user = sscanf(word + 5, "%u:%u", &step->user, &step->group) == 2;
        else if (strncmp(word, "keep=", 5) == 0)
            step->keep = strtoull(word + 5, NULL, 10);
        else if (strncmp(word, "most=", 5) == 0)
            step->most = strtoull(word + 5, NULL, 10);
        else
            return -1;
    }
    at++;
    if ((count == 0) != (step->kind == STOP) || at > argc || count > (unsigned long long)(argc - at))
        return -1;
    memcpy(step->words, argv + at, count * sizeof *argv);
    if (step->keep > KEPT)
        step->keep = KEPT;
    return at + (int)count;
}

static _Noreturn void fail(int report, const char *what)
{
    struct failure failure = {.number = errno ? errno : EINVAL};
    snprintf(failure.what, sizeof failure.what, "%s", what);
    write_all(report, (const char *)&failure, sizeof failure);
    _exit(127);
}

/* Only so many CPUs: it has as many in every environment, whatever the environment itself offers. */
static int confine(unsigned count, unsigned after)
{
    cpu_set_t all, few;
    CPU_ZERO(&few);
    if (sched_getaffinity(0, sizeof all, &all) < 0)
        return -1;
    for (int cpu = 0; cpu < CPU_SETSIZE && count > 0; cpu++)
        if (CPU_ISSET(cpu, &all) && after > 0)
            after--;
        else if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &few);
            count--;
        }
    errno = ENODEV;
    return count > 0 ? -1 : sched_setaffinity(0, sizeof few, &few);
}

/* The child: enter the root file system, become who it is to be, exec. */
static _Noreturn void become(const struct step *step, int input, int output, int report)
{
    const char *root = setting("ISOBENCH_ROOT", "/");
    setsid();
    if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
        fail(report, "its standard streams");
    if (strcmp(root, "/") != 0 && chroot(root) < 0)
        fail(report, "chroot");
    if (step->cpus && confine(step->cpus, step->after) < 0)
        fail(report, "its CPUs");
    if (chdir(step->cwd) < 0)
        fail(report, "its working folder");
    if (step->has_user && (setgroups(0, NULL) < 0 || setgid(step->group) < 0 || setuid(step->user) < 0))
        fail(report, "its user");
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* whoever kills the probe; a change of the user would undo it */
    environ = (char **)step->environ;
    execvp(step->words[0], step->words);
    if (errno == ENOENT && strchr(step->words[0], '/') && access(step->words[0], F_OK) == 0)
        fail(report, "its interpreter");
    fail(report, "");
}

/* Another process: read all that the command writes, so that it never waits for a reader, and keep the end of it. */
static _Noreturn void keep_output(int from, struct output *output, const struct step *step, pid_t command)
{
    static char data[1024 + 65536]; /* the end of what was read before, then what is read now */
    size_t before = 0, wanted = step->line ? strlen(step->line) : 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    for (;;) {
        ssize_t n = read(from, data + before, sizeof data - 1024);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);
        for (ssize_t i = 0; i < n; i++)
            output->last[(output->written + (unsigned long long)i) % KEPT] = data[before + (size_t)i];
        output->written += (unsigned long long)n;
        size_t size = before + (size_t)n;
        if (wanted && memmem(data, size, step->line, wanted))
            output->has_line = 1;
        before = size < wanted ? size : wanted;
        before = before < 1024 ? before : 1024;
        memmove(data, data + size - before, before);
        if (output->written > step->most) {
            output->is_flood = 1;
            kill(-command, SIGKILL);
            _exit(0); /* whoever else writes has no reader any more */
        }
    }
}

/* Start the command of a step; -1 with errno if that is not possible. */
static int start(const struct step *step, struct running *running)
{
    int empty[2], out[2], report[2];
    memset(running, 0, sizeof *running);
    running->output = mmap(NULL, sizeof *running->output, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (running->output == MAP_FAILED || pipe2(empty, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
        return -1;
    close(empty[1]); /* its standard input is at its end */
    running->began = now_ns();
    running->command = fork();
    if (running->command == 0)
        become(step, empty[0], out[1], report[1]);
    close(report[1]);
    close(out[1]);
    close(empty[0]);
    running->report = report[0];
    running->reader = running->command < 0 ? -1 : fork();
    if (running->reader == 0)
        keep_output(out[0], running->output, step, running->command);
    close(out[0]);
    return running->command < 0 || running->reader < 0 ? -1 : 0;
}

/* Wait until the command has ended; with WNOHANG only look. Whether it has. */
static int has_ended(const struct running *running, struct result *result, int how)
{
    pid_t ended;
    while ((ended = wait4(running->command, &result->status, how, &result->usage)) < 0 && errno == EINTR)
        ;
    if (ended == 0)
        return 0;
    result->took = now_ns() - running->began;
    return 1;
}

/* How its start failed, if it did: known once it has begun or ended. */
static void read_failure(const struct running *running, struct result *result)
{
    if (read(running->report, &result->failure, sizeof result->failure) != sizeof result->failure)
        result->failure.number = 0;
    close(running->report);
}

/* Reap what the command left; whether something of it goes on living. Its reader ends when nobody holds the output.
 * Beside a server only that tells, since what a server starts may be adopted, too. */
static int leaves_processes(const struct running *running, int beside_server)
{
    uint64_t until = now_ns() + GRACE_NS;
    int reading = 1;
    for (;;) {
        pid_t ended = waitpid(beside_server ? running->reader : -1, NULL, WNOHANG);
        if (ended < 0 && errno == EINTR)
            continue;
        if (ended < 0 || (beside_server && ended == running->reader))
            return 0;
        if (ended == running->reader)
            reading = 0;
        if (ended == 0) {
            if (now_ns() > until)
                break;
            usleep(200);
        }
    }
    if (reading) /* it lives because somebody else does */
        kill(running->reader, SIGKILL);
    return 1;
}

/* Every byte that is no plain character as \u00XX: the harness takes them for bytes again. */
static size_t escape(char *to, const struct output *output, unsigned long long keep)
{
    size_t size = 0;
    unsigned long long kept = output->written < keep ? output->written : keep;
    for (unsigned long long at = output->written - kept; at < output->written; at++) {
        unsigned char c = (unsigned char)output->last[at % KEPT];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            size += (size_t)sprintf(to + size, "\\u%04x", c);
        else
            to[size++] = (char)c;
    }
    return size;
}

static struct running server;

static long long nanoseconds(const struct timeval *t)
{
    return (long long)t->tv_sec * 1000000000 + (long long)t->tv_usec * 1000;
}

/* Which command could not be started, and why: its name, in which what JSON would have to escape becomes a blank. */
static int answer_failure(const struct step *step, const struct failure *failure)
{
    char name[200], line[300];
    snprintf(name, sizeof name, "%s", step->words[0]);
    for (char *c = name; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            *c = ' ';
    snprintf(line, sizeof line, "the program cannot be started: %s%s%s", name, *failure->what ? ": " : "", failure->what);
    return answer_error(line, failure->number);
}

/* One line about a step; 0 if it succeeded. */
static int answer(const struct step *step, const struct output *output, const struct result *result)
{
    static char line[2 * 6 * KEPT + 512];
    const struct rusage *usage = &result->usage;
    int failed = result->status != 0 || result->late;
    if (result->failure.number)
        return answer_failure(step, &result->failure);
    int n = snprintf(line, 512,
                     "{\"ns\": %llu, \"cpu_ns\": %lld, \"peak\": %lld, \"status\": %d, \"signal\": %d, \"left\": %d, "
                     "\"late\": %d, \"flood\": %d, \"written\": %llu, \"output\": \"",
                     (unsigned long long)result->took, nanoseconds(&usage->ru_utime) + nanoseconds(&usage->ru_stime),
                     (long long)usage->ru_maxrss * 1024, WIFEXITED(result->status) ? WEXITSTATUS(result->status) : 0,
                     WIFSIGNALED(result->status) ? WTERMSIG(result->status) : 0, result->left, result->late,
                     output->is_flood, output->written);
    size_t size = (size_t)n + escape(line + n, output, step->keep);
    if (failed && server.command > 0 && output != server.output) { /* the reason may be its */
        size += (size_t)sprintf(line + size, "\", \"log\": \"");
        size += escape(line + size, server.output, step->keep);
    }
    memcpy(line + size, "\"}\n", 3);
    write_all(STDOUT_FILENO, line, size + 3);
    return failed;
}

/* Run the command of a step once, or until it succeeds, and answer. */
static int run_command(const struct step *step)
{
    struct running running;
    struct result result;
    uint64_t began = now_ns();
    for (;;) {
        memset(&result, 0, sizeof result);
        if (start(step, &running) < 0)
            return answer_error("starting the program", errno);
        has_ended(&running, &result, 0);
        read_failure(&running, &result);
        result.left = leaves_processes(&running, server.command > 0);
        if (step->kind == COMMAND || result.failure.number || result.status == 0)
            break;
        result.late = now_ns() > began + step->within * 1000000000u;
        if (result.late)
            break;
        munmap(running.output, sizeof *running.output);
        usleep(2000);
    }
    if (step->kind == RETRY)
        result.took = now_ns() - began;
    int failed = answer(step, running.output, &result);
    munmap(running.output, sizeof *running.output);
    return failed;
}

static int accepts(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
    if (fd >= 0)
        close(fd);
    return result == 0;
}

/* Start the server, and answer when it is ready. */
static int run_server(const struct step *step)
{
    struct result result;
    memset(&result, 0, sizeof result);
    if (server.command > 0)
        return answer_error("there is a server already", 0);
    if (start(step, &server) < 0)
        return answer_error("starting the server", errno);
    read_failure(&server, &result); /* returns once it is started: the pipe closes at its exec */
    while (!result.failure.number) {
        if (step->port ? accepts(step->port) : step->line ? server.output->has_line : 1)
            break;
        if (has_ended(&server, &result, WNOHANG)) {
            result.left = leaves_processes(&server, 0);
            server.command = 0;
            result.late = 1; /* it ended before it was ready, with whatever status */
            break;
        }
        if (now_ns() > server.began + step->within * 1000000000u) {
            result.late = 1;
            break;
        }
        usleep(200);
    }
    result.took = now_ns() - server.began;
    return answer(step, server.output, &result);
}

/* End the server as an init system would: a signal, some time, and then another one. */
static int stop_server(const struct step *step)
{
    struct result result;
    memset(&result, 0, sizeof result);
    if (server.command <= 0)
        return answer_error("there is no server", 0);
    if (has_ended(&server, &result, WNOHANG)) {
        result.late = 1; /* nobody has ended it */
    } else {
        kill(-server.command, SIGTERM);
        uint64_t until = now_ns() + STOP_NS;
        int ended;
        while (!(ended = has_ended(&server, &result, WNOHANG)) && now_ns() < until)
            usleep(1000);
        if (!ended) {
            kill(-server.command, SIGKILL);
            has_ended(&server, &result, 0);
        }
        result.status = 0; /* that is how it was to end */
    }
    return answer(step, server.output, &result);
}

int verb_run(int argc, char **argv)
{
    static struct step step;
    int failed = 0;
    say_ready();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* what a command leaves behind is seen */
    loopback_up();                             /* if that is permitted: an engine has done so */
    for (int at = 1; at < argc && !failed;) {
        int took = read_step(argc - at, argv + at, &step);
        if (took < 0)
            return answer_error("run wants steps: OPTION=VALUE... -- COMMAND", 0);
        await_release();
        failed = step.kind == SERVER ? run_server(&step) : step.kind == STOP ? stop_server(&step) : run_command(&step);
        at += took;
    }
    await_release();
    if (server.command > 0) {
        kill(-server.command, SIGKILL);
        kill(server.reader, SIGKILL);
    }
    return failed;
}
