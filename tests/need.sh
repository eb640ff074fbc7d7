#!/bin/sh
# Installs what the build and the tests need, if something is missing: on a fresh Debian with make alone,
# `make check` must do. Changes nothing where all is there.
set -u
missing=
for command in gcc pkg-config python3 zstd jq curl man; do
    command -v "$command" >/dev/null 2>&1 || missing="$missing $command"
done
for library in libcurl libcjson libzstd libcrypto libarchive libmicrohttpd libxml-2.0 yaml-0.1 cmocka; do
    pkg-config --exists "$library" 2>/dev/null || missing="$missing $library"
done
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0
echo "missing:$missing"
if [ "$(id -u)" = 0 ]; then
    exec make deps
elif sudo -n true 2>/dev/null; then
    exec sudo make deps
fi
echo "install them first: make deps, as root" >&2
exit 1
