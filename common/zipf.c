#include "common/zipf.h"

#include <string.h>

#include "common/rng.h"

/* --- logarithm and exponential, of + - * / only: exact to about 1e-15 ---------------
 */

static double bits_to_double(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* x is positive and normal. The series of artanh around 1. */
static double natural_log(double x)
{
    static const double series[] = {1 / 19.0, 1 / 17.0, 1 / 15.0, 1 / 13.0, 1 / 11.0,
                                    1 / 9.0,  1 / 7.0,  1 / 5.0,  1 / 3.0,  1};
    const double ln2 = 0.693147180559945309;
    uint64_t bits;
    int exponent;
    double m, t, tt, sum = 0;

    memcpy(&bits, &x, sizeof bits);
    exponent = (int)(bits >> 52) - 1023;
    m = bits_to_double((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent++;
    }
    t = (m - 1) / (m + 1);
    tt = t * t;
    for (int i = 0; i < 10; i++)
        sum = sum * tt + series[i];
    return exponent * ln2 + 2 * t * sum;
}

/* 2^(i / 16) */
static const double power[] = {
    0x1.0000000000000p+0, 0x1.0b5586cf9890fp+0, 0x1.172b83c7d517bp+0,
    0x1.2387a6e756238p+0, 0x1.306fe0a31b715p+0, 0x1.3dea64c123422p+0,
    0x1.4bfdad5362a27p+0, 0x1.5ab07dd485429p+0, 0x1.6a09e667f3bcdp+0,
    0x1.7a11473eb0187p+0, 0x1.8ace5422aa0dbp+0, 0x1.9c49182a3f090p+0,
    0x1.ae89f995ad3adp+0, 0x1.c199bdd85529cp+0, 0x1.d5818dcfba487p+0,
    0x1.ea4afa2a490dap+0};

/* x from -700 to 700: 2^n * 2^(i / 16) * e^rest. */
static double natural_exp(double x)
{
    static const double series[] = {1 / 720.0, 1 / 120.0, 1 / 24.0, 1 / 6.0,
                                    1 / 2.0,   1,         1};
    /* ln 2 / 16 in two parts, the first of which has no low bits. */
    const double high = 0x1.62e42fefa0000p-5, low = 0x1.cf79abc9e3b39p-44;
    double sixteenths = x * (16 * 1.44269504088896341), rest, sum = 0;
    int n = (int)(sixteenths < 0 ? sixteenths - 0.5 : sixteenths + 0.5);

    rest = x - n * high - n * low;
    for (int i = 0; i < 7; i++)
        sum = sum * rest + series[i];
    return sum * power[n & 15] *
           bits_to_double((uint64_t)(1023 + ((n - (n & 15)) >> 4)) << 52);
}

/* --- the curve x^-exponent, the area under it, and back ------------------------------
 */

static double curve(const struct zipf *zipf, double x)
{
    return natural_exp(-zipf->exponent * natural_log(x));
}

static double area(const struct zipf *zipf, double x)
{
    double log = natural_log(x);

    return zipf->rest == 0 ? log : (natural_exp(zipf->rest * log) - 1) / zipf->rest;
}

static double area_inverse(const struct zipf *zipf, double area)
{
    double scaled = zipf->rest * area + 1;

    if (zipf->rest == 0)
        return natural_exp(area);
    /* Beyond the end of the curve, by rounding. */
    return scaled < 1e-300 ? 1e300 : natural_exp(natural_log(scaled) / zipf->rest);
}

void zipf_init(struct zipf *zipf, uint64_t ranks, double exponent)
{
    double rest = 1 - exponent;

    *zipf = (struct zipf){.ranks = ranks, .exponent = exponent};
    /* So near to 1 the difference of two numbers that are almost equal would have lost
     * more digits than the exponent is off. */
    zipf->rest = rest < 1e-6 && rest > -1e-6 ? 0 : rest;
    zipf->least = area(zipf, 1.5) - 1;
    zipf->most = area(zipf, (double)ranks + 0.5);
    zipf->sure = 2 - area_inverse(zipf, area(zipf, 2.5) - curve(zipf, 2));
}

uint64_t zipf_draw(const struct zipf *zipf, uint64_t bits)
{
    for (;;) {
        double under = zipf->most + rng_unit(bits) * (zipf->least - zipf->most);
        double x = area_inverse(zipf, under), rank;
        uint64_t nearest = x < (double)zipf->ranks ? (uint64_t)(x + 0.5) : zipf->ranks;

        if (nearest < 1)
            nearest = 1;
        rank = (double)nearest;
        if (rank - x <= zipf->sure ||
            under >= area(zipf, rank + 0.5) - curve(zipf, rank))
            return nearest - 1;
        bits = mix64(bits + 0x9e3779b97f4a7c15u);
    }
}

/* The sum of the weights of the `n` first ranks: one by one, then by Euler and
 * Maclaurin. */
static double weights(const struct zipf *zipf, uint64_t n)
{
    const uint64_t exact = 1000;
    uint64_t stop = n < exact ? n : exact;
    double sum = 0, first, last;

    for (uint64_t r = 1; r <= stop; r++)
        sum += curve(zipf, (double)r);
    if (n == stop)
        return sum;
    first = curve(zipf, (double)stop);
    last = curve(zipf, (double)n);
    return sum + area(zipf, (double)n) - area(zipf, (double)stop) + (last - first) / 2 +
           zipf->exponent * (first / (double)stop - last / (double)n) / 12;
}

double zipf_share(const struct zipf *zipf, uint64_t hot)
{
    return weights(zipf, hot) / weights(zipf, zipf->ranks);
}
