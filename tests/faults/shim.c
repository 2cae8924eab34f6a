/* Counts the operations that change files below some folders, over all processes of a run, and lets
 * one of them fail, kill the run or stop it. Loaded with LD_PRELOAD; set by environment:
 *
 *   FAULT_BELOW   folders, separated by ':'
 *   FAULT_COUNT   a file of 8 bytes, the shared counter
 *   FAULT_LOG     gets a line for each operation: number, pid, name, path
 *   FAULT_ONLY    only paths that end with this are counted
 *   FAULT_AT      the operation to act on, from 1; 0: only count
 *   FAULT_ACTION  eio, enospc (from that one on), repeated (done, and answered as a server does
 *                 that gets the same request of NFS once more), kill, kill-after, stop
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static long *counter;
static long at;
static const char *action = "";
static const char *below = "";
static const char *only = "";
static int log_fd = -1;

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);

__attribute__((constructor)) void fault_begin(void) {
    const char *count = getenv("FAULT_COUNT"), *log = getenv("FAULT_LOG");
    real_open = dlsym(RTLD_NEXT, "open");
    real_write = dlsym(RTLD_NEXT, "write");
    if (!count || !log) return;
    below = getenv("FAULT_BELOW") ? getenv("FAULT_BELOW") : "";
    action = getenv("FAULT_ACTION") ? getenv("FAULT_ACTION") : "";
    only = getenv("FAULT_ONLY") ? getenv("FAULT_ONLY") : "";
    at = getenv("FAULT_AT") ? atol(getenv("FAULT_AT")) : 0;
    int fd = real_open(count, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *shared = mmap(0, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED) return;
    log_fd = real_open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    counter = shared;
}

static int is_below(const char *path) {
    for (const char *p = below; *p;) {
        const char *end = strchrnul(p, ':');
        size_t length = end - p;
        if (length && !strncmp(path, p, length) && (path[length] == '/' || !path[length])) return 1;
        p = *end ? end + 1 : end;
    }
    return 0;
}

static int ends_with(const char *path, const char *end) {
    size_t length = strlen(path), last = strlen(end);
    return length >= last && !strcmp(path + length - last, end);
}

static void resolve(int dir, const char *path, char *out) {
    char link[64], base[PATH_MAX] = "";
    if (path && path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return;
    }
    if (dir == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t n = readlink(link, base, sizeof base - 1);
    base[n > 0 ? n : 0] = 0;
    if (path && *path)
        snprintf(out, PATH_MAX, "%.2000s/%.2000s", base, path);
    else
        snprintf(out, PATH_MAX, "%.4000s", base);
}

/* What a server says to an operation that it has done before. */
static int error_of_repeated(const char *name) {
    if (!strcmp(name, "rename") || !strcmp(name, "unlink") || !strcmp(name, "rmdir")) return ENOENT;
    if (!strcmp(name, "mkdir") || !strcmp(name, "link")) return EEXIST;
    return EIO;
}

/* The error number that the operation has to fail with, 0 to go on; *last: when it is done, an
 * error number to fail with, or -1 to kill the run. */
static int before(const char *name, int dir, const char *path, int *last) {
    char full[PATH_MAX], line[PATH_MAX + 64];
    int error = errno, result = 0;
    *last = 0;
    if (!counter) return 0;
    resolve(dir, path, full);
    if (!is_below(full) || !ends_with(full, only)) {
        errno = error;
        return 0;
    }
    long number = __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
    int n = snprintf(line, sizeof line, "%ld %d %s %s\n", number, getpid(), name, full);
    if (log_fd >= 0 && real_write(log_fd, line, n) < 0) { /* the log is only for people */ }
    if (at && number >= at) {
        if (!strcmp(action, "enospc") && strcmp(name, "unlink") && strcmp(name, "rmdir") && strcmp(name, "rename"))
            result = ENOSPC;
        if (number == at) {
            if (!strcmp(action, "eio")) result = EIO;
            if (!strcmp(action, "kill")) kill(0, SIGKILL), pause();
            if (!strcmp(action, "kill-after")) *last = -1;
            if (!strcmp(action, "repeated")) *last = error_of_repeated(name);
            if (!strcmp(action, "stop")) kill(0, SIGSTOP);
        }
    }
    errno = error;
    return result;
}

#define AROUND(type, name, dir, path, call)                \
    do {                                                   \
        int last, error = before(name, dir, path, &last);  \
        if (error) { errno = error; return -1; }           \
        type done = call;                                  \
        if (last < 0) kill(0, SIGKILL), pause();           \
        if (last > 0) { errno = last; return -1; }         \
        return done;                                       \
    } while (0)
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPENING(NAME)                                                        \
    int NAME(const char *path, int flags, ...) {                             \
        va_list rest; va_start(rest, flags);                                 \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                        \
        if (!(flags & (O_CREAT | O_TRUNC))) return REAL(NAME)(path, flags, mode); \
        AROUND(int, "open", AT_FDCWD, path, REAL(NAME)(path, flags, mode));  \
    }
#define OPENING_AT(NAME)                                                     \
    int NAME(int dir, const char *path, int flags, ...) {                    \
        va_list rest; va_start(rest, flags);                                 \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                        \
        if (!(flags & (O_CREAT | O_TRUNC))) return REAL(NAME)(dir, path, flags, mode); \
        AROUND(int, "open", dir, path, REAL(NAME)(dir, path, flags, mode));  \
    }
OPENING(open)
OPENING(open64)
OPENING_AT(openat)
OPENING_AT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
    if (fd == log_fd) return REAL(write)(fd, data, size);
    AROUND(ssize_t, "write", fd, "", REAL(write)(fd, data, size));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t where) {
    AROUND(ssize_t, "write", fd, "", REAL(pwrite64)(fd, data, size, where));
}
int fsync(int fd) { AROUND(int, "fsync", fd, "", REAL(fsync)(fd)); }
int fdatasync(int fd) { AROUND(int, "fsync", fd, "", REAL(fdatasync)(fd)); }
int rename(const char *a, const char *b) { AROUND(int, "rename", AT_FDCWD, b, REAL(rename)(a, b)); }
int renameat(int x, const char *a, int y, const char *b) {
    AROUND(int, "rename", y, b, REAL(renameat)(x, a, y, b));
}
int link(const char *a, const char *b) { AROUND(int, "link", AT_FDCWD, b, REAL(link)(a, b)); }
int linkat(int x, const char *a, int y, const char *b, int flags) {
    AROUND(int, "link", y, b, REAL(linkat)(x, a, y, b, flags));
}
int symlink(const char *a, const char *b) { AROUND(int, "link", AT_FDCWD, b, REAL(symlink)(a, b)); }
int unlink(const char *path) { AROUND(int, "unlink", AT_FDCWD, path, REAL(unlink)(path)); }
int unlinkat(int dir, const char *path, int flags) {
    AROUND(int, flags & AT_REMOVEDIR ? "rmdir" : "unlink", dir, path, REAL(unlinkat)(dir, path, flags));
}
int rmdir(const char *path) { AROUND(int, "rmdir", AT_FDCWD, path, REAL(rmdir)(path)); }
int mkdir(const char *path, mode_t mode) { AROUND(int, "mkdir", AT_FDCWD, path, REAL(mkdir)(path, mode)); }
int mkdirat(int dir, const char *path, mode_t mode) {
    AROUND(int, "mkdir", dir, path, REAL(mkdirat)(dir, path, mode));
}
int ftruncate64(int fd, off64_t size) { AROUND(int, "truncate", fd, "", REAL(ftruncate64)(fd, size)); }
