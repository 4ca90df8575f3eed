/* Lines of plain, gzip, Zstandard and LZ4 files, and what can be wrong with them. */
#include "tests/unit/scratch.h"

#include <fcntl.h>
#include <lz4frame.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zlib.h>
#include <zstd.h>

#include "common/rng.h"
#include "common/textfile.h"

enum { PACKED_MAX = 4 << 20 };

/* Bytes that a test puts together. */
struct bytes {
    unsigned char *at;
    size_t size;
};

static void bytes_init(struct bytes *bytes)
{
    bytes->at = malloc(PACKED_MAX);
    bytes->size = 0;
    assert_non_null(bytes->at);
}

static void bytes_add(struct bytes *bytes, const void *more, size_t size)
{
    assert_true(bytes->size + size <= PACKED_MAX);
    memcpy(bytes->at + bytes->size, more, size);
    bytes->size += size;
}

static void add_gzip(struct bytes *bytes, const char *text, size_t size)
{
    z_stream stream = {0};

    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, 0), Z_OK);
    stream.next_in = (unsigned char *)(uintptr_t)text;
    stream.avail_in = (uInt)size;
    stream.next_out = bytes->at + bytes->size;
    stream.avail_out = (uInt)(PACKED_MAX - bytes->size);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    bytes->size = PACKED_MAX - stream.avail_out;
    deflateEnd(&stream);
}

static void add_zstd(struct bytes *bytes, const char *text, size_t size)
{
    size_t packed = ZSTD_compress(bytes->at + bytes->size, PACKED_MAX - bytes->size,
                                  text, size, 3);

    assert_false(ZSTD_isError(packed));
    bytes->size += packed;
}

static void add_lz4(struct bytes *bytes, const char *text, size_t size)
{
    LZ4F_preferences_t sums = {
        .frameInfo = {.contentChecksumFlag = LZ4F_contentChecksumEnabled}};
    size_t packed = LZ4F_compressFrame(bytes->at + bytes->size,
                                       PACKED_MAX - bytes->size, text, size, &sums);

    assert_false(LZ4F_isError(packed));
    bytes->size += packed;
}

static int read_all(const char *path, struct bytes *lines, struct err *err)
{
    struct textfile *file;
    uint64_t number = 0;
    size_t length;
    char *line;
    int rc = textfile_open(path, &file, err);

    if (rc)
        return rc;
    assert_string_equal(textfile_path(file), path);
    while ((rc = textfile_next(file, &line, &length, err)) > 0) {
        assert_int_equal(textfile_line(file), ++number);
        assert_int_equal(line[length], '\0');
        bytes_add(lines, line, length);
        bytes_add(lines, "|", 1);
        memset(line, '#', length + 1); /* callers may change it */
    }
    if (rc == 0) /* the end stays the end */
        assert_int_equal(textfile_next(file, &line, &length, err), 0);
    textfile_close(file);
    return rc;
}

static void expect_lines(const char *path, const char *expected)
{
    struct bytes lines;
    struct err err = {0};

    bytes_init(&lines);
    if (read_all(path, &lines, &err))
        fail_msg("%s", err.text);
    assert_int_equal(lines.size, strlen(expected));
    assert_memory_equal(lines.at, expected, lines.size);
    free(lines.at);
}

static void expect_error(const char *path, int code, const char *sentence)
{
    struct bytes lines;
    struct err err = {0};

    bytes_init(&lines);
    assert_int_equal(read_all(path, &lines, &err), -code);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, sentence) || !strstr(err.text, path))
        fail_msg("'%s' has no '%s'", err.text, sentence);
    free(lines.at);
}

static void test_plain_lines(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"\n", "|"},
        {"a", "a|"},
        {"a\n", "a|"},
        {"a\r\n", "a|"},
        {"a\r", "a|"},
        {"a\nb", "a|b|"},
        {"a\r\n\r\nb\r\n", "a||b|"},
        {"a\rb\n", "a\rb|"},
        {"a\r\r\n", "a\r|"},
        {"\n\n\n", "|||"},
        {"\x1f", "\x1f|"},
        {"\x28\xb5\x2f", "\x28\xb5\x2f|"},
        {"abc\ndefg", "abc|defg|"},
        {"abcdefghij", "abcdefghij|"},
    };
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_lines(scratch_text(&scratch, "plain.tsv", cases[i][0]), cases[i][1]);
    scratch_release(&scratch);
}

/* Text of `lines` lines of many lengths, and what reading it must give. */
static void many_lines(struct bytes *text, struct bytes *expected, int lines)
{
    char line[600];

    bytes_init(text);
    bytes_init(expected);
    for (int i = 0; i < lines; i++) {
        size_t length = rng_below(rng_at(1, 1, (uint64_t)i), sizeof line);

        for (size_t c = 0; c < length; c++)
            line[c] = (char)('a' + rng_below(rng_at(2, (uint64_t)i, c), 26));
        bytes_add(text, line, length);
        bytes_add(text, i % 3 ? "\n" : "\r\n", i % 3 ? 1 : 2);
        bytes_add(expected, line, length);
        bytes_add(expected, "|", 1);
    }
    bytes_add(text, "last", 4);
    bytes_add(expected, "last|", 5);
    expected->at[expected->size] = '\0';
}

/* Several times the buffer, in all forms, in one piece and in several. */
static void test_long_files_of_each_kind(void **state)
{
    struct bytes text, expected, packed;
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    bytes_init(&packed);
    many_lines(&text, &expected, 4000);
    assert_true(text.size > 1 << 20);
    const char *bytes = (const char *)text.at, *lines = (const char *)expected.at;
    const size_t cut[] = {0, 1, 400000, 400000, text.size};

    expect_lines(scratch_write(&scratch, "a.tsv", bytes, text.size), lines);
    add_gzip(&packed, bytes, text.size);
    expect_lines(scratch_write(&scratch, "b.tsv", packed.at, packed.size), lines);
    packed.size = 0;
    add_zstd(&packed, bytes, text.size);
    expect_lines(scratch_write(&scratch, "c.gz", packed.at, packed.size), lines);
    packed.size = 0;
    for (int i = 0; i < 4; i++)
        add_gzip(&packed, bytes + cut[i], cut[i + 1] - cut[i]);
    bytes_add(&packed, "\0\0\0\0\0", 5); /* padding */
    expect_lines(scratch_write(&scratch, "d.gz", packed.at, packed.size), lines);
    packed.size = 0;
    bytes_add(&packed, "\x50\x2a\x4d\x18\x03\0\0\0xyz", 11); /* a skippable frame */
    for (int i = 0; i < 4; i++)
        add_zstd(&packed, bytes + cut[i], cut[i + 1] - cut[i]);
    expect_lines(scratch_write(&scratch, "e.zst", packed.at, packed.size), lines);
    packed.size = 0;
    for (int i = 0; i < 4; i++)
        add_lz4(&packed, bytes + cut[i], cut[i + 1] - cut[i]);
    expect_lines(scratch_write(&scratch, "f.lz4", packed.at, packed.size), lines);
    free(text.at);
    free(expected.at);
    free(packed.at);
    scratch_release(&scratch);
}

/* A packed file that is cut anywhere is an error, except between pieces. */
static void cut_everywhere(const struct bytes *packed, size_t piece, const char *name)
{
    struct scratch scratch;

    scratch_init(&scratch);
    for (size_t size = 4; size < packed->size; size++) {
        scratch_write(&scratch, name, packed->at, size);
        if (size == piece)
            expect_lines(scratch.path, "one|two|");
        else
            expect_error(scratch.path, ERR_INPUT, "is truncated");
    }
    scratch_release(&scratch);
}

static void test_truncated_files(void **state)
{
    struct bytes packed;
    struct scratch scratch;
    size_t piece;

    (void)state;
    bytes_init(&packed);
    add_gzip(&packed, "one\ntwo\n", 8);
    piece = packed.size;
    add_gzip(&packed, "three\n", 6);
    cut_everywhere(&packed, piece, "a.gz");
    scratch_init(&scratch);
    for (size_t size = 2; size < 4; size++)
        expect_error(scratch_write(&scratch, "a.gz", packed.at, size), ERR_INPUT,
                     "a.gz is truncated");
    scratch_release(&scratch);
    packed.size = 0;
    add_zstd(&packed, "one\ntwo\n", 8);
    piece = packed.size;
    add_zstd(&packed, "three\n", 6);
    cut_everywhere(&packed, piece, "a.zst");
    packed.size = 0;
    add_lz4(&packed, "one\ntwo\n", 8);
    piece = packed.size;
    add_lz4(&packed, "three\n", 6);
    cut_everywhere(&packed, piece, "a.lz4");
    free(packed.at);
}

static void test_truncated_long_files(void **state)
{
    struct bytes text, expected, packed;
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    bytes_init(&packed);
    many_lines(&text, &expected, 4000);
    add_gzip(&packed, (char *)text.at, text.size);
    scratch_write(&scratch, "a.gz", packed.at, packed.size - 1000);
    expect_error(scratch.path, ERR_INPUT, "a.gz is truncated");
    packed.size = 0;
    add_zstd(&packed, (char *)text.at, text.size);
    scratch_write(&scratch, "a.zst", packed.at, packed.size - 1000);
    expect_error(scratch.path, ERR_INPUT, "a.zst is truncated");
    free(text.at);
    free(expected.at);
    free(packed.at);
    scratch_release(&scratch);
}

static void test_damaged_files(void **state)
{
    struct bytes packed;
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    bytes_init(&packed);
    add_gzip(&packed, "one\ntwo\n", 8);
    packed.at[packed.size - 6] ^= 1; /* its checksum */
    scratch_write(&scratch, "sum.gz", packed.at, packed.size);
    expect_error(scratch.path, ERR_INPUT, "sum.gz is damaged: incorrect data check");
    packed.at[packed.size - 6] ^= 1;
    bytes_add(&packed, "more", 4);
    scratch_write(&scratch, "more.gz", packed.at, packed.size);
    expect_error(scratch.path, ERR_INPUT, "more.gz is damaged: incorrect header check");
    memcpy(packed.at + packed.size - 4, "\0\0x", 4);
    scratch_write(&scratch, "zeros.gz", packed.at, packed.size);
    expect_error(scratch.path, ERR_INPUT, "bytes after the end of the gzip data");
    packed.size = 0;
    add_zstd(&packed, "one\ntwo\n", 8);
    bytes_add(&packed, "more", 4);
    scratch_write(&scratch, "more.zst", packed.at, packed.size);
    expect_error(scratch.path, ERR_INPUT, "more.zst is damaged or of an unknown kind");
    packed.size = 0;
    add_lz4(&packed, "one\ntwo\n", 8);
    packed.at[packed.size - 1] ^= 1; /* its checksum */
    scratch_write(&scratch, "sum.lz4", packed.at, packed.size);
    expect_error(scratch.path, ERR_INPUT, "sum.lz4 is damaged or of an unknown kind");
    free(packed.at);
    scratch_release(&scratch);
}

static void test_what_cannot_be_opened(void **state)
{
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    expect_error(scratch_path(&scratch, "none.tsv"), ERR_INPUT,
                 "none.tsv: no such file");
    scratch_text(&scratch, "file", "a\n");
    expect_error(scratch_path(&scratch, "file/none"), ERR_INPUT, "no such file");
    assert_int_equal(mkdir(scratch_path(&scratch, "dir"), 0700), 0);
    expect_error(scratch.path, ERR_INPUT, "dir is a directory");
    assert_int_equal(symlink("loop", scratch_path(&scratch, "loop")), 0);
    expect_error(scratch.path, ERR_SYSTEM, "loop: cannot be opened: Too many levels");
    expect_error("/proc/self/mem", ERR_SYSTEM, "/proc/self/mem: cannot read: ");
    scratch_release(&scratch);
}

static void test_longest_line(void **state)
{
    char *text = malloc(TEXTFILE_LINE_MAX + 16);
    struct scratch scratch;

    (void)state;
    assert_non_null(text);
    scratch_init(&scratch);
    memset(text, 'x', TEXTFILE_LINE_MAX + 16);
    for (int ends = 0; ends < 3; ends++) { /* "", "\n", "\r\n" */
        struct textfile *file;
        struct err err;
        size_t length;
        char *line;

        memcpy(text, "first\n", 6);
        memcpy(text + 6 + TEXTFILE_LINE_MAX, ends == 2 ? "\r\n" : "\n", 2);
        scratch_write(&scratch, "long.tsv", text, 6 + TEXTFILE_LINE_MAX + (size_t)ends);
        assert_int_equal(textfile_open(scratch.path, &file, &err), 0);
        assert_int_equal(textfile_next(file, &line, &length, &err), 1);
        assert_int_equal(textfile_next(file, &line, &length, &err), 1);
        assert_int_equal(length, TEXTFILE_LINE_MAX);
        assert_int_equal(textfile_next(file, &line, &length, &err), 0);
        textfile_close(file);
        memset(text + 6 + TEXTFILE_LINE_MAX, 'x', 10);
    }
    text[6 + TEXTFILE_LINE_MAX + 1] = '\n';
    for (size_t more = 1; more < 10; more += 4) {
        scratch_write(&scratch, "long.tsv", text, 6 + TEXTFILE_LINE_MAX + more);
        expect_error(scratch.path, ERR_INPUT, "long.tsv line 2: longer than 1048576");
    }
    free(text);
    scratch_release(&scratch);
}

static void test_nul_bytes_are_no_text(void **state)
{
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    scratch_write(&scratch, "utf16.tsv", "a\nb\nc\0d\n", 8);
    expect_error(scratch.path, ERR_INPUT, "utf16.tsv line 3: a NUL byte");
    scratch_release(&scratch);
}

/* A pipe gives its bytes in small pieces. */
static void test_pipes(void **state)
{
    struct bytes packed;
    struct scratch scratch;
    int status;
    pid_t child;

    (void)state;
    scratch_init(&scratch);
    bytes_init(&packed);
    add_gzip(&packed, "one\ntwo\n", 8);
    assert_int_equal(mkfifo(scratch_path(&scratch, "pipe"), 0600), 0);
    child = fork();
    if (child == 0) {
        int fd = open(scratch.path, O_WRONLY);

        for (size_t i = 0; i < packed.size; i++) {
            if (write(fd, packed.at + i, 1) != 1)
                _exit(1);
            if (i < 8)
                usleep(1000);
        }
        _exit(0);
    }
    expect_lines(scratch.path, "one|two|");
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    free(packed.at);
    scratch_release(&scratch);
}

static void test_close_of_nothing(void **state)
{
    (void)state;
    textfile_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_lines),
        cmocka_unit_test(test_long_files_of_each_kind),
        cmocka_unit_test(test_truncated_files),
        cmocka_unit_test(test_truncated_long_files),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_what_cannot_be_opened),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_nul_bytes_are_no_text),
        cmocka_unit_test(test_pipes),
        cmocka_unit_test(test_close_of_nothing),
    };

    return cmocka_run_group_tests_name("textfile", tests, NULL, NULL);
}
