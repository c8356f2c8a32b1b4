/* probe init COMMAND ARGS...: a first process for private daemons on hosts without an init system.
 *
 * Daemons leave orphans behind (QEMU, shims) that only an init would reap, and libvirt waits until they are. This one
 * adopts them, passes SIGTERM on, ends with its command and takes with it whatever that left, and dies with its parent.
 * A daemon that does not end (libvirtd may wait for ever for a call that hangs) is killed.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE = 20 /* seconds from SIGTERM to SIGKILL; the harness waits for 30 */ };

static volatile pid_t command;

static void pass_on(int number)
{
    if (command > 0)
        kill(command, number);
    alarm(PATIENCE);
}

static void lose_patience(int number)
{
    (void)number;
    if (command > 0)
        kill(command, SIGKILL);
}

/* Kill what the command left behind, generation by generation, as orphans are adopted. */
static void kill_the_rest(void)
{
    char text[4096];
    do {
        if (read_text("/proc/thread-self/children", text, sizeof text) <= 0)
            return;
        long n;
        for (char *at = text, *end; (n = strtol(at, &end, 10)) > 0 && end != at; at = end)
            kill((pid_t)n, SIGKILL);
    } while (wait(NULL) > 0);
}

int verb_init(int argc, char **argv)
{
    if (argc < 2)
        return answer_error("init wants a command", 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    struct sigaction action = {.sa_handler = pass_on};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    struct sigaction alarmed = {.sa_handler = lose_patience};
    sigaction(SIGALRM, &alarmed, NULL);
    command = fork();
    if (command < 0)
        return answer_error("fork", errno);
    if (command == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    for (;;) {
        int status;
        pid_t pid = wait(&status);
        if (pid == command)
            kill_the_rest();
        if (pid == command)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (pid < 0 && errno == ECHILD)
            return 1;
    }
}
