/* probe limits: run into the limits of the cgroup that the harness sets from outside, one step for each line read.
 *
 *   cpu                burn CPU for a second or so, counted over whole periods of the quota
 *   memory BYTES       touch memory until killed or this many bytes are had
 *   pids COUNT         fork until refused or this many processes live
 *   write BYTES        write past the page cache to the environment's own storage
 *   net BYTES          send over TCP on the loopback interface
 * Each answers one line. An empty line or the end of standard input ends it.
 */
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_NS 5000000u      /* standing still longer than this is the quota's doing (or a crowded host's) */
#define WINDOW_NS 1000000000u
#define MOST_NS 3000000000u
#define PAGE 4096u
#define BLOCK (1u << 20)

static int answer_line(const char *line)
{
    return write_all(STDOUT_FILENO, line, strlen(line)) < 0;
}

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* From the end of one pause to the end of another, so that as many quotas are spent as periods have passed. */
static int step_cpu(void)
{
    uint64_t begin = now_ns(), first = 0, end = 0, longest = 0, last = begin;
    double cpu_first = cpu_now(), cpu_end = cpu_first;
    for (;;) {
        uint64_t now = now_ns(), gap = now - last;
        last = now;
        if (gap > PAUSE_NS) {
            if (first == 0) {
                first = now;
                cpu_first = cpu_now();
                continue;
            }
            longest = gap > longest ? gap : longest;
            end = now;
            cpu_end = cpu_now();
        }
        if ((first && end > first + WINDOW_NS) || now - begin > MOST_NS)
            break;
    }
    if (end == 0) { /* it was never stopped */
        first = begin;
        end = last;
        cpu_end = cpu_now();
    }
    char line[160];
    snprintf(line, sizeof line, "{\"wall\": %.9f, \"cpu\": %.9f, \"longest\": %.9f}\n", (double)(end - first) / 1e9,
             cpu_end - cpu_first, (double)longest / 1e9);
    return answer_line(line);
}

/* A child touches page after page, so that this process outlives the refusal. */
static int step_memory(size_t most)
{
    size_t *touched = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    if (touched == MAP_FAILED)
        return answer_error("mmap", errno);
    pid_t pid = fork();
    if (pid == 0) {
        char *memory = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED)
            _exit(1);
        madvise(memory, most, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < most; at += PAGE) {
            memory[at] = 1;
            *touched = at + PAGE;
        }
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return answer_error("fork", errno);
    char line[128];
    snprintf(line, sizeof line, "{\"bytes\": %zu, \"killed\": %s}\n", *touched, WIFSIGNALED(status) ? "true" : "false");
    munmap(touched, PAGE);
    return answer_line(line);
}

static int step_pids(size_t most)
{
    size_t living = 1;
    int refused = 0;
    pid_t first = 0;
    while (living < most) {
        pid_t pid = fork();
        if (pid == 0) {
            setpgid(0, first);
            for (;;)
                pause();
        }
        if (pid < 0) {
            refused = errno;
            break;
        }
        first = first ? first : pid;
        setpgid(pid, first);
        living++;
    }
    if (first)
        kill(-first, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    char line[128];
    snprintf(line, sizeof line, "{\"processes\": %zu, \"refused\": %s}\n", living, refused ? "true" : "false");
    return answer_line(line);
}

static int step_write(size_t bytes)
{
    char file[512], line[96];
    const char *data = getenv("ISOBENCH_DATA");
    void *block;
    snprintf(file, sizeof file, "%s/limits", data && *data ? data : "/data");
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
    if (fd < 0)
        return answer_error(file, errno);
    unlink(file);
    if (posix_memalign(&block, PAGE, BLOCK) != 0)
        return answer_error("memory", ENOMEM);
    memset(block, 7, BLOCK);
    uint64_t begin = now_ns();
    for (size_t done = 0; done < bytes; done += BLOCK)
        if (write_all(fd, block, BLOCK) < 0)
            return answer_error("write", errno);
    snprintf(line, sizeof line, "{\"seconds\": %.9f}\n", (double)(now_ns() - begin) / 1e9);
    free(block);
    close(fd);
    return answer_line(line);
}

/* The receiving end is a child; the clock stops when it has had everything. */
static int step_net(size_t bytes)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    static char data[65536];
    char line[96], last = 0;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), sending = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listening, (struct sockaddr *)&a, size) < 0 || listen(listening, 1) < 0 ||
        getsockname(listening, (struct sockaddr *)&a, &size) < 0)
        return answer_error("listening", errno);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = accept(listening, NULL, NULL);
        size_t left = bytes;
        for (ssize_t n; left > 0 && (n = read(fd, data, sizeof data)) > 0;)
            left -= (size_t)n < left ? (size_t)n : left;
        _exit(write(fd, "!", 1) != 1);
    }
    if (connect(sending, (struct sockaddr *)&a, size) < 0) {
        int number = errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return answer_error("connecting", number);
    }
    uint64_t begin = now_ns();
    for (size_t left = bytes; left > 0;) {
        size_t part = left < sizeof data ? left : sizeof data;
        if (write_all(sending, data, part) < 0)
            break;
        left -= part;
    }
    int complete = read(sending, &last, 1) == 1;
    uint64_t end = now_ns();
    waitpid(pid, NULL, 0);
    close(sending);
    close(listening);
    if (!complete)
        return answer_error("sending", errno);
    snprintf(line, sizeof line, "{\"seconds\": %.9f}\n", (double)(end - begin) / 1e9);
    return answer_line(line);
}

/* One line of standard input without its end; 0 at the end of it. */
static int read_line(char *line, size_t size)
{
    size_t n = 0;
    char c;
    while (n < size - 1 && read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
        line[n++] = c;
    line[n] = 0;
    return n > 0;
}

int verb_limits(int argc, char **argv)
{
    char line[64], step[16];
    size_t number;
    (void)argc;
    (void)argv;
    say_ready();
    while (read_line(line, sizeof line)) {
        number = 0;
        if (sscanf(line, "%15s %zu", step, &number) < 1)
            return answer_error("no such step", 0);
        if (strcmp(step, "cpu") == 0)
            step_cpu();
        else if (strcmp(step, "memory") == 0)
            step_memory(number);
        else if (strcmp(step, "pids") == 0)
            step_pids(number);
        else if (strcmp(step, "write") == 0)
            step_write(number);
        else if (strcmp(step, "net") == 0)
            step_net(number);
        else
            return answer_error("no such step", 0);
    }
    return 0;
}
