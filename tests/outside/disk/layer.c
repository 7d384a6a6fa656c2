/* A layer between a program and its disk: counts the calls that change files below one folder, makes one of them fail or kills
 * the program there, and writes down all of them, so that a power loss can be played back.
 *
 * Loaded by LD_PRELOAD. The kernel hands every such call to us by SIGSYS (seccomp), whoever makes it: the C library, SQLite, or a
 * library that makes calls by itself. What we make from `disk_layer_call` it lets through. A call that can change a file and that
 * we do not know is noted as alien; then nothing that was counted or played back is to be believed.
 *
 * DISK_LAYER_ROOT: the folder. DISK_LAYER_CONTROL: a file with `struct control`, shared with the test (disk.py knows its layout).
 * DISK_LAYER_JOURNAL: where the calls are written down; records as in `struct record`.
 *
 * Everything here runs in a signal handler: no function of the C library but those that touch memory alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef __x86_64__
#error "written for x86-64 alone"
#endif

enum fault { NONE, KILL, CUT, FAIL };
enum operation { WRITE = 1, TRUNCATE, CREATE, MKDIR, RENAME, UNLINK, LINK, SYNC, SAID, FAILED_SYNC, LOGGED };

struct control {
    uint64_t calls;      /* counted so far */
    uint64_t at;         /* the call at which the fault comes; 0: none */
    uint64_t times;      /* so many calls in succession */
    uint32_t fault;      /* KILL before the call, CUT when half of it is written, FAIL with `error` */
    uint32_t error;
    uint64_t recorded;   /* records in the journal */
    uint64_t struck;     /* calls that the fault has struck */
    char what[256];      /* the first of them */
    char alien[256];
};

struct record {
    uint32_t operation;
    uint32_t path, second; /* octets of them, which follow */
    uint32_t flags;
    uint64_t offset, data; /* data: octets of them, which follow the paths */
};

/* A call as it was made. */
struct call {
    long number, a, b, c, d, e, f;
};

static char root[PATH_MAX];
static size_t root_length;
static char log_path[PATH_MAX]; /* where stdout leads to */
static struct control *control;
static int journal = -1;
static volatile int locked;

long disk_layer_call(long number, long a, long b, long c, long d, long e, long f);
extern const char disk_layer_called[];
__asm__(".text\n.globl disk_layer_call\n.type disk_layer_call,@function\ndisk_layer_call:\n"
        "mov %rdi,%rax\nmov %rsi,%rdi\nmov %rdx,%rsi\nmov %rcx,%rdx\nmov %r8,%r10\nmov %r9,%r8\nmov 8(%rsp),%r9\n"
        "syscall\n.globl disk_layer_called\ndisk_layer_called:\nret\n");

static long pass(const struct call *call)
{
    return disk_layer_call(call->number, call->a, call->b, call->c, call->d, call->e, call->f);
}

#define CALL(number, a, b, c, d) disk_layer_call(number, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static void lock(void)
{
    while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE))
        CALL(SYS_sched_yield, 0, 0, 0, 0);
}

static void unlock(void)
{
    __atomic_store_n(&locked, 0, __ATOMIC_RELEASE);
}

static void append(char *text, size_t room, const char *more)
{
    size_t used = strlen(text), length = strlen(more);
    if (length > room - used - 1)
        length = room - used - 1;
    memcpy(text + used, more, length);
    text[used + length] = 0;
}

static void describe(char *text, const char *name, const char *path)
{
    if (text[0])
        return;
    append(text, 256, name);
    append(text, 256, " ");
    append(text, 256, path);
}

/* The path below the folder ("" for the folder itself), or NULL when it is elsewhere. */
static const char *below(const char *path)
{
    if (strncmp(path, root, root_length) != 0 || (path[root_length] != '/' && path[root_length] != 0))
        return NULL;
    path += root_length;
    while (*path == '/')
        path++;
    return path;
}

static const char *path_of_descriptor(long descriptor, char *path)
{
    char link[64] = "/proc/self/fd/", digits[24];
    size_t count = 0, used = strlen(link);
    if (descriptor < 0)
        return NULL;
    do
        digits[count++] = '0' + descriptor % 10;
    while (descriptor /= 10);
    while (count)
        link[used++] = digits[--count];
    link[used] = 0;
    long length = CALL(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length <= 0)
        return NULL;
    path[length] = 0;
    return path;
}

static const char *below_descriptor(long descriptor, char *path)
{
    return path_of_descriptor(descriptor, path) ? below(path) : NULL;
}

/* A name that a call was given, relative to a folder or not. */
static const char *below_name(long folder, const char *name, char *path)
{
    if (name[0] == '/')
        path[0] = 0;
    else if ((int)folder == AT_FDCWD) {
        if (CALL(SYS_getcwd, path, PATH_MAX, 0, 0) < 0)
            return NULL;
    } else if (!path_of_descriptor((int)folder, path))
        return NULL;
    if (path[0])
        append(path, PATH_MAX, "/");
    append(path, PATH_MAX, name);
    return below(path);
}

static int is_missing(const char *full)
{
    struct stat found;
    return CALL(SYS_newfstatat, AT_FDCWD, full, &found, AT_SYMLINK_NOFOLLOW) == -ENOENT;
}

static void write_all(const void *octets, size_t length)
{
    while (length) {
        long wrote = CALL(SYS_write, journal, octets, length, 0);
        if (wrote <= 0) {
            describe(control->alien, "the journal can't be written:", "");
            return;
        }
        octets = (const char *)octets + wrote;
        length -= wrote;
    }
}

/* Writes down what was done. `data` may lie in pieces. */
static void note(enum operation operation, const char *path, const char *second, uint64_t offset, const struct iovec *pieces,
                 uint64_t length)
{
    struct record record = {operation, strlen(path), second ? strlen(second) : 0, 0, offset, pieces ? length : 0};
    write_all(&record, sizeof record);
    write_all(path, record.path);
    if (second)
        write_all(second, record.second);
    for (; pieces && length; pieces++) {
        size_t part = pieces->iov_len < length ? pieces->iov_len : length;
        write_all(pieces->iov_base, part);
        length -= part;
    }
    control->recorded++;
}

/* Whether the call is to fail. Does not return when it is to kill. */
static int strikes(const char *name, const char *path)
{
    uint64_t call = ++control->calls;
    if (!control->at || call < control->at || call >= control->at + control->times)
        return NONE;
    control->struck++;
    describe(control->what, name, path[0] ? path : ".");
    return control->fault;
}

static void die(void)
{
    CALL(SYS_kill, CALL(SYS_getpid, 0, 0, 0, 0), SIGKILL, 0, 0);
    for (;;)
        CALL(SYS_pause, 0, 0, 0, 0);
}

/* Makes a call that is no write, and writes it down. */
static long change(const struct call *call, enum operation operation, const char *name, const char *path, const char *second,
                   uint64_t offset)
{
    lock();
    int fault = strikes(name, path);
    if (fault == KILL)
        die();
    long done = fault == FAIL ? -(long)control->error : pass(call);
    if (done >= 0)
        note(operation, path, second, offset, NULL, 0);
    else if (operation == SYNC)
        note(FAILED_SYNC, path, NULL, 0, NULL, 0);
    if (fault == CUT)
        die();
    unlock();
    return done;
}

static uint64_t length_of(const struct iovec *pieces, long count)
{
    uint64_t length = 0;
    for (long piece = 0; piece < count; piece++)
        length += pieces[piece].iov_len;
    return length;
}

static long write_at(const struct call *call, const char *name, const char *path, const struct iovec *pieces, long count,
                     long offset)
{
    struct stat found;
    uint64_t length = length_of(pieces, count);
    lock();
    if (offset < 0) {
        offset = CALL(SYS_lseek, call->a, 0, SEEK_CUR, 0);
        if (CALL(SYS_fcntl, call->a, F_GETFL, 0, 0) & O_APPEND)
            offset = CALL(SYS_fstat, call->a, &found, 0, 0) < 0 ? 0 : found.st_size;
    }
    int fault = strikes(name, path);
    if (fault == KILL)
        die();
    if (fault == CUT) {
        uint64_t half = pieces->iov_len < length / 2 ? pieces->iov_len : length / 2;
        CALL(SYS_pwrite64, call->a, pieces->iov_base, half, offset);
        note(WRITE, path, NULL, offset, pieces, half);
        die();
    }
    long done = fault == FAIL ? -(long)control->error : pass(call);
    if (done > 0)
        note(WRITE, path, NULL, offset, pieces, done);
    unlock();
    return done;
}

static long opens(const struct call *call, long folder, const char *name, long flags)
{
    char full[PATH_MAX];
    const char *path = below_name(folder, name, full);
    if (!path)
        return pass(call);
    if ((flags & O_TMPFILE) == O_TMPFILE)
        describe(control->alien, "O_TMPFILE", path);
    int is_new = is_missing(full);
    if (is_new || (flags & O_TRUNC))
        return change(call, is_new ? CREATE : TRUNCATE, "open", path, NULL, 0);
    return pass(call);
}

static long renames(const struct call *call, long from, const char *name, long to, const char *other, enum operation operation)
{
    char full[PATH_MAX], full_other[PATH_MAX];
    const char *path = below_name(from, name, full), *second = below_name(to, other, full_other);
    if (!path && !second)
        return pass(call);
    if (!path || !second) {
        describe(control->alien, "a name from or to elsewhere", path ? path : second);
        return pass(call);
    }
    return change(call, operation, operation == LINK ? "link" : "rename", path, second, 0);
}

static long named(const struct call *call, long folder, const char *name, enum operation operation, const char *what)
{
    char full[PATH_MAX];
    const char *path = below_name(folder, name, full);
    return path ? change(call, operation, what, path, NULL, 0) : pass(call);
}

static long described(const struct call *call, enum operation operation, const char *what, uint64_t offset)
{
    char full[PATH_MAX];
    const char *path = below_descriptor((int)call->a, full);
    return path ? change(call, operation, what, path, NULL, offset) : pass(call);
}

static long writes(const struct call *call, const char *what, const struct iovec *pieces, long count, long offset)
{
    char full[PATH_MAX];
    const char *path = count > 0 ? path_of_descriptor((int)call->a, full) : NULL;
    if (path && !strcmp(path, log_path)) {
        lock();
        note(LOGGED, "", NULL, 0, pieces, length_of(pieces, count));
        unlock();
    }
    path = path ? below(path) : NULL;
    return path ? write_at(call, what, path, pieces, count, offset) : pass(call);
}

/* What a client or an upstream reads: the test finds in it when a message was acknowledged. Written down before it is said, as
 * the log is. */
static long says(const struct call *call, const struct iovec *pieces, long count)
{
    uint64_t length = count > 0 ? pieces->iov_len : 0;
    if (length >= 3 && !memcmp(pieces->iov_base, "250", 3)) {
        lock();
        note(SAID, "", NULL, 0, pieces, length < 512 ? length : 512);
        unlock();
    }
    return pass(call);
}

enum { ANYWHERE = -1000 };

/* Calls that can change a file, and that we do not know. */
static long alien(const struct call *call, const char *what, long descriptor)
{
    char full[PATH_MAX];
    const char *path = descriptor == ANYWHERE ? "" : below_descriptor((int)descriptor, full);
    size_t length = path ? strlen(path) : 0;
    /* The index of the log of SQLite is mapped; it is made anew at the next start. */
    int is_index = length > 4 && !strcmp(path + length - 4, "-shm");
    if (path && !(call->number == SYS_mmap && is_index))
        describe(control->alien, what, path);
    return pass(call);
}

static long handle(const struct call *call)
{
    struct iovec whole = {(void *)call->b, call->c};
    const struct iovec *pieces = (const struct iovec *)call->b;
    switch (call->number) {
    case SYS_write:
        return writes(call, "write", &whole, 1, -1);
    case SYS_pwrite64:
        return writes(call, "pwrite", &whole, 1, call->d);
    case SYS_writev:
        return writes(call, "writev", pieces, call->c, -1);
    case SYS_pwritev:
    case SYS_pwritev2:
        return writes(call, "pwritev", pieces, call->c, call->d);
    case SYS_sendto:
        return says(call, &whole, 1);
    case SYS_sendmsg: {
        const struct msghdr *message = (const struct msghdr *)call->b;
        return says(call, message->msg_iov, message->msg_iovlen);
    }
    case SYS_openat:
        return opens(call, call->a, (const char *)call->b, call->c);
    case SYS_open:
        return opens(call, AT_FDCWD, (const char *)call->a, call->b);
    case SYS_creat:
        return opens(call, AT_FDCWD, (const char *)call->a, O_CREAT | O_TRUNC);
    case SYS_ftruncate:
        return described(call, TRUNCATE, "ftruncate", call->b);
    case SYS_fsync:
        return described(call, SYNC, "fsync", 0);
    case SYS_fdatasync:
        return described(call, SYNC, "fdatasync", 0);
    case SYS_rename:
        return renames(call, AT_FDCWD, (const char *)call->a, AT_FDCWD, (const char *)call->b, RENAME);
    case SYS_renameat:
    case SYS_renameat2:
        return renames(call, call->a, (const char *)call->b, call->c, (const char *)call->d, RENAME);
    case SYS_link:
        return renames(call, AT_FDCWD, (const char *)call->a, AT_FDCWD, (const char *)call->b, LINK);
    case SYS_linkat:
        return renames(call, call->a, (const char *)call->b, call->c, (const char *)call->d, LINK);
    case SYS_unlink:
    case SYS_rmdir:
        return named(call, AT_FDCWD, (const char *)call->a, UNLINK, "unlink");
    case SYS_unlinkat:
        return named(call, call->a, (const char *)call->b, UNLINK, "unlink");
    case SYS_mkdir:
        return named(call, AT_FDCWD, (const char *)call->a, MKDIR, "mkdir");
    case SYS_mkdirat:
        return named(call, call->a, (const char *)call->b, MKDIR, "mkdir");
    case SYS_mmap:
        return alien(call, "a shared writable mmap of", call->e);
    case SYS_fallocate:
        return alien(call, "fallocate", call->a);
    case SYS_sync_file_range:
        /* It writes data, and makes nothing durable: neither the size nor what the disk itself holds back. */
        return pass(call);
    case SYS_copy_file_range:
        return alien(call, "copy_file_range", call->c);
    case SYS_sendfile:
        return alien(call, "sendfile", call->a);
    case SYS_splice:
        return alien(call, "splice", call->c);
    default:
        return alien(call, "a call that the layer does not know", ANYWHERE);
    }
}

static void trapped(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct call call = {info->si_syscall, registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                        registers[REG_R10], registers[REG_R8], registers[REG_R9]};
    (void)signal;
    registers[REG_RAX] = handle(&call);
}

static const long TRAPPED[] = {
    SYS_write, SYS_pwrite64, SYS_writev, SYS_pwritev, SYS_pwritev2, SYS_sendto, SYS_sendmsg, SYS_creat, SYS_ftruncate,
    SYS_truncate, SYS_fsync, SYS_fdatasync, SYS_rename, SYS_renameat, SYS_renameat2, SYS_link, SYS_linkat, SYS_symlink,
    SYS_symlinkat, SYS_unlink, SYS_rmdir, SYS_unlinkat, SYS_mkdir, SYS_mkdirat, SYS_fallocate, SYS_sync_file_range,
    SYS_copy_file_range, SYS_sendfile, SYS_splice, SYS_io_uring_setup, SYS_openat2, SYS_sync, SYS_syncfs, SYS_msync,
};

enum { CALLS = sizeof TRAPPED / sizeof *TRAPPED };

/* The filter: what we call ourselves passes, what can change files comes to us. */
static void watch(void)
{
    struct sock_filter program[CALLS + 64];
    uint64_t own = (uint64_t)disk_layer_called;
    int at = 0;
#define LOAD(field) program[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, field)
#define IF(test, value, then, otherwise) \
    program[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | (test) | BPF_K, (uint32_t)(value), then, otherwise)
#define RETURN(what) program[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what)
#define ARGUMENT(place) (offsetof(struct seccomp_data, args) + 8 * (place))
    LOAD(offsetof(struct seccomp_data, instruction_pointer));
    IF(BPF_JEQ, own & 0xffffffff, 0, 3);
    LOAD(offsetof(struct seccomp_data, instruction_pointer) + 4);
    IF(BPF_JEQ, own >> 32, 0, 1);
    RETURN(SECCOMP_RET_ALLOW);
    LOAD(offsetof(struct seccomp_data, nr));
    for (int call = 0; call < CALLS; call++) {
        IF(BPF_JEQ, TRAPPED[call], 0, 1);
        RETURN(SECCOMP_RET_TRAP);
    }
    IF(BPF_JEQ, SYS_openat, 0, 3);
    LOAD(ARGUMENT(2));
    IF(BPF_JSET, O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY), 0, 5);
    RETURN(SECCOMP_RET_TRAP);
    IF(BPF_JEQ, SYS_open, 0, 3);
    LOAD(ARGUMENT(1));
    IF(BPF_JSET, O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY), 0, 1);
    RETURN(SECCOMP_RET_TRAP);
    LOAD(offsetof(struct seccomp_data, nr));
    IF(BPF_JEQ, SYS_mmap, 0, 5);
    LOAD(ARGUMENT(3));
    IF(BPF_JSET, MAP_SHARED, 0, 3);
    LOAD(ARGUMENT(2));
    IF(BPF_JSET, PROT_WRITE, 0, 1);
    RETURN(SECCOMP_RET_TRAP);
    RETURN(SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {at, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        abort();
}

__attribute__((constructor)) static void start(void)
{
    const char *folder = getenv("DISK_LAYER_ROOT"), *file = getenv("DISK_LAYER_CONTROL"), *record = getenv("DISK_LAYER_JOURNAL");
    if (!folder || !file || !record || strlen(folder) >= sizeof root)
        abort();
    strcpy(root, folder);
    root_length = strlen(root);
    int shared = open(file, O_RDWR | O_CLOEXEC);
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    journal = open(record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (shared < 0 || control == MAP_FAILED || journal < 0)
        abort();
    close(shared);
    if (!path_of_descriptor(STDOUT_FILENO, log_path))
        abort();
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action.sa_mask);
    if (sigaction(SIGSYS, &action, NULL))
        abort();
    watch();
}
