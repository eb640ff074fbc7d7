"""The second Qdrant of a drill: behind everybody else, alone, and gone afterwards whatever happens."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest
from drilling import edit_manifest, fill, gone, wait_for_file
from harness import BUILD, patience, wait_for

# A program in Qdrant's place that leaves word of itself, and then becomes Qdrant or does something else.
WORD = 'env > {seen}/env; echo "$0 $*" > {seen}/argv; echo $$ > {seen}/pid.new; mv {seen}/pid.new {seen}/pid\n'


@pytest.fixture
def seen(node, tmp_path):
    folder = tmp_path / "seen"
    folder.mkdir()

    class Seen:
        def program(self, then):
            return node.program("in-its-place", WORD.format(seen=folder) + then)

        def pid(self):
            return int(wait_for_file(folder / "pid"))

        def env(self):
            self.pid()
            return dict(line.split("=", 1) for line in (folder / "env").read_text().splitlines() if "=" in line)

        def argv(self):
            return (folder / "argv").read_text()

        def forget(self):
            (folder / "pid").unlink(missing_ok=True)
    return Seen()


def listening():
    """(address, port) of all that listens on this machine, in hex as the kernel tells."""
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            field = line.split()
            if field[3] == "0A":
                address, port = field[1].split(":")
                yield address, int(port, 16)


def watch(drill, seen):
    """The addresses at which the second Qdrant was seen to listen until the drill's end."""
    env, found = seen.env(), set()
    ports = {int(env["QDRANT__SERVICE__HTTP_PORT"]), int(env["QDRANT__SERVICE__GRPC_PORT"])}
    while drill.poll() is None:
        found |= {address for address, port in listening() if port in ports}
        time.sleep(0.02)
    return found


def test_it_listens_on_loopback_alone_with_a_key_that_is_nowhere_else(node, seen):
    fill(node.server)
    node.back_up("c")
    drill = node.start_drill(QDRANT_BIN=seen.program(f'exec {node.server.program} "$@"\n'),
                             AWS_SECRET_ACCESS_KEY="k3y-of-aws", QDRANT__SERVICE__READ_ONLY_API_KEY="k3y-to-read")
    addresses = watch(drill, seen)
    out, err = drill.communicate()
    assert drill.returncode == 0, out + err
    assert addresses == {"0100007F"}
    env = seen.env()
    key = env["QDRANT__SERVICE__API_KEY"]
    assert len(key) == 64 and "k3y" not in json.dumps(env)
    assert key not in seen.argv() + out + err
    assert env["QDRANT__TELEMETRY_DISABLED"] == "true" and env["QDRANT__CLUSTER__ENABLED"] == "false"
    seen.forget()
    node.drill(QDRANT_BIN=seen.program(f'exec {node.server.program} "$@"\n'))
    assert seen.env()["QDRANT__SERVICE__API_KEY"] != key  # thrown away each time


def test_it_stands_behind_all_others(node, seen):
    fill(node.server)
    node.back_up("c")
    drill = node.start_drill(QDRANT_BIN=seen.program("exec sleep 60\n"), DRILL_TIMEOUT="6s")
    pid = seen.pid()
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
    assert os.getpgid(pid) == pid
    assert pathlib.Path(f"/proc/{pid}/limits").read_text().split("Max core file size")[1].split()[0] == "0"
    # Once the shell of the program has become `sleep`: until then it reads its script.
    wait_for(lambda: {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")} <=
             {"/dev/null", str(next(node.place.glob(".qdrant-drill/drill-*/qdrant.log")))}, 2)
    drill.wait(30)


def test_one_that_hangs_is_killed_when_its_time_is_over(node, seen):
    fill(node.server)
    node.back_up("c")
    begin = time.monotonic()
    one = node.verdicts(code=1, QDRANT_BIN=seen.program("trap '' TERM\nwhile :; do sleep 1; done\n"), DRILL_TIMEOUT="2s")["c"]
    assert time.monotonic() - begin < 20
    assert one["verdict"] == "failed" and "does not answer" in one["why"]
    assert gone(seen.pid()) and node.left() == []


def test_one_that_stops_answering_in_mid_restore_is_killed_when_its_time_is_over(node, seen):
    fill(node.server, n=5000)
    node.back_up("c")
    # It is frozen as soon as the upload begins to arrive.
    freeze = (f'{node.server.program} "$@" & q=$!\n'
              'until [ "$(find snapshots temporary -type f 2>/dev/null)" ] || ! kill -0 $q; do :; done; kill -STOP $q; wait\n')
    begin = time.monotonic()
    one = node.verdicts(code=1, QDRANT_BIN=seen.program(freeze), DRILL_TIMEOUT="5s")["c"]
    assert 5 <= time.monotonic() - begin < 60
    assert one["verdict"] == "failed" and one["why"]
    assert gone(seen.pid()) and node.left() == []


def test_one_that_ends_by_itself_is_told_with_its_last_words(node, seen):
    fill(node.server)
    node.back_up("c")
    one = node.verdicts(code=1, QDRANT_BIN=seen.program('echo "no such luck"; exit 3\n'))["c"]
    assert one["verdict"] == "failed" and "ended with 3" in one["why"] and "no such luck" in one["why"]


def test_without_a_program_the_drill_refuses(node):
    fill(node.server)
    node.back_up("c")
    one = node.verdicts(code=1, QDRANT_BIN="/nowhere/qdrant")["c"]
    assert one["verdict"] == "refused" and "QDRANT_BIN" in one["why"]


def test_a_drill_that_is_killed_takes_it_along_and_the_next_one_sweeps(node, seen):
    fill(node.server)
    node.back_up("c")
    drill = node.start_drill(QDRANT_BIN=seen.program(f'exec {node.server.program} "$@"\n'))
    pid = seen.pid()
    drill.kill()
    drill.wait(10)
    assert gone(pid)
    assert len(node.left()) == 1
    assert node.drill().returncode == 0
    assert node.left() == []


def test_a_drill_that_is_told_to_stop_cleans_up(node, seen):
    fill(node.server)
    node.back_up("c")
    drill = node.start_drill("--json", QDRANT_BIN=seen.program("exec sleep 60\n"))
    pid = seen.pid()
    begin = time.monotonic()
    drill.send_signal(signal.SIGTERM)
    out, _ = drill.communicate(timeout=20)
    assert time.monotonic() - begin < 2 * patience() and drill.returncode == 1
    assert json.loads(out)["drills"][0]["verdict"] == "refused"
    assert gone(pid) and node.left() == []


def test_what_lies_in_the_place_and_is_not_a_drills_stays_however_it_is_called(node):
    fill(node.server)
    node.back_up("c")
    theirs = [node.place / name for name in ("drill-2025-results/report", "drill-1/a", "lock", "other")]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a person's")
    killed = node.place / ".qdrant-drill/drill-1/storage"  # of one that was killed
    killed.mkdir(parents=True)
    assert node.verdicts(code=0)["c"]["verdict"] == "proven"
    assert all(path.read_text() == "a person's" for path in theirs)
    assert not killed.exists() and node.left() == []


def test_only_one_drill_runs_in_a_place(node, seen):
    fill(node.server)
    node.back_up("c")
    first = node.start_drill(QDRANT_BIN=seen.program("exec sleep 60\n"), DRILL_TIMEOUT="5s")
    seen.pid()
    second = node.drill("--json")
    assert second.returncode == 1
    assert json.loads(second.stdout)["verdict"] == "refused" and "another drill" in json.loads(second.stdout)["why"]
    assert len(node.left()) == 1  # the other one's was not swept
    first.wait(30)
    assert node.drill().returncode == 0


def test_it_refuses_where_memory_or_disk_would_not_suffice_and_says_the_numbers(node, seen):
    fill(node.server)
    node.back_up("c")
    edit_manifest(node.manifest(), lambda m: m.update(size=10**15))
    one = node.verdicts(code=1, QDRANT_BIN=seen.program("exit 1\n"))["c"]
    assert one["verdict"] == "refused"
    assert f"takes about {10**15 // 100 * 130 // 2**20 + 256} MiB of memory" in one["why"]
    assert f"takes about {10**15 // 100 * 300 // 2**20 + 256} MiB of disk" in one["why"] and "DRILL_DIR" in one["why"]
    with pytest.raises(AssertionError):
        seen.pid()  # nothing was started


def test_it_leaves_MIN_FREE_of_qdrants_disk_alone_but_not_of_another(node, seen):
    fill(node.server)
    node.back_up("c")
    one = node.verdicts(code=1, QDRANT_BIN=seen.program("exit 1\n"), MIN_FREE="900t")["c"]
    assert one["verdict"] == "refused" and "of disk beside what MIN_FREE keeps for Qdrant, and 0 MiB can be had" in one["why"]
    one = node.verdicts(code=1, QDRANT_BIN=seen.program("exit 1\n"), MIN_FREE="900t", DRILL_DIR="/dev/shm/qdrant-drill-min-free")["c"]
    assert "MIN_FREE" not in one.get("why", "")
    assert node.drill(MIN_FREE="1x").returncode == 64


@pytest.fixture
def small_cgroup():
    """A memory cgroup of 200 MiB, of version 1 or 2."""
    v1 = pathlib.Path("/sys/fs/cgroup/memory")
    group = (v1 if v1.is_dir() else v1.parent) / f"drill-test-{os.getpid()}"
    limit = group / ("memory.limit_in_bytes" if v1.is_dir() else "memory.max")
    try:
        group.mkdir()
        assert limit.exists()
        limit.write_text(str(200 << 20))
    except (OSError, AssertionError) as e:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"needs the right to make a cgroup with a memory limit: {e}")
    yield group
    group.rmdir()


def test_a_cgroup_that_is_nearly_full_makes_it_refuse(node, small_cgroup):
    fill(node.server)
    node.back_up("c")
    enter = node.program("enter", f'echo $$ > {small_cgroup}/cgroup.procs; exec "$@"\n')
    out = subprocess.run([enter, BUILD / "qdrant-efs", "drill", "--json"], env=node.tree.env, capture_output=True, text=True)
    one = json.loads(out.stdout)["drills"][0]
    assert out.returncode == 1 and one["verdict"] == "refused" and "of memory" in one["why"]
    left = int(one["why"].split(" MiB can be had")[0].split()[-1])
    assert 100 < left <= 200


def test_a_stranger_at_its_port_gets_nothing(node, seen):
    """A program that took the port answers as a Qdrant without a key would; the drill does not restore into it."""
    fill(node.server)
    node.back_up("c")
    stranger = node.program("stranger.py", "exec python3 -c '\nimport http.server, os\n"
                            "class H(http.server.BaseHTTPRequestHandler):\n"
                            "    def do_GET(self):\n"
                            "        body = b\"{\\\"result\\\":{\\\"collections\\\":[]},\\\"version\\\":\\\"1.18.2\\\"}\"\n"
                            "        self.send_response(200); self.send_header(\"content-length\", str(len(body)))\n"
                            "        self.end_headers(); self.wfile.write(body)\n"
                            "    def do_POST(self):\n"
                            "        open(os.environ[\"QDRANT__STORAGE__STORAGE_PATH\"] + \"-posted\", \"w\")\n"
                            "http.server.HTTPServer((\"127.0.0.1\", int(os.environ[\"QDRANT__SERVICE__HTTP_PORT\"])), H).serve_forever()'\n")
    one = node.verdicts(code=1, QDRANT_BIN=stranger)["c"]
    assert one["verdict"] == "failed" and "port" in one["why"]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, and setpriv")
def test_root_without_capabilities_leaves_the_folder_of_the_node_alone_and_drills_in_one_of_its_own(node):
    """As ECS Exec opens a shell: root, with what the task has dropped, beside a node that is another user."""
    fill(node.server)
    node.back_up("c")
    node.place.mkdir()
    os.chown(node.place, 1000, 1000)
    shell = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", BUILD / "qdrant-efs", "drill"]
    said = subprocess.run(shell, env=node.tree.env, capture_output=True, text=True)
    assert said.returncode != 0 and "set DRILL_DIR to another one" in said.stderr + said.stdout
    assert list(node.place.iterdir()) == [] and node.place.stat().st_uid == 1000
    own = node.tmp / "by-hand"
    said = subprocess.run(shell, env=node.tree.env | {"DRILL_DIR": str(own)}, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    os.chown(node.place, 0, 0)
