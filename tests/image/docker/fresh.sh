#!/bin/sh
# For maintainers: does it work on a Debian that has nothing but make and git? Runs a target of the Makefile
# there, in a container, on a copy of this work tree without what git ignores:
#
#     tests/image/docker/fresh.sh [TARGET [SUITE]]      fresh.sh demo bookworm
#
# demo and check install what they need; before another target `make deps` does. What pip is told on this host (index,
# certificate, proxy) it is told there. DOCKER_OPTIONS goes to `docker run`: DOCKER_OPTIONS=--privileged.
set -eu
target=${1:-demo} suite=${2:-bookworm}
cd "$(dirname "$0")/../../.."

image=qdrant-efs-test/fresh:$suite
tests/image/docker/base-image.sh "$suite" "qdrant-efs-test/debian:$suite"
docker build -q -t "$image" - >/dev/null <<END
FROM qdrant-efs-test/debian:$suite
RUN apt-get update && apt-get install -y make git && rm -rf /var/lib/apt/lists/*
END

set -- --rm -i --init --label qdrant-efs-test=fresh
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL http_proxy https_proxy no_proxy; do
    set -- "$@" --env "$name"
done
certificate=${PIP_CERT:-$(pip config get global.cert 2>/dev/null || true)}
[ -z "$certificate" ] ||
    set -- "$@" --env PIP_CERT=/etc/pip-cert.pem -v "$(realpath "$certificate"):/etc/pip-cert.pem:ro"

case $target in demo | check) steps="make $target" ;; *) steps="make deps && make $target" ;; esac
echo "fresh: $steps, on $suite" >&2
inside="mkdir /src && cd /src && tar -x && git init -q && $steps"
# shellcheck disable=SC2086 # DOCKER_OPTIONS is several words
git ls-files -z --cached --others --exclude-standard |
    tar -c --null -T - --ignore-failed-read --owner=0 --group=0 | # a deleted file is still listed
    docker run "$@" ${DOCKER_OPTIONS:-} "$image" sh -ec "$inside"
