#!/bin/sh
# Builds each fuzzer with clang's libFuzzer and runs it for FUZZ_SECONDS. Usage: run.sh BUILD_DIR [NAME]
set -eu
build=$1 only=${2:-} seconds=${FUZZ_SECONDS:-60}
cd "$(dirname "$0")/../.."
command -v clang >/dev/null || { echo "fuzz: clang is not installed; make deps-dev installs it" >&2; exit 1; }
flags="-std=c17 -D_GNU_SOURCE -I. -O1 -g -fno-sanitize-recover=all"
packages="libcurl libcjson libzstd libcrypto libarchive libxml-2.0 yaml-0.1"
library="$(find common aws qdrant efs -name '*.c' ! -path 'efs/cli/*' | sort) replicator/publish/tar_check.c"
mkdir -p "$build/fuzz"
# The library once, for all of them.
# shellcheck disable=SC2046,SC2086
printf '%s\n' $library | xargs -P "$(nproc)" -I{} sh -c 'out="$1/fuzz/objects/${2%.c}.o"; mkdir -p "${out%/*}"; shift 2; exec "$@" -c -o "$out"' \
    - "$build" {} clang $flags -fsanitize=fuzzer-no-link,address,undefined $(pkg-config --cflags $packages) {}
objects=$(printf "$build/fuzz/objects/%s\n" $library | sed 's/\.c$/.o/')
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    [ -z "$only" ] || [ "$name" = "$only" ] || continue
    echo "  FUZZ $name"
    # shellcheck disable=SC2046,SC2086
    clang $flags -fsanitize=fuzzer,address,undefined $(pkg-config --cflags $packages) "$source" $objects -o "$build/fuzz/$name" $(pkg-config --libs $packages) -pthread
    mkdir -p "$build/fuzz/$name.corpus" "tests/fuzz/seeds/$name"
    "$build/fuzz/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$build/fuzz/$name-" "$build/fuzz/$name.corpus" "tests/fuzz/seeds/$name"
done
