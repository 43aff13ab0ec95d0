/* Allocates and frees in every way that glibc's malloc tells apart, says what is what, and stays.
 *
 * A line is a word, a pointer and a size; before the last, "ready", stands what malloc_info() tells. Nothing is allocated
 * meanwhile. Linked with the C library of any version: it begins by itself, as what a library's start files need changes.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 3
#define BLOCKS 40
#define MANY 700                                                /* of 120,000 bytes: more than one heap of 64 MB */
static const size_t SIZES[] = {1, 24, 25, 40, 100, 128, 129, 500, 1032, 1033, 1500, 5000, 20000};
#define SIZE_COUNT (sizeof SIZES / sizeof *SIZES)

struct worked { void *kept[SIZE_COUNT][BLOCKS], *freed[SIZE_COUNT][BLOCKS], *other; };
static struct worked work[THREADS + 1];
static void *mapped[3], *aligned, *many[MANY];
static pthread_barrier_t barrier;
static char buffer[1 << 16];

static void do_work(int who)
{
	struct worked *mine = &work[who];
	for (size_t s = 0; s < SIZE_COUNT; s++)
		for (int n = 0; n < BLOCKS; n++) {
			mine->kept[s][n] = malloc(SIZES[s]);
			memset(mine->kept[s][n], 'k', SIZES[s]);
			mine->freed[s][n] = malloc(SIZES[s]);
			memset(mine->freed[s][n], 'f', SIZES[s]);
		}
	mine->other = malloc(3000);                             /* so that nothing merges with the top chunk */
	for (size_t s = 0; s < SIZE_COUNT; s++)
		for (int n = 0; n < BLOCKS - (int)(3 * s); n++)
			free(mine->freed[s][n]);
}

static void *thread(void *who)
{
	do_work((int)(long)who);
	if ((long)who == 1)
		for (int n = 0; n < MANY; n++)
			many[n] = malloc(120000);
	pthread_barrier_wait(&barrier);
	for (;;)
		pause();
}

static void say(const char *word, void *pointer, size_t size)
{
	char line[100];
	int length = snprintf(line, sizeof line, "%s %lx %zu\n", word, (unsigned long)pointer, size);
	if (write(1, line, length) != length)
		_exit(1);
}

int main(void)
{
	pthread_t threads[THREADS];
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (long n = 0; n < THREADS; n++)
		pthread_create(&threads[n], NULL, thread, (void *)(n + 1));
	pthread_barrier_wait(&barrier);
	do_work(0);
	for (int n = 0; n < 3; n++) {
		mapped[n] = malloc(200000 + n * 100000);
		memset(mapped[n], 'm', 200000 + n * 100000);
	}
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	free(mapped[1]);
	aligned = memalign(256, 1000);
	((void **)aligned)[0] = work[0].kept[0][0];
	((void **)aligned)[1] = mapped[2];
	strcpy((char *)aligned + 16, "one of its kind");
	for (int who = 0; who <= THREADS; who++) {
		for (size_t s = 0; s < SIZE_COUNT; s++)
			for (int n = 0; n < BLOCKS; n++) {
				say("used", work[who].kept[s][n], SIZES[s]);
				say(n < BLOCKS - (int)(3 * s) ? "freed" : "used", work[who].freed[s][n], SIZES[s]);
			}
		say("used", work[who].other, 3000);
	}
	for (int n = 0; n < MANY; n++)
		say("used", many[n], 120000);
	say("aligned", aligned, 1000);
	say("mapped", mapped[0], 200000);
	say("mapped", mapped[2], 400000);
	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);         /* or stdio would allocate one meanwhile */
	malloc_info(0, stdout);
	fflush(stdout);
	say("ready", 0, 0);
	for (;;)
		pause();
}

__attribute__((naked, used)) void _start(void)
{
	__asm__("xor %ebp, %ebp; and $-16, %rsp; call main");
}
