/* probe guest VERB ARGS...: the probe as init of a virtual machine. The kernel passes what follows "--" on its command
 * line: "disk" where the verb wants the root file system, "eth=ADDRESS" where there is a network card, "share=TYPE" where
 * its data is to be on a folder that the host shares, "arguments" where the verb is in a file, "exec" where a program on
 * the disk is to be run instead of a verb.
 * Sets up what the verb needs, runs it on the first serial port, powers off.
 */
#include "probe.h"
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static void power_off(void)
{
    sync();
    reboot(RB_POWER_OFF);
}

/* Report the reason on the kernel's console, which the harness keeps, and on the serial port. */
static int give_up(const char *what)
{
    int number = errno;
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    char line[256];
    int n = snprintf(line, sizeof line, "<2>isobench: %s: %s\n", what, strerror(number));
    if (fd >= 0 && write_all(fd, line, (size_t)n) == 0)
        close(fd);
    return answer_error(what, number);
}

/* Marks the end of the kernel's part of the boot for the harness, before any other byte (_domain.py). */
static const char BOOTED = '+';

/* The first serial port as standard streams: every byte as it is. */
static int open_serial(void)
{
    struct termios t;
    int fd = open("/dev/ttyAMA0", O_RDWR | O_NOCTTY); /* a PL011; ttyS0 is the second port then */
    if (fd < 0)
        fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    if (fd < 0 || tcgetattr(fd, &t) < 0)
        return -1;
    cfmakeraw(&t);
    cfsetspeed(&t, B115200);
    if (tcsetattr(fd, TCSANOW, &t) < 0)
        return -1;
    for (int i = 0; i < 3; i++)
        if (dup2(fd, i) < 0)
            return -1;
    if (fd > 2)
        close(fd);
    return write_all(STDOUT_FILENO, &BOOTED, 1);
}

/* In the order of the list. A module behind a dash may fail: its hardware may not exist on this CPU. */
static int load_modules(void)
{
    char line[256];
    FILE *list = fopen("/modules.list", "re");
    if (list == NULL)
        return -1;
    while (fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = 0;
        int optional = line[0] == '-';
        int fd = open(line + optional, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return -1;
        if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST && !optional)
            return -1;
        close(fd);
    }
    fclose(list);
    return 0;
}

/* A device takes a moment to appear after its driver is loaded; the file systems each say in their own way that it is
 * not there yet. */
static int is_early(int number)
{
    return number == ENOENT || number == ENXIO || number == ENODEV || number == EINVAL;
}

/* Whether to try again: limited by time, because on a slow host a single try may take long. */
static int is_worth_another(const struct timespec *began)
{
    struct timespec now;
    int why = errno;
    usleep(1000);
    clock_gettime(CLOCK_MONOTONIC, &now);
    errno = why;
    return now.tv_sec - began->tv_sec < 20;
}

/* The disk is virtio's first, or SCSI's. */
static int mount_disk(void)
{
    struct timespec began;
    clock_gettime(CLOCK_MONOTONIC, &began);
    do {
        if (mount("/dev/vda", "/root", "ext4", MS_NOATIME, NULL) == 0 ||
            (is_early(errno) && mount("/dev/sda", "/root", "ext4", MS_NOATIME, NULL) == 0))
            return 0;
        if (!is_early(errno))
            return -1;
    } while (is_worth_another(&began));
    return -1;
}

/* The host's folder, known by its tag "data", instead of the disk's. */
static int mount_share(const char *type)
{
    const char *options = strcmp(type, "9p") == 0 ? "trans=virtio,version=9p2000.L,msize=262144" : NULL;
    struct timespec began;
    clock_gettime(CLOCK_MONOTONIC, &began);
    do {
        if (mount("data", "/root/data", type, MS_NOATIME, options) == 0)
            return 0;
        if (!is_early(errno))
            return -1;
    } while (is_worth_another(&began));
    return -1;
}

/* The shared root file system on the virtual disk becomes the root. */
static int enter_disk(const char *share)
{
    static const char *const moved[] = {"/proc", "/sys", "/dev"};
    char to[32];
    if (load_modules() < 0 || mount_disk() < 0 || (share && mount_share(share) < 0))
        return -1;
    for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
        snprintf(to, sizeof to, "/root%s", moved[i]);
        if (mount(moved[i], to, NULL, MS_MOVE, NULL) < 0)
            return -1;
    }
    return chroot("/root") < 0 || chdir("/") < 0 ? -1 : 0;
}

/* The one network card, with an IPv4 address in a network of 256. */
static int set_up_card(const char *address)
{
    struct in_addr own;
    if (inet_pton(AF_INET, address, &own) != 1) {
        errno = EINVAL;
        return -1;
    }
    if (load_modules() < 0)
        return -1;
    struct timespec began;
    clock_gettime(CLOCK_MONOTONIC, &began);
    do {
        if (interface_up("eth0", ntohl(own.s_addr), 0xffffff00u) == 0)
            return 0;
        if (!is_early(errno))
            return -1;
    } while (is_worth_another(&began));
    return -1;
}

static int set_up(int disk, const char *card, const char *share)
{
    mount("dev", "/dev", "devtmpfs", 0, NULL); /* a kernel may have mounted it already */
    if (open_serial() < 0)
        return give_up("opening the serial port");
    if (mount("proc", "/proc", "proc", 0, NULL) < 0 && errno != EBUSY)
        return give_up("mounting /proc");
    if (mount("sysfs", "/sys", "sysfs", 0, NULL) < 0 && errno != EBUSY)
        return give_up("mounting /sys");
    if (card && set_up_card(card) < 0) /* before the initramfs with its modules is out of sight */
        return give_up("setting up the network card");
    if (disk && enter_disk(share) < 0)
        return give_up("mounting the disk");
    return 0;
}

/* The verb out of the file /arguments, for more than a kernel passes; the number of words, or -1. */
static int read_arguments(char **words, int most)
{
    static char text[16384];
    int count = 0;
    ssize_t size = read_text("/arguments", text, sizeof text);
    for (ssize_t at = 0; at < size && count < most; at += (ssize_t)strlen(text + at) + 1)
        words[count++] = text + at;
    words[count] = NULL;
    return size < 0 ? -1 : count;
}

/* "exec PROGRAM ARGS...": a program on the disk, instead of a verb of this one. */
static int run_one(int count, char **verb)
{
    if (count < 2 || strcmp(verb[0], "exec") != 0)
        return run_verb(count, verb);
    execv(verb[1], verb + 1);
    return answer_error(verb[1], errno);
}

int verb_guest(int argc, char **argv)
{
    static char *words[300];
    if (getpid() != 1)
        return answer_error("guest is for the init process of a virtual machine", 0);
    int disk = argc > 1 && strcmp(argv[1], "disk") == 0;
    const char *card = argc > 1 + disk && strncmp(argv[1 + disk], "eth=", 4) == 0 ? argv[1 + disk] + 4 : NULL;
    int first = 1 + disk + (card != NULL);
    char **verb = argv + first;
    int count = argc - first;
    const char *share = count > 0 && strncmp(verb[0], "share=", 6) == 0 ? verb[0] + 6 : NULL;
    if (share) {
        verb++;
        count--;
    }
    if (count > 0 && strcmp(verb[0], "arguments") == 0 && (count = read_arguments(words, 298)) > 0)
        verb = words;
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    if (set_up(disk, card, share) == 0) {
        if (count > 0 && strcmp(verb[0], "ready") == 0) { /* keep the start-up path as short as possible */
            run_verb(count, verb);
        } else {
            pid_t pid = fork();
            if (pid == 0)
                _exit(run_one(count, verb));
            int status = 0;
            for (pid_t ended = 0; ended != pid && ended >= 0;) /* init reaps every process that ends */
                ended = wait(&status);
            if (WIFSIGNALED(status))
                answer_error("the verb was killed by a signal", 0);
        }
    }
    tcdrain(STDOUT_FILENO);
    power_off();
    return 1;
}
