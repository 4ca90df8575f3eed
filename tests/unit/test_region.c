#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/rng.h"
#include "server/region.h"

enum { MIB = 1 << 20 };

/* --- memory to work in ----------------------------------------------------------- */

static unsigned char *map_fd(int fd, uint64_t size)
{
    unsigned char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    assert_ptr_not_equal(at, MAP_FAILED);
    return at;
}

static int memfd(uint64_t size)
{
    int fd = memfd_create("test-region", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static struct region map_region(uint64_t size, uint64_t bytes_max, int flags)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, -1, 0);

    assert_ptr_not_equal(at, MAP_FAILED);
    return (struct region){.base = at, .size = size, .bytes_max = bytes_max, .fd = -1};
}

/* A formatted region in anonymous memory; unmap() ends it. */
static struct region fresh(uint64_t size, uint64_t bytes_max)
{
    struct region region = map_region(size, bytes_max, MAP_PRIVATE | MAP_ANONYMOUS);
    struct err err;

    assert_int_equal(region_format(&region, &err), 0);
    return region;
}

static void unmap(struct region *region)
{
    munmap(region->base, region->size);
}

static bool all_zero(const unsigned char *at, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++)
        if (at[i])
            return false;
    return true;
}

/* --- format and open ------------------------------------------------------------- */

static void test_format_and_open(void **state)
{
    struct region region = map_region(8 * MIB, 4 * MIB, MAP_PRIVATE | MAP_ANONYMOUS);
    struct err err;

    (void)state;
    assert_false(region_formatted(&region));
    assert_int_equal(region_open(&region, &err), -ERR_DAMAGE);
    assert_int_equal(region_format(&region, &err), 0);
    assert_true(region_formatted(&region));
    assert_int_equal(region_used(&region), REGION_PAGE);
    assert_int_equal(region_root(&region, 3), 0);
    region_set_root(&region, 3, 123456);
    region_set_root(&region, REGION_ROOTS - 1, 7);
    assert_int_equal(region_open(&region, &err), 0);
    assert_int_equal(region_root(&region, 3), 123456);
    assert_int_equal(region_root(&region, REGION_ROOTS - 1), 7);
    assert_int_equal(region_used(&region), REGION_PAGE);
    unmap(&region);
}

static void test_refuses_what_is_no_region(void **state)
{
    struct region region = fresh(8 * MIB, 4 * MIB), bad;
    struct err err;
    uint64_t word;

    (void)state;
    assert_int_equal(region_format(&region, &err), -ERR_INPUT);
    assert_string_equal(err.text, "the memory holds a region already");

    bad = region;
    bad.base += 8;
    assert_int_equal(region_format(&bad, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "page boundary"));
    bad = region;
    bad.size = 8 * REGION_PAGE;
    assert_int_equal(region_open(&bad, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "32768 bytes"));
    bad.size = 1ull << 43;
    assert_int_equal(region_open(&bad, &err), -ERR_INPUT);
    bad.size = 4 * MIB; /* a part of it */
    assert_int_equal(region_open(&bad, &err), -ERR_DAMAGE);
    assert_string_equal(err.text,
                        "the region has 8388608 bytes, but only 4194304 of them are "
                        "mapped");

    /* Every byte of the mark, and the version behind it. */
    for (int i = 0; i < 16; i++) {
        region.base[i] ^= 0x40;
        assert_int_equal(region_open(&region, &err), -ERR_DAMAGE);
        assert_non_null(strstr(err.text, i < 8 ? "does not hold" : "version"));
        region.base[i] ^= 0x40;
    }
    /* The numbers of chunks, three words on. */
    memcpy(&word, region.base + 16, sizeof word);
    assert_int_equal(word, region.size);
    for (int field = 6; field < 9; field++) {
        region.base[8 * field + 5] ^= 1;
        assert_int_equal(region_open(&region, &err), -ERR_DAMAGE);
        assert_string_equal(err.text, "the region's header contradicts itself");
        region.base[8 * field + 5] ^= 1;
    }
    assert_int_equal(region_open(&region, &err), 0);
    unmap(&region);
}

/* Memory of any size is used to its last page. */
static void test_sizes(void **state)
{
    const uint64_t sizes[] = {64 << 10,
                              100 << 10,
                              MIB,
                              2 * MIB - 4096,
                              2 * MIB,
                              2 * MIB + 4096,
                              3 * MIB + 1234,
                              4 * MIB + 511 * 4096};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct region region = fresh(sizes[i], UINT64_MAX);
        uint64_t pages = sizes[i] / REGION_PAGE, got = 0, at;

        while ((at = region_alloc(&region, 1))) {
            assert_true(at % REGION_PAGE == 0 && at + REGION_PAGE <= sizes[i]);
            memset(region_at(&region, at), 1, REGION_PAGE);
            got++;
        }
        /* Header and bitmaps take two pages. */
        assert_int_equal(got, pages - 2);
        assert_int_equal(region_used(&region), (got + 1) * REGION_PAGE);
        unmap(&region);
    }
}

/* A header larger than a chunk: 72 bytes for each 2 MiB of 256 GiB. */
static void test_large_header(void **state)
{
    struct region region = fresh(256ull << 30, 64 * MIB);
    struct err err;
    uint64_t large, small;

    (void)state;
    large = region_alloc(&region, 5 * MIB);
    small = region_alloc(&region, 5000);
    assert_true(large >= 9 * MIB && large % REGION_CHUNK == 0);
    assert_true(small > large);
    assert_int_equal(region_open(&region, &err), 0);
    assert_int_equal(region_used(&region), REGION_PAGE + 5 * MIB + 2 * REGION_PAGE);
    unmap(&region);
}

/* --- allocate and free ----------------------------------------------------------- */

static void test_cap(void **state)
{
    struct region region = fresh(64 * MIB, 8 * MIB);
    uint64_t a = region_alloc(&region, 4 * MIB), b;

    (void)state;
    assert_true(a);
    assert_int_equal(region_alloc(&region, 4 * MIB), 0); /* the header counts */
    b = region_alloc(&region, 4 * MIB - REGION_PAGE);
    assert_true(b);
    assert_int_equal(region_used(&region), 8 * MIB);
    assert_int_equal(region_alloc(&region, 1), 0);
    region_free(&region, a, 4 * MIB);
    assert_true(region_alloc(&region, 1));
    assert_int_equal(region_alloc(&region, UINT64_MAX), 0);
    region_free(&region, 0, 123); /* nothing */
    unmap(&region);
}

/* Free neighbours are one extent again. */
static void test_neighbours_join(void **state)
{
    struct region region = fresh(16 * MIB, 16 * MIB);
    uint64_t page[200], before = region_used(&region), whole;

    (void)state;
    for (int i = 0; i < 200; i++)
        page[i] = region_alloc(&region, REGION_PAGE);
    for (int i = 0; i < 200; i++)
        region_free(&region, page[i * 77 % 200], REGION_PAGE);
    assert_int_equal(region_used(&region), before);
    whole = region_alloc(&region, 200 * REGION_PAGE);
    assert_int_equal(whole, page[0]);

    /* Chunks likewise: three of one, then one of three. */
    for (int i = 0; i < 3; i++)
        page[i] = region_alloc(&region, REGION_CHUNK);
    region_free(&region, page[2], REGION_CHUNK);
    region_free(&region, page[0], REGION_CHUNK);
    region_free(&region, page[1], REGION_CHUNK);
    assert_int_equal(region_alloc(&region, 3 * REGION_CHUNK), page[0]);
    unmap(&region);
}

struct extent {
    uint64_t offset, bytes;
    unsigned char mark;
};

/* Random sizes, mostly of some pages, some of several chunks. */
static uint64_t random_bytes(uint64_t n)
{
    uint64_t bits = rng_at(9, 1, n);

    switch (bits % 8) {
    case 0:
        return 1 + rng_below(rng_at(9, 2, n), 7 * MIB);
    case 1:
        return 1 + rng_below(rng_at(9, 2, n), MIB);
    default:
        return 1 + rng_below(rng_at(9, 2, n), 60000);
    }
}

static void check_extent(const struct region *region, const struct extent *e)
{
    const unsigned char *at = region_at(region, e->offset);

    for (uint64_t i = 0; i < e->bytes; i += 509)
        assert_int_equal(at[i], e->mark);
    assert_int_equal(at[e->bytes - 1], e->mark);
}

/* Random allocations against a plain list: zero, whole, never overlapping (each keeps
 * its mark), counted exactly; opened again now and then. */
static void random_operations(struct region *region, int operations)
{
    static struct extent extent[128];
    uint64_t used = REGION_PAGE;
    struct err err;
    uint32_t n = 0;

    for (int i = 0; i < operations; i++) {
        if (n == 128 || (n && rng_at(9, 3, (uint64_t)i) % 5 < 2)) {
            uint32_t victim = (uint32_t)rng_below(rng_at(9, 4, (uint64_t)i), n);

            check_extent(region, &extent[victim]);
            region_free(region, extent[victim].offset, extent[victim].bytes);
            used -= (extent[victim].bytes + 4095) / 4096 * 4096;
            extent[victim] = extent[--n];
        } else {
            struct extent e = {.bytes = random_bytes((uint64_t)i),
                               .mark = (unsigned char)(1 + i % 255)};

            e.offset = region_alloc(region, e.bytes);
            assert_true(e.offset);
            assert_true(e.bytes <= 511 * 4096 || e.offset % REGION_CHUNK == 0);
            assert_true(
                all_zero(region_at(region, e.offset), (e.bytes + 4095) / 4096 * 4096));
            memset(region_at(region, e.offset), e.mark, e.bytes);
            used += (e.bytes + 4095) / 4096 * 4096;
            extent[n++] = e;
        }
        if (i % 64 == 0)
            assert_int_equal(region_open(region, &err), 0);
        assert_int_equal(region_used(region), used);
    }
    while (n) {
        check_extent(region, &extent[--n]);
        region_free(region, extent[n].offset, extent[n].bytes);
    }
    assert_int_equal(region_used(region), REGION_PAGE);
}

static void test_random_private(void **state)
{
    struct region region = fresh(2048ull * MIB, 1024ull * MIB);

    (void)state;
    random_operations(&region, 600);
    unmap(&region);
}

static void test_random_shared_without_fd(void **state)
{
    struct region region = map_region(2048ull * MIB, 1024ull * MIB,
                                      MAP_SHARED | MAP_ANONYMOUS);
    struct err err;

    (void)state;
    assert_int_equal(region_format(&region, &err), 0);
    random_operations(&region, 400);
    unmap(&region);
}

static uint64_t memfd_bytes(int fd)
{
    struct stat status;

    assert_int_equal(fstat(fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

/* What is freed goes back to the operating system, so that what the memfd takes is what
 * is counted, and a little book-keeping. */
static void test_random_memfd(void **state)
{
    int fd = memfd(2048ull * MIB);
    struct region region = {.base = map_fd(fd, 2048ull * MIB),
                            .size = 2048ull * MIB,
                            .bytes_max = 1024ull * MIB,
                            .fd = fd};
    struct err err;

    (void)state;
    assert_int_equal(region_format(&region, &err), 0);
    random_operations(&region, 400);
    assert_true(memfd_bytes(fd) <= region_used(&region) + 40 * REGION_PAGE);
    unmap(&region);
    close(fd);
}

static uint64_t resident_bytes(void)
{
    unsigned long long size, pages;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu %llu", &size, &pages), 2);
    fclose(file);
    return pages * 4096;
}

static void test_private_memory_goes_back(void **state)
{
    struct region region = fresh(128 * MIB, 128 * MIB);
    uint64_t large = region_alloc(&region, 40 * MIB), small[40], full, now;

    (void)state;
    memset(region_at(&region, large), 1, 40 * MIB);
    for (int i = 0; i < 40; i++) {
        small[i] = region_alloc(&region, MIB / 2);
        memset(region_at(&region, small[i]), 1, MIB / 2);
    }
    full = resident_bytes();
    region_free(&region, large, 40 * MIB);
    now = resident_bytes();
    assert_true(full - now > 39 * MIB && full - now < 41 * MIB);
    for (int i = 0; i < 40; i += 2)
        region_free(&region, small[i], MIB / 2);
    assert_true(now - resident_bytes() > 9 * MIB);
    unmap(&region);
}

/* --- other mappings, other processes --------------------------------------------- */

/* What one process wrote, another finds at another address, and goes on. */
static void test_other_process(void **state)
{
    int fd = memfd(64 * MIB), status;
    struct region first = {.base = map_fd(fd, 64 * MIB),
                           .size = 64 * MIB,
                           .bytes_max = 32 * MIB,
                           .fd = fd};
    struct region second = first;
    uint64_t offset, *list;
    struct err err;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        if (region_format(&first, &err))
            _exit(1);
        offset = region_alloc(&first, 3 * MIB);
        list = region_at(&first, offset);
        list[0] = region_alloc(&first, 10000);
        strcpy(region_at(&first, list[0]), "left by another process");
        region_set_root(&first, 5, offset);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    second.base = map_fd(fd, 64 * MIB);
    assert_ptr_not_equal(second.base, first.base);
    assert_int_equal(region_open(&second, &err), 0);
    assert_int_equal(region_used(&second), REGION_PAGE + 3 * MIB + 3 * REGION_PAGE);
    list = region_at(&second, region_root(&second, 5));
    assert_string_equal(region_at(&second, list[0]), "left by another process");
    offset = region_alloc(&second, 3 * MIB);
    assert_true(offset && offset != region_root(&second, 5));
    strcpy(region_at(&second, offset), "and seen by the first");
    assert_string_equal(region_at(&first, offset), "and seen by the first");
    unmap(&first);
    unmap(&second);
    close(fd);
}

/* Allocates and frees for ever; what it holds has its mark. */
static void churn(struct region *region, uint64_t seed)
{
    uint64_t offset[16] = {0}, bytes[16];

    for (uint64_t i = 0;; i++) {
        uint64_t at = rng_at(seed, 1, i) % 16;

        if (offset[at]) {
            memset(region_at(region, offset[at]), 0, 8);
            region_free(region, offset[at], bytes[at]);
        }
        bytes[at] = random_bytes(seed + i) / 4 + 1;
        offset[at] = region_alloc(region, bytes[at]);
        if (!offset[at])
            _exit(1);
        memset(region_at(region, offset[at]), 0xee, bytes[at]);
    }
}

/* Killed anywhere, a region opens, and hands out all that is left, zero and only once.
 */
static void test_killed(void **state)
{
    struct region region = map_region(256 * MIB, 160 * MIB, MAP_SHARED | MAP_ANONYMOUS);
    uint64_t used, got = 0, at;
    struct err err;

    (void)state;
    assert_int_equal(region_format(&region, &err), 0);
    for (uint64_t round = 0; round < 12; round++) {
        pid_t child = fork();
        int status;

        if (child == 0)
            churn(&region, round);
        usleep(1000 + (useconds_t)(rng_at(5, 5, round) % 15000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(region_open(&region, &err), 0);
    }
    used = region_used(&region);
    assert_true(used < 120ull * MIB);
    while ((at = region_alloc(&region, 20000))) {
        unsigned char *page = region_at(&region, at);

        for (int i = 0; i < 5; i++) {
            assert_true(page[i * 4096] == 0 && page[i * 4096 + 4095] == 0);
            page[i * 4096] = 1;
        }
        got += 5 * REGION_PAGE;
        assert_int_equal(region_used(&region), used + got);
    }
    assert_true(used + got + 5 * REGION_PAGE > region.bytes_max);
    unmap(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_and_open),
        cmocka_unit_test(test_refuses_what_is_no_region),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_large_header),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_neighbours_join),
        cmocka_unit_test(test_random_private),
        cmocka_unit_test(test_random_shared_without_fd),
        cmocka_unit_test(test_random_memfd),
        cmocka_unit_test(test_private_memory_goes_back),
        cmocka_unit_test(test_other_process),
        cmocka_unit_test(test_killed),
    };

    return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
