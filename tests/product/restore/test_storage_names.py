"""Snapshots of the whole storage that name what they must not: Qdrant would take their names as they are."""
import hashlib
import io
import json
import subprocess
import tarfile

import pytest
from harness import BUILD, checksum_of, events
from restoring import publish

NAME = "full-snapshot-2026-11-24-09-00-00"


def storage_tar(*members):
    """(name, bytes or object) each; the object as JSON."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members:
            data = data if isinstance(data, bytes) else json.dumps(data).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def mapping(**collections):
    return ("config.json", {"collections_mapping": collections, "collections_aliases": {}})


def hostile():
    inner = b"x"
    return {
        "a file outside": (storage_tar(("c.snapshot", inner), mapping(c="../../outside.snapshot")), "names a file that is not in it"),
        "an absolute file": (storage_tar(("c.snapshot", inner), mapping(c="/etc/passwd")), "names a file that is not in it"),
        "no file": (storage_tar(("c.snapshot", inner), mapping(c="")), "names a file that is not in it"),
        "a collection outside": (storage_tar(("c.snapshot", inner), mapping(**{"../../outside": "c.snapshot"})), "cannot be a collection"),
        "a collection of two parts": (storage_tar(("c.snapshot", inner), mapping(**{"a:b": "c.snapshot"})), "cannot be a collection"),
        "the folder of collections": (storage_tar(("c.snapshot", inner), mapping(**{".": "c.snapshot"})), "cannot be a collection"),
        "a second config": (storage_tar(("c.snapshot", inner), mapping(c="c.snapshot"), mapping(**{"../x": "c.snapshot"})), "second config.json"),
        "a folder": (storage_tar(("a/c.snapshot", inner), mapping(c="c.snapshot")), "of such a name"),
    }


def forge(tree, data):
    """As whoever may write on EFS would: all hashes are right."""
    good = storage_tar(("c.snapshot", b"x"), mapping(c="c.snapshot"))
    tree.snapshot("", NAME, good)
    publish(tree)
    manifest = next(tree.base.rglob(f"{NAME}.json"))
    said = json.loads(manifest.read_text())
    stored = subprocess.run(["zstd", "-q", "-1", "-c"], input=data, check=True, capture_output=True).stdout
    path = manifest.parent / said["data"]
    path.write_bytes(stored)
    sha = hashlib.sha256(stored).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{sha}  {path.name}\n")
    manifest.write_text(json.dumps(said | {"size": len(data), "sha256": checksum_of(data), "stored_size": len(stored),
                                           "stored_sha256": sha}))


@pytest.mark.parametrize("how", hostile())
def test_names_that_lead_elsewhere_are_found_and_never_handed_to_qdrant(tree, tmp_path, how):
    data, why = hostile()[how]
    forge(tree, data)
    deep = tree.efs_tool("verify", "--deep")
    assert deep.returncode == 1 and why in deep.stderr
    out = tmp_path / "all.snapshot"
    run = tree.efs_tool("restore", "--storage-snapshot", "--to", str(out))
    assert run.returncode == 1 and why in run.stderr and "qdrant --storage-snapshot" not in run.stdout
    assert list(tmp_path.glob("*.snapshot")) == [] and not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert tree.efs_tool("restore", "--storage-snapshot", "--dry-run", "--to", str(out)).returncode == 1
    streamed = subprocess.run([BUILD / "qdrant-efs", "restore", "--storage-snapshot", "--stdout"], env=tree.env, capture_output=True)
    assert streamed.returncode == 1 and why.encode() in streamed.stderr and b"do not start Qdrant" in streamed.stderr


@pytest.mark.parametrize("how", hostile())
def test_they_are_not_published_though_their_checksum_is_right(tree, how):
    data, why = hostile()[how]
    path = tree.snapshot("", NAME, data)
    run = tree.once()
    refused, = [line for line in events(run.stderr) if line["event"] == "upload_refused"]
    assert why in refused["message"] and str(path) in refused["message"]
    assert run.returncode == 1 and path.exists() and not list(tree.base.rglob("*full-snapshot*"))


def test_a_snapshot_of_the_whole_storage_without_qdrants_checksum_is_not_published(tree):
    path = tree.snapshot("", NAME, storage_tar(("c.snapshot", b"x"), mapping(c="c.snapshot")), checksum=False)
    run = tree.once()
    refused, = [line for line in events(run.stderr) if line["event"] == "upload_refused"]
    assert "takes no upload of the whole storage" in refused["message"]
    assert run.returncode == 1 and path.exists() and not list(tree.base.rglob("*full-snapshot*"))


def test_a_small_file_that_takes_much_memory_is_a_defect(tree):
    """Two MiB of [0,0,…] would take 80 MiB once they are read."""
    huge = b"[" + b"0," * (1 << 20) + b"0]"
    tree.snapshot("c", "c-1-2026-11-24-09-00-00", storage_tar(("version.info", b"0.6.0"), ("config.json", huge)))
    publish(tree)
    run = tree.efs_tool("verify", "--deep")
    assert run.returncode == 1 and "config.json: larger than any that makes sense" in run.stderr
