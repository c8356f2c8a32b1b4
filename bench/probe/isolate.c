/* Entering isolation, from the first instruction of the cloned child to exec.
 *
 * Runs in a child that shares the launcher's memory (CLONE_VM | CLONE_VFORK), as posix_spawn's does: no allocation,
 * no stdio, nothing but system calls.
 */
#include "probe.h"
#include "isolate.h"
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

extern char **environ;

static _Noreturn void give_up(volatile struct stamps *stamps, const char *step)
{
    stamps->error = errno ? errno : EINVAL;
    stamps->step = step;
    _exit(127);
}

static int put(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = write_all(fd, text, strlen(text));
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

/* The maps of a user namespace: one id, so that it also works without privilege (user_namespaces(7)). */
static int map_ids(const char *ids)
{
    char uid[32], line[64];
    const char *gid = strchr(ids, ' ');
    if (gid == NULL || (size_t)(gid - ids) >= sizeof uid) {
        errno = EINVAL;
        return -1;
    }
    memcpy(uid, ids, (size_t)(gid - ids));
    uid[gid - ids] = 0;
    if (put("/proc/self/setgroups", "deny") < 0)
        return -1;
    snprintf(line, sizeof line, "0 %s 1", uid);
    if (put("/proc/self/uid_map", line) < 0)
        return -1;
    snprintf(line, sizeof line, "0 %s 1", gid + 1);
    return put("/proc/self/gid_map", line);
}

static int join_cgroups(const struct isolation *how)
{
    char file[512];
    for (int i = 0; i < MAX_CGROUPS && how->cgroups[i]; i++) {
        snprintf(file, sizeof file, "%s/cgroup.procs", how->cgroups[i]);
        if (put(file, "0") < 0)
            return -1;
    }
    return 0;
}

static int pivot(const char *root, const char *overlay)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    if (overlay ? mount("overlay", root, "overlay", 0, overlay) < 0 : mount(root, root, NULL, MS_BIND, NULL) < 0)
        return -1;
    if (chdir(root) < 0)
        return -1;
    return 0;
}

/* What an OCI runtime mounts for Docker: the same list, kinds and flags as in the configuration Docker writes. */
static int mount_file_systems(void)
{
    static const struct {
        const char *type, *where, *data;
        unsigned long flags;
    } list[] = {
        {"proc", "proc", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV},
        {"tmpfs", "dev", "mode=755,size=65536k", MS_NOSUID | MS_STRICTATIME},
        {"devpts", "dev/pts", "newinstance,ptmxmode=0666,mode=0620", MS_NOSUID | MS_NOEXEC},
        {"sysfs", "sys", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY},
        {"mqueue", "dev/mqueue", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV},
        {"tmpfs", "dev/shm", "mode=1777,size=65536k", MS_NOSUID | MS_NOEXEC | MS_NODEV},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (mkdir(list[i].where, 0755) < 0 && errno != EEXIST)
            return -1;
        if (mount(list[i].type, list[i].where, list[i].type, list[i].flags, list[i].data) < 0)
            return -1;
    }
    return 0;
}

/* The devices and links that it makes in /dev. */
static int fill_dev(void)
{
    static const struct {
        const char *path;
        unsigned minor;
    } devices[] = {{"dev/null", 3}, {"dev/zero", 5}, {"dev/full", 7}, {"dev/random", 8}, {"dev/urandom", 9}};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (mknod(devices[i].path, S_IFCHR | 0666, makedev(1, devices[i].minor)) < 0)
            return -1;
    if (mknod("dev/tty", S_IFCHR | 0666, makedev(5, 0)) < 0)
        return -1;
    static const char *const links[][2] = {
        {"/proc/self/fd", "dev/fd"},     {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"},
        {"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"},         {"/proc/kcore", "dev/core"}};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            return -1;
    return 0;
}

/* What it masks and makes read-only in /proc and /sys. */
static int mask_paths(void)
{
    static const char *const masked[] = {"proc/kcore", "proc/keys", "proc/timer_list", "proc/latency_stats",
                                         "proc/sched_debug"};
    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
        if (mount("dev/null", masked[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
            return -1;
    static const char *const masked_folders[] = {"proc/acpi", "proc/scsi", "sys/firmware"};
    for (size_t i = 0; i < sizeof masked_folders / sizeof *masked_folders; i++)
        if (mount("tmpfs", masked_folders[i], "tmpfs", MS_RDONLY, "size=0k") < 0 && errno != ENOENT)
            return -1;
    static const char *const read_only[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
    for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
        if (mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL) < 0) {
            if (errno == ENOENT)
                continue;
            return -1;
        }
        if (mount(NULL, read_only[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
            return -1;
    }
    return 0;
}

/* Docker's default capabilities: the list in moby `oci/caps/defaults.go`, as a bit mask. */
#define DOCKER_CAPS                                                                                          \
    (1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FSETID | 1ull << CAP_FOWNER |                 \
     1ull << CAP_MKNOD | 1ull << CAP_NET_RAW | 1ull << CAP_SETGID | 1ull << CAP_SETUID | 1ull << CAP_SETFCAP | \
     1ull << CAP_SETPCAP | 1ull << CAP_NET_BIND_SERVICE | 1ull << CAP_SYS_CHROOT | 1ull << CAP_KILL |          \
     1ull << CAP_AUDIT_WRITE)

static int drop_capabilities(void)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (!(DOCKER_CAPS >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -1;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++) {
        data[i].effective = data[i].permitted = (uint32_t)(DOCKER_CAPS >> (32 * i));
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* As posix_spawn does: the program starts with default dispositions and an empty signal mask, whatever its launcher
 * has, so that `process` is posix_spawn and every other rung is the same plus its isolation. glibc asks for each
 * disposition before it sets it (sysdeps/unix/sysv/linux/spawni.c); these system calls are 5 % of a raw start. */
static void reset_signals(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) < 0)
            continue; /* two signals that the C library reserves */
        action.sa_handler = SIG_DFL;
        sigaction(number, &action, NULL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Add the time since `begin` to a step; a rung does not stamp steps that it does not have. */
static uint64_t count(volatile struct stamps *stamps, enum step step, uint64_t begin)
{
    uint64_t now = now_ns();
    stamps->took[step] += now - begin;
    return now;
}

static void new_root(const struct isolation *how, volatile struct stamps *stamps)
{
    uint64_t begin = now_ns();
    if (pivot(how->pivot, how->overlay) < 0)
        give_up(stamps, how->overlay ? "mounting the overlay" : "mounting the new root");
    begin = count(stamps, STEP_ROOT, begin);
    if (how->mounts) {
        if (mount_file_systems() < 0 || fill_dev() < 0 || mask_paths() < 0)
            give_up(stamps, "mounting proc, dev and sys");
        begin = count(stamps, STEP_MOUNTS, begin);
    }
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
        give_up(stamps, "pivot_root");
    count(stamps, STEP_ROOT, begin);
}

static void fewer_privileges(const struct isolation *how, volatile struct stamps *stamps)
{
    uint64_t begin = now_ns();
    if (how->drop_caps) {
        if (drop_capabilities() < 0)
            give_up(stamps, "dropping capabilities");
        begin = count(stamps, STEP_CAPS, begin);
    }
    if (how->filter) {
        /* Without no_new_privs, loading a filter needs CAP_SYS_ADMIN, which root's launcher has. */
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, how->filter) < 0)
            give_up(stamps, "loading the seccomp filter");
        count(stamps, STEP_SECCOMP, begin);
    }
}

static int limit_files(unsigned most)
{
    struct rlimit limit = {most, most};
    return setrlimit(RLIMIT_NOFILE, &limit);
}

_Noreturn void isolate_and_exec(const struct isolation *how, volatile struct stamps *stamps, char **program)
{
    stamps->created = now_ns();
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* nothing outlives its launcher */
    reset_signals();
    if (how->map_ids && map_ids(how->map_ids) < 0)
        give_up(stamps, "mapping ids into the user namespace");
    if (how->cgroups[0] && how->into_cgroup < 0) {
        uint64_t begin = now_ns();
        if (join_cgroups(how) < 0)
            give_up(stamps, "joining the cgroup");
        count(stamps, STEP_JOIN_CGROUP, begin);
    }
    if (how->pivot)
        new_root(how, stamps);
    if (how->chroot && (chroot(how->chroot) < 0 || chdir("/") < 0))
        give_up(stamps, "chroot");
    if (how->loopback && loopback_up() < 0)
        give_up(stamps, "bringing up the loopback interface");
    if (how->open_files && limit_files(how->open_files) < 0)
        give_up(stamps, "limiting the open files");
    if (how->drop_caps || how->filter)
        fewer_privileges(how, stamps);
    stamps->started = now_ns();
    execve(program[0], program, environ);
    give_up(stamps, "exec");
}
