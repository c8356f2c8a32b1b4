/* probe fio ARGS... [next [cold=FILE|warm=FILE] ARGS...]...: run fio out of the shared root file system on the
 * environment's own storage, answer its JSON; then once more with what follows "next".
 *
 * ISOBENCH_ROOT says where the root file system is ("/" once it is the root), ISOBENCH_DATA where to write. Elsewhere
 * than at "/", the same bits run through their own loader and libraries (usr/lib/fio/command says which: three lines,
 * the loader, the libraries' folders, "always" where a loader at "/" would not find them). cold=FILE drops the file out of this kernel's
 * page cache, says so and waits for a line, in which time the harness does the same outside; warm=FILE reads it whole.
 * Either then says how much of the file this kernel's page cache holds.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_ARGUMENTS 295 /* what a guest reads out of its file, guest.c */

const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

/* A path inside the root file system, as seen from here. */
static void in_root(char *to, size_t size, const char *root, const char *path)
{
    snprintf(to, size, "%s%s", strcmp(root, "/") == 0 ? "" : root, path);
}

/* The first words of fio's command line; the number of them, or -1. A static fio has no loader, and no file says so. */
static int fio_command(const char *root, char **words)
{
    static char fio[600], loader[900], libraries[4000];
    char file[600], text[2000];
    in_root(fio, sizeof fio, root, "/usr/bin/fio");
    in_root(file, sizeof file, root, "/usr/lib/fio/command");
    words[0] = fio;
    if (read_text(file, text, sizeof text) <= 0)
        return 1;
    char *lines = text, *first = strsep(&lines, "\n"), *folders = strsep(&lines, "\n"), *folder;
    if (folders == NULL)
        return -1;
    if (strcmp(root, "/") == 0 && (lines == NULL || strncmp(lines, "always", 6) != 0))
        return 1;
    in_root(loader, sizeof loader, root, first);
    libraries[0] = 0;
    while ((folder = strsep(&folders, ":")) != NULL) {
        size_t used = strlen(libraries);
        if (used)
            libraries[used++] = ':';
        in_root(libraries + used, sizeof libraries - used, root, folder);
    }
    words[0] = loader;
    words[1] = "--library-path";
    words[2] = libraries;
    words[3] = fio;
    return 4;
}

/* Send fio's result as one line: line ends and the indentation after them say nothing in JSON. What fio says before it
 * (a line that begins with a brace) is left out. */
static int send_result(int fd)
{
    char in[65536], out[65536];
    int indented = 1, begun = 0;
    off_t at = 0;
    for (ssize_t n; (n = pread(fd, in, sizeof in, at)) > 0; at += n) {
        size_t kept = 0;
        for (ssize_t i = 0; i < n; i++) {
            begun = begun || (in[i] == '{' && indented);
            if (in[i] == '\n')
                indented = 1;
            else if (!indented || (in[i] != ' ' && in[i] != '\t')) {
                indented = 0;
                if (begun)
                    out[kept++] = in[i];
            }
        }
        if (write_all(STDOUT_FILENO, out, kept) < 0)
            return -1;
    }
    return write_all(STDOUT_FILENO, "\n", 1);
}

/* fio's error message, as far as it fits into an answer. */
static int answer_fio_error(int said, int result, int status)
{
    char words[480] = "fio failed: ", text[400];
    ssize_t n = pread(said, text, sizeof text, 0);
    if (n <= 0)
        n = pread(result, text, sizeof text, 0);
    if (WIFSIGNALED(status))
        snprintf(words, sizeof words, "fio was killed by signal %d: ", WTERMSIG(status));
    size_t length = strlen(words);
    for (ssize_t i = 0; i < n && length < sizeof words - 1 && text[i] != '{'; i++)
        words[length++] = text[i] == '"' || text[i] == '\\' || text[i] < ' ' ? ' ' : text[i];
    words[length] = 0;
    return answer_error(words, 0);
}

/* How many pages a file has, and how many of them are in this kernel's page cache; -1 with errno. */
static int count_resident(int fd, size_t size, size_t *pages, size_t *resident)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -1;
    *pages = (size + page - 1) / page;
    *resident = 0;
    unsigned char *in_core = malloc(*pages);
    int failed = in_core == NULL || mincore(map, size, in_core) < 0;
    for (size_t i = 0; !failed && i < *pages; i++)
        *resident += in_core[i] & 1;
    free(in_core);
    munmap(map, size);
    return failed ? -1 : 0;
}

/* Drop all of this kernel's clean caches, if allowed; the reason why not, or "". */
static const char *drop_caches(void)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "3", 1) != 1) {
        const char *reason = strerror(errno);
        if (fd >= 0)
            close(fd);
        return reason;
    }
    close(fd);
    return "";
}

static int read_whole(int fd)
{
    static char buffer[1 << 20];
    ssize_t n;
    off_t at = 0;
    while ((n = pread(fd, buffer, sizeof buffer, at)) > 0)
        at += n;
    return (int)n;
}

/* Drop a file from the page cache, or read it into it; 0, or the exit status of an error that has been answered. */
static int set_temperature(const char *data, const char *word)
{
    char path[600], line[256];
    int cold = strncmp(word, "cold=", 5) == 0;
    size_t pages, resident;
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", data, word + 5);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return answer_error(path, errno);
    if (cold) {
        fsync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        int n = snprintf(line, sizeof line, "{\"cold\": \"inside\", \"all_caches\": \"%s\"}\n", drop_caches());
        write_all(STDOUT_FILENO, line, (size_t)n);
        await_release();
    } else if (read_whole(fd) < 0) {
        return answer_error(path, errno);
    }
    if (count_resident(fd, (size_t)status.st_size, &pages, &resident) < 0)
        return answer_error("mincore", errno);
    close(fd);
    int n = snprintf(line, sizeof line, "{\"%.4s\": \"%s\", \"pages\": %zu, \"resident\": %zu}\n", word, word + 5,
                     pages, resident);
    return write_all(STDOUT_FILENO, line, (size_t)n) < 0;
}

/* One fio from its start to its end, its result answered; the exit status. Nothing of it needs storage: a full disk
 * must not cost fio's words. */
static int run_fio(char **words)
{
    int result = memfd_create("result", MFD_CLOEXEC), said = memfd_create("said", MFD_CLOEXEC), status = 0;
    pid_t pid = result < 0 || said < 0 ? -1 : fork();
    if (pid == 0) {
        dup2(result, STDOUT_FILENO);
        dup2(said, STDERR_FILENO);
        execv(words[0], words);
        dprintf(STDERR_FILENO, "%s: %s", words[0], strerror(errno));
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return answer_error("fork", errno);
    int failed = status != 0 ? answer_fio_error(said, result, status) : send_result(result) < 0;
    close(result);
    close(said);
    return failed;
}

/* fio takes a colon for the end of a folder's name, unless a backslash is before it. */
static void name_folder(char *word, size_t size, const char *folder)
{
    size_t n = (size_t)snprintf(word, size, "--directory=");
    for (; *folder && n + 2 < size; folder++) {
        if (*folder == ':')
            word[n++] = '\\';
        word[n++] = *folder;
    }
    word[n] = 0;
}

int verb_fio(int argc, char **argv)
{
    const char *root = setting("ISOBENCH_ROOT", "/"), *data = setting("ISOBENCH_DATA", "/data");
    char *words[MOST_ARGUMENTS + 10], directory[600];
    say_ready();
    int first = fio_command(root, words), failed = 0;
    if (first < 0 || access(words[first - 1], X_OK) < 0 || argc > MOST_ARGUMENTS)
        return answer_error("there is no fio in the root file system", 0);
    name_folder(directory, sizeof directory, data);
    words[first++] = "--output-format=json";
    words[first++] = directory;
    for (int i = 1; i < argc && !failed; i++) {
        int n = first;
        if (strncmp(argv[i], "cold=", 5) == 0 || strncmp(argv[i], "warm=", 5) == 0)
            failed = set_temperature(data, argv[i++]);
        for (; i < argc && strcmp(argv[i], "next") != 0; i++)
            words[n++] = argv[i];
        words[n] = NULL;
        failed = failed || run_fio(words);
    }
    return failed;
}
