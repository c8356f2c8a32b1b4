/* probe fio ARGS...: run fio out of the shared root file system on the environment's own storage, answer its JSON.
 *
 * ISOBENCH_ROOT says where the root file system is ("/" once it is the root), ISOBENCH_DATA where to write. Elsewhere
 * than at "/", the same bits run through their own loader and libraries.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_ARGUMENTS 250

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

/* The first words of fio's command line; the number of them, or -1. */
static int fio_command(const char *root, char **words)
{
    static char fio[512], libraries[1600];
    if (strcmp(root, "/") == 0) {
        words[0] = "/usr/bin/fio";
        return 1;
    }
    char pattern[512];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/lib*/ld-linux*.so.*", root);
    if (glob(pattern, 0, NULL, &found) != 0)
        return -1;
    snprintf(fio, sizeof fio, "%s/usr/bin/fio", root);
    snprintf(pattern, sizeof pattern, "%s/lib/*-linux-gnu", root);
    glob_t folders;
    libraries[0] = 0;
    if (glob(pattern, 0, NULL, &folders) == 0)
        snprintf(libraries, sizeof libraries, "%s:%s/usr%s", folders.gl_pathv[0], root, folders.gl_pathv[0] + strlen(root));
    words[0] = found.gl_pathv[0];
    words[1] = "--library-path";
    words[2] = libraries;
    words[3] = fio;
    return 4;
}

/* Send a file as one line: line ends and the indentation after them say nothing in JSON. */
static int send_as_line(const char *file)
{
    char in[65536], out[65536];
    int indented = 1;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (ssize_t n; (n = read(fd, in, sizeof in)) > 0;) {
        size_t kept = 0;
        for (ssize_t i = 0; i < n; i++) {
            if (in[i] == '\n')
                indented = 1;
            else if (!indented || (in[i] != ' ' && in[i] != '\t')) {
                indented = 0;
                out[kept++] = in[i];
            }
        }
        if (write_all(STDOUT_FILENO, out, kept) < 0)
            return -1;
    }
    close(fd);
    return write_all(STDOUT_FILENO, "\n", 1);
}

/* fio's own words for what went wrong, as far as they fit into an answer. */
static int answer_fio_error(const char *file, int status)
{
    char words[400] = "fio failed: ", text[300];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (WIFSIGNALED(status))
        snprintf(words, sizeof words, "fio was killed by signal %d: ", WTERMSIG(status));
    size_t length = strlen(words);
    for (ssize_t i = 0; i < n && length < sizeof words - 1; i++)
        words[length++] = text[i] == '"' || text[i] == '\\' || text[i] < ' ' ? ' ' : text[i];
    words[length] = 0;
    return answer_error(words, 0);
}

int verb_fio(int argc, char **argv)
{
    const char *root = setting("ISOBENCH_ROOT", "/"), *data = setting("ISOBENCH_DATA", "/data");
    char *words[MOST_ARGUMENTS + 10], directory[600], output[600], result[512], errors[512];
    say_ready();
    int n = fio_command(root, words);
    if (n < 0 || argc > MOST_ARGUMENTS)
        return answer_error("there is no fio in the root file system", 0);
    snprintf(result, sizeof result, "%s/fio.json", data);
    snprintf(errors, sizeof errors, "%s/fio.err", data);
    snprintf(output, sizeof output, "--output=%s", result);
    snprintf(directory, sizeof directory, "--directory=%s", data);
    words[n++] = "--output-format=json";
    words[n++] = output;
    words[n++] = directory;
    for (int i = 1; i < argc; i++)
        words[n++] = argv[i];
    words[n] = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execv(words[0], words);
        dprintf(STDERR_FILENO, "%s: %s", words[0], strerror(errno));
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return answer_error("fork", errno);
    if (status != 0)
        return answer_fio_error(errors, status);
    if (send_as_line(result) < 0)
        return answer_error(result, errno);
    unlink(result);
    unlink(errors);
    return 0;
}
