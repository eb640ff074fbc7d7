#!/bin/sh
# Makes all that a release has beside the image: the Debian packages, the archive of qdrant-efs for any Linux, the sources, and
# SHA256SUMS. The same commit and the same libraries make the same bytes.
#
#     deploy/packaging/release.sh FOLDER        which must not have anything in it
#
# SOURCE_DATE_EPOCH: the time of the files in packages and archive; without it that of debian/changelog's last entry. Sources have the commit's.
set -eu
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 64; }
mkdir -p "$1"
to=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
die() { echo "release.sh: $*" >&2; exit 1; }
[ -z "$(ls -A "$to")" ] || die "$to is not empty"
[ -z "$(git status --porcelain)" ] || die "there are changes that are not committed: see git status"
umask 022

version=$(sed -n 's/^#define VERSION "\(.*\)"$/\1/p' common/base/version.h)
deploy/packaging/deb.sh "$to"
deploy/packaging/portable.sh "$to"/qdrant-efs_"$version"_*.deb "$to"
# Its times are the commit's.
git archive --format=tar --prefix="qdrant-efs-$version/" HEAD | gzip -9n >"$to/qdrant-efs-$version.tar.gz"
cd "$to"
sums=$(sha256sum -- *)
echo "$sums" >SHA256SUMS
