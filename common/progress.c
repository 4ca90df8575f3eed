#include "common/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"

enum { BAR_MAX = 20, BAR_MIN = 5, COLUMNS_DEFAULT = 80, PIECE_MAX = 64 };

#define CLEAR_TO_LINE_END "\x1b[K"

char *progress_format_count(double count, char *out, size_t size)
{
    static const char *const unit[] = {"", " k", " M", " G", " T"};
    int step = 0;

    if (!(count >= 0) || isinf(count)) {
        snprintf(out, size, "?");
        return out;
    }
    /* 999.5 would be rounded to four digits */
    while (count >= 999.5 && step < 4) {
        count /= 1000;
        step++;
    }
    if (step == 0)
        snprintf(out, size, "%.0f", count);
    else
        snprintf(out, size, "%.*f%s",
                 count < 9.995   ? 2
                 : count < 99.95 ? 1
                                 : 0,
                 count, unit[step]);
    return out;
}

char *progress_format_time(double seconds, char *out, size_t size)
{
    uint64_t s;

    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(out, size, "?");
        return out;
    }
    s = (uint64_t)(seconds + 0.5);
    if (s < 3600)
        snprintf(out, size, "%u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
    else
        snprintf(out, size, "%u:%02u:%02u", (unsigned)(s / 3600),
                 (unsigned)(s / 60 % 60), (unsigned)(s % 60));
    return out;
}

static void format_loss(double loss, char *out, size_t size)
{
    snprintf(out, size, fabs(loss) < 1e5 ? "  loss %.4f" : "  loss %.4g", loss);
}

static void format_rate(double rate, char *out, size_t size)
{
    char count[PIECE_MAX];

    snprintf(out, size, "  %s examples/s",
             progress_format_count(rate, count, sizeof count));
}

char *progress_format_epoch(uint32_t epoch, uint32_t epochs, double loss, double rate,
                            double seconds, char *out, size_t size)
{
    char loss_text[PIECE_MAX], rate_text[PIECE_MAX];

    format_loss(loss, loss_text, sizeof loss_text);
    format_rate(rate, rate_text, sizeof rate_text);
    snprintf(out, size, "epoch %u/%u%s%s  %.*f s", epoch, epochs, loss_text, rate_text,
             seconds > 0 && seconds < 0.1 ? 3 : 1, seconds);
    return out;
}

/* "[####----]" with room for `width` in the middle; done <= total. */
static void format_scale(double share, uint32_t width, char *out)
{
    uint32_t full = (uint32_t)(share * width);

    out[0] = ' ';
    out[1] = '[';
    memset(out + 2, '#', full);
    memset(out + 2 + full, '-', width - full);
    memcpy(out + 2 + width, "]", 2);
}

char *progress_format_bar(const struct progress_state *state, uint32_t columns,
                          char *out, size_t size)
{
    enum { HEAD, SCALE, PERCENT, LOSS, RATE, LEFT, PIECES };
    char piece[PIECES][PIECE_MAX] = {{0}}, time[PIECE_MAX];
    double share = state->total ? (double)state->done / (double)state->total : 0;
    size_t room = columns < size - 1 ? columns : size - 1, used = 0, all = 3;

    if (share > 1)
        share = 1;
    snprintf(piece[HEAD], PIECE_MAX, "epoch %u/%u", state->epoch, state->epochs);
    snprintf(piece[PERCENT], PIECE_MAX, " %3d %%", (int)(share * 100));
    if (state->done > 0) {
        format_loss(state->loss, piece[LOSS], PIECE_MAX);
        format_rate(state->rate, piece[RATE], PIECE_MAX);
    }
    if (state->seconds_left >= 0)
        snprintf(piece[LEFT], PIECE_MAX, "  %s left",
                 progress_format_time(state->seconds_left, time, sizeof time));
    for (int i = 0; i < PIECES; i++)
        all += strlen(piece[i]);
    if (all + BAR_MIN <= room)
        format_scale(share, (uint32_t)(room - all < BAR_MAX ? room - all : BAR_MAX),
                     piece[SCALE]);
    out[0] = '\0';
    for (int i = 0; i < PIECES && used + strlen(piece[i]) <= room; i++) {
        memcpy(out + used, piece[i], strlen(piece[i]) + 1);
        used += strlen(piece[i]);
    }
    return out;
}

void progress_init(struct progress *progress, int fd, bool terminal, bool quiet,
                   uint32_t epochs)
{
    *progress = (struct progress){
        .fd = fd, .terminal = terminal, .quiet = quiet, .epochs = epochs};
}

/* Writes a text (printf style) at once. */
__attribute__((format(printf, 2, 3))) static void put(const struct progress *progress,
                                                      const char *format, ...)
{
    char text[PROGRESS_LINE_MAX + 16];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < sizeof text && write(progress->fd, text, (size_t)n) < 0)
        return; /* nobody reads it */
}

/* The terminal's width without its last column, where some terminals wrap. */
static uint32_t columns_of(int fd)
{
    struct winsize size;

    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
        return size.ws_col - 1u;
    return COLUMNS_DEFAULT - 1;
}

void progress_update(struct progress *progress, uint32_t epoch, uint64_t done,
                     uint64_t total, double loss, double rate, double seconds_left)
{
    struct progress_state state = {epoch, progress->epochs, done, total, loss,
                                   rate,  seconds_left};
    char line[PROGRESS_LINE_MAX];
    int64_t now = clock_ms();

    if (progress->quiet || !progress->terminal || now < progress->next_ms)
        return;
    progress->next_ms = now + PROGRESS_PERIOD_MS;
    progress->drawn = true;
    put(progress, "\r%s" CLEAR_TO_LINE_END,
        progress_format_bar(&state, columns_of(progress->fd), line, sizeof line));
}

void progress_epoch_done(struct progress *progress, uint32_t epoch, double loss,
                         double rate, double seconds, const char *more)
{
    char line[PROGRESS_LINE_MAX];

    if (progress->quiet || (progress->terminal && epoch < progress->epochs && !more[0]))
        return;
    progress_clear(progress);
    progress_format_epoch(epoch, progress->epochs, loss, rate, seconds, line,
                          sizeof line);
    put(progress, "%s%s\n", line, more);
}

void progress_clear(struct progress *progress)
{
    if (!progress->drawn)
        return;
    put(progress, "\r" CLEAR_TO_LINE_END);
    progress->drawn = false;
    progress->next_ms = 0;
}
