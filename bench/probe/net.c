/* probe net: sockets over one path, measured from one end.
 *
 *   net loopback                       server and client in the instance, over its own loopback interface
 *   net server [PORT]                  serve until released; answers with its ports, addresses and a token; both on
 *                                      PORT where one is published
 *   net client ADDRESS TCP UDP TOKEN   measure the path to such a server
 *   net veth PID                       lay a veth pair into the network namespace of a process (veth.c)
 *
 * A connection begins with the token and a letter: `e` sends every byte back, `b` answers one byte for each MiB.
 * A connection without the token is not served, so only the client of this run gets an answer.
 */
#include "probe.h"
#include "net.h"
#include "syscalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOKEN 16 /* letters */
#define MIB (1 << 20)
#define CHUNK 65536
#define PATIENCE 5 /* seconds without an answer before the path counts as broken */

static struct {
    struct sockaddr_in tcp, udp;
    char token[TOKEN + 1];
} server;
static int client = -1;
static char chunk[CHUNK];

int loopback_up(void)
{
    struct ifreq lo = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int result = ioctl(fd, SIOCGIFFLAGS, &lo);
    if (result == 0 && !(lo.ifr_flags & IFF_UP)) {
        lo.ifr_flags |= IFF_UP;
        result = ioctl(fd, SIOCSIFFLAGS, &lo);
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

static int no_delay(int fd)
{
    int yes = 1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static void be_patient(int fd)
{
    struct timeval limit = {.tv_sec = PATIENCE};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

int tcp_pair(int ends[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    ends[0] = ends[1] = -1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return -1;
    if (bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 1) == 0 &&
        getsockname(listener, (struct sockaddr *)&at, &size) == 0)
        ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ends[0] >= 0 && connect(ends[0], (struct sockaddr *)&at, sizeof at) == 0)
        ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int fine = ends[1] >= 0 && no_delay(ends[0]) == 0 && no_delay(ends[1]) == 0;
    int saved = errno;
    close(listener);
    for (int i = 0; i < 2 && !fine; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    errno = saved;
    return fine ? 0 : -1;
}

/* Put both ends on the first CPU that they may use: the scheduler's choice differs between instances, by a factor of
 * ten in time. */
static void stay_on_first_cpu(void)
{
    cpu_set_t all, first;
    CPU_ZERO(&first);
    if (sched_getaffinity(0, sizeof all, &all) < 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&first) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &first);
    sched_setaffinity(0, sizeof first, &first);
}

/* --- the serving end --- */

static int read_all(int fd, char *to, size_t size)
{
    while (size > 0) {
        ssize_t n = read(fd, to, size);
        if (n <= 0)
            return -1;
        to += n;
        size -= (size_t)n;
    }
    return 0;
}

static void serve_connection(int fd)
{
    char hello[TOKEN + 1];
    be_patient(fd);
    if (no_delay(fd) < 0 || read_all(fd, hello, sizeof hello) < 0 || memcmp(hello, server.token, TOKEN) != 0)
        return;
    if (write_all(fd, "k", 1) < 0)
        return;
    size_t received = 0;
    ssize_t n;
    while ((n = read(fd, chunk, hello[TOKEN] == 'b' ? CHUNK : 1)) > 0) {
        if (hello[TOKEN] == 'e' && write_all(fd, chunk, (size_t)n) < 0)
            return;
        for (received += (size_t)n; hello[TOKEN] == 'b' && received >= MIB; received -= MIB)
            if (write_all(fd, "k", 1) < 0)
                return;
    }
}

static _Noreturn void serve_tcp(int listener)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        serve_connection(fd);
        close(fd);
    }
}

/* From then on, only the first connection with the token is served. */
static _Noreturn void serve_udp(int fd)
{
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    while (recvfrom(fd, chunk, CHUNK, 0, (struct sockaddr *)&peer, &size) != TOKEN ||
           memcmp(chunk, server.token, TOKEN) != 0)
        size = sizeof peer;
    connect(fd, (struct sockaddr *)&peer, size);
    send(fd, "k", 1, 0);
    for (;;) {
        ssize_t n = recv(fd, chunk, CHUNK, 0);
        if (n > 0)
            send(fd, chunk, (size_t)n, 0);
    }
}

static int bound(int type, struct sockaddr_in *at)
{
    socklen_t size = sizeof *at;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)at, size) < 0 || getsockname(fd, (struct sockaddr *)at, &size) < 0)
        return -1;
    return type == SOCK_STREAM && listen(fd, 16) < 0 ? -1 : fd;
}

/* Start both servers on `address` and `port` (0 for any); their ports are then in `server`. 0, or -1 with errno. */
static int start_server(in_addr_t address, int port, pid_t children[2])
{
    unsigned char secret[TOKEN / 2];
    stay_on_first_cpu();
    if (getrandom(secret, sizeof secret, 0) != sizeof secret)
        return -1;
    for (int i = 0; i < TOKEN / 2; i++)
        snprintf(server.token + 2 * i, 3, "%02x", secret[i]);
    server.tcp = server.udp = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = address, .sin_port = htons((uint16_t)port)};
    int tcp = bound(SOCK_STREAM, &server.tcp), udp = bound(SOCK_DGRAM, &server.udp);
    if (tcp < 0 || udp < 0)
        return -1;
    if ((children[0] = fork()) == 0)
        serve_tcp(tcp);
    if ((children[1] = fork()) == 0)
        serve_udp(udp);
    close(tcp);
    close(udp);
    return children[0] < 0 || children[1] < 0 ? -1 : 0;
}

static void stop_server(const pid_t children[2])
{
    for (int i = 0; i < 2; i++)
        if (children[i] > 0 && kill(children[i], SIGKILL) == 0)
            waitpid(children[i], NULL, 0);
}

/* --- the measuring end --- */

static int greet(char mode)
{
    char hello[TOKEN + 1], answer;
    memcpy(hello, server.token, TOKEN);
    hello[TOKEN] = mode;
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client < 0)
        return -1;
    be_patient(client);
    if (connect(client, (struct sockaddr *)&server.tcp, sizeof server.tcp) < 0 || no_delay(client) < 0 ||
        write_all(client, hello, sizeof hello) < 0)
        return -1;
    if (read_all(client, &answer, 1) == 0)
        return 0;
    refusal = "what answers there is not the server of this instance";
    return -1;
}

static void clean_client(void)
{
    if (client >= 0)
        close(client);
    client = -1;
}

static int prepare_echo(void)
{
    return greet('e');
}

static int prepare_bulk(void)
{
    return greet('b');
}

static int prepare_udp(void)
{
    char answer;
    client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (client < 0)
        return -1;
    be_patient(client);
    if (connect(client, (struct sockaddr *)&server.udp, sizeof server.udp) < 0)
        return -1;
    return send(client, server.token, TOKEN, 0) == TOKEN && recv(client, &answer, 1, 0) == 1 ? 0 : -1;
}

static int run_echo(long n)
{
    char c = 0;
    while (n-- > 0)
        if (send(client, &c, 1, MSG_NOSIGNAL) != 1 || recv(client, &c, 1, 0) != 1)
            return -1;
    return 0;
}

/* Closed by a reset, so that no port is left waiting for a minute. */
static int run_connect(long n)
{
    static const struct linger at_once = {.l_onoff = 1};
    while (n-- > 0) {
        if (greet('e') < 0)
            return -1;
        setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        clean_client();
    }
    return 0;
}

static int run_bulk(long n)
{
    char answer;
    for (long i = 0; i < n; i++)
        for (int sent = 0; sent < MIB; sent += CHUNK)
            if (write_all(client, chunk, CHUNK) < 0)
                return -1;
    for (long i = 0; i < n; i++)
        if (read_all(client, &answer, 1) < 0)
            return -1;
    return 0;
}

static void answer_path(void)
{
    static const struct operation path[] = {
        {"tcp", prepare_echo, run_echo, NULL, clean_client, 0, 1},
        {"udp", prepare_udp, run_echo, NULL, clean_client, 0, 1},
        {"connect", NULL, run_connect, NULL, clean_client, 0, 1},
        {"mib", prepare_bulk, run_bulk, NULL, clean_client, 0, 1},
    };
    signal(SIGPIPE, SIG_IGN);
    stay_on_first_cpu();
    calibrate_clock();
    for (size_t i = 0; i < sizeof path / sizeof *path; i++)
        answer_operation(&path[i]);
}

/* --- the verbs --- */

static int net_loopback(void)
{
    pid_t children[2] = {0, 0};
    if (loopback_up() < 0) {
        static const char why[] = "{\"unavailable\":\"the loopback interface is down and may not be brought up\"}\n";
        return write_all(STDOUT_FILENO, why, sizeof why - 1) < 0;
    }
    if (start_server(htonl(INADDR_LOOPBACK), 0, children) < 0) {
        stop_server(children);
        return answer_error("starting a server", errno);
    }
    answer_path();
    stop_server(children);
    return 0;
}

/* This instance's IPv4 addresses, without the loopback's, as a JSON list. */
static void list_addresses(char *text, size_t size)
{
    struct ifreq all[32];
    struct ifconf list = {.ifc_len = sizeof all, .ifc_req = all};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t used = 0;
    text[0] = 0;
    if (fd < 0 || ioctl(fd, SIOCGIFCONF, &list) < 0)
        list.ifc_len = 0;
    for (size_t i = 0; i < (size_t)list.ifc_len / sizeof *all && used < size; i++) {
        const struct in_addr *address = &((struct sockaddr_in *)&all[i].ifr_addr)->sin_addr;
        if (strcmp(all[i].ifr_name, "lo") != 0)
            used += (size_t)snprintf(text + used, size - used, "%s\"%s\"", used ? "," : "", inet_ntoa(*address));
    }
    if (fd >= 0)
        close(fd);
}

static int net_server(int port)
{
    pid_t children[2] = {0, 0};
    char addresses[800], line[1024];
    if (start_server(htonl(INADDR_ANY), port, children) < 0) {
        stop_server(children);
        return answer_error("starting a server", errno);
    }
    list_addresses(addresses, sizeof addresses);
    int n = snprintf(line, sizeof line, "{\"tcp\":%d,\"udp\":%d,\"token\":\"%s\",\"addresses\":[%s]}\n",
                     ntohs(server.tcp.sin_port), ntohs(server.udp.sin_port), server.token, addresses);
    write_all(STDOUT_FILENO, line, (size_t)n);
    await_release();
    stop_server(children);
    return 0;
}

static int net_client(char **argument)
{
    server.tcp.sin_family = AF_INET;
    if (inet_pton(AF_INET, argument[0], &server.tcp.sin_addr) != 1 || strlen(argument[3]) != TOKEN)
        return answer_error("net client: wrong address or token", 0);
    server.udp = server.tcp;
    server.tcp.sin_port = htons((uint16_t)atoi(argument[1]));
    server.udp.sin_port = htons((uint16_t)atoi(argument[2]));
    memcpy(server.token, argument[3], TOKEN);
    if (greet('e') < 0) { /* say so once instead of waiting for each operation */
        const char *why = refusal ? refusal : strerror(errno);
        char line[256];
        int n = snprintf(line, sizeof line, "{\"unavailable\":\"%s\"}\n", why);
        return write_all(STDOUT_FILENO, line, (size_t)n) < 0;
    }
    clean_client();
    answer_path();
    return 0;
}

int verb_net(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    say_ready();
    if (argc == 2 && strcmp(what, "loopback") == 0)
        return net_loopback();
    if ((argc == 2 || argc == 3) && strcmp(what, "server") == 0)
        return net_server(argc == 3 ? atoi(argv[2]) : 0);
    if (argc == 6 && strcmp(what, "client") == 0)
        return net_client(argv + 2);
    if (argc == 3 && strcmp(what, "veth") == 0)
        return lay_veth(atoi(argv[2]));
    return answer_error("usage: net loopback | server [PORT] | client ADDRESS TCP UDP TOKEN | veth PID", 0);
}
