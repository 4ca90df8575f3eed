/* For `make lint` only, included in front of every file: says in C what err_set() and
 * its kin do, so that the analyzer knows that a function that ends in one of them has
 * failed, and does not follow it as if it had not. */
#ifndef ROWHOUSE_TESTS_TOOLS_ANALYZER_H
#define ROWHOUSE_TESTS_TOOLS_ANALYZER_H

#include "common/err.h"

int analyzer_reads(const char *format, ...);

#define err_set(err, code_, ...)                                                       \
    ((err)->code = (code_), analyzer_reads(__VA_ARGS__), -(code_))
#define err_system(err, ...)                                                           \
    ((err)->code = ERR_SYSTEM, analyzer_reads(__VA_ARGS__), -ERR_SYSTEM)

#endif
