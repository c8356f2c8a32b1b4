/* Sockets that other parts of the probe use too. */
#ifndef ISOBENCH_NET_H
#define ISOBENCH_NET_H

#include <stdint.h>

/* Bring the loopback interface up where it is down, as it is in a fresh network namespace. 0, or -1 with errno. */
int loopback_up(void);

/* Two ends of one TCP connection over 127.0.0.1, sending at once what is written. 0, or -1 with errno. */
int tcp_pair(int ends[2]);

/* veth.c: give an interface of this namespace its address and mask (host byte order) and bring it up. 0, or -1 with
 * errno. */
int interface_up(const char *name, uint32_t address, uint32_t mask);

/* veth.c: lay a veth pair from here into the network namespace of a process, answer with its two addresses. */
int lay_veth(int pid);

#endif
