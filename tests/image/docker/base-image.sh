#!/bin/sh
# Makes a minimal Debian image with debootstrap, for hosts that reach a Debian mirror but no image registry:
#
#     tests/image/docker/base-image.sh SUITE TAG          e.g. bookworm local/debian:12
#     tests/image/docker/base-image.sh --sources SUITE    only tells which archives it would use
#
# The mirror, the updates and the security archive are the ones that the host's own apt uses, with the suite's
# name put in place of the host's. TAG stays: the next call finds it and ends at once. FORCE=1 makes it anew.
# MIRROR=URL is used instead of apt's sources, as on a host that is not Debian.
set -eu
APT_ETC=${APT_ETC:-/etc/apt}

say() { echo "base-image: $*" >&2; }
die() { say "$*"; exit 1; }

# apt's sources in both formats (sources.list(5)), as "URI SUITE COMPONENT..." lines. A source signed by a key
# other than Debian's is another archive, whatever its suite is called.
sources() {
    for file in "$APT_ETC"/sources.list "$APT_ETC"/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        sed -n 's/#.*//; s/^[[:space:]]*deb[[:space:]]\{1,\}//p' "$file" | awk '{
            options = ""
            if (match($0, /^\[[^]]*\][ \t]*/)) {
                options = substr($0, 1, RLENGTH)
                $0 = substr($0, RLENGTH + 1)
            }
            if (options !~ /signed-by/ || options ~ /debian-archive/)
                print
        }'
    done
    for file in "$APT_ETC"/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        { sed '/^#/d; s/[[:space:]]*$//' "$file"; echo; } | awk '
            function flush(  i, j, u, s, nu, ns) {
                nu = split(v["uris"], u, " ")
                ns = split(v["suites"], s, " ")
                if (v["types"] ~ /(^| )deb( |$)/ &&
                    tolower(v["enabled"]) !~ /^(no|false|off|without|disable|0)$/ &&
                    (v["signed-by"] == "" || v["signed-by"] ~ /debian-archive/))
                    for (i = 1; i <= nu; i++)
                        for (j = 1; j <= ns; j++)
                            print u[i], s[j], v["components"]
                split("", v)
            }
            /^$/ { flush(); next }
            /^[^ \t]/ {
                colon = index($0, ":")
                field = tolower(substr($0, 1, colon - 1))
                $0 = substr($0, colon + 1)
            }
            { sub(/^[ \t]+/, ""); v[field] = v[field] (v[field] == "" ? "" : " ") $0 }'
    done
}

# Debian's archives for one suite, "URI SUITE" a line, each once.
sources_of() {
    if [ -n "${MIRROR:-}" ]; then
        echo "$MIRROR $1"
        return
    fi
    host=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ -n "$host" ] || return 0
    sources | awk -v host="$host" -v suite="$1" '
        (" " $0 " ") ~ / main / && index($2, host) == 1 {
            rest = substr($2, length(host) + 1)
            uri = $1
            sub(/\/$/, "", uri)
            if (rest ~ /^(|-updates|-security)$/ && !seen[uri rest]++)
                print uri, suite rest
        }'
}

# What the host's apt needs to reach its mirror (a proxy, leave for lists that are past their date), the
# image's does too.
apt_settings() {
    apt-config dump |
        sed -n '/^Acquire::\(http\|https\|Check-Valid-Until\|Check-Date\|Retries\)\(::[^ ]*\)* "..*";$/p'
}

# debootstrap mounts /proc and /sys inside while it works: an interrupted one must not take the host's along.
clean_up() {
    [ -n "$work" ] || return 0
    grep -o " $work/[^ ]*" /proc/self/mounts | sort -r | while read -r at; do umount -l "$at"; done
    rm -rf --one-file-system "$work"
}

configure() {
    rm -f etc/apt/sources.list
    echo "$archives" | while read -r uri name; do
        printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$name"
        printf 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n'
    done >etc/apt/sources.list.d/debian.sources
    apt_settings >etc/apt/apt.conf.d/80host
    # As in Debian's slim images: no documentation but the licences, no package file kept, no fsync for each.
    printf '%s\n' 'path-exclude /usr/share/doc/*' 'path-include /usr/share/doc/*/copyright' force-unsafe-io \
        'path-exclude /usr/share/man/*' 'path-exclude /usr/share/locale/*' >etc/dpkg/dpkg.cfg.d/slim
    printf '%s\n' 'Acquire::Languages "none";' \
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };' >etc/apt/apt.conf.d/80slim
    find usr/share/doc usr/share/man usr/share/locale ! -type d ! -name copyright -delete
    rm -rf var/lib/apt/lists/* var/cache/apt/archives/*.deb var/cache/apt/*.bin var/log/*.log \
        etc/resolv.conf etc/hostname
}

case $#:${1:-} in
2:--sources) sources_of "$2"; exit ;;
2:[a-z]*) suite=$1 tag=$2 ;;
*) die "usage: $0 SUITE TAG, as in: $0 bookworm local/debian:12" ;;
esac

command -v docker >/dev/null || die "docker is not installed: apt-get install docker.io"
docker info >/dev/null 2>&1 || die "docker does not answer: is its daemon running, and may you use it?"
label='{{index .Config.Labels "base-image.suite"}}'
if [ "${FORCE:-}" != 1 ] && made_of=$(docker image inspect --format "$label" "$tag" 2>/dev/null); then
    [ "$made_of" = "$suite" ] || die "$tag is there already, and not as $suite from this script: use another"
    say "$tag is there already"
    exit 0
fi
[ "$(id -u)" = 0 ] || die "must run as root: debootstrap makes a tree with owners of its own"
command -v debootstrap >/dev/null || die "debootstrap is not installed: apt-get install debootstrap"
archives=$(sources_of "$suite")
mirror=$(echo "$archives" | awk -v suite="$suite" '$2 == suite { print $1; exit }')
[ -n "$mirror" ] || die "apt's sources name no Debian archive for this host's own suite: set MIRROR=URL"

work=
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d "${TMPDIR:-/var/tmp}/base-image.XXXXXX")
proxy=$(apt-config dump | sed -n 's/^Acquire::http::Proxy "\(..*\)";$/\1/p')
[ -z "$proxy" ] || export http_proxy="${http_proxy:-$proxy}"

say "debootstrap of $suite for $tag"
debootstrap --variant=minbase "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2; die "debootstrap of $suite failed, its last lines are above"; }
(cd "$work/root" && configure)
tar -C "$work/root" --one-file-system --numeric-owner -c . |
    docker import --change "LABEL base-image.suite=$suite" --change 'CMD ["bash"]' - "$tag" >/dev/null ||
    die "docker import of $tag failed"
say "$tag made"
