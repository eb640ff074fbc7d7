#!/bin/sh
# Builds each fuzzer with clang's libFuzzer and runs it for FUZZ_SECONDS. Usage: run.sh BUILD_DIR [NAME]
set -eu
build=$1 only=${2:-} seconds=${FUZZ_SECONDS:-60}
cd "$(dirname "$0")/../.."
command -v clang >/dev/null || { echo "fuzz: clang is not installed; make deps-dev installs it" >&2; exit 1; }
flags="-std=c17 -D_GNU_SOURCE -I. -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all"
packages="libcurl libcjson libzstd libcrypto libarchive libxml-2.0"
library=$(ls common/*.c aws/*.c qdrant/*.c efs/*.c replicator/tarcheck.c | grep -v -e efs/main.c -e efs/cmd_)
mkdir -p "$build/fuzz"
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    [ -z "$only" ] || [ "$name" = "$only" ] || continue
    echo "  FUZZ $name"
    # shellcheck disable=SC2046,SC2086
    clang $flags $(pkg-config --cflags $packages) "$source" $library -o "$build/fuzz/$name" $(pkg-config --libs $packages) -pthread
    mkdir -p "$build/fuzz/$name.corpus" "tests/fuzz/seeds/$name"
    "$build/fuzz/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$build/fuzz/$name-" "$build/fuzz/$name.corpus" "tests/fuzz/seeds/$name"
done
