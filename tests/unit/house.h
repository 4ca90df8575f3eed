/* A small table of settings to test the engine with. */
#ifndef ROWHOUSE_TESTS_UNIT_HOUSE_H
#define ROWHOUSE_TESTS_UNIT_HOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/settings.h"

struct shelf {
    char name[16];
    int64_t width;
    int colour, roof;
    int64_t rooms;
    double height;
};

struct house {
    int64_t rooms;
    double height, area, slope;
    bool garden;
    char owner[12];
    char street[8];
    int roof;
    char guests[24];
    int64_t water;
    double rest;
    double paint;
    int paint_unit;
    char network[20];
    char keys[16];
    struct shelf shelf[3];
    int shelves;
    struct shelf old[2];
    int olds;
};

#define AT(field)                                                                      \
    .offset = offsetof(struct house, field), .size = sizeof(((struct house *)0)->field)
#define IN(field)                                                                      \
    .offset = offsetof(struct shelf, field), .size = sizeof(((struct shelf *)0)->field)

static const struct setting rows[] = {
    {"owner", SETTING_TEXT, AT(owner), .preset = "nobody", .doc = "Who."},
    {"plan.rooms", SETTING_INTEGER, AT(rooms), .min = -3, .max = 1e6, .preset = "4",
     .unit = "rooms", .doc = "How many."},
    {"plan.height", SETTING_REAL, AT(height), .min = 0, .max = 10, .preset = "2.5",
     .doc = "How high."},
    {"plan.area", SETTING_REAL, AT(area), .min = 0, .max = 1e300, .preset = "0",
     .doc = "How large."},
    {"plan.slope", SETTING_REAL, AT(slope), .min = -1, .max = 1, .preset = "none",
     .doc = "How steep."},
    {"plan.garden", SETTING_BOOLEAN, AT(garden), .preset = "true",
     .doc = "Green | grey."},
    {"plan.street", SETTING_TEXT, AT(street), .choices = "main|side", .preset = "main",
     .doc = "Where."},
    {"plan.roof", SETTING_CHOICE, AT(roof), .choices = "flat|gable|hip",
     .preset = "gable", .doc = "Above."},
    {"life.guests", SETTING_LIST, AT(guests), .unit = "names", .may_change = true,
     .doc = "Who comes."},
    {"life.water", SETTING_BYTES, AT(water), .min = 1, .max = 1099511627776.0,
     .preset = "1 KiB", .doc = "How wet."},
    {"life.rest", SETTING_SECONDS, AT(rest), .min = 0.1, .max = 86400, .preset = "30 s",
     .doc = "How long."},
    {"life.paint", SETTING_EVERY, AT(paint),
     .unit_offset = offsetof(struct house, paint_unit), .min = 1, .max = 1000,
     .preset = "1 epoch", .doc = "How often."},
    {"life.network", SETTING_CIDR, AT(network), .doc = "Who can call."},
    {"life.keys", SETTING_PATH, AT(keys), .doc = "Under the mat."},
    {"shelves.*.width", SETTING_INTEGER, IN(width), .min = 1, .max = 9, .preset = "2",
     .doc = "How wide."},
    {"shelves.*.colour", SETTING_CHOICE, IN(colour), .choices = "red|blue",
     .preset = "blue", .doc = "How loud."},
    {"shelves.*.plan.rooms", SETTING_INTEGER, IN(rooms), .min = -3, .max = 1e6,
     .like = "plan.rooms", .doc = "How many."},
    {"shelves.*.plan.height", SETTING_REAL, IN(height), .min = 0, .max = 10,
     .like = "plan.height", .doc = "How high."},
    {"shelves.*.plan.roof", SETTING_CHOICE, IN(roof), .choices = "flat|gable|hip",
     .like = "plan.roof", .doc = "Above."},
    {"life.old.*.width", SETTING_INTEGER, IN(width), .min = 1, .max = 9, .preset = "3",
     .doc = "How wide once."},
};

static const struct settings_group groups[] = {
    {"shelves.", "shelf", offsetof(struct house, shelf), sizeof(struct shelf),
     offsetof(struct house, shelves), 3, 16, true, true},
    {"life.old.", "relic", offsetof(struct house, old), sizeof(struct shelf),
     offsetof(struct house, olds), 2, 16, false, false},
};

static const struct settings_section sections[] = {{"", "The house."},
                                                   {"plan", "On paper."},
                                                   {"life", "Inside."},
                                                   {"shelves", "Books."}};

static const struct settings set = {rows,     sizeof rows / sizeof *rows,
                                    groups,   sizeof groups / sizeof *groups,
                                    sections, sizeof sections / sizeof *sections};

#endif
