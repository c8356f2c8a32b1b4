/* probe run STEP...: run commands in the root file system, one after the other, and answer what each took.
 *
 * A step is words of the form OPTION=VALUE, then "--", then the words of its command:
 *   words=COUNT       how many words the command has (so that no word of it can be mistaken for anything else)
 *   cwd=FOLDER        its working folder
 *   env=NAME=VALUE    a variable, any number of them; the command has no others
 *   user=UID:GID      as whom it runs, without other groups; as the probe's user where nothing is said
 *   keep=BYTES        how much of the end of its output is answered
 *   most=BYTES        how much it may write at most
 * Says ready; for each step waits for a line, runs the command, answers one line of JSON; waits for a line, exits, with
 * 1 where a command did not exit with 0. Standard input is empty, and there is no terminal; both outputs are one.
 *
 * ISOBENCH_ROOT says where the root file system is; elsewhere than at "/" the command enters it by chroot.
 */
#include "probe.h"
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_WORDS 300 /* what a guest reads out of its file, guest.c */
#define KEPT 65536
#define GRACE_NS 1000000000u /* what a command leaves running may still end by itself */

extern char **environ;

struct step {
    const char *cwd;
    int has_user;
    unsigned user, group;
    unsigned long long keep, most;
    char *environ[MOST_WORDS + 1], *words[MOST_WORDS + 1];
};

/* What the command has written, shared with the process that reads it. */
struct output {
    volatile unsigned long long written;
    volatile int is_flood;
    char last[KEPT]; /* a ring */
};

/* The next step out of the words; how many words it took, or -1. */
static int read_step(int argc, char **argv, struct step *step)
{
    int at = 0, variables = 0;
    unsigned long long count = 0;
    memset(step, 0, sizeof *step);
    step->cwd = "/";
    step->keep = 2000;
    step->most = 64ull << 20;
    for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
        char *word = argv[at];
        if (strncmp(word, "words=", 6) == 0)
            count = strtoull(word + 6, NULL, 10);
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
    if (count == 0 || at > argc || count > (unsigned long long)(argc - at))
        return -1;
    memcpy(step->words, argv + at, count * sizeof *argv);
    if (step->keep > KEPT)
        step->keep = KEPT;
    return at + (int)count;
}

/* How a command failed to start: the number is 0 where it did start. */
struct failure {
    int number;
    char what[32];
};

static _Noreturn void fail(int report, const char *what)
{
    struct failure failure = {.number = errno ? errno : EINVAL};
    snprintf(failure.what, sizeof failure.what, "%s", what);
    write_all(report, (const char *)&failure, sizeof failure);
    _exit(127);
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
    if (chdir(step->cwd) < 0)
        fail(report, "its working folder");
    if (step->has_user && (setgroups(0, NULL) < 0 || setgid(step->group) < 0 || setuid(step->user) < 0))
        fail(report, "its user");
    environ = (char **)step->environ;
    execvp(step->words[0], step->words);
    fail(report, "exec");
}

/* Another process: read all that the command writes, so that it never waits for a reader, and keep the end of it. */
static _Noreturn void keep_output(int from, struct output *output, const struct step *step, pid_t command)
{
    static char data[65536];
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    for (;;) {
        ssize_t n = read(from, data, sizeof data);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);
        for (ssize_t i = 0; i < n; i++)
            output->last[(output->written + (unsigned long long)i) % KEPT] = data[i];
        output->written += (unsigned long long)n;
        if (output->written > step->most) {
            output->is_flood = 1;
            kill(-command, SIGKILL);
            _exit(0); /* whoever else writes has no reader any more */
        }
    }
}

/* Reap what the command left; whether something of it goes on living. `reader` ends when nobody holds the output. */
static int leaves_processes(pid_t reader)
{
    uint64_t until = now_ns() + GRACE_NS;
    int reading = reader > 0;
    for (;;) {
        pid_t ended = waitpid(-1, NULL, WNOHANG);
        if (ended < 0 && errno == EINTR)
            continue;
        if (ended < 0)
            return 0;
        if (ended == reader)
            reading = 0;
        if (ended == 0) {
            if (now_ns() > until)
                break;
            usleep(200);
        }
    }
    if (reading) /* it lives because somebody else does */
        kill(reader, SIGKILL);
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

static long long nanoseconds(const struct timeval *t)
{
    return (long long)t->tv_sec * 1000000000 + (long long)t->tv_usec * 1000;
}

static void answer(const struct step *step, const struct output *output, int status, uint64_t took, const struct rusage *usage, int left)
{
    static char line[6 * KEPT + 512];
    int n = snprintf(line, 512,
                     "{\"ns\": %llu, \"cpu_ns\": %lld, \"peak\": %lld, \"status\": %d, \"signal\": %d, \"left\": %d, "
                     "\"flood\": %d, \"written\": %llu, \"output\": \"",
                     (unsigned long long)took, nanoseconds(&usage->ru_utime) + nanoseconds(&usage->ru_stime),
                     (long long)usage->ru_maxrss * 1024, WIFEXITED(status) ? WEXITSTATUS(status) : 0,
                     WIFSIGNALED(status) ? WTERMSIG(status) : 0, left, output->is_flood, output->written);
    size_t size = (size_t)n + escape(line + n, output, step->keep);
    memcpy(line + size, "\"}\n", 3);
    write_all(STDOUT_FILENO, line, size + 3);
}

/* Run the command of a step and answer; 0 where it exited with 0. */
static int run_step(const struct step *step)
{
    int empty[2], out[2], report[2], status = 0;
    struct rusage usage;
    struct failure failure = {0, ""};
    struct output *output = mmap(NULL, sizeof *output, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (output == MAP_FAILED || pipe2(empty, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
        return answer_error("pipes for the program", errno);
    close(empty[1]); /* its standard input is at its end */
    uint64_t began = now_ns();
    pid_t command = fork();
    if (command == 0)
        become(step, empty[0], out[1], report[1]);
    close(report[1]);
    close(out[1]);
    close(empty[0]);
    pid_t reader = command < 0 ? -1 : fork();
    if (reader == 0)
        keep_output(out[0], output, step, command);
    close(out[0]);
    if (command < 0 || reader < 0)
        return answer_error("fork", errno);
    while (wait4(command, &status, 0, &usage) < 0 && errno == EINTR)
        ;
    uint64_t took = now_ns() - began;
    ssize_t told = read(report[0], &failure, sizeof failure);
    close(report[0]);
    int left = leaves_processes(reader);
    if (told == sizeof failure) {
        char what[96];
        snprintf(what, sizeof what, "the program cannot be started: %s", failure.what);
        return answer_error(what, failure.number);
    }
    answer(step, output, status, took, &usage, left);
    munmap(output, sizeof *output);
    return status != 0;
}

int verb_run(int argc, char **argv)
{
    static struct step step;
    int failed = 0;
    say_ready();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* what a command leaves behind is seen */
    loopback_up();                             /* where it may: an engine has done so */
    for (int at = 1; at < argc && !failed;) {
        int took = read_step(argc - at, argv + at, &step);
        if (took < 0)
            return answer_error("run wants steps: OPTION=VALUE... -- COMMAND", 0);
        await_release();
        failed = run_step(&step);
        at += took;
    }
    await_release();
    return failed;
}
