"""A tree of many backups, quickly: one is published, the others are copies of its manifest with links to its data.

big_tree.py FOLDER COLLECTIONS BACKUPS     (BUILD_DIR as for the tests); then EFS_ROOT=FOLDER/efs TIER=test CPU_ARCH=cpu"""
import datetime
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from harness import Tree, tar_of  # noqa: E402

NEWEST = datetime.datetime(2026, 11, 24, 7, 45)


def grow(tree, collections, backups):
    tree.snapshot("c", "c-1-2026-11-24-08-00-00", tar_of("x"))
    assert tree.once().returncode == 0
    model, = tree.base.glob("*/c/*.json")
    data, = (p for p in model.parent.glob("*.snapshot*") if p.suffix in (".zst", ".snapshot"))
    sums = data.with_name(data.name + ".sha256")
    text = model.read_text().replace('"monthly"', '"15min"')
    for c in range(collections):
        name = f"c{c}"
        folder = tree.base / "15min" / name
        folder.mkdir(parents=True)
        for i in range(backups):
            t = NEWEST - datetime.timedelta(minutes=15 * i)
            stem = f"{name}-1-{t:%Y-%m-%d-%H-%M-%S}"
            for old in (data, sums):
                os.link(old, folder / old.name.replace(model.stem, stem))
            m = json.loads(text.replace(model.stem, stem))
            m |= {"collection": name, "slot": f"{t:%Y-%m-%dT%H:%M:%SZ}", "created": f"{t:%Y-%m-%dT%H:%M:%SZ}"}
            (folder / f"{stem}.json").write_text(json.dumps(m))


if __name__ == "__main__":
    grow(Tree(pathlib.Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]))
