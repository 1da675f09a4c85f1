/* Counts what a process asks of its C library, for `cargo xtask bench`: allocations, and the bytes
 * that memcpy and memmove copy. Loaded with LD_PRELOAD; the counts lie in the file that
 * REFEREE_COUNTS names, as 64-bit numbers: allocations, bytes asked for, copies, bytes copied. While
 * a fifth number there is not 0, each allocation says on stderr which calls led to it, from the
 * innermost, and ends with an empty line: for a program of one thread.
 * Copies that the compiler made into plain moves (short ones of a known length) are not seen. */

#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALLOCATIONS, ALLOCATED_BYTES, COPIES, COPIED_BYTES, TELLS, KINDS };

/* So many calls are told of an allocation. */
enum { CALLS_MAX = 24 };

/* Until the file is there, and where there is none. */
static uint64_t nowhere[KINDS];
static uint64_t *counts = nowhere;

/* glibc's own names of what is replaced here. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static void tell(void) {
    static int telling; /* What looks at the calls may ask for memory itself. */
    if (telling) return;
    telling = 1;
    void *calls[CALLS_MAX];
    backtrace_symbols_fd(calls, backtrace(calls, CALLS_MAX), STDERR_FILENO);
    if (write(STDERR_FILENO, "\n", 1) < 0) _exit(1);
    telling = 0;
}

static void count(int kind, uint64_t bytes) {
    uint64_t *at = __atomic_load_n(&counts, __ATOMIC_RELAXED);
    __atomic_fetch_add(&at[kind], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&at[kind + 1], bytes, __ATOMIC_RELAXED);
    if (kind == ALLOCATIONS && __atomic_load_n(&at[TELLS], __ATOMIC_RELAXED)) tell();
}

__attribute__((constructor)) static void open_counts(void) {
    const char *path = getenv("REFEREE_COUNTS");
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file < 0) return;
    if (ftruncate(file, sizeof nowhere) == 0) {
        void *map = mmap(NULL, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (map != MAP_FAILED) __atomic_store_n(&counts, (uint64_t *)map, __ATOMIC_RELAXED);
    }
    close(file);
}

void *malloc(size_t size) {
    count(ALLOCATIONS, size);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(ALLOCATIONS, number * size);
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    count(ALLOCATIONS, size);
    return __libc_realloc(old, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    count(ALLOCATIONS, size);
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

/* Plain loops of words: the compiler is told (-fno-builtin, no loop patterns) not to make calls of
 * memcpy out of them. Speed is no matter here, times are measured without this file. */
static void copy_up(char *to, const char *from, size_t length) {
    typedef uint64_t __attribute__((may_alias, aligned(1))) word;
    for (; length >= 8; to += 8, from += 8, length -= 8) *(word *)to = *(const word *)from;
    while (length--) *to++ = *from++;
}

void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    count(COPIES, length);
    copy_up(to, from, length);
    return to;
}

void *memmove(void *to, const void *from, size_t length) {
    count(COPIES, length);
    if ((uintptr_t)to - (uintptr_t)from >= length) {
        copy_up(to, from, length);
        return to;
    }
    /* The end of what is read would be written over before it is read. */
    while (length--) ((char *)to)[length] = ((const char *)from)[length];
    return to;
}
