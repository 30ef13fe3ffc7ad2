/* luisito's starter: has ready, before they are needed, the children that become app servers.
 *
 * The spawner can fork them itself (child.py), and does where this program was not built. But a
 * fork of an interpreter copies its memory page by page as either writes to it, and exec(2) takes
 * the copy down again: 2 ms of processor time a start, 0.6 of them while a client waits.
 *
 * usage: starter VERSION PARENT; descriptor 3 is one end of a SOCK_SEQPACKET pair. Each message is a child
 * to have ready, as starter.py packs it; the child answers itself, so that the kernel tells its
 * process id (unix(7), SO_PASSCRED), or an error number comes. It is a child of the spawner's.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64 /* limits of 4 GiB and more, on 32 bits */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of Linux 5.3 to 6.4; headers may be older than the kernel. */
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

enum { VERSION = 1 }; /* of the messages; starter.py knows it, too, and may be of another release */
enum { ORDERS = 3, LISTENER = 3, MOST_DESCRIPTORS = 8, MOST_GROUPS = 65536 };
enum { LONGEST_MESSAGE = 1 << 18, LONGEST_ORDER = 1 << 10 };

/* Bytes that stand in a text for what only the order tells; starter.py knows them, too. */
enum { SITE = 1, PORT = 2, PID = 3, NAME = 4 };

/* The struct clone_args of clone3(2). */
struct arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

/* The numbers that a message begins with. */
struct head {
    int64_t parent;     /* what getppid() answers as long as the spawner lives */
    int64_t uid, gid;
    int64_t umask;
    int64_t root;       /* we are, and become that user */
    int64_t merge;      /* pages may be merged (KSM) */
    int64_t port;       /* the order names one */
    int64_t listener;   /* a socket comes with the order */
    int64_t groups, limits, places, arguments, variables; /* how many follow */
};

struct limit {
    int64_t resource, soft, hard;
};

struct message {
    struct head head;
    const int64_t *groups;
    const struct limit *limits;
    const char *number;  /* that the order begins with, and a space */
    const char *folder;
    const char *report;
    const char **texts;  /* places, arguments, variables; a null pointer after each of the last two */
};

/* What the order says. */
struct told {
    char site[LONGEST_ORDER], name[LONGEST_ORDER], port[8], pid[24];
};

static union {
    char bytes[LONGEST_MESSAGE];
    int64_t number;
} received;

static int status = -1;

/* Tell the spawner, which knows how to say it, what could not be done; and end. */
static void fail(const char *what, int number)
{
    dprintf(status, "!%s %d\n", what, number);
    _exit(127);
}

static void must(long done, const char *what)
{
    if (done < 0)
        fail(what, errno);
}

/* Receive one message and at most `most` descriptors; `count` is how many came, of which more are closed.
 *
 * Returns its length, 0 when the other end has gone, -1 when it could not be received whole. */
static ssize_t receive(int from, void *into, size_t size, int *descriptors, int most, int *count)
{
    union {
        char bytes[CMSG_SPACE(MOST_DESCRIPTORS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } beside;
    struct iovec vector = {into, size};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = beside.bytes,
                            .msg_controllen = sizeof beside.bytes};
    ssize_t length;

    do
        length = recvmsg(from, &header, MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    *count = 0;
    if (length < 0)
        return -1;
    for (struct cmsghdr *each = CMSG_FIRSTHDR(&header); each; each = CMSG_NXTHDR(&header, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS)
            continue;
        int held = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (int i = 0; i < held; i++) {
            int one;
            memcpy(&one, CMSG_DATA(each) + i * sizeof one, sizeof one);
            if (*count < most)
                descriptors[*count] = one;
            else
                close(one);
            ++*count;
        }
    }
    return header.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -1 : length;
}

static int within(int64_t number, int64_t least, int64_t most)
{
    return number >= least && number <= most;
}

/* Take a message apart; it stays where it is. Returns whether it is one. */
static int unpack(ssize_t length, struct message *to)
{
    const char *at = received.bytes, *end = at + length;
    const struct head *head = (const struct head *)at;

    if (length < (ssize_t)sizeof *head || end[-1] != 0)
        return 0;
    to->head = *head;
    at += sizeof *head;
    if (!within(head->groups, 0, MOST_GROUPS) || !within(head->limits, 0, RLIM_NLIMITS)
        || !within(head->places, 1, length) || !within(head->arguments, 1, length)
        || !within(head->variables, 0, length))
        return 0;
    int64_t texts = head->places + head->arguments + head->variables;
    to->groups = (const int64_t *)at;
    at += head->groups * sizeof *to->groups;
    to->limits = (const struct limit *)at;
    at += head->limits * sizeof *to->limits;
    if (at >= end)
        return 0;
    const char **first[] = {&to->number, &to->folder, &to->report};
    for (int i = 0; i < 3; i++, at += strlen(at) + 1) {
        if (at >= end)
            return 0;
        *first[i] = at;
    }
    to->texts = malloc((texts + 2) * sizeof *to->texts);
    if (!to->texts)
        return 0;
    const char **text = to->texts;
    for (int64_t i = 0; i < texts; i++, at += strlen(at) + 1) {
        if (at >= end)
            return 0;
        if (i == head->places + head->arguments)
            *text++ = NULL;
        *text++ = at;
    }
    if (!head->variables)
        *text++ = NULL;
    *text = NULL;
    return at == end;
}

/* Put what the order says where it belongs. */
static const char *fill(const char *text, const struct told *told)
{
    static const char blanks[] = {SITE, PORT, PID, NAME, 0};
    const char *values[] = {[SITE] = told->site, [PORT] = told->port, [PID] = told->pid, [NAME] = told->name};
    size_t length = 0;

    if (!strpbrk(text, blanks))
        return text;
    for (const char *at = text; *at; at++)
        length += *at >= SITE && *at <= NAME ? strlen(values[(int)*at]) : 1;
    char *filled = malloc(length + 1), *to = filled;
    if (!filled)
        fail("memory", ENOMEM);
    for (const char *at = text; *at; at++)
        if (*at >= SITE && *at <= NAME)
            to = stpcpy(to, values[(int)*at]);
        else
            *to++ = *at;
    *to = 0;
    return filled;
}

/* Whether a site is one of the letters of a name, or an IPv6 address in brackets. */
static int is_site(const char *site)
{
    size_t length = strlen(site);

    if (*site == '[')
        return length >= 4 && length <= 48 && strspn(site + 1, "0123456789abcdef:.") == length - 2 && site[length - 1] == ']';
    return length >= 1 && length <= 253 && strspn(site, "abcdefghijklmnopqrstuvwxyz0123456789_-.") == length
           && *site != '-' && *site != '.';
}

/* Read "NUMBER PORT SITE" (core.wire.encode_start).
 *
 * It comes from the network process, which is not believed: the spawner, which is told the same,
 * looks at it closely (checks.py) and ends us for what it refuses. Here it is enough that a site
 * cannot become an option, a part of a path, a list of them, a pattern or more than one word. */
static int read_order(char *order, const struct message *message, struct told *told)
{
    size_t length = strlen(message->number);

    if (strncmp(order, message->number, length))
        return 0;
    char *port = order + length, *site = strchr(port, ' ');
    if (!site)
        return 0;
    *site++ = 0;
    if (message->head.port) {
        char *after;
        long number = strtol(port, &after, 10);
        if (*port < '1' || *port > '9' || *after || number < 1024 || number > 65535)
            return 0;
    } else if (strcmp(port, "0"))
        return 0;
    if (!is_site(site))
        return 0;
    snprintf(told->port, sizeof told->port, "%s", port);
    snprintf(told->pid, sizeof told->pid, "%d", getpid());
    strcpy(told->site, site);
    strcpy(told->name, site);
    /* sd_listen_fds(3): names are separated by colons */
    for (char *at = told->name; (at = strchr(at, ':'));)
        *at = '-';
    return 1;
}

static void limit(const struct limit *each)
{
    struct rlimit pair = {each->soft, each->hard};

    must(setrlimit(each->resource, &pair), "setrlimit");
}

/* Give up root for a user for good, or all capabilities that we have. */
static void become(const struct message *message)
{
    const struct head *head = &message->head;

    if (!head->root) {
        struct __user_cap_header_struct version = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct none[2] = {{0}};
        must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl");
        must(syscall(SYS_capset, &version, none), "capset");
        return;
    }
    gid_t *groups = calloc(head->groups + 1, sizeof *groups);
    if (!groups)
        fail("memory", ENOMEM);
    for (int64_t i = 0; i < head->groups; i++)
        groups[i] = message->groups[i];
    must(setgroups(head->groups, groups), "setgroups");
    must(setresgid(head->gid, head->gid, head->gid), "setresgid");
    must(setresuid(head->uid, head->uid, head->uid), "setresuid");
    free(groups);
}

/* Be a child: become the user, wait for the order, and become the server. */
static void run(const struct message *message, int output, int orders)
{
    const struct head *head = &message->head;
    static char order[LONGEST_ORDER];
    static struct told told;
    int listener = -1, count;

    if (send(ORDERS, "", 1, MSG_NOSIGNAL) < 0) /* by which the spawner knows us */
        _exit(127);
    must(setsid(), "setsid");
    if (head->merge)
        prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0); /* check-settings says so where it cannot be */
    must(dup2(output, 1), "dup2");
    must(dup2(output, 2), "dup2");
    /* Both are above LISTENER, where the starter has its own end. */
    int low = orders < status ? orders : status, high = orders < status ? status : orders;
    must(syscall(SYS_close_range, LISTENER, low - 1, 0), "close_range");
    if (high > low + 1)
        must(syscall(SYS_close_range, low + 1, high - 1, 0), "close_range");
    must(syscall(SYS_close_range, high + 1, ~0U, 0), "close_range");
    must(chdir(message->folder), "chdir");
    for (int64_t i = 0; i < head->limits; i++)
        if (message->limits[i].resource == RLIMIT_NPROC) /* the kernel counts as the user changes */
            limit(&message->limits[i]);
    become(message);
    must(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl"); /* a change of user clears it */
    if (getppid() != head->parent)
        _exit(127);
    umask(head->umask);

    ssize_t length = receive(orders, order, sizeof order - 1, &listener, 1, &count);
    if (length == 0)
        _exit(0);
    if (length < 0 || count != head->listener || strlen(order) != (size_t)length
        || !read_order(order, message, &told))
        fail("order", 0);
    if (head->listener) {
        int listens = 0;
        socklen_t size = sizeof listens;
        if (getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens)
            fail("order", 0);
        if (listener == LISTENER)
            must(fcntl(LISTENER, F_SETFD, 0), "fcntl");
        else
            must(dup2(listener, LISTENER), "dup2");
    }
    const char *report = fill(message->report, &told), **places = message->texts;
    const char **arguments = places + head->places, **variables = arguments + head->arguments + 1;
    for (const char **each = places; each < variables + head->variables; each++)
        if (*each)
            *each = fill(*each, &told);
    must(write(status, report, strlen(report)), "write");
    for (int64_t i = 0; i < head->limits; i++) /* last, since memory or descriptors may be few then */
        limit(&message->limits[i]);
    int why = 0, last = 0;
    for (int64_t i = 0; i < head->places; i++) { /* as execvp(3): what is there and cannot run tells more */
        execve(places[i], (char **)arguments, (char **)variables);
        last = errno;
        if (!why && last != ENOENT && last != ENOTDIR)
            why = last;
    }
    fail("exec", why ? why : last);
}

int main(int count, char **arguments)
{
    static struct message message;
    int held[4] = {-1, -1, -1, -1}, descriptors;
    ssize_t length;

    if (count != 3 || atoi(arguments[1]) != VERSION)
        return 2;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != atoi(arguments[2]))
        return 1;
    /* Before Linux 5.9, or a filter of system calls: all is forked. */
    if (syscall(SYS_close_range, ~0U, ~0U, 0) < 0)
        return 1;
    /* Not before exec(2), which would leave us none. The first number that is no capability ends it;
     * who lacks CAP_SETPCAP has no_new_privs to rely on. */
    for (int capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++)
        ;
    while ((length = receive(ORDERS, received.bytes, sizeof received.bytes, held, 4, &descriptors)) != 0) {
        int64_t answer = -EBADMSG;
        if (length > 0 && descriptors >= 3 && descriptors <= 4 && unpack(length, &message)) {
            if (descriptors == 4) {
                struct arguments how = {.flags = CLONE_PARENT | CLONE_INTO_CGROUP, .cgroup = held[3]};
                answer = syscall(SYS_clone3, &how, sizeof how);
            } else { /* which filters that do not know clone3 let pass */
                answer = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
            }
            if (answer == 0) {
                status = held[1];
                run(&message, held[0], held[2]);
            }
            if (answer < 0)
                answer = -errno;
        }
        for (int i = 0; i < descriptors && i < 4; i++)
            close(held[i]);
        free(message.texts);
        message.texts = NULL;
        if (answer < 0 && send(ORDERS, &answer, sizeof answer, MSG_NOSIGNAL) < 0)
            return 1;
        if (answer == -ENOSYS || answer == -EPERM || answer == -EINVAL || answer == -E2BIG)
            return 1; /* before Linux 5.7, or a filter: it would be no better next time */
    }
    return 0;
}
