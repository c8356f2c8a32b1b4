/* What the engine (syscalls.c), the table (syscall_table.c) and the operations on processes and threads
 * (syscall_tasks.c) share. */
#ifndef ISOBENCH_SYSCALLS_H
#define ISOBENCH_SYSCALLS_H

/* One operation. Each function gives 0, or -1 with errno; any may be NULL but `run`. */
struct operation {
    const char *name;
    int (*prepare)(void);  /* untimed, once */
    int (*run)(long n);    /* timed: do it n times */
    int (*restore)(void);  /* untimed, after each batch */
    void (*clean)(void);   /* untimed, once, also after a failure */
    long most;             /* the most times `run` can do it before `restore`; 0 where there is no limit */
    int defers;            /* it leaves work behind that the kernel does later: batches must be long enough for both */
};

/* Untimed, once, before any operation: how long a batch must be for the clock that there is. */
void calibrate_clock(void);

/* Measure an operation and write its line of the answer. */
void answer_operation(const struct operation *o);

extern const struct operation operations[];
extern const unsigned operation_count;

/* Why an operation does not exist here, where errno would not say it; NULL otherwise. */
extern const char *refusal;

/* The folder that the program's own file is in, and its name there. */
extern int own_folder;
extern char own_name[256];

/* Untimed, once, before any operation: remember where this process may run, find the program's own file. */
void prepare_operations(void);

/* Run on the CPU that this process is on and no other. */
int stay_on_one_cpu(void);

/* Run where this process could when it began. */
void leave_cpu(void);

/* syscall_tasks.c */
int run_fork(long n);
int prepare_exec(void);
int run_exec(long n);
void clean_exec(void);
int run_thread(long n);
int prepare_pipe(void);
int prepare_pipe_two_cpus(void);
int prepare_socketpair(void);
int prepare_tcp(void);
int run_round_trip(long n);
void clean_partner(void);
int prepare_futex(void);
int run_futex_wake(long n);
int run_futex_pair(long n);
void clean_futex(void);

#endif
