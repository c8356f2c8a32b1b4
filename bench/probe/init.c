/* probe init COMMAND ARGS...: a first process for private daemons on hosts without an init system.
 *
 * Daemons leave orphans behind (QEMU, shims) that only an init would reap, and libvirt waits until they are. This one
 * adopts them, passes SIGTERM on, ends with its command, and dies with its parent.
 */
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile pid_t command;

static void pass_on(int number)
{
    if (command > 0)
        kill(command, number);
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
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (pid < 0 && errno == ECHILD)
            return 1;
    }
}
