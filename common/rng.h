/* Hashing and random numbers without state: a value depends only on its
 * arguments, so a row's first value is the same whoever asks for it first. */
#ifndef ROWHOUSE_COMMON_RNG_H
#define ROWHOUSE_COMMON_RNG_H

#include <stdint.h>

/* Finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64 bits. */
static inline uint64_t mix64(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    x ^= x >> 31;
    return x;
}

/* Hash of a key within a table: which slot and which index bucket it has. */
static inline uint64_t key_hash(uint32_t table, uint64_t key)
{
    return mix64(key + (table + 1) * 0x9e3779b97f4a7c15u);
}

/* Number `n` of the stream `stream` of `seed`: 64 uniform bits. */
static inline uint64_t rng_at(uint64_t seed, uint64_t stream, uint64_t n)
{
    return mix64(mix64(mix64(seed + 0x9e3779b97f4a7c15u) ^ stream) +
                 (n + 1) * 0x9e3779b97f4a7c15u);
}

/* Uniform in [0, 1) from 64 random bits. */
static inline double rng_unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1.0p-53;
}

/* Uniform in [0, bound) from 64 random bits; bound > 0 (Lemire 2019, without the
 * rejection: a bias below 2^-32 for bounds below 2^32). */
static inline uint64_t rng_below(uint64_t bits, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)bits * bound) >> 64);
}

#endif
