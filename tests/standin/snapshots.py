"""Snapshots, made, stored, listed, deleted and restored in the very order of steps that Qdrant takes.

Whoever watches the snapshots folder sees the order: the recorded event sequences are what this file is
written against. Steps that look needless (a checksum file that is called .tmp first, a file that stays open
until after its last rename) are in there because the real server does so.
"""
import contextlib
import ctypes
import datetime
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import struct
import tarfile
import threading
import time
import urllib.parse
import urllib.request

import fault
import qdrant_edge as edge
import temporary
from sparse_tar import SparseTar

COLLECTION_VERSION = b"0.4.2"
_libc = ctypes.CDLL(None, use_errno=True)


def _birth_time(path):
    """When a file was made, which is Qdrant's creation_time; Python 3.11 does not ask for it (statx(2))."""
    at_fdcwd, stx_btime, buffer = -100, 0x800, ctypes.create_string_buffer(256)
    if _libc.statx(at_fdcwd, os.fsencode(path), 0, stx_btime, buffer) != 0:
        raise OSError(ctypes.get_errno(), "statx", str(path))
    if not struct.unpack_from("I", buffer, 0)[0] & stx_btime:
        return None
    seconds = struct.unpack_from("q", buffer, 80)[0]
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def sha256_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def check(path, checksum):
    """Refuses a file that has not the checksum that was asked for, if one was."""
    digest = sha256_of(path) if checksum else None
    if checksum and digest != checksum.lower():
        raise fault.wrong_input(f"Snapshot checksum mismatch: expected {checksum}, got {digest}")


def checksum_path(path):
    return path.with_name(path.name + ".checksum")


def describe(path):
    d = {"name": path.name, "creation_time": _birth_time(path), "size": path.stat().st_size}
    with contextlib.suppress(FileNotFoundError):
        d["checksum"] = checksum_path(path).read_text()
    return d


def list_folder(folder):
    try:
        entries = list(folder.iterdir())
    except FileNotFoundError:
        return []
    return [describe(p) for p in entries if p.suffix == ".snapshot" and not p.is_dir()]


def find(folder, name):
    """The file of that name in the folder, never one outside of it."""
    inside = folder.resolve()
    path = (inside / name).resolve()
    if not path.is_relative_to(inside) or not path.is_file():
        raise fault.not_found(f"Snapshot {name} not found")
    return path


def delete_file(path):
    path.unlink()
    with contextlib.suppress(FileNotFoundError):
        checksum_path(path).unlink()


def _move(source, target):
    """Renames, or copies when the file systems differ; the copy has its mode before it has its bytes."""
    try:
        os.rename(source, target)
        return
    except OSError:
        pass
    with open(source, "rb") as f:
        mode = os.fstat(f.fileno()).st_mode & 0o7777
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with open(fd, "wb") as to:
            os.fchmod(to.fileno(), mode)
            shutil.copyfileobj(f, to, 1 << 20)
    os.unlink(source)


def store_file(source, target):
    """From the temporary folder to its place: checksum, data, then the names."""
    target.parent.mkdir(parents=True, exist_ok=True)
    checksum_tmp, data_tmp = target.with_name(target.name + ".tmp"), target.with_suffix(".tmp")
    checksum_tmp.write_text(sha256_of(source))
    _move(source, data_tmp)
    os.rename(data_tmp, target)
    os.rename(checksum_tmp, checksum_path(target))
    return describe(target)


def _now():
    return time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(time.time()))  # not time(2), which lags


def _json(value):
    return json.dumps(value, separators=(",", ":")).encode()


@contextlib.contextmanager
def _writing(path):
    with open(path, "r+b") as f:
        tar = SparseTar(f)
        yield tar
        tar.finish()


def _unpack(path, folder):
    try:
        with tarfile.open(path, "r:") as tar:
            tar.extractall(folder)
    except (tarfile.TarError, EOFError) as e:
        raise fault.internal("File IO error: Malformed tar archive, reached unknown entry") from e


class Counters:
    """Per collection, for /metrics: snapshots being made and being restored, and tried so far."""

    def __init__(self):
        self.creating, self.recovering, self.created = {}, {}, {}
        self.lock = threading.Lock()

    def know(self, names):
        """A collection is counted, with zeros, from its beginning."""
        with self.lock:
            for counter in (self.creating, self.recovering, self.created):
                for name in names:
                    counter.setdefault(name, 0)

    @contextlib.contextmanager
    def running(self, which, name, counted=True):
        self.know([name])
        with self.lock:
            which[name] += 1
        try:
            yield
        finally:
            with self.lock:
                which[name] -= 1
                self.created[name] += which is self.creating and counted


class Snapshots:
    def __init__(self, storage):
        self.storage, self.counters = storage, Counters()

    def folder(self, name):
        return self.storage.snapshots_path / name

    def of_collection(self, name):
        """The folder with the snapshots of a collection that must be there."""
        return self.folder(self.storage.by_alias(name).name)

    def of_shard(self, name, shard):
        return self.folder(self._with_shard(name, shard).name) / "shards" / shard

    def _with_shard(self, name, shard):
        collection = self.storage.by_alias(name)
        if shard != "0":
            raise fault.not_found(f"shard {shard} not found")
        return collection

    def find_of_shard(self, name, shard, file):
        path = self.of_shard(name, shard) / file
        if "/" in file or not path.is_file():
            raise fault.not_found(f'Snapshot "{path}" not found')
        return path

    # Making

    def create(self, name):
        with self.counters.running(self.counters.creating, name):
            self.folder(name).mkdir(parents=True, exist_ok=True)  # also of what is an alias or nothing
            collection = self.storage.by_alias(name)
            name = collection.name
            file = f"{name}-{self.storage.peer_id}-{_now()}.snapshot"
            temp = self.storage.temp_or_storage()
            with temporary.file(temp, f"{file}-arc-") as archive:
                with _writing(archive) as tar, temporary.directory(temp, f"{file}-temp-"):
                    for number, part in collection.shards_of().items():
                        with part.lock:
                            self._shard_to(tar, part, f"{number}/")
                    tar.add_bytes("version.info", COLLECTION_VERSION)
                    tar.add_bytes("config.json", _json(collection.config))
                    tar.add_bytes("shard_key_mapping.json", _json(getattr(collection, "keys", [])))
                    tar.add_bytes("payload_index.json", _json({"schema": collection.indexes}))
                return store_file(archive, self.folder(name) / file)

    def _shard_to(self, tar, collection, prefix):
        self._segments_to(tar, collection, prefix)
        wal = collection.shard_path / "wal"
        for path in sorted(wal.iterdir()):
            if path.name != ".wal":  # the lock
                tar.add_file(f"{prefix}wal/{path.name}", path)
        self._shard_state_to(tar, prefix)

    @staticmethod
    def _segments_to(tar, collection, prefix):
        collection.flush()
        for segment in sorted((collection.shard_path / "segments").iterdir()):
            if not (segment / "segment.json").exists():
                continue
            with tar.archive(f"{prefix}segments/{segment.name}.tar") as inner:
                for path in sorted(p for p in segment.rglob("*") if p.is_file()):
                    inner.add_file(f"snapshot/files/{path.relative_to(segment)}", path)

    def _shard_state_to(self, tar, prefix):
        peer = self.storage.peer_id
        state = {"is_local": True, "this_peer_id": peer, "peers": {str(peer): "Active"}}
        tar.add_bytes(f"{prefix}replica_state.json", _json(state))
        tar.add_bytes(f"{prefix}shard_config.json", _json({"type": "ReplicaSet"}))

    def create_of_shard(self, name, shard):
        collection = self._with_shard(name, shard)
        with self.counters.running(self.counters.creating, name, counted=False):
            file = f"{name}-shard-{shard}-{_now()}.snapshot"
            temp = self.storage.temp_or_snapshots()
            with temporary.directory(temp, f"{file}-temp-") as folder, \
                    temporary.file(temp, f"{file}-", ".tar") as archive:
                with _writing(archive) as tar:
                    with collection.lock:
                        self._segments_to(tar, collection, "")
                        self._empty_wal_to(tar, collection, folder)
                    self._shard_state_to(tar, "")
                    folder.rmdir()  # before the archive is finished, as the real one does
                return store_file(archive, self.folder(collection.name) / "shards" / shard / file)

    @staticmethod
    def _empty_wal_to(tar, collection, folder):
        """A shard's snapshot has an empty log, numbered so that later operations come after what is in it."""
        segments = collection.shard_path.glob("segments/*/segment.json")
        versions = [json.loads(p.read_text())["version"] or 0 for p in segments]
        with temporary.directory(folder, ".tmp") as inner:
            wal = inner / "tmp-open-0"
            with open(wal, "wb") as f:
                f.write(b"wal\0" + secrets.token_bytes(4))
                f.truncate(32 << 20)
            wal = wal.rename(wal.with_name("open-0"))
            wal = wal.rename(wal.with_name(f"closed-{max(versions, default=0) + 1}"))
            tar.add_directory("wal", inner)
            tar.add_file(f"wal/{wal.name}", wal)

    def create_full(self):
        """Snapshots of all collections; then their data, not their checksums, is moved into one archive."""
        top, temp = self.storage.snapshots_path, self.storage.temp_or_storage()
        made = {name: self.create(name)["name"] for name in self.storage.names()}
        now = _now()
        file = f"full-snapshot-{now}.snapshot"
        config = top / f"config-{now}.json"
        mapping = {"collections_mapping": made, "collections_aliases": self.storage.aliases}
        config.write_text(json.dumps(mapping, indent=2))
        taken = [temp / name / snapshot for name, snapshot in made.items()]
        archive = temp / file
        try:
            for path in taken:
                path.parent.mkdir(exist_ok=True)
                _move(top / path.parent.name / path.name, path)
            with open(archive, "xb") as out:
                tar = SparseTar(out)
                for path in taken:
                    tar.add_file(path.name, path)
                tar.add_file("config.json", config)
                tar.finish()
            description = store_file(archive, top / file)
        finally:
            for path in (*taken, archive):
                path.unlink(missing_ok=True)
        config.unlink()
        return description

    # Restoring

    def recover(self, name, location, checksum=None, api_key=None):
        with self.counters.running(self.counters.recovering, name):
            temp = self.storage.temp_or_storage()
            with self._located(location, temp, api_key) as path:
                check(path, checksum)
                self.restore(name, path, temp)
        return True

    @contextlib.contextmanager
    def _located(self, location, temp, api_key):
        url = urllib.parse.urlparse(location)
        if url.scheme in ("http", "https"):
            request = urllib.request.Request(location, headers={"api-key": api_key} if api_key else {})
            with temporary.file(temp, pathlib.Path(url.path).name + "-", ".download") as path:
                try:
                    with urllib.request.urlopen(request, timeout=60) as answer, open(path, "wb") as out:
                        shutil.copyfileobj(answer, out, 1 << 20)
                except OSError as e:
                    raise fault.internal(f"Failed to download snapshot from {location}: {e}") from e
                yield path
            return
        if url.scheme != "file":
            raise fault.bad_request(f"URL {location} with scheme {url.scheme} is not supported")
        path = pathlib.Path(urllib.parse.unquote(url.path))
        if not path.exists():
            raise fault.bad_request(f'Snapshot file "{path}" does not exist')
        allowed = self.storage.snapshots_path.resolve()
        if not path.resolve().is_relative_to(allowed):
            raise fault.forbidden(f'Snapshot file path must be inside the snapshots directory "{allowed}"')
        yield path

    def restore(self, name, path, temp, at_start=False):
        """A collection from its snapshot; made first where it is not there. One that is there keeps its
        configuration, and gets the shards that both have: of custom sharding, onto nothing, none."""
        with temporary.directory(temp, f"col-{name}-recovery-") as folder:
            _unpack(path, folder)
            try:
                config = json.loads((folder / "config.json").read_text())
                mapping = json.loads((folder / "shard_key_mapping.json").read_text())
                indexes = json.loads((folder / "payload_index.json").read_text())["schema"]
            except (OSError, ValueError, KeyError) as e:
                raise fault.internal(f"No such file or directory (os error 2): {e}") from e
            custom = config["params"].get("sharding_method") == "custom"
            for number in [n for key in mapping for n in key["shard_ids"]] if custom else [0]:
                if not (folder / str(number) / "shard_config.json").exists():
                    raise fault.internal(f"Can't read shard config at {folder / str(number)}")
            with self.storage.lock:
                if self.storage.aliases.get(name, name) not in self.storage.collections:
                    self.storage.create_with(name, config)
                    self.storage.by_alias(name).set_indexes(indexes)
                collection = self.storage.by_alias(name)
            for key in mapping if at_start else []:  # files are moved to their places: all that is in them is there
                collection.add_key(key["key"], 0, key["shard_ids"])
            for what in ("vectors", "shard_number"):
                there, here = (c["params"][what] for c in (config, collection.config))
                if there != here:
                    raise fault.wrong_input(
                        "Snapshot is not compatible with existing collection: "
                        f"Collection {what}: {json.dumps(here)} Snapshot {what}: {json.dumps(there)}")
            for number, part in collection.shards_of().items():
                self._recover_shard(part, folder / str(number))

    def _recover_shard(self, part, folder):
        state = folder / "replica_state.json"
        if not state.exists() or not json.loads(state.read_text())["is_local"]:
            return
        archive = folder.with_name(f"shard-{folder.name}.tar")
        with open(archive, "wb") as out:  # the engine takes a shard as an archive only
            tar = SparseTar(out)
            for member in sorted(p for p in folder.rglob("*") if p.is_file()):
                tar.add_file(str(member.relative_to(folder)), member)
            tar.finish()
        self._take_shard(part, archive)

    @staticmethod
    def _take_shard(collection, path):
        with temporary.directory(collection.path, ".recovery-") as folder:  # where a rename suffices
            try:
                edge.EdgeShard.unpack_snapshot(str(path), str(folder / "shard"))
            except Exception as e:  # the engine has no exceptions of its own
                raise fault.internal(str(e)) from e
            collection.replace_shard(folder / "shard")

    def recover_shard(self, name, shard, path, checksum=None):
        collection = self._with_shard(name, shard)
        check(path, checksum)
        with self.counters.running(self.counters.recovering, name):
            self._take_shard(collection, path)
        return True

    def keep_upload(self, name, upload, file_name):
        """What was uploaded becomes one of the collection's snapshots, without a checksum, and stays."""
        folder = self.folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (pathlib.PurePosixPath(file_name or "").name or secrets.token_hex(16))
        _move(upload, path)
        return path.resolve().as_uri()

    def restore_full(self, path, force):
        """--storage-snapshot: every collection in it, before the server listens."""
        with temporary.directory(self.storage.path, "snapshots_recovery_tmp-") as folder:
            _unpack(path, folder)
            config = json.loads((folder / "config.json").read_text())
            for name, file in config["collections_mapping"].items():
                self.restore_at_start(name, folder / file, force)
            self.storage.change_aliases([{"create_alias": {"alias_name": a, "collection_name": c}}
                                         for a, c in config["collections_aliases"].items()])

    def restore_at_start(self, name, path, force):
        """--snapshot PATH:NAME; an existing collection is replaced only with --force-snapshot."""
        if name in self.storage.collections:
            if not force:
                raise RuntimeError(f"Collection {name} already exists. Use --force-snapshot to overwrite it.")
            self.storage.delete(name)
        self.restore(name, path, self.storage.path, at_start=True)
