/* Entering isolation: the child's side of `probe launch`. */
#ifndef ISOBENCH_ISOLATE_H
#define ISOBENCH_ISOLATE_H

#include <stdint.h>

#define MAX_CGROUPS 16
#define MAX_LIMITS 16

/* The steps of a start that are timed separately. The first is the launcher's, before the child exists. */
enum step { STEP_MAKE_CGROUP, STEP_JOIN_CGROUP, STEP_ROOT, STEP_MOUNTS, STEP_CAPS, STEP_SECCOMP, STEPS };

/* The child's timestamps and errors, in memory that both sides share. */
struct stamps {
    uint64_t created; /* the child's first instruction */
    uint64_t started; /* just before exec */
    uint64_t took[STEPS]; /* nanoseconds; 0 for a step that was not taken */
    int error;        /* errno of the step that failed, or 0 */
    const char *step; /* its name */
};

/* What to isolate. Everything is off when zero. */
struct isolation {
    uint64_t namespaces;              /* CLONE_NEW* flags */
    int plain_fork;                   /* fork, not vfork: the child gets its own copy of the address space */
    const char *map_ids;              /* user namespace: the "UID GID" that become 0 inside */
    const char *cgroups[MAX_CGROUPS]; /* fresh cgroups to make and join: one on v2, one a controller on v1 */
    const char *limits[MAX_LIMITS];   /* "file=value", written into every cgroup that has the file */
    int into_cgroup;                  /* v2: descriptor for CLONE_INTO_CGROUP, or -1 */
    const char *chroot;               /* new root by chroot */
    const char *pivot;                /* new root by pivot_root (needs a mount namespace) */
    const char *overlay;              /* "lowerdir=…,upperdir=…,workdir=…" mounted on `pivot` first */
    int mounts;                       /* the mounts of an OCI container: proc, dev, pts, shm, mqueue, sys, masks */
    unsigned open_files;              /* the most descriptors a process may have open; 0: as the launcher */
    int loopback;                     /* bring up the loopback of a fresh network namespace, as an engine does */
    int drop_caps;                    /* Docker's default bounding set, and no_new_privs */
    const char *seccomp;              /* file with a compiled BPF program */
    const void *filter;               /* the program once loaded: struct sock_fprog */
};

/* In the child: isolate as asked, stamp, exec. Does not return; a failure is left in `stamps`. */
_Noreturn void isolate_and_exec(const struct isolation *how, volatile struct stamps *stamps, char **program);

#endif
