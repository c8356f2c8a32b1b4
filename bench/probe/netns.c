/* Finds out when the kernel has freed a network namespace.
 *
 * The kernel frees network namespaces later, on the ordered workqueue "netns" (net/core/net_namespace.c,
 * cleanup_net). It announces each with RTM_DELNSID, but at the beginning of its work. So a second, empty namespace,
 * the sentinel, is let go when that message arrives: its own message can only come once the batch before it has
 * ended. Both must have an id in our namespace for the kernel to say anything.
 */

#include "probe.h"
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct request {
    struct nlmsghdr header;
    struct rtgenmsg generic;
    char attributes[64];
};

static void add_attribute(struct request *r, unsigned short type, int32_t value)
{
    struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->header.nlmsg_len));
    a->rta_type = type;
    a->rta_len = RTA_LENGTH(sizeof value);
    memcpy(RTA_DATA(a), &value, sizeof value);
    r->header.nlmsg_len = NLMSG_ALIGN(r->header.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

/* The id in a message about a namespace, or -1. */
static int message_id(struct nlmsghdr *m)
{
    int length = (int)m->nlmsg_len - (int)NLMSG_LENGTH(sizeof(struct rtgenmsg));
    struct rtattr *a = (struct rtattr *)((char *)NLMSG_DATA(m) + NLMSG_ALIGN(sizeof(struct rtgenmsg)));
    for (; RTA_OK(a, length); a = RTA_NEXT(a, length))
        if (a->rta_type == NETNSA_NSID) {
            int32_t id;
            memcpy(&id, RTA_DATA(a), sizeof id);
            return id;
        }
    return -1;
}

/* Send a request to the kernel; an error number, or 0. `id`, if given, receives the id in the answer. */
static int ask(unsigned short type, unsigned short attribute, int32_t value, int *id)
{
    struct request r;
    memset(&r, 0, sizeof r);
    r.header.nlmsg_len = NLMSG_LENGTH(sizeof r.generic);
    r.header.nlmsg_type = type;
    r.header.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | (id ? 0 : NLM_F_ACK));
    add_attribute(&r, attribute, value);
    if (!id)
        add_attribute(&r, NETNSA_NSID, -1); /* the kernel picks one */
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (s < 0)
        return errno;
    char buffer[512];
    ssize_t n = -1;
    if (send(s, &r, r.header.nlmsg_len, 0) >= 0)
        n = recv(s, buffer, sizeof buffer, 0);
    int number = n < 0 ? errno : 0;
    close(s);
    if (number)
        return number;
    struct nlmsghdr *m = (struct nlmsghdr *)buffer;
    if (m->nlmsg_type == NLMSG_ERROR)
        return -((struct nlmsgerr *)NLMSG_DATA(m))->error;
    if (id)
        *id = message_id(m);
    return 0;
}

/* Give the namespace an id here (it may have one already) and learn it; -1 with errno. */
static int name_namespace(unsigned short attribute, int value)
{
    int id = -1;
    int number = ask(RTM_NEWNSID, attribute, value, NULL);
    if (number == 0 || number == EEXIST)
        number = ask(RTM_GETNSID, attribute, value, &id);
    errno = number ? number : ENOENT;
    return number ? -1 : id;
}

int netns_prepare(struct netns_watch *w)
{
    w->id = w->sentinel_id = w->sentinel = -1;
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    int group = RTNLGRP_NSID, here, room = 8 << 20; /* for messages about hundreds of other namespaces */
    w->events = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (w->events < 0 || bind(w->events, (struct sockaddr *)&address, sizeof address) < 0 ||
        setsockopt(w->events, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
        return -1;
    setsockopt(w->events, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    if ((here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) < 0)
        return -1;
    int result = -1;
    if (setns(here, CLONE_NEWNET) == 0 && unshare(CLONE_NEWNET) == 0) { /* first check that there is a way back */
        w->sentinel = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (setns(here, CLONE_NEWNET) < 0)
            _exit(125); /* in the wrong namespace every result would be false */
        if (w->sentinel >= 0 && (w->sentinel_id = name_namespace(NETNSA_FD, w->sentinel)) >= 0)
            result = 0;
    }
    int saved = errno;
    close(here);
    errno = saved;
    return result;
}

int netns_is_refused(int number)
{
    return number == EPERM || number == EACCES || number == ENOSYS || number == EINVAL;
}

int netns_watch_pid(struct netns_watch *w, int pid)
{
    w->id = name_namespace(NETNSA_PID, pid);
    return w->id < 0 ? -1 : 0;
}

static int await_deletion(int events, int id, uint64_t deadline)
{
    char buffer[8192];
    for (;;) {
        uint64_t now = now_ns();
        struct pollfd p = {events, POLLIN, 0};
        int r = now < deadline ? poll(&p, 1, (int)((deadline - now) / 1000000 + 1)) : 0;
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        int n = (int)recv(events, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && errno == ENOBUFS) /* messages were lost, perhaps ours */
            return -1;
        for (struct nlmsghdr *m = (struct nlmsghdr *)buffer; n > 0 && NLMSG_OK(m, (unsigned)n); m = NLMSG_NEXT(m, n))
            if (m->nlmsg_type == RTM_DELNSID && message_id(m) == id)
                return 0;
    }
}

int netns_await_gone(struct netns_watch *w, uint64_t deadline)
{
    int result = w->id < 0 ? -1 : await_deletion(w->events, w->id, deadline);
    if (w->sentinel >= 0)
        close(w->sentinel);
    w->sentinel = -1;
    if (result == 0)
        result = await_deletion(w->events, w->sentinel_id, deadline);
    int saved = errno;
    close(w->events);
    errno = saved;
    return result;
}

/* probe netns: the same for an engine's container. Reads "PID\n", answers "watching\n" or an error; reads another
 * line, waits at most the given seconds, answers {"gone": NANOSECONDS}. If it may not watch, it says "refused\n". */
int verb_netns(int argc, char **argv)
{
    struct netns_watch w;
    char line[64];
    double seconds = argc > 1 ? atof(argv[1]) : 60;
    int prepared = netns_prepare(&w);
    if (prepared < 0 && netns_is_refused(errno))
        return write_all(1, "refused\n", 8) < 0;
    if (prepared < 0)
        return answer_error("cannot watch network namespaces", errno);
    write_all(1, "prepared\n", 9);
    ssize_t n = read(0, line, sizeof line - 1);
    if (n <= 0)
        return 0;
    line[n] = 0;
    if (netns_watch_pid(&w, atoi(line)) < 0 && errno != ESRCH)
        return answer_error("cannot name the network namespace", errno);
    if (w.id < 0) /* the process has exited: its namespace may be gone already */
        return write_all(1, "exited\n", 7) < 0;
    write_all(1, "watching\n", 9);
    if (read(0, line, sizeof line) <= 0)
        return 0;
    if (netns_await_gone(&w, now_ns() + (uint64_t)(seconds * 1e9)) < 0)
        return answer_error("the network namespace is still there", errno);
    n = snprintf(line, sizeof line, "{\"gone\": %llu}\n", (unsigned long long)now_ns());
    return write_all(1, line, (size_t)n) < 0;
}
