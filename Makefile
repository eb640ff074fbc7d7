# Builds the three programs and runs every suite. `make help` lists the targets.
BUILD   ?= build
PREFIX  ?= /usr/local
CC      ?= gcc
SAN     ?=
PKGS     = libcurl libcjson libzstd libcrypto libarchive
DEPS     = build-essential pkg-config libcurl4-openssl-dev libcjson-dev libzstd-dev libssl-dev \
           libarchive-dev libcmocka-dev python3-venv python3-pip zstd jq

WARN     = -Wall -Wextra -Wshadow -Wconversion -Werror
HARDEN   = -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
CFLAGS  ?= -O2 -g
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -I. $(WARN) $(CFLAGS) \
             $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -U_FORTIFY_SOURCE,$(HARDEN)) \
             $(shell pkg-config --cflags $(PKGS))
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)
LIBS     = $(shell pkg-config --libs $(PKGS)) -pthread

LIB_SRC  = $(wildcard common/*.c) $(filter-out efs/main.c $(wildcard efs/cmd_*.c),$(wildcard efs/*.c))
LIB_OBJ  = $(LIB_SRC:%.c=$(BUILD)/%.o)
EFS_OBJ  = $(patsubst %.c,$(BUILD)/%.o,efs/main.c $(wildcard efs/cmd_*.c))
REP_OBJ  = $(patsubst %.c,$(BUILD)/%.o,$(wildcard replicator/*.c))
EP_OBJ   = $(patsubst %.c,$(BUILD)/%.o,$(wildcard entrypoint/*.c))
UNIT     = $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
PROGS    = $(BUILD)/qdrant-entrypoint $(BUILD)/qdrant-replicator $(BUILD)/qdrant-efs

.PHONY: all check unit system lint install clean deps help
all: $(PROGS) ## build the programs

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/qdrant-entrypoint: $(EP_OBJ)
	$(CC) $(ALL_LDFLAGS) $^ -o $@
$(BUILD)/qdrant-replicator: $(REP_OBJ) $(LIB_OBJ)
	$(CC) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)
$(BUILD)/qdrant-efs: $(EFS_OBJ) $(LIB_OBJ)
	$(CC) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)
$(BUILD)/unit/%: tests/unit/%.c $(LIB_OBJ)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $< $(LIB_OBJ) -o $@ $(LIBS) -lcmocka

$(BUILD)/venv/ok: tests/requirements.txt
	python3 -m venv $(BUILD)/venv
	$(BUILD)/venv/bin/pip install -q -r $<
	touch $@

check: all $(UNIT) $(BUILD)/venv/ok ## every suite; the last line sums them up
	BUILD_DIR=$(abspath $(BUILD)) $(BUILD)/venv/bin/python tests/run.py
lint: ## static analysis
	cppcheck --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 -q -I. common efs replicator entrypoint
install: all ## install programs and man pages under PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man8
	install $(PROGS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(wildcard */*.8) $(DESTDIR)$(PREFIX)/share/man/man8
deps: ## install what the build and the tests need (Debian)
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEPS)
clean: ## remove the build folder
	rm -rf $(BUILD)
help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

-include $(LIB_OBJ:.o=.d) $(EFS_OBJ:.o=.d) $(REP_OBJ:.o=.d) $(EP_OBJ:.o=.d)
