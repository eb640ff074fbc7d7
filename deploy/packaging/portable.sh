#!/bin/sh
# Makes of the Debian package of qdrant-efs an archive that runs on any Linux of this processor: the package's program, the
# libraries that it loads, the C library's too, with their licences, and a script that starts the one with the others.
#
#     deploy/packaging/portable.sh PACKAGE.deb FOLDER        the same package and libraries make the same bytes
#
# SOURCE_DATE_EPOCH: the time of the files in it; without it that of debian/changelog's last entry.
set -eu
[ $# = 2 ] || { echo "usage: $0 PACKAGE.deb FOLDER" >&2; exit 64; }
mkdir -p "$2"
to=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
epoch=${SOURCE_DATE_EPOCH:-$(dpkg-parsechangelog -l "$here/debian/changelog" -S Timestamp)}
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
name=qdrant-efs-$(dpkg-deb -f "$1" Version)-linux-$(uname -m)
top=$work/$name
mkdir -p "$top/bin" "$top/lib" "$top/libexec" "$top/share/man/man8" "$top/licenses"
dpkg-deb -x "$1" "$work/deb"
cp "$work/deb/usr/bin/qdrant-efs" "$top/libexec"
gzip -dc "$work/deb/usr/share/man/man8/qdrant-efs.8.gz" >"$top/share/man/man8/qdrant-efs.8"
cp "$here/../../LICENSE" "$top/licenses/qdrant-efs"

# ldd's lines are "name => file (address)" and, for the loader, "file (address)".
ldd "$top/libexec/qdrant-efs" >"$work/ldd"
! grep 'not found' "$work/ldd" >&2 || exit 1
sed -n 's/^.* => \(\/[^ ]*\) (.*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-[^ ]*\) (.*/\1/p' "$work/ldd" | sort -u >"$work/files"
while read -r file; do
    cp -L "$file" "$top/lib/$(basename "$file")"
    # dpkg knows a file by one of its two names where /lib is a link to /usr/lib.
    package=$(dpkg-query -S "$file" 2>/dev/null || dpkg-query -S "/usr$file" 2>/dev/null || dpkg-query -S "${file#/usr}")
    package=${package%%:*}
    cp "/usr/share/doc/$package/copyright" "$top/licenses/$package"
    dpkg-query -W -f '${Package} ${Version}, of the source ${source:Package} ${source:Version}\n' "$package" | head -n 1 >>"$work/packages"
done <"$work/files"
{
    echo "Of Debian $(. /etc/os-release && echo "$VERSION_ID"); the sources are on https://snapshot.debian.org:"
    LC_ALL=C sort -u "$work/packages"
} >"$top/lib/PACKAGES"

loader=$(basename "$(grep -o '/[^ ]*ld-linux[^ ]*' "$work/files" | head -n 1)")
cat >"$top/bin/qdrant-efs" <<END
#!/bin/sh
# The program with the libraries beside it, by their own loader: those of this machine are neither needed nor used.
top=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
exec "\$top/lib/$loader" --inhibit-cache --library-path "\$top/lib" "\$top/libexec/qdrant-efs" "\$@"
END
chmod 755 "$top/bin/qdrant-efs"
chmod 644 "$top"/licenses/* "$top"/lib/*
chmod 755 "$top/lib/$loader"

tar -C "$work" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --format=gnu -c "$name" | gzip -9n >"$to/$name.tar.gz"
