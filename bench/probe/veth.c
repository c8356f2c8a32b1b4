/* A veth pair between this network namespace and that of another process, with an address at each end.
 *
 * It goes when either namespace goes, so nothing has to be removed. The addresses are of 198.18.0.0/15, which is set
 * aside for benchmarks (RFC 2544).
 */
#include "probe.h"
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define NETWORK_OF_FOUR 0xfffffffcu

struct request {
    struct nlmsghdr header;
    struct ifinfomsg link;
    char attributes[256];
};

/* Append an attribute; one that holds others is closed by `end`. */
static struct rtattr *begin(struct request *r, unsigned short type, const void *data, size_t size)
{
    struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->header.nlmsg_len));
    a->rta_type = type;
    a->rta_len = (unsigned short)RTA_LENGTH(size);
    if (size)
        memcpy(RTA_DATA(a), data, size);
    r->header.nlmsg_len = NLMSG_ALIGN(r->header.nlmsg_len) + (unsigned)RTA_SPACE(size);
    return a;
}

static void end(struct request *r, struct rtattr *a)
{
    a->rta_len = (unsigned short)((char *)r + r->header.nlmsg_len - (char *)a);
}

/* Make the pair `here` (in this namespace) and `there` (in the namespace of `pid`). 0, or -1 with errno. */
static int make_pair(const char *here, const char *there, int pid)
{
    struct request r = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                                   .nlmsg_type = RTM_NEWLINK,
                                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK}};
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[512];
    } answer;
    begin(&r, IFLA_IFNAME, here, strlen(here) + 1);
    struct rtattr *info = begin(&r, IFLA_LINKINFO, NULL, 0);
    begin(&r, IFLA_INFO_KIND, "veth", 5);
    struct rtattr *data = begin(&r, IFLA_INFO_DATA, NULL, 0);
    struct ifinfomsg none = {.ifi_family = AF_UNSPEC};
    struct rtattr *peer = begin(&r, VETH_INFO_PEER, &none, sizeof none);
    begin(&r, IFLA_IFNAME, there, strlen(there) + 1);
    begin(&r, IFLA_NET_NS_PID, &pid, sizeof pid);
    end(&r, peer);
    end(&r, data);
    end(&r, info);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -1;
    ssize_t n = send(fd, &r, r.header.nlmsg_len, 0) < 0 ? -1 : recv(fd, &answer, sizeof answer, 0);
    int saved = errno;
    close(fd);
    errno = n < 0 ? saved : n < (ssize_t)NLMSG_LENGTH(sizeof(int)) ? EPROTO : -answer.error.error;
    return errno ? -1 : 0;
}

int interface_up(const char *name, uint32_t address, uint32_t mask)
{
    struct ifreq request;
    struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;
    memset(&request, 0, sizeof request);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(address);
    int result = ioctl(fd, SIOCSIFADDR, &request);
    in->sin_addr.s_addr = htonl(mask);
    if (result == 0)
        result = ioctl(fd, SIOCSIFNETMASK, &request);
    if (result == 0)
        result = ioctl(fd, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    if (result == 0)
        result = ioctl(fd, SIOCSIFFLAGS, &request);
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

int lay_veth(int pid)
{
    char here[IFNAMSIZ], file[64], line[128];
    uint32_t network = (198u << 24 | 18u << 16) + ((uint32_t)pid % 32768u) * 4u;
    struct in_addr at = {htonl(network + 2)};
    snprintf(here, sizeof here, "isob%d", pid);
    snprintf(file, sizeof file, "/proc/%d/ns/net", pid);
    int namespace = open(file, O_RDONLY | O_CLOEXEC);
    if (namespace < 0)
        return answer_error("finding the network namespace", errno);
    if (make_pair(here, "isob0", pid) < 0)
        return answer_error("making a veth pair", errno);
    if (interface_up(here, network + 1, NETWORK_OF_FOUR) < 0)
        return answer_error("giving the veth pair an address", errno);
    if (setns(namespace, CLONE_NEWNET) < 0 || loopback_up() < 0 || interface_up("isob0", network + 2, NETWORK_OF_FOUR) < 0)
        return answer_error("giving the veth pair's other end an address", errno);
    int n = snprintf(line, sizeof line, "{\"address\":\"%s\"}\n", inet_ntoa(at));
    return write_all(STDOUT_FILENO, line, (size_t)n) < 0;
}
