"""How long a snapshot takes to EFS, beside the plain tools that would do the same; ratios matter, not seconds.

Everything is measured in one run, each three times, the best taken; machines are shared and noisy.
"""
import json
import os
import pathlib
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from harness import Tree  # noqa: E402

MIB = int(os.environ.get("BENCH_MIB", 256))


def vectors(path):
    """Random floats, as in a collection of random vectors: hardly to be compressed, like real ones."""
    rng = random.Random(1)
    with open(path, "wb") as f:
        block = struct.pack("<262144f", *(rng.random() for _ in range(262144)))
        for _ in range(MIB):
            cut = rng.randrange(len(block))
            f.write(block[cut:] + block[:cut])


def best(run, before=lambda: None):
    times = []
    for _ in range(3):
        before()
        begin = time.monotonic()
        run()
        times.append(time.monotonic() - begin)
    return min(times)


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("BENCH_DIR")))
    try:
        tree = Tree(work / "t")
        path = tree.snapshot("c", "c-1-2026-11-24-07-59-23", b"")
        vectors(path)
        digest = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout[:64]
        path.with_name(path.name + ".checksum").write_text(digest)
        out = work / "out"
        sh = lambda command: subprocess.run(command, shell=True, check=True)
        rows = {"cp, sync": best(lambda: sh(f"cp {path} {out} && sync {out}")),
                "sha256sum": best(lambda: sh(f"sha256sum {path} >/dev/null")),
                "zstd -1 -T2, sync": best(lambda: sh(f"zstd -q -f -1 -T2 {path} -o {out} && sync {out}")),
                "sha256sum; zstd -1 -T2, sync; sha256sum": best(lambda: sh(
                    f"sha256sum {path} >/dev/null && zstd -q -f -1 -T2 {path} -o {out} && sync {out} && sha256sum {out} >/dev/null"))}

        def once(codec):
            assert tree.once(COMPRESSION=codec).returncode == 0
        clear = lambda: shutil.rmtree(tree.base, ignore_errors=True)
        for codec in ("none", "zstd:1", "zstd:3"):
            rows[f"qdrant-replicator --once, {codec}"] = best(lambda c=codec: once(c), clear)
        once("zstd:1")
        rows["qdrant-efs verify"] = best(lambda: tree.efs_tool("verify"))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        base = rows["sha256sum; zstd -1 -T2, sync; sha256sum"]
        print(f"{MIB} MiB of random floats, {os.cpu_count()} processors; largest resident set of any child {peak >> 10} MiB")
        for name, seconds in rows.items():
            print(f"  {name:<42} {seconds:6.2f} s  {MIB / seconds:7.0f} MiB/s  {seconds / base:5.2f} of the plain tools")
        if os.environ.get("BENCH_JSON"):
            print(json.dumps(rows))
    finally:
        shutil.rmtree(work)


main()
