#!/bin/bash
# The whole of it in a minute: Qdrant under qdrant-entrypoint, two snapshots, how they arrive on EFS, how to
# look at them, check, prune and restore them. Run by `make demo`; needs make and git, and root or sudo for
# what is missing.
#
#   QDRANT_BIN=PATH   the Qdrant server; else /qdrant/qdrant, else `qdrant` on PATH, else the stand-in of the
#                     tests, which is the real engine behind a small REST API
#   BUILD=DIR         where programs are built (build)
#   KEEP=1            leave the demo's folder in place
set -euo pipefail
cd "$(dirname "$0")/../../.."
unset MAKEFLAGS MAKELEVEL MFLAGS # of the make that runs this
BUILD=$(realpath -m "${BUILD:-build}")
# What the operator's shell has for a real node is not for the demo: a bucket, a secret, a key.
for name in $(compgen -e); do
    case $name in
        QDRANT_BIN) ;;
        AWS_* | AK_* | SNAPSHOT* | QDRANT_* | RESTORE_* | DRILL_* | HEALTH_* | EMF* | STATUS_LISTEN | COLLECTIONS | RETENTION | \
            COMPRESSION* | NODE_NAME | LOCAL_KEEP | MIN_FREE | FULL_SNAPSHOT | FINGERPRINT | RPO_SECONDS | STOP_GRACE_SECONDS | \
            EFS_ROOT | TIER | CPU_ARCH | LOG_* | RUN_MODE | ECS_CONTAINER_METADATA_URI*) unset "$name" ;;
    esac
done
COLLECTION=test_collection
work=
entrypoint=

# ---- narration -----------------------------------------------------------------------------------

exec 3>&1 # where the story goes, also from within $(...)
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' cyan=$'\e[36m' plain=$'\e[0m'
else
    bold='' cyan='' plain=''
fi
step=0
chapter() {
    step=$((step + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$step" "$1" "$plain" >&3
}
tell() { printf '   %s\n' "$@" >&3; }
show() { printf '%s$ %s%s\n' "$cyan" "$*" "$plain" >&3; }
run() { # shown with the paths below the demo's folder relative to it
    local text=$*
    [ -z "$work" ] || text=${text//"$work/"/}
    show "$text"
    "$@"
}
fail() {
    printf '\ndemo: %s\n' "$*" >&2
    exit 1
}

clean_up() {
    code=$?
    if [ -n "$entrypoint" ] && kill -TERM "$entrypoint" 2>/dev/null; then
        wait "$entrypoint" || true
    fi
    if [ "$code" -ne 0 ]; then
        echo "demo: failed in step $step" >&2
        [ -z "$work" ] || tail -n 15 "$work"/*.log >&2 || true
    fi
    if [ -n "$work" ] && [ "${KEEP:-}" = 1 ]; then
        echo "The folder stays: $work"
    elif [ -n "$work" ]; then
        rm -rf "$work"
    fi
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- what the demo needs -------------------------------------------------------------------------

missing_packages() { # of those that the Makefile names
    local package
    # shellcheck disable=SC2016 # DEPS is make's
    for package in $(make -s --eval 'print-deps: ; @echo $(DEPS)' print-deps); do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            printf '%s ' "$package"
    done
}

install_packages() {
    local missing
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    tell "not installed yet: $missing"
    if [ "$(id -u)" = 0 ]; then
        run make -s deps >/dev/null
    elif command -v sudo >/dev/null; then
        run sudo make -s deps >/dev/null
    else
        fail "packages are missing; run as root: make deps"
    fi
}

find_qdrant() { # sets `qdrant`; for the stand-in also puts a Python that has its engine first on PATH
    for qdrant in "${QDRANT_BIN:-}" /qdrant/qdrant "$(command -v qdrant || true)"; do
        if [ -f "$qdrant" ] && [ -x "$qdrant" ]; then
            qdrant=$(realpath "$qdrant")
            return
        fi
        [ -z "${QDRANT_BIN:-}" ] || fail "QDRANT_BIN=$QDRANT_BIN is no program"
    done
    qdrant=$PWD/tests/standin/qdrant
    tell "no Qdrant server is installed: the tests' stand-in over the real engine takes its place"
    local venv=$BUILD/venv
    if ! "$venv/bin/python" -c 'import qdrant_edge' 2>/dev/null; then
        venv=$BUILD/demo-venv
        run python3 -m venv "$venv"
        run "$venv/bin/pip" install -q --disable-pip-version-check qdrant-edge-py
    fi
    PATH=$venv/bin:$PWD/tests/standin:$PATH # both may be read by one that is confined
}

# ---- talking to Qdrant ---------------------------------------------------------------------------

request() { # METHOD PATH [JSON]: the reply's body
    curl -sS --fail-with-body -m 60 -X "$1" ${3:+--json "$3"} "$QDRANT_URL$2"
}
rest() { # the same, shown
    local json=${3:+" --json '$3'"}
    show "curl -X $1$json \"\$QDRANT_URL$2\""
    request "$@"
    echo
}

wait_until() { # WHAT COMMAND...: until it succeeds, for a minute at most and while the entrypoint lives
    local what=$1 end=$((SECONDS + 60))
    shift
    until "$@" >/dev/null 2>&1; do
        kill -0 "$entrypoint" 2>/dev/null || fail "qdrant-entrypoint has ended"
        [ "$SECONDS" -lt "$end" ] || fail "waited in vain for $what"
        sleep 0.2
    done
}

make_snapshot() { # sets `snapshot`, its name without .snapshot, and `checksum`
    local reply
    reply=$(rest POST "/collections/$COLLECTION/snapshots?wait=true")
    jq -c .result <<<"$reply"
    snapshot=$(jq -r '.result.name | rtrimstr(".snapshot")' <<<"$reply")
    checksum=$(jq -r .result.checksum <<<"$reply")
}

points() { request POST "/collections/$1/points/count" '{"exact":true}' | jq .result.count; }

# ---- looking at EFS ------------------------------------------------------------------------------

of_backup() { # SNAPSHOT FIELD
    qdrant-efs ls --json | jq -er --arg name "$1" ".[] | select(.snapshot == \$name) | .$2"
}
is_complete() { [ "$(of_backup "$1" state)" = complete ]; }
count_backups() { qdrant-efs ls --json | jq length; }

check_by_hand() ( # SNAPSHOT CHECKSUM
    path=$(of_backup "$1" path)
    file=$(basename "$path")
    cd "$(dirname "$path")"
    run sha256sum -c "$file.sha256"
    run zstd -q -t "$file"
    show "zstd -dc $file | sha256sum"
    sum=$(zstd -dc "$file" | sha256sum | cut -d' ' -f1)
    echo "$sum"
    [ "$sum" = "$2" ] || fail "Qdrant said $2"
    tell "which is the checksum that Qdrant gave"
)

# ---- the demo ------------------------------------------------------------------------------------

chapter "Build"
install_packages
run make -s -j"$(nproc)" BUILD="$BUILD" all
find_qdrant
PATH=$BUILD:$PATH

chapter "Start Qdrant under qdrant-entrypoint"
work=$(mktemp -d "${TMPDIR:-/tmp}/qdrant-demo.XXXXXX")
mkdir "$work/efs" "$work/snapshots" "$work/storage"
read -r http grpc < <(python3 -c '
import socket
sockets = [socket.socket(), socket.socket()]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')
unset RETENTION COMPRESSION LOCAL_KEEP SNAPSHOTS_DIR
export SNAPSHOT_INTERVAL=0 # no schedule: each snapshot is one that is seen being made
unset QDRANT_API_KEY QDRANT_API_KEY_FILE QDRANT__SERVICE__API_KEY
export QDRANT_BIN=$qdrant QDRANT__TELEMETRY_DISABLED=true QDRANT_INIT_FILE_PATH=$work/storage/.initialized
export QDRANT__SERVICE__HOST=127.0.0.1 QDRANT__SERVICE__HTTP_PORT=$http QDRANT__SERVICE__GRPC_PORT=$grpc
export QDRANT__STORAGE__STORAGE_PATH=$work/storage QDRANT__STORAGE__SNAPSHOTS_PATH=$work/snapshots
export QDRANT_URL=http://127.0.0.1:$http EFS_ROOT=$work/efs EFS_ALLOW_LOCAL=1 TIER=demo CPU_ARCH=cpu LOG_FORMAT=text
tell "Qdrant is $qdrant; EFS is a plain folder here, $EFS_ROOT." \
    "On Fargate qdrant-entrypoint is the image's entrypoint and PID 1."
show "QDRANT_URL=$QDRANT_URL EFS_ROOT=efs EFS_ALLOW_LOCAL=1 TIER=demo CPU_ARCH=cpu qdrant-entrypoint"
(cd "$work" && exec qdrant-entrypoint 3>&- >qdrant.log 2>entrypoint.log) &
entrypoint=$!
wait_until "Qdrant" request GET /readyz

chapter "Five cities, and a snapshot"
rest PUT "/collections/$COLLECTION" '{"vectors":{"size":4,"distance":"Dot"}}'
rest PUT "/collections/$COLLECTION/points?wait=true" '{"points":[
  {"id":1,"vector":[0.05,0.61,0.76,0.74],"payload":{"city":"Berlin"}},
  {"id":2,"vector":[0.19,0.81,0.75,0.11],"payload":{"city":"London"}},
  {"id":3,"vector":[0.36,0.55,0.47,0.94],"payload":{"city":"Moscow"}},
  {"id":4,"vector":[0.18,0.01,0.85,0.80],"payload":{"city":"New York"}},
  {"id":5,"vector":[0.24,0.18,0.22,0.44],"payload":{"city":"Beijing"}}]}'
make_snapshot
first=$snapshot first_checksum=$checksum

chapter "A sixth city, and another snapshot"
rest PUT "/collections/$COLLECTION/points?wait=true" \
    '{"points":[{"id":6,"vector":[0.30,0.05,0.10,0.40],"payload":{"city":"Bengaluru"}}]}'
# A snapshot's name ends with its second: two within one would have one name.
while [ "${first: -19}" = "$(date -u +%Y-%m-%d-%H-%M-%S)" ]; do sleep 0.1; done
make_snapshot
second=$snapshot second_checksum=$checksum

chapter "They arrive on EFS by themselves"
wait_until "the first backup" is_complete "$first"
wait_until "the second backup" is_complete "$second"
(cd "$work" && run find efs -type f | sort)
run qdrant-efs ls
tell "The first backup of a collection is its monthly one; a second within the hour goes to 15min."

chapter "Are they good? qdrant-efs reads every byte"
run qdrant-efs verify

chapter "The same with nothing but coreutils and zstd"
check_by_hand "$first" "$first_checksum"
check_by_hand "$second" "$second_checksum"

chapter "Prune"
tell "For some history, copies of the first snapshot get the names it would have had on the last three days."
for days in 1 2 3; do
    old=${first:0:-19}$(date -u -d "$days days ago" +%Y-%m-%d-%H-%M-%S)
    zstd -dc "$(of_backup "$first" path)" >"$work/snapshots/$COLLECTION/$old.snapshot"
    # As Qdrant does it: the checksum gets its name when all is written.
    printf %s "$first_checksum" >"$work/snapshots/$COLLECTION/$old.snapshot.tmp"
    mv "$work/snapshots/$COLLECTION/$old.snapshot.tmp" "$work/snapshots/$COLLECTION/$old.snapshot.checksum"
    wait_until "the backup $old" is_complete "$old"
done
run qdrant-efs ls
show "export RETENTION=15min=1,hourly=1,daily=1,monthly=1"
export RETENTION=15min=1,hourly=1,daily=1,monthly=1
before=$(count_backups)
run qdrant-efs prune --dry-run
[ "$(count_backups)" = "$before" ] || fail "a dry run has deleted something"
run qdrant-efs prune
[ "$(count_backups)" -lt "$before" ] || fail "nothing was pruned"
run qdrant-efs ls
for newest in "$first" "$second"; do
    is_complete "$newest" || fail "the newest of a tier was pruned"
done
run qdrant-efs verify
tell "However tight, the newest good backup of each tier stays."

chapter "Back to five cities"
tell "$COLLECTION has $(points "$COLLECTION") points now; its first backup goes into a collection of its own."
mkdir "$work/snapshots/restored"
run zstd -q -d "$(of_backup "$first" path)" -o "$work/snapshots/restored/first.snapshot"
rest PUT "/collections/restored/snapshots/recover?wait=true" \
    "{\"location\":\"file://$work/snapshots/restored/first.snapshot\",\"checksum\":\"$first_checksum\"}"
rest POST /collections/restored/points/scroll '{"limit":10}' |
    jq -r '.result.points[] | "\(.id) \(.payload.city)"'
[ "$(points restored)" = 5 ] || fail "the restored collection has $(points restored) points"

chapter "Stop, as ECS does it"
run kill -TERM "$entrypoint"
code=0
wait "$entrypoint" || code=$?
entrypoint=
tell "qdrant-entrypoint ended with $code, Qdrant's own exit code. Its log and the replicator's:"
cat "$work/entrypoint.log"
[ "$code" -eq 0 ] || fail "expected 0"
grep -q "stopped: since the start" "$work/entrypoint.log" || fail "the replicator did not end in good order"
printf '\n%sThat is all.%s\n' "$bold" "$plain"
