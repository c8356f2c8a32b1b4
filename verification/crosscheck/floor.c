/* The floor under isobench's native rungs, written without any of its code: posix_spawn, or glibc's clone with
 * namespace flags, of one program; the time to its first byte and to the return of waitpid.
 *
 * usage: floor PROGRAM ARGS...   reads lines "spawn", "clone FLAGS" and "hold", answers "READY_NS WHOLE_NS" a line.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char **program;
static int in[2], out[2];

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What posix_spawn does between clone and exec, for both ways to be alike: every signal asked for and set to default. */
static int child(void *unused)
{
    (void)unused;
    for (int number = 1; number <= SIGRTMAX; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0)
            signal(number, SIG_DFL);
    }
    dup2(in[0], 0);
    dup2(out[1], 1);
    execv(program[0], program);
    _exit(127);
}

/* isobench watches for a namespace's end with a second one that it makes before the clock starts (netns.c). Making one
 * warms what making the next needs, so this side makes one, too, and keeps it until it ends. */
static int hold_network_namespace(void)
{
    int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (here < 0 || unshare(CLONE_NEWNET) < 0)
        return -1;
    if (open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC) < 0 || setns(here, CLONE_NEWNET) < 0)
        return -1;
    return close(here);
}

static pid_t start(const char *how, uint64_t flags)
{
    static char stack[1 << 16] __attribute__((aligned(16)));
    pid_t pid = -1;
    if (strcmp(how, "spawn") == 0) {
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, in[0], 0);
        posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        errno = posix_spawn(&pid, program[0], &actions, NULL, program, NULL);
        posix_spawn_file_actions_destroy(&actions);
        return errno ? -1 : pid;
    }
    if (flags & CLONE_NEWTIME) { /* clone has no room for this flag: the next child gets the namespace */
        if (unshare(CLONE_NEWTIME) < 0)
            return -1;
        flags &= ~(uint64_t)CLONE_NEWTIME;
    }
    return clone(child, stack + sizeof stack, (int)flags | CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
}

int main(int argc, char **argv)
{
    char line[64], how[16], byte;
    unsigned long flags;
    if (argc < 2)
        return 2;
    program = argv + 1;
    while (fgets(line, sizeof line, stdin)) {
        flags = 0;
        if (sscanf(line, "%15s %lx", how, &flags) < 1)
            return 2;
        if (strcmp(how, "hold") == 0) {
            if (hold_network_namespace() < 0)
                return 1;
            puts("0 0");
            fflush(stdout);
            continue;
        }
        if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
            return 1;
        uint64_t requested = now();
        pid_t pid = start(how, flags);
        if (pid < 0) {
            perror(how);
            return 1;
        }
        struct pollfd p = {out[0], POLLIN, 0};
        poll(&p, 1, 10000);
        uint64_t ready = now();
        if (read(out[0], &byte, 1) != 1 || write(in[1], "\n", 1) != 1)
            return 1;
        waitpid(pid, NULL, 0);
        uint64_t whole = now();
        printf("%llu %llu\n", (unsigned long long)(ready - requested), (unsigned long long)(whole - requested));
        fflush(stdout);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
    }
    return 0;
}
