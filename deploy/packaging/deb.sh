#!/bin/sh
# Builds the Debian packages qdrant-efs, qdrant-replicator and qdrant-entrypoint of this tree for the Debian that it runs on.
# Needs debhelper and dpkg-dev beside what the programs' build needs (make deps deps-dev).
#
#     deploy/packaging/deb.sh FOLDER        where the packages go; the same sources and libraries make the same bytes
#
# SOURCE_DATE_EPOCH: the time of the files in them; without it that of debian/changelog's last entry.
set -eu
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 64; }
mkdir -p "$1"
to=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
umask 022

version=$(sed -n 's/^#define VERSION "\(.*\)"$/\1/p' common/base/version.h)
[ "$(dpkg-parsechangelog -l deploy/packaging/debian/changelog -S Version)" = "$version" ] ||
    { echo "deb.sh: deploy/packaging/debian/changelog does not begin with version $version" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# Beside debian/, what the image is built of (Makefile, `image`), too.
mkdir "$work/qdrant-efs"
cp -R Makefile LICENSE common aws qdrant efs replicator entrypoint deploy/packaging/debian "$work/qdrant-efs"
# What make was told of this build is not for that one.
(cd "$work/qdrant-efs" && unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL BUILD SAN CFLAGS LDFLAGS &&
    DEB_BUILD_OPTIONS="noautodbgsym parallel=$(nproc)" dpkg-buildpackage -b -us -uc >"$work/log" 2>&1) ||
    { tail -n 40 "$work/log" >&2; echo "deb.sh: dpkg-buildpackage failed, its last lines are above" >&2; exit 1; }
mv "$work"/*.deb "$to"
