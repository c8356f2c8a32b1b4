/* probe meta [FILES]: the cost of creating, finding, renaming and removing many small files on the environment's own
 * storage, of unpacking a tree, and of reading a file that came with the root file system.
 * probe copyup: the first write to files that came with the environment's storage, by their size.
 *
 * Answers {"name": ..., "ns": [one operation, batch by batch]}. The work is in the page cache unless the name says sync.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { BATCHES = 10, SMALL = 1024, DIRECTORIES = 16, IN_DIRECTORY = 8, LARGEST = 16384 };

static char content[LARGEST];
static unsigned long long run; /* part of every folder's name, which decides where ext4 puts it */

typedef int operation(const char *folder, int number);

static int write_file(const char *path, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    int failed = write_all(fd, content, size);
    return close(fd) < 0 ? -1 : failed;
}

static int do_create(const char *folder, int number)
{
    char path[700];
    snprintf(path, sizeof path, "%s/file-%05d", folder, number);
    return write_file(path, SMALL);
}

static int do_stat(const char *folder, int number)
{
    char path[700];
    struct stat status;
    snprintf(path, sizeof path, "%s/file-%05d", folder, number);
    return stat(path, &status);
}

static int do_rename(const char *folder, int number)
{
    char from[700], to[700];
    snprintf(from, sizeof from, "%s/file-%05d", folder, number);
    snprintf(to, sizeof to, "%s/moved-%05d", folder, number);
    return rename(from, to);
}

static int do_unlink(const char *folder, int number)
{
    char path[700];
    snprintf(path, sizeof path, "%s/moved-%05d", folder, number);
    return unlink(path);
}

/* One entry of a tree as tar unpacks it: now and then a folder, then files of very different sizes in it, each with
 * its own mode and times. */
static int do_unpack(const char *folder, int number)
{
    char path[700];
    static const struct timespec times[2] = {{1700000000, 0}, {1700000000, 0}};
    snprintf(path, sizeof path, "%s/directory-%03d", folder, number / IN_DIRECTORY);
    if (number % IN_DIRECTORY == 0 && mkdir(path, 0755) < 0)
        return -1;
    size_t length = strlen(path);
    snprintf(path + length, sizeof path - length, "/file-%03d", number % IN_DIRECTORY);
    size_t size = (size_t)(number * 2654435761u) % LARGEST;
    return write_file(path, size) < 0 || chmod(path, 0640) < 0 || utimensat(AT_FDCWD, path, times, 0) < 0 ? -1 : 0;
}

/* A file of the lower layer, if there are layers: open, read, close. */
static int do_lower_read(const char *folder, int number)
{
    char path[700], buffer[4096];
    (void)number;
    snprintf(path, sizeof path, "%s/etc/passwd", folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof buffer);
    if (fd >= 0)
        close(fd);
    return n > 0 ? 0 : -1;
}

static int do_lower_stat(const char *folder, int number)
{
    char path[700];
    struct stat status;
    (void)number;
    snprintf(path, sizeof path, "%s/etc/passwd", folder);
    return stat(path, &status);
}

static void answer_times(const char *name, const double *ns, int count)
{
    char line[1024];
    size_t n = (size_t)snprintf(line, sizeof line, "{\"name\": \"%s\", \"ns\": [", name);
    for (int i = 0; i < count; i++)
        n += (size_t)snprintf(line + n, sizeof line - n, "%s%.1f", i ? ", " : "", ns[i]);
    n += (size_t)snprintf(line + n, sizeof line - n, "]}\n");
    write_all(STDOUT_FILENO, line, n);
}

/* `count` operations in batches, each batch timed; the exit status. */
static int measure(const char *name, operation *one, const char *folder, int count)
{
    double ns[BATCHES];
    int size = count / BATCHES;
    for (int batch = 0; batch < BATCHES; batch++) {
        uint64_t before = now_ns();
        for (int i = 0; i < size; i++)
            if (one(folder, batch * size + i) < 0)
                return answer_error(name, errno);
        ns[batch] = (double)(now_ns() - before) / size;
    }
    answer_times(name, ns, BATCHES);
    return 0;
}

/* A tree unpacked and synced to the disk, as the time per entry. */
static int measure_unpack(const char *data, int synced)
{
    char folder[600];
    const char *name = synced ? "unpack-sync" : "unpack";
    const int entries = DIRECTORIES * IN_DIRECTORY;
    snprintf(folder, sizeof folder, "%s/%s-%llx", data, name, run);
    if (mkdir(folder, 0755) < 0)
        return answer_error(folder, errno);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t before = now_ns();
    for (int i = 0; i < entries; i++)
        if (do_unpack(folder, i) < 0)
            return answer_error(name, errno);
    if (synced && syncfs(fd) < 0)
        return answer_error("syncfs", errno);
    double ns = (double)(now_ns() - before) / entries;
    close(fd);
    answer_times(name, &ns, 1);
    return 0;
}

/* Ask ext4 to put the folders made here far from one another, as it does with a disk's top-level folders, and say so. */
static int spread_folders(const char *data)
{
    char line[256];
    struct statfs status;
    int flags = 0, fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstatfs(fd, &status) < 0)
        return answer_error(data, errno);
    int failed = ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0;
    flags |= FS_TOPDIR_FL;
    failed = failed || ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0;
    int n = snprintf(line, sizeof line, "{\"folders\": \"%s%s\", \"file system\": \"0x%lx\"}\n",
                     failed ? "where the file system likes: " : "each time on another part of the disk",
                     failed ? strerror(errno) : "", (unsigned long)status.f_type);
    close(fd);
    return write_all(STDOUT_FILENO, line, (size_t)n) < 0;
}

int verb_meta(int argc, char **argv)
{
    const char *root = setting("ISOBENCH_ROOT", "/"), *data = setting("ISOBENCH_DATA", "/data");
    int count = argc > 1 ? atoi(argv[1]) : 300;
    char folder[600];
    say_ready();
    run = now_ns();
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (char)(i * 131 + (i >> 8));
    snprintf(folder, sizeof folder, "meta-%llx", run);
    if (chdir(data) < 0) /* a long path would be resolved for every file in it */
        return answer_error(data, errno);
    if (count < BATCHES)
        return answer_error("meta wants at least as many files as batches", 0);
    if (spread_folders(data) != 0)
        return 1;
    if (mkdir(folder, 0755) < 0)
        return answer_error(folder, errno);
    sync(); /* data written by others must not be flushed by our journal */
    return measure("create", do_create, folder, count) || measure("stat", do_stat, folder, count) ||
           measure("rename", do_rename, folder, count) || measure("unlink", do_unlink, folder, count) ||
           measure_unpack(".", 0) || measure_unpack(".", 1) || chdir(root) < 0 ||
           measure("lower-stat", do_lower_stat, ".", count) || measure("lower-read", do_lower_read, ".", count);
}

/* Where the files are: with the data, or next to the instance's own folder. */
static int open_lower(const char *data, const char *name, int flags)
{
    char path[700];
    snprintf(path, sizeof path, "%s/lower/%s", data, name);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    snprintf(path, sizeof path, "%s/../lower/%s", data, name);
    return open(path, flags | O_CLOEXEC);
}

/* Open for writing, write one byte (the one that is there) and close, in nanoseconds; -1.0 with errno. */
static double time_write(const char *data, const char *name, char byte)
{
    uint64_t before = now_ns();
    int fd = open_lower(data, name, O_RDWR);
    if (fd < 0 || pwrite(fd, &byte, 1, 0) != 1 || close(fd) < 0)
        return -1.0;
    return (double)(now_ns() - before);
}

/* Read the whole file first, so that it is in the page cache and only the copy is timed. */
static int first_and_second_write(const char *data, const char *size)
{
    static char buffer[1 << 20];
    char name[64], byte = 0;
    int fd = open_lower(data, size, O_RDONLY);
    if (fd < 0)
        return answer_error("the files of the lower layer", errno);
    for (ssize_t n, first = 1; (n = read(fd, buffer, sizeof buffer)) > 0; first = 0)
        byte = first ? buffer[0] : byte;
    close(fd);
    double first = time_write(data, size, byte), second = first < 0 ? first : time_write(data, size, byte);
    if (second < 0)
        return answer_error("writing to a file of the lower layer", errno);
    snprintf(name, sizeof name, "copy-up-%s", size);
    answer_times(name, &first, 1);
    snprintf(name, sizeof name, "again-%s", size);
    answer_times(name, &second, 1);
    return 0;
}

int verb_copyup(int argc, char **argv)
{
    const char *data = setting("ISOBENCH_DATA", "/data");
    (void)argc;
    (void)argv;
    say_ready();
    if (chdir(data) < 0)
        return answer_error(data, errno);
    data = ".";
    sync(); /* a copy that is synced at once must not wait for data written by others */
    return first_and_second_write(data, "1k") || first_and_second_write(data, "1m") ||
           first_and_second_write(data, "100m");
}
