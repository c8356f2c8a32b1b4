/* The probe: the one small static program that runs in every environment, the same bits everywhere.
 *
 * usage: probe VERB ARGS...
 *   ready              say ready, wait for a line or the end of standard input, exit
 *   syscall, fio, meta, copyup, net
 *                      say ready, work, answer with JSON lines, exit
 *   touch, map         say ready, take memory or map a file, step by step, while the harness counts
 *   surface            say ready, answer what can be reached from here
 *   burn, hoard, fork, open, write, read
 *                      say ready, take as much of one thing as a limit lets it have
 *   exercise           say ready, do a bit of everything at a line from outside
 *   load               say ready, make requests at a fixed rate, answer what each took
 *   run                say ready, run commands of the root file system, answer what each took
 *   launch             start a program in isolation for the harness (launch.c)
 *   guest VERB ARGS    as init of a virtual machine: set up, do VERB, power off (guest.c)
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A static program of glibc begins with readlink("/proc/self/exe"), for a $ORIGIN that this one has no use for. Where
 * /proc is mounted, the kernel then has entries to flush when the process is freed, which took half of a raw process's
 * teardown and none of a chroot's. The linker has glibc's calls of _dl_get_origin go here (build.py). A function of that
 * name would not do: since glibc 2.43 the file of glibc's own is linked for another function in it. */
const char *__wrap__dl_get_origin(void);
const char *__wrap__dl_get_origin(void)
{
    return (const char *)-1; /* unknown */
}

int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

ssize_t read_text(const char *file, char *text, size_t size)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return n;
}

void say_ready(void)
{
    write_all(STDOUT_FILENO, "ready\n", 6);
}

void await_release(void)
{
    char c;
    for (;;) {
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n == 1 ? c == '\n' : !(n < 0 && errno == EINTR))
            return;
    }
}

int answer_error(const char *what, int number)
{
    char line[512];
    int n;
    if (number)
        n = snprintf(line, sizeof line, "{\"error\": \"%s: %s\"}\n", what, strerror(number));
    else
        n = snprintf(line, sizeof line, "{\"error\": \"%s\"}\n", what);
    if (n >= (int)sizeof line)
        n = (int)sizeof line - 1;
    write_all(STDOUT_FILENO, line, (size_t)n);
    return 1;
}

static int verb_ready(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    say_ready();
    await_release();
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int, char **);
} verbs[] = {
    {"ready", verb_ready},
    {"launch", verb_launch},
    {"guest", verb_guest},
    {"syscall", verb_syscall},
    {"fio", verb_fio},
    {"meta", verb_meta},
    {"copyup", verb_copyup},
    {"net", verb_net},
    {"netns", verb_netns},
    {"surface", verb_surface},
    {"touch", verb_touch},
    {"map", verb_map},
    {"run", verb_run},
    {"burn", verb_burn},
    {"hoard", verb_hoard},
    {"fork", verb_fork},
    {"open", verb_open},
    {"write", verb_write},
    {"read", verb_read},
    {"load", verb_load},
    {"exercise", verb_exercise},
    {"init", verb_init},
};

int run_verb(int argc, char **argv)
{
    for (size_t i = 0; argc > 0 && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[0], verbs[i].name) == 0)
            return verbs[i].run(argc, argv);
    answer_error("no such verb", 0);
    return 2;
}

int main(int argc, char **argv)
{
    return run_verb(argc - 1, argv + 1);
}
