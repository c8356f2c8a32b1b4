/* Which system calls are let through from here: each is called once, in a child of its own.
 *
 * The arguments are such that a call fails at once, or does nothing: all of them are -1, which is no descriptor, no
 * address, no process and no valid flags, unless the table below has others. So EFAULT, EBADF or EINVAL say that the
 * kernel's own code was reached. The few calls without arguments that do something do it to the child alone. What cannot
 * be called so is left out.
 *
 * Where there is a seccomp filter, it is also asked by itself, without anything being executed: a child adds a filter
 * that passes the call to a tracer. There is none, which the kernel answers with ENOSYS; but what an earlier filter
 * denies takes precedence (seccomp(2)), so any other answer is that filter's. That tells its EPERM from the kernel's own.
 */
#include "probe.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_CALLS 1024
#define SENTINEL 42      /* the status of a child that the call itself has ended */
#define WAITS_US 200000  /* how long a call may wait that does nothing else */
#define HANGS_US 5000000 /* and any other */
#define NO_KEY 0x69736f62 /* of no shared memory, semaphore or queue: without IPC_CREAT none is made */
#define NOT_ASKED (-1000)

static uint32_t word; /* what a futex wakes nobody at */

/* Those for which -1 will not do. */
static const struct {
    long number, arguments[4];
} others[] = {
    {SYS_exit, {SENTINEL}},
    {SYS_exit_group, {SENTINEL}},
    {SYS_clone, {CLONE_THREAD}},             /* EINVAL: no thread without CLONE_SIGHAND; filters look at the flags */
    {SYS_personality, {0xffffffff}},         /* asks only; -1 of 64 bits is another number to a filter */
    {SYS_futex, {(long)&word, FUTEX_WAKE}},  /* an unknown operation answers ENOSYS, as if it were absent */
    {SYS_init_module, {-1, 0, -1}},          /* ENOEXEC: -1 bytes would be allocated first */
    {SYS_shmget, {NO_KEY}},                  /* -1 has IPC_CREAT in it */
    {SYS_semget, {NO_KEY}},
    {SYS_msgget, {NO_KEY}},
    {SYS_umask, {022}},
#ifdef SYS_alarm
    {SYS_alarm, {0}},
#endif
#ifdef SYS_modify_ldt
    {SYS_modify_ldt, {0, 0, 0}},             /* reads nothing; an unknown function answers ENOSYS */
#endif
};

static int is_left_out(long number)
{
    return number == SYS_rt_sigreturn /* goes on wherever the stack says */
        || number == SYS_sync;        /* writes out what all programs of the host have written */
}

static long call(long number)
{
    const long none = -1, *a = NULL;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].number == number)
            a = others[i].arguments;
    if (number == SYS_kill || number == SYS_tkill) /* signal 0: nobody is told */
        return syscall(number, getpid(), 0);
    if (number == SYS_tgkill)
        return syscall(number, getpid(), getpid(), 0);
#ifdef SYS_vfork
    if (number == SYS_vfork) { /* its child is on this stack, which only the C library's function can do */
        pid_t made = vfork();
        if (made == 0)
            _exit(0);
        return made;
    }
#endif
    if (a)
        return syscall(number, a[0], a[1], a[2], a[3], 0, 0);
    return syscall(number, none, none, none, none, none, none);
}

/* Pass this call to a tracer, of which there is none. 0, or -1 with errno. */
static int pass_on(long number)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* What the child says, in memory that both share: it need not live to tell. */
struct outcome {
    volatile int is_calling, has_returned, error;
};

static _Noreturn void try_it(long number, int only_ask, struct outcome *outcome)
{
    int is_patient = 1;
#ifdef SYS_pause
    is_patient = number != SYS_pause;
#endif
    struct itimerval end = {.it_value = {0, 0}};
    end.it_value.tv_sec = (is_patient ? HANGS_US : WAITS_US) / 1000000;
    end.it_value.tv_usec = (is_patient ? HANGS_US : WAITS_US) % 1000000;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (number != SYS_setsid)
        setsid(); /* no terminal: vhangup has nothing to hang up */
    signal(SIGALRM, SIG_DFL);
    setitimer(ITIMER_REAL, &end, NULL);
    if (only_ask && pass_on(number) < 0)
        _exit(1);
    pid_t own = getpid();
    outcome->is_calling = 1;
    errno = 0;
    long said = call(number);
    if (getpid() != own && !only_ask)
        _exit(0); /* the child that fork has made */
    outcome->error = said == -1 ? errno : 0;
    outcome->has_returned = 1;
    _exit(0);
}

/* The errno of the call, 0 if it was done or has waited, the negative number of the signal that ended it, or
 * NOT_ASKED. */
static int outcome_of(long number, int only_ask, struct outcome *outcome)
{
    int status = 0;
    *outcome = (struct outcome){0, 0, 0};
    pid_t child = fork();
    if (child == 0)
        try_it(number, only_ask, outcome);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0 || !outcome->is_calling)
        return NOT_ASKED;
    if (outcome->has_returned)
        return outcome->error;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? 0 : -WTERMSIG(status);
    return WEXITSTATUS(status) == SENTINEL ? 0 : NOT_ASKED;
}

int answer_calls(long last)
{
    static char line[32 * MOST_CALLS];
    size_t used = 0;
    struct outcome *outcome = mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (outcome == MAP_FAILED)
        return answer_error("no memory to look into", errno);
    int has_filter = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER;
    used += (size_t)snprintf(line, sizeof line, "{\"calls\": [");
    for (long number = 0; number <= last && number < MOST_CALLS; number++) {
        if (is_left_out(number))
            continue;
        int asked = has_filter ? outcome_of(number, 1, outcome) : ENOSYS;
        used += (size_t)snprintf(line + used, sizeof line - used, "%s[%ld, %d, %d]", number ? ", " : "", number,
                                 asked == ENOSYS ? 0 : asked, outcome_of(number, 0, outcome));
    }
    used += (size_t)snprintf(line + used, sizeof line - used, "]}\n");
    return write_all(STDOUT_FILENO, line, used) < 0;
}
