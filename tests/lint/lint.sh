#!/bin/sh
# Every static look at the code that a compiler or checker offers; what is not installed is named and skipped.
# Run from the root of the tree: make lint
set -u
failed=0 skipped=0
sources=$(find common aws qdrant efs replicator entrypoint -name '*.c' | sort)
flags="-std=c17 -D_GNU_SOURCE -I. -Wall -Wextra -Wshadow -Wconversion $(pkg-config --cflags libcurl libcjson libzstd libcrypto libarchive libmicrohttpd libxml-2.0 yaml-0.1)"

look() { # name, command...
    name=$1
    shift
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "lint: $name skipped: $1 is not installed"
        skipped=$((skipped + 1))
    elif out=$("$@" 2>&1) && [ -z "$(printf %s "$out" | grep -E 'warning:|error:|ERROR|WARNING')" ]; then
        echo "lint: $name: nothing found"
    else
        printf '%s\n' "$out"
        echo "lint: $name FAILED"
        failed=$((failed + 1))
    fi
}

each() { # command, with each source as its last argument, a few at once
    printf '%s\n' $sources | xargs -P "$(nproc)" -n 1 "$@"
}
# gcc 12 takes what is stored behind a pointer to a pointer for leaked; leaks are the leak checker's to find.
analyse() { each gcc $flags -O2 -fanalyzer -Wno-analyzer-malloc-leak -Werror -c -o /dev/null; }
compile_clang() { each clang $flags -O2 -Werror -c -o /dev/null; }
# Clang's analyzer takes twenty times as long as all else that clang-tidy does, a quarter of an hour for all files.
checks=
[ -n "${LONG:-}" ] || checks='-clang-analyzer-*'
tidy() { printf '%s\n' $sources | xargs -P "$(nproc)" -I{} clang-tidy --quiet --warnings-as-errors='*' --checks="$checks" {} -- $flags 2>/dev/null; }
with() { command -v "$1" >/dev/null 2>&1; }

look 'who includes whom' python3 tests/lint/includes.py
look 'what needs a lock' python3 tests/lint/locks.py
look cppcheck cppcheck --std=c11 --enable=warning,portability,performance --inline-suppr --error-exitcode=1 -q -I. -D_GNU_SOURCE \
    --suppress=missingIncludeSystem common aws qdrant efs replicator entrypoint
with gcc && look 'gcc -fanalyzer' analyse
if with clang; then look clang compile_clang; else look clang clang; fi
if with clang-tidy; then look clang-tidy tidy; else look clang-tidy clang-tidy; fi
for page in */*.8 */*/*.8; do
    [ -e "$page" ] && look "$page" mandoc -Tlint -Wwarning "$page"
done
echo "lint: $failed failed, $skipped skipped"
exit $((failed > 0))
