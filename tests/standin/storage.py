"""What the server keeps: the collections, their aliases, its peer id; and where its temporary files go."""
import json
import os
import pathlib
import secrets
import shutil
import threading

import fault
import temporary
from engine import Collection, new_config
from keyed import KeyedCollection

STOPS = 64 << 20  # with less free the real server refuses writes: twice its WAL's capacity (disk_usage_watcher.rs)
FORBIDDEN_IN_NAMES = '<>:"/\\|?*\0\x1f'


def check_new_name(name):
    if not 1 <= len(name) <= 255:
        raise fault.invalid("path parameters", "collection_name",
                            f'value {json.dumps(name)} invalid, must be from 1 to 255 characters')
    for c in FORBIDDEN_IN_NAMES:
        if c in name:
            raise fault.invalid("path parameters", "collection_name",
                                f'collection name cannot contain "{c}" char')


def kind_of(config):
    return KeyedCollection if config["params"].get("sharding_method") == "custom" else Collection


class Storage:
    def __init__(self, storage_path, snapshots_path, temp_path=None, recovery_mode=None):
        self.path, self.snapshots_path = pathlib.Path(storage_path), pathlib.Path(snapshots_path)
        self.temp_path = pathlib.Path(temp_path) if temp_path else None
        self.recovery_mode = recovery_mode
        self.collections, self.aliases, self.lock = {}, {}, threading.RLock()
        (self.path / "collections").mkdir(parents=True, exist_ok=True)
        if self.temp_path:
            self.temp_path.mkdir(parents=True, exist_ok=True)
        for folder in filter(None, (self.snapshots_path, self.path, self.temp_path)):
            if (folder / "tmp").exists():
                shutil.rmtree(folder / "tmp")
        self.peer_id = self._load_peer_id()

    def load(self):
        for path in sorted((self.path / "collections").iterdir()):
            if (path / "config.json").exists():
                kind = kind_of(json.loads((path / "config.json").read_text()))
                self.collections[path.name] = kind.load(path, self.recovery_mode)
        aliases = self.path / "aliases" / "data.json"
        self.aliases = json.loads(aliases.read_text()) if aliases.exists() else {}

    def _load_peer_id(self):
        """A number below 2^53, drawn once: it is a part of every collection snapshot's name."""
        state = self.path / "raft_state.json"
        if not state.exists():
            state.write_text(json.dumps({"this_peer_id": secrets.randbelow(2**53 - 1) + 1}))
        return json.loads(state.read_text())["this_peer_id"]

    def collection(self, name):
        with self.lock:
            found = self.collections.get(name)
        if not found:
            raise fault.not_found(f"Collection `{name}` doesn't exist!")
        return found

    def check_disk(self):
        fs = os.statvfs(self.path)
        if fs.f_bavail * fs.f_frsize < STOPS:
            raise fault.internal("No space left on device: WAL buffer size exceeds available disk space")

    def to_write(self, name):
        found = self.by_alias(name)
        self.check_disk()
        return found

    def by_alias(self, name):
        with self.lock:
            return self.collection(self.aliases.get(name, name))

    def names(self):
        with self.lock:
            return sorted(self.collections)

    def create(self, name, body):
        return self.create_with(name, new_config(body))

    def create_with(self, name, config):
        check_new_name(name)
        with self.lock:
            if name in self.collections:
                raise fault.Fault(409, f"Wrong input: Collection `{name}` already exists!")
            if name in self.aliases:
                raise fault.wrong_input(f"Can't create collection with name {name}. Alias with the same name already exists")
            path = self.path / "collections" / name
            shutil.rmtree(path, ignore_errors=True)  # one that was never finished
            self.collections[name] = kind_of(config).create(name, path, config)
        return True

    def delete(self, name):
        with self.lock:
            gone = self.collections.pop(name, None)
            self._save_aliases({a: c for a, c in self.aliases.items() if c != name})
        if not gone:
            return False
        with gone.lock:
            gone.close()
            away = temporary.new_folder(self.path, "deleted-")
            gone.path.rename(away / name)
        shutil.rmtree(away)
        return True

    def _save_aliases(self, aliases):
        if aliases == self.aliases:
            return
        folder = self.path / "aliases"
        folder.mkdir(exist_ok=True)
        (folder / "data.json.new").write_text(json.dumps(aliases))
        (folder / "data.json.new").rename(folder / "data.json")
        self.aliases = aliases

    def change_aliases(self, actions):
        with self.lock:
            aliases = dict(self.aliases)
            for action in actions:
                kind, what = next(iter(action.items()))
                if kind == "create_alias":
                    if what["alias_name"] in self.collections:
                        raise fault.Fault(409, f"Wrong input: Collection `{what['alias_name']}` already exists!")
                    aliases[what["alias_name"]] = self.collection(what["collection_name"]).name
                elif kind == "delete_alias":
                    aliases.pop(what["alias_name"], None)
                elif kind == "rename_alias":
                    aliases[what["new_alias_name"]] = aliases.pop(what["old_alias_name"])
            self._save_aliases(aliases)
        return True

    def temp_or_storage(self):
        return self._made((self.temp_path or self.path) / "tmp")

    def temp_or_snapshots(self):
        return self._made((self.temp_path or self.snapshots_path) / "tmp")

    def upload_folder(self):
        return self._made(self.temp_or_snapshots() / "upload")

    @staticmethod
    def _made(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def close(self):
        for name in self.names():
            self.collections[name].close()
