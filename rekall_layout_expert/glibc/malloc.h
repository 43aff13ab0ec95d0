/* What glibc's malloc keeps in a process's memory, for the version that is defined as GLIBC (2.36 is 236).
 * Facts of malloc/malloc.c and malloc/arena.c from 2.17 to 2.43; Rekall's names where they differ (size, prev_size).
 */
#define SIZE_SZ sizeof(size_t)
#if defined(__i386__) && GLIBC >= 226
#define MALLOC_ALIGNMENT 16
#else
#define MALLOC_ALIGNMENT (2 * SIZE_SZ)
#endif
#define ALIGNED_UP(n, to) (((n) + (to) - 1) / (to) * (to))
#define CHUNK_OF(request) ALIGNED_UP((request) + SIZE_SZ, MALLOC_ALIGNMENT)
#define NBINS 128
#define LARGEST_FAST_REQUEST (80 * SIZE_SZ / 4)
#define NFASTBINS (CHUNK_OF(LARGEST_FAST_REQUEST) / (2 * SIZE_SZ) - 1)

typedef __SIZE_TYPE__ size_t;
typedef struct malloc_chunk *chunk_pointer;

struct malloc_chunk {
	size_t prev_size, size;                         /* mchunk_* since 2.25; only sizes are shared by all chunks */
	chunk_pointer fd, bk;
	chunk_pointer fd_nextsize, bk_nextsize;
};

struct malloc_state {
	int mutex;
	int flags;
#if GLIBC >= 227 && GLIBC < 243
	int have_fastchunks;
#endif
#if GLIBC < 243
	chunk_pointer fastbinsY[NFASTBINS];
#endif
	chunk_pointer top, last_remainder;
	chunk_pointer bins[2 * NBINS - 2];
	unsigned int binmap[NBINS / 32];
	struct malloc_state *next, *next_free;
#if GLIBC >= 223
	size_t attached_threads;
#endif
	size_t system_mem, max_system_mem;
};

struct _heap_info {
	struct malloc_state *ar_ptr;
	struct _heap_info *prev;
	size_t size, mprotect_size;
#if GLIBC >= 235
	size_t pagesize;
	char pad[-3 * SIZE_SZ & (MALLOC_ALIGNMENT - 1)];
#else
	char pad[-6 * SIZE_SZ & (MALLOC_ALIGNMENT - 1)];
#endif
};

struct malloc_par {
	unsigned long trim_threshold;
	size_t top_pad, mmap_threshold;
	size_t arena_test, arena_max;
#if GLIBC >= 243
	enum { always, madvise, never, not_supported } thp_mode;
#endif
#if GLIBC >= 235
	size_t thp_pagesize, hp_pagesize;
	int hp_flags;
#endif
	int n_mmaps, n_mmaps_max, max_n_mmaps;
	int no_dyn_threshold;
	size_t mmapped_mem, max_mmapped_mem;
#if GLIBC < 224
	size_t max_total_mem;
#endif
	char *sbrk_base;
#if GLIBC >= 226
	size_t tcache_bins, tcache_max_bytes;           /* the former is tcache_small_bins since 2.42 */
	size_t tcache_count, tcache_unsorted_limit;
#endif
};

#if GLIBC >= 226
struct tcache_entry {
	struct tcache_entry *next;
#if GLIBC >= 229
	size_t key;
#endif
};

struct tcache_perthread_struct {
#if GLIBC >= 242
	unsigned short num_slots[76];                   /* how many more there is room for: 64 sizes, 12 ranges of sizes */
	struct tcache_entry *entries[76];
#elif GLIBC >= 230
	unsigned short counts[64];
	struct tcache_entry *entries[64];
#else
	char counts[64];
	struct tcache_entry *entries[64];
#endif
};
#endif
