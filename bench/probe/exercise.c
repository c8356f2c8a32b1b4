/* probe exercise TIMES: a fixed piece of work that asks the kernel for a bit of everything, while somebody looks at what
 * the host's kernel does for it: each operation of the table of system calls so many times, and a file on the instance's
 * own storage. Nothing is timed.
 *
 * At a line from outside it is done, and answered: {"done": COUNT, "missing": [NAME...]}, with the names of those that do
 * not exist here. It ends at another line.
 */
#include "probe.h"
#include "syscalls.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES 65536

static int do_operation(const struct operation *o, long times)
{
    long n = o->most && o->most < times ? o->most : times;
    int done = (o->prepare == NULL || o->prepare() == 0) && o->run(n) == 0 && (o->restore == NULL || o->restore() == 0);
    if (o->clean)
        o->clean();
    return done ? 0 : -1;
}

/* Written, synced, read, renamed and removed. */
static int do_file(void)
{
    static char bytes[BYTES];
    char path[512], other[512];
    struct stat found;
    snprintf(path, sizeof path, "%s/exercise", setting("ISOBENCH_DATA", "/data"));
    snprintf(other, sizeof other, "%s/exercised", setting("ISOBENCH_DATA", "/data"));
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int done = write_all(fd, bytes, BYTES) == 0 && fsync(fd) == 0 && pread(fd, bytes, BYTES, 0) == BYTES;
    close(fd);
    done = done && rename(path, other) == 0 && stat(other, &found) == 0;
    unlink(done ? other : path);
    return done ? 0 : -1;
}

int verb_exercise(int argc, char **argv)
{
    char line[4096];
    long times = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    unsigned done = 0;
    size_t used = 0;
    say_ready();
    if (times < 1 || times > 1000)
        return answer_error("exercise wants to do everything 1 to 1000 times", 0);
    prepare_operations();
    await_release();
    for (unsigned i = 0; i <= operation_count; i++) {
        const char *name = i < operation_count ? operations[i].name : "file";
        if ((i < operation_count ? do_operation(&operations[i], times) : do_file()) == 0)
            done++;
        else if (used + strlen(name) + 4 < sizeof line - 64)
            used += (size_t)snprintf(line + used, sizeof line - used, "%s\"%s\"", used ? "," : "", name);
    }
    char answer[sizeof line + 64];
    line[used] = 0;
    int n = snprintf(answer, sizeof answer, "{\"done\":%u,\"missing\":[%s]}\n", done, line);
    if (write_all(STDOUT_FILENO, answer, (size_t)n) < 0)
        return 1;
    await_release();
    return 0;
}
