"""How the work grows with collections and backups where each call on EFS takes milliseconds (slow_mount.c).

SCALE_COLLECTIONS and SCALE_BACKUPS say how many; SCALE_MS how long a call takes; SCALE_BEFORE may name the folder of another
build, which is measured in the same run. Prints JSON."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness import BUILD, Tree, tar_of  # noqa: E402

COLLECTIONS, BACKUPS, MS = (int(os.environ.get(f"SCALE_{k}", v)) for k, v in (("COLLECTIONS", 100), ("BACKUPS", 40), ("MS", 3)))
DAY = "2026-11-24"


def fill(tree):
    """One backup of each collection is published; the others are copies of it under names of their own."""
    for c in range(COLLECTIONS):
        tree.snapshot(f"c{c}", f"c{c}-1-{DAY}-08-00-00", tar_of("x"))
    assert tree.once(LOCAL_KEEP="5").returncode == 0
    for path in list(tree.efs.glob("*/*/*/*.json")):
        folder, stem = path.parent, path.name.removesuffix(".json")
        manifest = path.read_text()
        data, = (p for p in folder.glob(f"{stem}.snapshot*") if p.suffix in (".zst", ".snapshot"))
        for i in range(1, BACKUPS):
            minutes = 15 * i
            name = f"{stem.rsplit('-1-', 1)[0]}-1-2026-11-{10 + minutes // 1440:02}-{minutes // 60 % 24:02}-{minutes % 60:02}-00"
            for old in (data, data.with_name(data.name + ".sha256")):
                shutil.copy(old, folder / old.name.replace(stem, name))
            slot = f"2026-11-{10 + minutes // 1440:02}T{minutes // 60 % 24:02}:{minutes % 60:02}:00Z"
            m = json.loads(manifest.replace(stem, name)) | {"slot": slot, "created": slot}
            (folder / f"{name}.json").write_text(json.dumps(m))


def measured(work, tree, build, program, *args, **more):
    """{seconds, calls, MiB}"""
    library, count = work / "slow_mount.so", work / "count"
    env = tree.env | {"LD_PRELOAD": str(library), "SLOW_MS": str(MS), "SLOW_BELOW": str(tree.efs), "SLOW_COUNT": str(count)} | more
    begin = time.monotonic()
    p = subprocess.Popen([build / program, *args], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    err = p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    assert status == 0, err.decode()[-500:]
    return {"seconds": round(time.monotonic() - begin, 2), "calls": int(count.read_text()), "MiB": usage.ru_maxrss >> 10}


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="scale-", dir=os.environ.get("BENCH_DIR")))
    builds = {"now": BUILD} | ({"before": pathlib.Path(os.environ["SCALE_BEFORE"])} if os.environ.get("SCALE_BEFORE") else {})
    try:
        tree = Tree(work / "t")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", work / "slow_mount.so", HERE / "slow_mount.c"], check=True)
        fill(tree)
        folder = work / "out"
        folder.mkdir()
        rows = {}
        for name, build in builds.items():
            rows[name] = {
                "ls": measured(work, tree, build, "qdrant-efs", "ls", "--json"),
                "du": measured(work, tree, build, "qdrant-efs", "du"),
                "ls of one": measured(work, tree, build, "qdrant-efs", "ls", "--json", "--collection", "c1"),
                "restore of all, first byte (--dry-run)": measured(work, tree, build, "qdrant-efs", "restore", "--dry-run", "--to", str(folder)),
            } if COLLECTIONS > 1 else {}
        for name, build in reversed(builds.items()):
            shutil.rmtree(tree.snapshots)
            at = "09" if name == "before" else "10"
            for c in range(COLLECTIONS):
                tree.snapshot(f"c{c}", f"c{c}-1-{DAY}-{at}-00-00", tar_of(at))
            rows[name]["one publish each"] = measured(work, tree, build, "qdrant-replicator", "--once", LOCAL_KEEP="5")
        print(json.dumps({"collections": COLLECTIONS, "backups of each": BACKUPS, "ms": MS} | rows, indent=1))
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
