/* What the parts of the probe share. */
#ifndef ISOBENCH_PROBE_H
#define ISOBENCH_PROBE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t now_ns(void);

/* Write the line "ready" to standard output, at once, with one system call. */
void say_ready(void);

/* Wait for a line or the end of standard input. */
void await_release(void);

/* Write {"error": "WHAT: strerror"} (strerror only if number != 0) to standard output; gives the exit status 1. */
int answer_error(const char *what, int number);

/* Write all of a buffer; 0, or -1 with errno. */
int write_all(int fd, const char *data, size_t size);

/* The first bytes of a file as text; their number, or -1 and "" where it cannot be read. */
ssize_t read_text(const char *file, char *text, size_t size);

/* A setting from the environment, or its default. */
const char *setting(const char *name, const char *otherwise);

/* The verbs: argv[0] is the verb's name; the result is the exit status. Each says ready itself. */
int verb_launch(int argc, char **argv);  /* launch.c: start another program in isolation and stamp it */
int verb_guest(int argc, char **argv);   /* guest.c: be init of a guest, then do another verb and power off */
int verb_syscall(int argc, char **argv); /* syscalls.c: cost of system calls */
int verb_fio(int argc, char **argv);     /* storage.c: run fio out of the root file system */
int verb_meta(int argc, char **argv);    /* files.c: many small files */
int verb_copyup(int argc, char **argv);  /* files.c: the first write to a file of a lower layer */
int verb_net(int argc, char **argv);     /* net.c: request and response over sockets */
int verb_init(int argc, char **argv);    /* init.c: adopt the orphans of a private daemon */
int verb_touch(int argc, char **argv);   /* memory.c: take memory and give it back */
int verb_map(int argc, char **argv);     /* memory.c: keep a file of the root file system mapped */
int verb_run(int argc, char **argv);     /* run.c: run commands of the root file system */
int verb_surface(int argc, char **argv); /* surface.c: what can be reached from here */
int verb_burn(int argc, char **argv);    /* limits.c: CPU time under a limit */
int verb_hoard(int argc, char **argv);   /* limits.c: memory until there is no more */
int verb_fork(int argc, char **argv);    /* limits.c: processes until there are no more */
int verb_open(int argc, char **argv);    /* limits.c: open files until there are no more */
int verb_write(int argc, char **argv);   /* limits.c: writes to the disk under a limit */
int verb_read(int argc, char **argv);    /* limits.c: reads from it */
int verb_exercise(int argc, char **argv); /* exercise.c: a bit of everything, once */
int verb_load(int argc, char **argv);    /* load.c: requests at a fixed rate */
int verb_netns(int argc, char **argv);   /* netns.c: report when a network namespace is freed */

/* Arithmetic in which every step needs the one before: the same time on one CPU, whatever is beside it (limits.c). */
void step_by_step(uint64_t rounds);

/* Call each system call up to the number `last` once, and answer with what became of it (calls.c); the exit status. */
int answer_calls(long last);

/* Find a verb by name and run it; 2 with an error answer where there is none. */
int run_verb(int argc, char **argv);

#endif
