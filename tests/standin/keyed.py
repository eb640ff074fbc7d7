"""A collection with custom sharding: shards of the real engine by keys, numbered as Qdrant numbers them."""
import json
import shutil

import fault
from engine import Collection


class KeyedCollection(Collection):
    """Its files are STORAGE/collections/{name}/config.json, shard_key_mapping.json, and a folder for each shard."""

    def __init__(self, name, path, config, recovery_mode=None):
        super().__init__(name, path, config, recovery_mode)
        self.keys, self.parts = [], {}  # as shard_key_mapping.json has them; {number: a Collection of one shard}

    @classmethod
    def create(cls, name, path, config):
        c = cls(name, path, config)
        c.path.mkdir(parents=True)
        c.save()
        return c

    @classmethod
    def load(cls, path, recovery_mode=None):
        c = cls(path.name, path, json.loads((path / "config.json").read_text()), recovery_mode)
        c.keys = json.loads((path / "shard_key_mapping.json").read_text())
        c._load_indexes()
        for number in (n for key in c.keys for n in key["shard_ids"]):
            c.parts[number] = Collection.load(c._folder(number), recovery_mode)
        return c

    def _folder(self, number):
        return self.path / f"shard-{number}"

    def save(self):
        (self.path / "shard_key_mapping.json").write_text(json.dumps(self.keys))
        self._save_config()

    def shards_of(self):
        return dict(self.parts)

    def shard_part(self, number):
        return self.parts.get(number)

    def add_key(self, key, n, numbers=None):
        if any(k["key"] == key for k in self.keys):
            raise fault.bad_request(f"Sharding key {key} already exists for collection {self.name}")
        first = max((i for k in self.keys for i in k["shard_ids"]), default=0) + 1
        numbers = numbers or list(range(first, first + n))
        for number in numbers:
            self.parts[number] = Collection.create(self.name, self._folder(number), self.config)
        self.keys.append({"key": key, "shard_ids": numbers})
        self.save()
        return True

    def drop_key(self, key):
        gone = next((k for k in self.keys if k["key"] == key), None)
        if not gone:
            raise fault.bad_request(f"Sharding key {key} does not exist for collection {self.name}")
        for number in gone["shard_ids"]:
            self.parts.pop(number).close()
            shutil.rmtree(self._folder(number))
        self.keys.remove(gone)
        self.save()
        return True

    def cluster(self, peer):
        names = {n: k["key"] for k in self.keys for n in k["shard_ids"]}
        return {"peer_id": peer, "shard_count": len(self.parts), "remote_shards": [], "shard_transfers": [],
                "local_shards": [{"shard_id": n, "shard_key": names[n], "points_count": p.points_count(), "state": "Active"}
                                 for n, p in self.parts.items()]}

    def close(self):
        with self.lock:
            for part in self.parts.values():
                part.close()

    def flush(self):
        for part in self.parts.values():
            part.flush()

    def _chosen(self, body, must=False):
        """The shards that a request is for."""
        wanted = body.get("shard_key")
        if wanted is None:
            if must:
                raise fault.wrong_input("Shard key not specified")
            return list(self.parts.values())
        found = [self.parts[n] for k in self.keys if k["key"] == wanted for n in k["shard_ids"]]
        if not found:
            raise fault.not_found(f"Shard key {wanted} not found")
        return found

    def points_count(self):
        return sum(p.points_count() for p in self.parts.values())

    def info(self):
        config = {k: v for k, v in self.config.items() if k != "uuid"}
        counts = [p.info() for p in self.parts.values()]
        total = {k: sum(c[k] for c in counts) for k in ("indexed_vectors_count", "points_count", "segments_count")}
        return {"status": "green", "optimizer_status": "ok", **total, "config": config,
                "payload_schema": self.payload_schema(total["points_count"]), "update_queue": {"length": 0}}

    def upsert(self, body):
        self.operations += 1
        self._chosen(body, must=True)[0].upsert(body)
        return self.operations

    def delete(self, body):
        self.operations += 1
        for part in self._chosen(body, must=True):
            part.delete(body)
        return self.operations

    def count(self, body):
        return sum(p.count(body) for p in self._chosen(body))

    def retrieve(self, body):
        return [r for p in self._chosen(body) for r in p.retrieve(body)]

    def scroll(self, body):
        limit = body.get("limit") or 10
        points = [r for p in self._chosen(body) for r in p.scroll(body | {"limit": limit + 1})["points"]]
        points.sort(key=lambda r: (isinstance(r["id"], str), r["id"]))
        return {"points": points[:limit], "next_page_offset": points[limit]["id"] if len(points) > limit else None}

    def query(self, body):
        points = [r for p in self._chosen(body) for r in p.query(body)["points"]]
        points.sort(key=lambda r: -r["score"])
        return {"points": points[:body.get("limit") or 10]}
