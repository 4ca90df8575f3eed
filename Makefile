# Rowhouse. `make help` lists the targets.
#
# Configurations never mix: each has its own directory below build/, and a change of
# flags rebuilds it.
#   make                     release           build/release, linked as build/rowhouse
#   make BUILD=debug         -O0 with asserts  build/debug
#   make SAN=address         with a sanitizer  build/address (undefined, thread likewise)

SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

PREFIX ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0
CC ?= cc
BUILD ?= release
SAN ?=
MUTANT ?=
DEVELOPER ?=

# What `make fuzz` builds with: a fuzzer of clang's instead of the tests' main().
ifeq ($(BUILD),fuzz)
CC := clang
endif

CONFIG := $(if $(MUTANT),mutant-$(MUTANT),$(if $(SAN),$(SAN),$(BUILD)))
OUT := build/$(CONFIG)

# What the program is built from, and what only tests and checks need.
PACKAGES := pkg-config libopenmpi-dev openmpi-bin libzmq3-dev libprotobuf-c-dev \
	protobuf-c-compiler libopenblas-pthread-dev libyaml-dev zlib1g-dev libzstd-dev \
	libxxhash-dev libjansson-dev liblz4-dev libutf8proc-dev
TEST_PACKAGES := libcmocka-dev perl zstd gzip lz4 iproute2 procps python3
CHECK_PACKAGES := clang-format-14 clang-tidy-14 cppcheck clang libclang-rt-14-dev

LIBRARIES := libzmq libprotobuf-c openblas yaml-0.1 zlib libzstd liblz4 libxxhash jansson libutf8proc
pkg = $(shell pkg-config $(1) $(2) 2>/dev/null)

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wno-format-nonliteral \
	$(if $(DEVELOPER),-Werror)
OPTIMISE := $(if $(filter debug,$(BUILD)),-O0,-O2) -march=x86-64-v2 -ffp-contract=off
SANITIZE = $(if $(filter address,$(SAN)),-fsanitize=address$(,)undefined -fno-sanitize-recover=undefined) \
	$(if $(filter undefined,$(SAN)),-fsanitize=undefined -fno-sanitize-recover=undefined) \
	$(if $(filter thread,$(SAN)),-fsanitize=thread) \
	$(if $(filter fuzz,$(BUILD)),-fsanitize=fuzzer-no-link$(,)address$(,)undefined -fno-sanitize-recover=undefined)
, := ,
CFLAGS ?= -g
ALL_CFLAGS = -std=gnu11 $(OPTIMISE) $(WARNINGS) $(SANITIZE) -pthread -fno-omit-frame-pointer \
	-D_GNU_SOURCE -DROWHOUSE_VERSION='"$(VERSION)"' $(if $(MUTANT),-DMUTANT_$(MUTANT)) \
	-I. -I$(OUT)/gen $(call pkg,--cflags,$(LIBRARIES)) $(CFLAGS)
ALL_LIBS = $(call pkg,--libs,$(LIBRARIES)) -lm
# Files named *_kernels.c are built once for each processor level and chosen at start.
KERNEL_FLAGS = -O3 -fno-math-errno -fno-trapping-math -DKERNEL_LEVEL=$(1) -march=x86-64-$(1)

PROTOS := $(wildcard proto/*.proto)
GENERATED := $(PROTOS:proto/%.proto=$(OUT)/gen/proto/%.pb-c.c)
KERNELS := $(wildcard common/*_kernels.c server/*_kernels.c worker/*_kernels.c worker/*/*_kernels.c \
	worker/stream/*/*_kernels.c)
SOURCES := $(filter-out $(KERNELS),$(wildcard common/*.c common/net/*.c server/*.c worker/*.c \
	worker/model/*.c worker/stream/*.c \
	worker/stream/*/*.c launch/*.c))
OBJECTS := $(SOURCES:%.c=$(OUT)/obj/%.o) $(GENERATED:$(OUT)/gen/%.c=$(OUT)/obj/gen/%.o) \
	$(foreach v,v2 v3 v4,$(KERNELS:%.c=$(OUT)/obj/%-$(v).o))
MAIN := $(OUT)/obj/launch/main.o
LIBRARY := $(OUT)/librowhouse.a
PROGRAM := $(OUT)/rowhouse

UNIT := $(patsubst tests/%.c,$(OUT)/tests/%.t,$(wildcard tests/unit/test_*.c tests/sim/test_*.c \
	tests/numeric/test_*.c tests/fuzz/test_*.c tests/golden/test_*.c))
STRIKE := $(OUT)/tests/torture/strike.t
SCRIPTS := $(sort $(wildcard tests/cluster/[0-9]*.sh))

## all: build the program, build/rowhouse
all: $(PROGRAM) $(if $(filter release,$(CONFIG)),build/rowhouse)

build/rowhouse: build/release/rowhouse
	@ln -sf release/rowhouse $@

# --- objects -------------------------------------------------------------------------
FLAGS_NOW = $(CC) $(ALL_CFLAGS)
$(OUT)/flags: FORCE
	@mkdir -p $(@D); echo '$(subst ','\'',$(FLAGS_NOW))' | cmp -s - $@ || \
		echo '$(subst ','\'',$(FLAGS_NOW))' > $@
FORCE:

$(OUT)/gen/proto/%.pb-c.c $(OUT)/gen/proto/%.pb-c.h: proto/%.proto
	@mkdir -p $(OUT)/gen
	protoc-c --c_out=$(OUT)/gen $<

$(OUT)/obj/gen/%.o: $(OUT)/gen/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -w -c -o $@ $<

$(OUT)/obj/%.o: %.c $(OUT)/flags | $(GENERATED)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/obj/launch/bootstrap.o: ALL_CFLAGS += $(call pkg,--cflags,ompi-c)

define kernel_rule
$(OUT)/obj/%-$(1).o: %.c $(OUT)/flags
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) $$(call KERNEL_FLAGS,$(1)) -MMD -MP -c -o $$@ $$<
endef
$(foreach v,v2 v3 v4,$(eval $(call kernel_rule,$(v))))

$(LIBRARY): $(filter-out $(MAIN),$(OBJECTS))
	@rm -f $@
	@$(AR) rcs $@ $^

$(PROGRAM): $(MAIN) $(LIBRARY)
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LIBS) $(call pkg,--libs,ompi-c)

# --- tests ---------------------------------------------------------------------------
$(OUT)/tests/%.t: tests/%.c $(LIBRARY) $(OUT)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -MF $(@:.t=.d) -o $@ $< $(LIBRARY) -lcmocka $(ALL_LIBS) \
		$(call pkg,--libs,ompi-c)

JOBS := $(shell nproc)

## test: build and run all tests
test: deps-test
	+@$(MAKE) --no-print-directory -j$(JOBS) check

## check: the tests alone, in the chosen configuration (SAN=address make check)
check: $(PROGRAM) $(UNIT) $(STRIKE)
	@CMOCKA_MESSAGE_OUTPUT=TAP OPENBLAS_NUM_THREADS=1 ROWHOUSE=$(abspath $(PROGRAM)) \
		ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
		TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tools/tsan.supp \
		prove --timer $(if $(filter 1,$(words $(UNIT))),,-j$(JOBS)) $(UNIT) $(if $(UNIT_ONLY),,$(SCRIPTS))

## mutants: remove one safeguard at a time; the tests must notice each
mutants: deps-test
	@tests/mutants

## torture: kill processes of real jobs (KILLS=1000 SEED=1 MINUTES=0) and compare
torture: deps-test $(PROGRAM) $(STRIKE)
	@ROWHOUSE=$(abspath $(PROGRAM)) tests/torture/kill --kills $(or $(KILLS),1000) \
		--seed $(or $(SEED),1) --minutes $(or $(MINUTES),0)

# One fuzz target as a fuzzer; its main() is the fuzzer's.
$(OUT)/fuzz/%: tests/fuzz/test_fuzz_%.c $(LIBRARY) $(OUT)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DFUZZER -fsanitize=fuzzer -MMD -MP -MF $@.d -o $@ $< $(LIBRARY) \
		$(ALL_LIBS) $(call pkg,--libs,cmocka ompi-c)

## fuzz: let a fuzzer look for bytes that do harm (FUZZ=readers SECONDS=600)
fuzz: deps-check
	+@$(MAKE) --no-print-directory -j$(JOBS) BUILD=fuzz build/fuzz/fuzz/$(or $(FUZZ),readers)
	@tests/fuzz/run $(or $(FUZZ),readers) $(or $(SECONDS),600)

## bench: print the benchmarks of docs/performance.md
bench: all
	@tests/bench/run

# --- packages ------------------------------------------------------------------------
## deps: install the Debian packages that are missing
deps:
	@tests/tools/install-packages $(PACKAGES)
deps-test:
	@tests/tools/install-packages $(PACKAGES) $(TEST_PACKAGES)
deps-check:
	@tests/tools/install-packages $(PACKAGES) $(TEST_PACKAGES) $(CHECK_PACKAGES)

# --- for people ----------------------------------------------------------------------
## demo: install what is missing, build, train on MovieLens and recommend films
demo: deps
	+@$(MAKE) --no-print-directory -j$(JOBS) all
	@examples/demo

## format: let clang-format lay out the sources
FORMATTED = $(shell git ls-files '*.c' '*.h')
format:
	clang-format-14 -i $(FORMATTED)

## lint: format, static analysis, include rules and sizes
lint: deps-check $(GENERATED)
	@tests/tools/lint

## docs: write docs/settings.md from the settings' table
docs: all
	build/rowhouse settings --markdown > docs/settings.md

## install: put the program below $(PREFIX) (DESTDIR works)
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/rowhouse
	install -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/rowhouse
	install -m 755 launch/rowhouse-mpirun $(DESTDIR)$(PREFIX)/bin/rowhouse-mpirun
	install -m 644 README.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/rowhouse

## uninstall: remove what install put there
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/rowhouse $(DESTDIR)$(PREFIX)/bin/rowhouse-mpirun
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/rowhouse

## clean: remove build/
clean:
	rm -rf build

## help: this list
help:
	@sed -n 's/^## \([a-z-]*\): \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

# For scripts: make -s print-ALL_CFLAGS
print-%:
	@echo '$(subst ','\'',$($*))'

-include $(wildcard $(OUT)/fuzz/*.d) $(OBJECTS:.o=.d) $(UNIT:.t=.d) $(STRIKE:.t=.d)

.PHONY: all test check mutants torture fuzz bench deps deps-test deps-check demo format lint docs install \
	uninstall clean help FORCE
.SECONDARY:
