/* Finds out when the kernel has freed a network namespace. */
#ifndef ISOBENCH_NETNS_H
#define ISOBENCH_NETNS_H

#include <stdint.h>

struct netns_watch {
    int events;      /* netlink socket that hears RTM_DELNSID */
    int sentinel;    /* descriptor that keeps the sentinel namespace */
    int sentinel_id; /* ids in our namespace */
    int id;
};

/* Untimed: open the socket, make the sentinel. 0, or -1 with errno (wants CAP_NET_ADMIN and CAP_SYS_ADMIN). */
int netns_prepare(struct netns_watch *w);

/* Whether this errno of the above is permanent: this process may not, rather than cannot just now. */
int netns_is_refused(int number);

/* Watch the network namespace that this process is in. 0, or -1 with errno. */
int netns_watch_pid(struct netns_watch *w, int pid);

/* After the last process has left it: wait until the kernel has freed everything. 0, or -1 with errno. */
int netns_await_gone(struct netns_watch *w, uint64_t deadline);

#endif
