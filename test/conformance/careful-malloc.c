/*
 * Memory for programs that are careless with theirs, by LD_PRELOAD: it comes zeroed, in pieces of no less than 1 KiB,
 * and small pieces are never used again. For a short-lived test program that relies on all of this without knowing it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define HEAD 64 /* before each piece: its size */
#define LEAST 1024
#define LARGE (128 * 1024)
#define CHUNK (4 * 1024 * 1024)

static char *chunk, *chunk_end;
static int lock;

static void *pages(size_t bytes) {
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? NULL : at;
}

static size_t size_of(void *piece) { return *(size_t *)((char *)piece - HEAD); }

void *malloc(size_t bytes) {
  char *at;
  size_t whole = ((bytes < LEAST ? LEAST : bytes) + HEAD + HEAD - 1) & ~(size_t)(HEAD - 1);
  if (bytes >= LARGE) {
    at = pages((whole + 4095) & ~(size_t)4095);
  } else {
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {}
    if (chunk + whole > chunk_end) {
      chunk = pages(CHUNK);
      chunk_end = chunk ? chunk + CHUNK : NULL;
    }
    at = chunk;
    if (chunk) chunk += whole;
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
  }
  if (!at) {
    errno = ENOMEM;
    return NULL;
  }
  *(size_t *)at = bytes;
  return at + HEAD;
}

void free(void *piece) {
  if (piece && size_of(piece) >= LARGE) munmap((char *)piece - HEAD, (size_of(piece) + HEAD + 4095) & ~(size_t)4095);
}

void *calloc(size_t count, size_t each) { return malloc(count * each); }

void *realloc(void *piece, size_t bytes) {
  void *fresh = malloc(bytes);
  if (piece && fresh) memcpy(fresh, piece, size_of(piece) < bytes ? size_of(piece) : bytes);
  free(piece);
  return fresh;
}

/* Aligned pieces are never given back. */
int posix_memalign(void **piece, size_t alignment, size_t bytes) {
  char *at = pages(bytes + alignment + HEAD);
  if (!at) return ENOMEM;
  at = (char *)(((uintptr_t)at + HEAD + alignment - 1) & ~(uintptr_t)(alignment - 1));
  *(size_t *)(at - HEAD) = 0;
  *piece = at;
  return 0;
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  void *piece;
  return posix_memalign(&piece, alignment, bytes) ? NULL : piece;
}

void *memalign(size_t alignment, size_t bytes) { return aligned_alloc(alignment, bytes); }

size_t malloc_usable_size(void *piece) { return piece ? size_of(piece) : 0; }
