/* probe load RATE ROUNDS [COUNT]: requests that are due at fixed times, RATE a second, whether or not the one before has
 * been answered.
 *
 * A request is a byte over a socket to a second process, which does a fixed piece of arithmetic (ROUNDS steps) and sends
 * it back. It takes from the moment at which it was due until its answer, so that those that wait behind a late one are
 * late, too. What is due while the client is a fifth of a second late is given up: an instance that was held back as a
 * whole does not make up for it afterwards.
 * The load begins at once. At a line from outside the next COUNT requests are answered with what each took
 * ({"name": "request", "ns": [...]}); without COUNT, and at the end of standard input, it ends.
 */
#include "probe.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GIVEN_UP_NS 200000000u
#define MOST_COUNT 2000
#define MOST_RATE 10000

static _Noreturn void serve(int fd, uint64_t rounds)
{
    char c;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    while (read(fd, &c, 1) == 1) {
        step_by_step(rounds);
        if (write_all(fd, &c, 1) < 0)
            break;
    }
    _exit(0);
}

/* The client's end of the socket, and the server's process; -1 with errno. */
static int start_server(uint64_t rounds, pid_t *server)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    *server = fork();
    if (*server == 0) {
        close(ends[0]);
        serve(ends[1], rounds);
    }
    close(ends[1]);
    return *server < 0 ? -1 : ends[0];
}

static void sleep_until(uint64_t when)
{
    struct timespec at = {.tv_sec = (time_t)(when / 1000000000u), .tv_nsec = (long)(when % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

/* 1 at a line from outside, 0 without one, -1 at the end of standard input. */
static int asked(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char c = 0;
    if (poll(&input, 1, 0) != 1)
        return 0;
    return read(STDIN_FILENO, &c, 1) == 1 ? c == '\n' : -1;
}

static int answer(const uint64_t *ns, unsigned long count)
{
    static char line[64 + 21 * MOST_COUNT];
    size_t used = (size_t)snprintf(line, sizeof line, "{\"name\":\"request\",\"ns\":[");
    for (unsigned long i = 0; i < count; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, "%s%llu", i ? "," : "", (unsigned long long)ns[i]);
    used += (size_t)snprintf(line + used, sizeof line - used, "]}\n");
    return write_all(STDOUT_FILENO, line, used);
}

/* Until it is to end; the exit status. */
static int make_requests(int fd, uint64_t period, unsigned long count)
{
    static uint64_t ns[MOST_COUNT];
    unsigned long left = 0;
    char c = 0;
    for (uint64_t due = now_ns();; due += period) {
        int line = left ? 0 : asked();
        if (line < 0 || (line && count == 0))
            return 0;
        if (line)
            left = count;
        uint64_t now = now_ns();
        if (line || now > due + GIVEN_UP_NS)
            due = now;
        sleep_until(due);
        errno = EPIPE; /* of a server that has ended */
        if (write_all(fd, &c, 1) < 0 || read(fd, &c, 1) != 1)
            return answer_error("a request", errno);
        if (left == 0)
            continue;
        ns[count - left] = now_ns() - due;
        if (--left == 0 && answer(ns, count) < 0)
            return 1;
    }
}

int verb_load(int argc, char **argv)
{
    unsigned long rate = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    uint64_t rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    unsigned long count = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    pid_t server = 0;
    say_ready();
    if (rate < 1 || rate > MOST_RATE || count > MOST_COUNT)
        return answer_error("load wants 1 to 10000 requests a second, and at most 2000 answers", 0);
    signal(SIGPIPE, SIG_IGN);
    int fd = start_server(rounds, &server);
    if (fd < 0)
        return answer_error("starting a server", errno);
    int status = make_requests(fd, 1000000000u / rate, count);
    close(fd);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return status;
}
