/* The operations of `probe syscall` on processes and threads: making them, and round trips with a second one. */
#include "probe.h"
#include "net.h"
#include "syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int reap(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    if (status == 0)
        return 0;
    refusal = "the child process failed";
    return -1;
}

int run_fork(long n)
{
    while (n-- > 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        if (child < 0 || reap(child) < 0)
            return -1;
    }
    return 0;
}

static int program = -1;

/* By descriptor, so that it works whatever the program is called in this root. */
int prepare_exec(void)
{
    program = openat(own_folder, own_name, O_RDONLY | O_CLOEXEC);
    return program < 0 ? -1 : 0;
}

int run_exec(long n)
{
    static char *arguments[] = {"probe", "syscall", "exit", NULL};
    while (n-- > 0) {
        pid_t child = vfork();
        if (child == 0) {
            syscall(SYS_execveat, program, "", arguments, environ, AT_EMPTY_PATH);
            _exit(127);
        }
        if (child < 0 || reap(child) < 0)
            return -1;
    }
    return 0;
}

void clean_exec(void)
{
    if (program >= 0)
        close(program);
    program = -1;
}

static void *end_at_once(void *nothing)
{
    return nothing;
}

int run_thread(long n)
{
    pthread_t thread;
    while (n-- > 0) {
        errno = pthread_create(&thread, NULL, end_at_once, NULL);
        if (errno != 0 || pthread_join(thread, NULL) != 0)
            return -1;
    }
    return 0;
}

/* A second process that sends back what it gets, over two pipes or one socket. */
static struct {
    pid_t child;
    int out, in;
} partner = {0, -1, -1};

void clean_partner(void)
{
    if (partner.in >= 0)
        close(partner.in);
    if (partner.out >= 0 && partner.out != partner.in)
        close(partner.out);
    if (partner.child > 0) {
        kill(partner.child, SIGKILL);
        waitpid(partner.child, NULL, 0);
    }
    partner.child = 0;
    partner.in = partner.out = -1;
    leave_cpu();
}

static _Noreturn void echo(int in, int out)
{
    char c;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    while (read(in, &c, 1) == 1 && write(out, &c, 1) == 1)
        ;
    _exit(0);
}

/* Fork the partner, which reads `its_in` and writes `its_out`; ours are already in `partner`. */
static int start_partner(int its_in, int its_out)
{
    partner.child = fork();
    if (partner.child == 0) {
        close(partner.in);
        if (partner.out != partner.in)
            close(partner.out);
        echo(its_in, its_out);
    }
    int saved = errno;
    close(its_in);
    if (its_out != its_in)
        close(its_out);
    errno = saved;
    return partner.child < 0 ? -1 : 0;
}

/* Both ends on one CPU: left alone, the scheduler keeps them together in one instance and parts them in the next,
 * and between two idle CPUs of a virtual machine a round trip takes thirty times as long. */
int prepare_pipe(void)
{
    int there[2], back[2];
    if (stay_on_one_cpu() < 0 || pipe2(there, O_CLOEXEC) < 0)
        return -1;
    partner.out = there[1];
    if (pipe2(back, O_CLOEXEC) < 0) {
        close(there[0]);
        return -1;
    }
    partner.in = back[0];
    return start_partner(there[0], back[1]);
}

int prepare_pipe_two_cpus(void)
{
    cpu_set_t all, here, there;
    CPU_ZERO(&here);
    CPU_ZERO(&there);
    if (sched_getaffinity(0, sizeof all, &all) < 0)
        return -1;
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&there) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, CPU_COUNT(&here) == 0 ? &here : &there);
    if (CPU_COUNT(&there) == 0) {
        refusal = "there is no second CPU to run on";
        return -1;
    }
    if (prepare_pipe() < 0 || sched_setaffinity(0, sizeof here, &here) < 0)
        return -1;
    return sched_setaffinity(partner.child, sizeof there, &there);
}

static int prepare_socket(int ends[2])
{
    partner.in = partner.out = ends[0];
    return start_partner(ends[1], ends[1]);
}

int prepare_socketpair(void)
{
    int ends[2];
    if (stay_on_one_cpu() < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    return prepare_socket(ends);
}

int prepare_tcp(void)
{
    int ends[2];
    if (loopback_up() < 0) {
        refusal = "the loopback interface is down and may not be brought up";
        return -1;
    }
    if (stay_on_one_cpu() < 0 || tcp_pair(ends) < 0)
        return -1;
    return prepare_socket(ends);
}

int run_round_trip(long n)
{
    char c = 0;
    while (n-- > 0)
        if (write(partner.out, &c, 1) != 1 || read(partner.in, &c, 1) != 1)
            return -1;
    return 0;
}

/* Two threads that hand a turn to each other, asleep in the kernel meanwhile. */
enum { OURS, THEIRS, OVER };
static int turn;
static pthread_t other;
static int other_runs;

static void wait_while(int value)
{
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) == value)
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void hand_over(int value)
{
    __atomic_store_n(&turn, value, __ATOMIC_RELEASE);
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *take_turns(void *nothing)
{
    for (;;) {
        wait_while(OURS);
        if (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) == OVER)
            return nothing;
        hand_over(OURS);
    }
}

int prepare_futex(void)
{
    if (stay_on_one_cpu() < 0)
        return -1;
    turn = OURS;
    errno = pthread_create(&other, NULL, take_turns, NULL);
    other_runs = errno == 0;
    return other_runs ? 0 : -1;
}

int run_futex_pair(long n)
{
    while (n-- > 0) {
        hand_over(THEIRS);
        wait_while(THEIRS);
    }
    return 0;
}

void clean_futex(void)
{
    if (other_runs) {
        hand_over(OVER);
        pthread_join(other, NULL);
    }
    other_runs = 0;
    leave_cpu();
}

int run_futex_wake(long n)
{
    static int nobody_waits;
    while (n-- > 0)
        if (syscall(SYS_futex, &nobody_waits, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) < 0)
            return -1;
    return 0;
}
