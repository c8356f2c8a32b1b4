/* What the engine (syscalls.c) and the table of operations (syscall_table.c) share. */
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
};

extern const struct operation operations[];
extern const unsigned operation_count;

/* Untimed, once, before any operation: find the program's own file. */
void prepare_operations(void);

#endif
