# Builds the three programs and runs every suite. `make help` lists the targets.
#   BUILD=DIR   where to build        SAN=address,undefined   with sanitizers
#   QDRANT_BIN  the real Qdrant, for the suites that can use it       V=1   show the commands
#   VENV=DIR    the tests' Python, one for all builds of a tree; checkov has another beside it
#   CROSS=aarch64-linux-gnu-   for another processor, with its gcc and its -dev packages (Debian: dpkg --add-architecture)
BUILD   ?= build
VENV    ?= build/venv
PREFIX  ?= /usr/local
SAN     ?=
V       ?=
CROSS   ?=
ifeq ($(origin CC),default)
CC      := $(CROSS)gcc
endif
ifeq ($(origin AR),default)
AR      := $(CROSS)gcc-ar
endif
PKG_CONFIG ?= $(if $(CROSS),PKG_CONFIG_LIBDIR=/usr/lib/$(CROSS:-=)/pkgconfig:/usr/share/pkgconfig )pkg-config
MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null)
Q       := $(if $(V),,@)

PKGS     = libcurl libcjson libzstd libcrypto libarchive libmicrohttpd libxml-2.0 yaml-0.1
DEPS     = build-essential pkg-config libcurl4-openssl-dev libcjson-dev libzstd-dev libssl-dev libarchive-dev \
           libmicrohttpd-dev libxml2-dev libyaml-dev libcmocka-dev python3 python3-venv python3-pip zstd jq man-db curl ca-certificates
# For lint, fuzz, and the suites that say what they miss when they are skipped.
DEPS_DEV = cppcheck clang clang-tidy libclang-rt-dev valgrind strace debootstrap user-mode-linux nfs-kernel-server \
           nfs-common kmod rpcbind iproute2 procps mandoc tini catatonit clang-format \
           prometheus chromium docker-compose nodejs debhelper dpkg-dev lintian busybox-static

WARN     = -Wall -Wextra -Wshadow -Wconversion -Werror
HARDEN   = -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2 \
           $(if $(filter x86_64-%,$(MACHINE)),-fcf-protection) $(if $(filter aarch64-%,$(MACHINE)),-mbranch-protection=standard)
CFLAGS  ?= -O2 -g
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -I. -fPIE -pthread $(WARN) $(CFLAGS) \
             $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer,$(HARDEN)) \
             $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)
LIBS     = $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)

objects  = $(patsubst %.c,$(BUILD)/%.o,$(1))
in       = $(sort $(shell find $(1) -name '*.c'))
CMD_SRC  = $(call in,efs/cli)
LIB_OBJ  = $(call objects,$(filter-out $(CMD_SRC),$(call in,common aws qdrant efs)))
EFS_OBJ  = $(call objects,$(CMD_SRC))
REP_OBJ  = $(call objects,$(call in,replicator))
EP_OBJ   = $(call objects,$(call in,entrypoint) common/base/storage_state.c common/base/listens.c common/base/fds.c common/base/confine.c)
# What unit tests may link: everything but the three mains.
TEST_OBJ = $(filter-out %/main.o,$(LIB_OBJ) $(EFS_OBJ) $(REP_OBJ)) $(addprefix $(BUILD)/entrypoint/,supervise_policy.o health_policy.o address.o http_probe.o place.o)
UNIT     = $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(sort $(shell find tests/unit -name 'test_*.c')))
PROGS    = $(BUILD)/qdrant-entrypoint $(BUILD)/qdrant-replicator $(BUILD)/qdrant-efs
MAN      = $(wildcard */*.8 */*/*.8)
PYTHON   = $(VENV)/bin/python
CHECKOV  = $(dir $(VENV))checkov

.PHONY: all check check-fast tests unit lint fuzz bench plots image demo deb portable release install deps deps-dev clean help
all: $(PROGS) ## build the programs

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
# .incbin, which no compiler lists.
$(BUILD)/replicator/status/page.o: replicator/status/page.html
$(BUILD)/efs/cli/cmd_browse.o: efs/cli/browse.html
$(BUILD)/qdrant-entrypoint: $(EP_OBJ)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $^ -o $@
$(BUILD)/qdrant-replicator: $(REP_OBJ) $(LIB_OBJ)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)
$(BUILD)/qdrant-efs: $(EFS_OBJ) $(LIB_OBJ)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)
# An archive: the linker takes from it what a test calls, and no more.
$(BUILD)/libtested.a: $(TEST_OBJ)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libtested.a
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP $< $(BUILD)/libtested.a -o $@ $(LIBS) -lcmocka

# What tests/product/aws asks the library by.
$(BUILD)/aws_driver: $(BUILD)/tests/product/aws/aws_driver.o $(filter $(BUILD)/common/%.o $(BUILD)/aws/%.o,$(LIB_OBJ))
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)

$(VENV)/ok: tests/requirements.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install -q --no-compile --disable-pip-version-check -r $<
	@touch $@
# checkov is bound to older versions of what the tests use, so it has a Python of its own: 220 MB, half a minute.
$(CHECKOV)/ok: tests/checkov.txt
	python3 -m venv $(CHECKOV)
	$(CHECKOV)/bin/python -m pip install -q --no-compile --disable-pip-version-check -r $<
	@touch $@

# Python keeps what it has compiled, whatever the environment says: else each of a thousand starts compiles all anew.
COMPILED = PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(abspath $(VENV))/pycache
tests: all $(UNIT) $(BUILD)/aws_driver $(VENV)/ok ## build all that `check` runs
check: ## every suite; the last line sums them up (TESTS=tests/product/system for one, ARGS="-k name" for pytest)
	$(Q)sh tests/need.sh
	$(Q)$(MAKE) --no-print-directory tests
	SANITIZED=$(SAN) BUILD_DIR=$(abspath $(BUILD)) $(COMPILED) $(PYTHON) tests/run.py $(TESTS) $(ARGS)
check-fast: ## the unit tests and the quickest suites, for the inner loop
	$(Q)FAST=1 $(MAKE) --no-print-directory check
unit: $(UNIT) ## the unit tests alone
	$(Q)for t in $(UNIT); do $$t || exit 1; done
lint: ## compilers' and other static analysis, manual pages
	$(Q)sh tests/lint/lint.sh
fuzz: ## each fuzzer for FUZZ_SECONDS (60)
	$(Q)sh tests/fuzz/run.sh $(abspath $(BUILD))
bench: all $(VENV)/ok ## how fast, beside cp, sha256sum and zstd
	BUILD_DIR=$(abspath $(BUILD)) $(PYTHON) tests/bench/bench.py
	BUILD_DIR=$(abspath $(BUILD)) $(PYTHON) tests/bench/scale_bench.py
	test -z "$$QDRANT_BIN" || WRITE=1 BUILD_DIR=$(abspath $(BUILD)) $(PYTHON) tests/bench/delta_bench.py
	test -z "$$QDRANT_BIN" || WRITE=1 POINTS=100000 DIMENSIONS=256 BUILD_DIR=$(abspath $(BUILD)) $(PYTHON) tests/bench/latency_bench.py

plots: $(VENV)/ok ## the tables of docs/performance.md as pictures
	$(PYTHON) tests/bench/plots.py
# A tar of what the build needs: the older builder does not read Dockerfile.dockerignore and would take all.
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
image: ## build the container image (IMAGE=name QDRANT_IMAGE=base BUILD_IMAGE=builder PLATFORM=linux/arm64)
	$(Q)tar -c Makefile LICENSE common aws qdrant efs replicator entrypoint docker | docker build -t $(or $(IMAGE),qdrant-efs) \
	    -f docker/Dockerfile $(if $(PLATFORM),--platform $(PLATFORM)) \
	    $(foreach a,QDRANT_IMAGE BUILD_IMAGE REVISION SOURCE SOURCE_DATE_EPOCH,$(if $($(a)),--build-arg $(a)=$($(a)))) -
# Built from the sources by dpkg's own flags, not of what is in BUILD.
DIST    ?= $(BUILD)/dist
VERSION := $(shell sed -n 's/^\#define VERSION "\(.*\)"$$/\1/p' common/base/version.h)
deb: ## Debian packages of the programs, for the Debian that this is (DIST=folder SOURCE_DATE_EPOCH=time)
	deploy/packaging/deb.sh $(DIST)
portable: deb ## an archive of qdrant-efs and its libraries, for Linux hosts of any distribution
	deploy/packaging/portable.sh $(DIST)/qdrant-efs_$(VERSION)_*.deb $(DIST)
release: ## all that a release has beside the image, with SHA256SUMS; of a committed tree, into an empty DIST
	deploy/packaging/release.sh $(DIST)
demo: ## install what it needs, build, and show a backup's way from Qdrant to EFS
	$(Q)bash tests/image/demo/demo.sh
install: all ## install programs, manual pages and shell completions under PREFIX (DESTDIR)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man8
	install $(PROGS) $(DESTDIR)$(PREFIX)/bin
	$(if $(MAN),install -m 644 $(MAN) $(DESTDIR)$(PREFIX)/share/man/man8)
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
	    $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 644 efs/cli/completion/qdrant-efs.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/qdrant-efs
	install -m 644 efs/cli/completion/_qdrant-efs $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	install -m 644 efs/cli/completion/qdrant-efs.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
deps: ## install what the build and the tests need (Debian)
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEPS)
deps-dev: deps ## and what lint, fuzz and the suites of special needs use
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEPS_DEV)
clean: ## remove the build folder
	rm -rf $(BUILD)
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

-include $(TEST_OBJ:.o=.d) $(EFS_OBJ:.o=.d) $(REP_OBJ:.o=.d) $(EP_OBJ:.o=.d) $(UNIT:=.d) $(BUILD)/tests/product/aws/aws_driver.d
