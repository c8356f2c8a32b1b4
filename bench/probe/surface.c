/* probe surface LAST: what the program can still reach from where it runs, and the state it was started with; then what
 * becomes of each system call up to that number (calls.c).
 *
 * Two JSON objects. Nothing is changed by looking: files are opened for writing and closed again unwritten, a mount is
 * tried in a mount namespace that ends with the child that made it. Only devices of a fixed list are opened: opening a
 * watchdog or a tape does something.
 */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <mntent.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* Writing to any of these changes the kernel or the whole machine, not only the writer. */
static const char *const writable[] = {
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches", "/proc/sys/fs/file-max",
    "/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
    "/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/power/state",
    "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/devices/devices.allow",
};
/* Reading any of these tells of the kernel or of other programs. */
static const char *const readable[] = {
    "/proc/kcore", "/proc/kallsyms", "/proc/keys", "/proc/timer_list", "/proc/1/environ", "/sys/firmware/dmi/tables/DMI",
};
static const char *const devices[] = {
    "/dev/mem", "/dev/port", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/loop-control", "/dev/net/tun", "/dev/sda",
    "/dev/vda", "/dev/nvme0n1", "/dev/mapper/control", "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
    "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/console",
};
static const struct {
    const char *name;
    int which;
} limits[] = {
    {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC}, {"core", RLIMIT_CORE}, {"memlock", RLIMIT_MEMLOCK},
    {"stack", RLIMIT_STACK},
};

static char answer[32768];
static size_t used;

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void put(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(answer + used, sizeof answer - used, format, list);
    va_end(list);
    if (n > 0 && used + (size_t)n < sizeof answer)
        used += (size_t)n;
}

/* A string of foreign bytes: what JSON would have to escape becomes a blank. */
static void put_element(const char *before, const char *text)
{
    char clean[400];
    size_t n = 0;
    for (; text[n] && n < sizeof clean - 1; n++)
        clean[n] = text[n] == '"' || text[n] == '\\' || text[n] < ' ' || text[n] > '~' ? ' ' : text[n];
    while (n > 0 && clean[n - 1] == ' ')
        n--;
    clean[n] = 0;
    put("%s\"%s\"", before, clean);
}

static void put_text(const char *name, const char *text)
{
    put(", \"%s\": ", name);
    put_element("", text);
}

/* The first bytes of a file, where it can be read. */
static void put_file(const char *name, const char *file)
{
    char text[400];
    if (read_text(file, text, sizeof text) > 0)
        put_text(name, text);
}

/* Which of these can be opened so. A descriptor that opens but cannot be read (O_RDONLY) counts as closed. */
static void put_opened(const char *name, const char *const *files, size_t count, int flags)
{
    const char *separator = "";
    char byte;
    put(", \"%s\": [", name);
    for (size_t i = 0; i < count; i++) {
        int fd = open(files[i], flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (flags != O_RDONLY || strncmp(files[i], "/dev/", 5) == 0 || read(fd, &byte, 1) == 1) {
            put("%s\"%s\"", separator, files[i]);
            separator = ", ";
        }
        close(fd);
    }
    put("]");
}

static void put_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    unsigned long long bounding = 0;
    for (int i = 0; i < 64 && prctl(PR_CAPBSET_READ, i) >= 0; i++)
        bounding |= (unsigned long long)prctl(PR_CAPBSET_READ, i) << i;
    if (syscall(SYS_capget, &header, data) == 0)
        put(", \"effective\": %llu", (unsigned long long)data[1].effective << 32 | data[0].effective);
    put(", \"bounding\": %llu", bounding);
}

/* The kinds of namespaces by inode number: equal numbers are one namespace. */
static void put_namespaces(void)
{
    static const char *const kinds[] = {"mnt", "uts", "ipc", "pid", "net", "user", "cgroup", "time"};
    const char *separator = "";
    struct stat s;
    char file[64];
    put(", \"namespaces\": {");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(file, sizeof file, "/proc/self/ns/%s", kinds[i]);
        if (stat(file, &s) == 0) {
            put("%s\"%s\": %llu", separator, kinds[i], (unsigned long long)s.st_ino);
            separator = ", ";
        }
    }
    put("}");
}

static int count_processes(void)
{
    DIR *folder = opendir("/proc");
    int found = 0;
    for (struct dirent *e; folder && (e = readdir(folder));)
        found += e->d_name[0] >= '1' && e->d_name[0] <= '9';
    if (folder)
        closedir(folder);
    return found;
}

/* Whether the program may mount: with that it gets what its root file system lacks. */
static int can_mount(void)
{
    int status = 1;
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0)
            _exit(1);
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
        _exit(mount("isobench", "/", "tmpfs", 0, "size=4k") < 0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static struct {
    unsigned long long files, bytes, setuid, nodes;
    uint64_t until;
    int cut;
} tree;

static int count_file(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)path;
    (void)where;
    tree.files += kind == FTW_F;
    if (kind == FTW_F && S_ISREG(s->st_mode))
        tree.bytes += (unsigned long long)s->st_size;
    tree.cut = now_ns() > tree.until;
    return tree.cut;
}

static int count_setuid(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)path;
    (void)where;
    tree.setuid += kind == FTW_F && S_ISREG(s->st_mode) && s->st_mode & (S_ISUID | S_ISGID) && s->st_mode & S_IXUSR;
    return 0;
}

static int count_node(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)path;
    (void)where;
    tree.nodes += kind == FTW_F && (S_ISCHR(s->st_mode) || S_ISBLK(s->st_mode));
    return 0;
}

/* Files of the root file system, mounts left out: a host's own can be large, so one second at most. The folders that
 * programs lie in are looked through whole. */
static void put_files(void)
{
    static const char *const folders[] = {"/bin", "/sbin", "/lib", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        nftw(folders[i], count_setuid, 32, FTW_PHYS);
    nftw("/dev", count_node, 8, FTW_PHYS);
    tree.until = now_ns() + 1000000000u;
    nftw("/", count_file, 32, FTW_PHYS | FTW_MOUNT);
    put(", \"files\": %llu, \"file_bytes\": %llu, \"setuid\": %llu, \"device_nodes\": %llu, \"cut\": %s", tree.files,
        tree.bytes, tree.setuid, tree.nodes, tree.cut ? "true" : "false");
}

static const char *separator_of_sockets;

static int put_socket(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)kind;
    (void)where;
    if (S_ISSOCK(s->st_mode) && used < sizeof answer / 2) {
        put_element(separator_of_sockets, path);
        separator_of_sockets = ", ";
    }
    return 0;
}

/* Sockets of servers, where these put them: whoever sees one can talk to a server outside. */
static void put_sockets(void)
{
    static const char *const folders[] = {"/run", "/tmp", "/dev"};
    separator_of_sockets = "";
    put(", \"sockets\": [");
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        nftw(folders[i], put_socket, 32, FTW_PHYS);
    put("]");
}

/* What the kernel makes up by itself, memory, and the union of an instance's own. */
static int is_made_up(const char *type)
{
    static const char *const types[] = {
        "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
        "fusectl", "hugetlbfs", "mqueue", "nsfs", "overlay", "proc", "pstore", "ramfs", "rootfs", "rpc_pipefs",
        "securityfs", "selinuxfs", "sysfs", "tmpfs", "tracefs",
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i]) == 0)
            return 1;
    return 0;
}

/* Where file systems with files of a disk or of another machine are mounted, with their types. */
static void put_mounted(void)
{
    FILE *file = setmntent("/proc/self/mounts", "re");
    const char *separator = "";
    put(", \"mounted\": [");
    for (struct mntent *one; file && used < sizeof answer / 2 && (one = getmntent(file));)
        if (!is_made_up(one->mnt_type)) {
            put("%s[", separator);
            put_element("", one->mnt_dir);
            put_element(", ", one->mnt_type);
            put("]");
            separator = ", ";
        }
    if (file)
        endmntent(file);
    put("]");
}

static void put_state(void)
{
    const char *separator = "";
    char folder[256], name[64];
    mode_t mask = umask(0);
    umask(mask);
    put(", \"uid\": %d, \"umask\": \"%03o\", \"nice\": %d", (int)geteuid(), (unsigned)mask, getpriority(PRIO_PROCESS, 0));
    put_text("folder", getcwd(folder, sizeof folder) ? folder : "");
    put(", \"environment\": [");
    for (char **one = environ; *one; one++) {
        size_t n = strcspn(*one, "=");
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), *one);
        for (char *c = name; *c; c++)
            if (*c == '"' || *c == '\\' || *c < ' ' || *c > '~')
                *c = ' ';
        put("%s\"%s\"", separator, name);
        separator = ", ";
    }
    put("], \"limits\": {");
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit r;
        put("%s\"%s\": ", i ? ", " : "", limits[i].name);
        if (getrlimit(limits[i].which, &r) < 0 || r.rlim_cur == RLIM_INFINITY)
            put("\"unlimited\"");
        else
            put("%llu", (unsigned long long)r.rlim_cur);
    }
    put("}");
}

int verb_surface(int argc, char **argv)
{
    struct utsname name;
    say_ready();
    if (argc != 2)
        return answer_error("surface wants the number of the last system call", 0);
    if (uname(&name) < 0)
        return answer_error("uname", errno);
    put("{\"pid\": %d, \"seccomp\": %d, \"no_new_privs\": %d", (int)getpid(), prctl(PR_GET_SECCOMP),
        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    put(", \"clock\": %llu", (unsigned long long)now_ns());
    put_text("kernel", name.release);
    put_text("kernel_build", name.version);
    put_file("boot_id", "/proc/sys/kernel/random/boot_id");
    put_file("uid_map", "/proc/self/uid_map");
    put_file("label", "/proc/self/attr/current");
    put_capabilities();
    put_namespaces();
    put_opened("writable", writable, sizeof writable / sizeof *writable, O_WRONLY);
    put_opened("readable", readable, sizeof readable / sizeof *readable, O_RDONLY);
    put_opened("devices", devices, sizeof devices / sizeof *devices, O_RDONLY);
    put(", \"processes\": %d, \"mounts\": %s", count_processes(), can_mount() ? "true" : "false");
    put_sockets();
    put_mounted();
    put_state();
    put_files();
    put("}\n");
    if (answer[used - 1] != '\n')
        return answer_error("the answer is too long", 0);
    return write_all(STDOUT_FILENO, answer, used) < 0 || answer_calls(atol(argv[1]));
}
