#include "common/cpu.h"
#include "worker/stream/text/fields_kernels.h"

#include <string.h>

const struct split_kernels *split_kernels(void)
{
    static const struct split_kernels *const levels[] = {[CPU_V2] = &split_kernels_v2,
                                                         [CPU_V3] = &split_kernels_v3,
                                                         [CPU_V4] = &split_kernels_v4};

    return levels[cpu_level()];
}

/* Bytes of the character of UTF-8 at text[0..length), 0 if there is none. */
static size_t character(const unsigned char *text, size_t length)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = text[0] < 0x80             ? 1
                   : (text[0] & 0xe0) == 0xc0 ? 2
                   : (text[0] & 0xf0) == 0xe0 ? 3
                   : (text[0] & 0xf8) == 0xf0 ? 4
                                              : 0;
    uint32_t code;

    if (bytes <= 1 || bytes > length)
        return bytes == 1 && text[0] ? 1 : 0;
    code = text[0] & (0x7fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3fu);
    }
    return code < least[bytes] || code > 0x10ffff || code >> 11 == 0x1b ? 0 : bytes;
}

/* Are eight bytes ASCII and none NUL? */
static bool plain_eight(const char *text)
{
    uint64_t word;

    memcpy(&word, text, sizeof word);
    return ((word | (word - 0x0101010101010101u)) & 0x8080808080808080u) == 0;
}

size_t text_bad_byte(const char *text, size_t length, bool latin1)
{
    const char *nul;
    size_t at = 0, bytes;

    if (latin1) {
        nul = memchr(text, '\0', length);
        return nul ? (size_t)(nul - text) : length;
    }
    while (at < length) {
        if (length - at >= 8 && plain_eight(text + at)) {
            at += 8;
            continue;
        }
        bytes = character((const unsigned char *)text + at, length - at);
        if (bytes == 0)
            return at;
        at += bytes;
    }
    return length;
}
