"""One collection: its configuration and one shard of the real engine, spoken to in the REST API's JSON."""
import json
import pathlib
import shutil
import struct
import threading
import uuid

import fault
import qdrant_edge as edge
from strict import Strict

STANDARD = {
    "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0,
                    "on_disk": False},
    "optimizer_config": {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000,
                         "default_segment_number": 0, "max_segment_size": None, "memmap_threshold": None,
                         "indexing_threshold": 10000, "flush_interval_sec": 5,
                         "max_optimization_threads": None, "prevent_unoptimized": None},
    "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1},
}


def new_config(body):
    """The configuration that Qdrant makes of the body of a PUT /collections/{name}."""
    if body.get("shard_number", 1) != 1:
        raise fault.bad_request("the stand-in has one shard a collection")
    params = {"vectors": body.get("vectors") or {}, "shard_number": 1,
              "replication_factor": body.get("replication_factor") or 1,
              "write_consistency_factor": body.get("write_consistency_factor") or 1,
              "on_disk_payload": body.get("on_disk_payload") is not False}
    if body.get("sparse_vectors"):
        params["sparse_vectors"] = body["sparse_vectors"]
    if body.get("sharding_method"):
        params["sharding_method"] = body["sharding_method"]
    config = {"params": params}
    for section, standard in STANDARD.items():
        given = body.get("optimizers_config" if section == "optimizer_config" else section) or {}
        config[section] = standard | {k: v for k, v in given.items() if v is not None}
    if body.get("strict_mode_config"):
        config["strict_mode_config"] = body["strict_mode_config"]
    return config | {"quantization_config": body.get("quantization_config"), "uuid": None}


def _engine_config(params):
    def dense(p):
        return edge.EdgeVectorParams(size=p["size"], distance=getattr(edge.Distance, p["distance"]),
                                     on_disk=p.get("on_disk"))
    vectors = params["vectors"]
    try:
        vectors = {"": dense(vectors)} if "size" in vectors else {n: dense(p) for n, p in vectors.items()}
        sparse = {n: edge.EdgeSparseVectorParams() for n in params.get("sparse_vectors", {})}
        return edge.EdgeConfig(vectors=vectors, sparse_vectors=sparse)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as e:
        raise fault.malformed(e) from e


def shortest(number):
    """The shortest decimal that stands for the same 32-bit float, as Qdrant prints them."""
    packed = struct.pack("f", number)
    for digits in range(6, 9):
        text = float(f"{number:.{digits}g}")
        if struct.pack("f", text) == packed:
            return text
    return float(f"{number:.9g}")


def _vector_in(v):
    if isinstance(v, dict):
        if set(v) == {"indices", "values"}:
            return edge.SparseVector(v["indices"], v["values"])
        return {name: _vector_in(x) for name, x in v.items()}
    return v


def _vector_out(v):
    if isinstance(v, dict):
        return {name: _vector_out(x) for name, x in v.items()}
    if isinstance(v, edge.SparseVector):
        return {"indices": list(v.indices), "values": [shortest(x) for x in v.values]}
    return [_vector_out(x) if isinstance(x, list) else shortest(x) for x in v]


def _id_out(i):
    return i if isinstance(i, int) else str(i)


def _record(r, **more):
    out = {"id": _id_out(r.id), **more}
    if r.payload is not None:
        out["payload"] = r.payload
    if r.vector is not None:
        out["vector"] = _vector_out(r.vector)
    return out


def _payload_selector(value):
    if isinstance(value, dict):
        kind, keys = next(iter(value.items()))
        return getattr(edge.PayloadSelector, kind.capitalize())(keys)
    return value


def _match(m):
    kinds = {"value": edge.MatchValue, "any": edge.MatchAny, "except": edge.MatchExcept,
             "text": edge.MatchText}
    kind, value = next((k, v) for k, v in m.items() if v is not None)
    if kind not in kinds:
        raise fault.bad_request(f"the stand-in has no match by {kind}")
    return kinds[kind](value)


def _condition(c):
    c = {k: v for k, v in c.items() if v is not None}
    if "has_id" in c:
        return edge.HasIdCondition(set(c["has_id"]))
    if "match" in c:
        return edge.FieldCondition(key=c["key"], match=_match(c["match"]))
    if "range" in c:
        return edge.FieldCondition(key=c["key"], range=edge.RangeFloat(**c["range"]))
    if "is_empty" in c:
        return edge.IsEmptyCondition(c["is_empty"]["key"])
    if "must" in c or "should" in c or "must_not" in c:
        return _filter(c)
    raise fault.bad_request(f"the stand-in has no filter by {', '.join(c)}")


def _filter(f):
    if not f:
        return None
    parts = {}
    for part in ("must", "should", "must_not"):
        if f.get(part) is not None:
            conditions = f[part] if isinstance(f[part], list) else [f[part]]
            parts[part] = [_condition(c) for c in conditions]
    return edge.Filter(**parts)


def _points_in(body):
    if "batch" in body:
        b = body["batch"]
        vectors = b["vectors"]
        if isinstance(vectors, dict):  # a column for each named vector
            vectors = [dict(zip(vectors, row)) for row in zip(*vectors.values())]
        rows = zip(b["ids"], vectors, b.get("payloads") or [None] * len(vectors))
    else:
        rows = ((p["id"], p["vector"], p.get("payload")) for p in body["points"])
    return [edge.Point(i, _vector_in(v), p) for i, v, p in rows]


class Collection:
    """Its files are STORAGE/collections/{name}/config.json and the shard in the folder 0 beside it."""

    def __init__(self, name, path, config, recovery_mode=None):
        self.name, self.path, self.config = name, pathlib.Path(path), config
        self.shard_path = self.path / "0"
        self.recovery_mode = recovery_mode
        self.lock = threading.RLock()
        self.operations = self.index_operations = 0
        self.shard = None
        self.strict = Strict(config)
        self.indexes = {}  # {field: schema}, as payload_index.json has them

    @classmethod
    def create(cls, name, path, config):
        engine_config = _engine_config(config["params"])
        c = cls(name, path, config)
        c.shard_path.mkdir(parents=True)
        c.shard = edge.EdgeShard.create(str(c.shard_path), engine_config)
        c._save_config()
        return c

    @classmethod
    def load(cls, path, recovery_mode=None):
        config = json.loads((path / "config.json").read_text())
        c = cls(path.name, path, config, recovery_mode)
        c._load_indexes()
        if not recovery_mode:
            c.shard = edge.EdgeShard.load(str(c.shard_path))
        return c

    def _save_config(self):
        """Last, whole, and in its place at once: without it the folder is no collection."""
        new = self.path / "config.json.new"
        new.write_text(json.dumps(self.config))
        new.rename(self.path / "config.json")

    def _load_indexes(self):
        file = self.path / "payload_index.json"
        self.indexes = json.loads(file.read_text())["schema"] if file.exists() else {}

    def set_indexes(self, indexes):
        """The engine needs none to filter: that they are there is all that can be seen of them."""
        (self.path / "payload_index.json").write_text(json.dumps({"schema": indexes}))
        self.indexes = indexes
        self.index_operations += 1

    def payload_schema(self, points):
        def shown(schema):
            if isinstance(schema, str):
                return {"data_type": schema, "points": points}
            return {"data_type": schema["type"], "params": schema, "points": points}
        return {field: shown(schema) for field, schema in self.indexes.items()}

    def shards_of(self):
        return {0: self}

    def shard_part(self, number):
        return self if number == 0 else None

    def cluster(self, peer):
        return {"peer_id": peer, "shard_count": 1, "remote_shards": [], "shard_transfers": [],
                "local_shards": [{"shard_id": 0, "points_count": self.points_count(), "state": "Active"}]}

    def telemetry(self):
        """As details_level=3 has it: what is read of it."""
        config = {k: v for k, v in self.config.items() if k != "uuid"}
        shards = [{"id": number, "key": None, "remote": [], "replicate_states": {}, "local": {
            "num_points": part.points_count(),
            "update_queue": {"length": 0, "op_num": part.operations + part.index_operations}}}
            for number, part in self.shards_of().items()]
        return {"id": self.name, "config": config, "shards": shards, "transfers": [], "resharding": []}

    def close(self):
        with self.lock:
            if self.shard:
                self.shard.flush()
                self.shard.close()
            self.shard = None

    def replace_shard(self, unpacked):
        """Takes the folder of another shard in place of its own."""
        with self.lock:
            if self.shard:
                self.shard.close()
                self.shard = None
            shutil.rmtree(self.shard_path, ignore_errors=True)
            unpacked.rename(self.shard_path)
            self.shard = edge.EdgeShard.load(str(self.shard_path))

    def flush(self):
        self._engine("get_snapshot_creator").flush()

    def _closed(self, action):
        return fault.internal(f"Failed to {action},  {self.recovery_mode or 'the server is stopping'}")

    def _engine(self, action):
        if self.shard is None:
            raise self._closed(action)
        return self.shard

    def _call(self, action, call):
        with self.lock:
            engine = self._engine(action)
            try:
                return call(engine)
            except fault.Fault:
                raise
            except (KeyError, TypeError, ValueError) as e:
                raise fault.malformed(e) from e
            except Exception as e:  # the engine has no exceptions of its own
                raise fault.wrong_input(str(e)) from e

    def _read(self, action, call):
        if self.shard is None:
            raise fault.internal("1 of 1 read operations failed:\n  " + self._closed(action).text)
        return self._call(action, call)

    def _update(self, operation):
        with self.lock:
            self._call("Update Points", lambda e: e.update(operation()))
            self.operations += 1
            return self.operations

    def points_count(self):
        return self.info()["points_count"] if self.shard else 0

    def info(self):
        counts = self._read("Get Info", lambda e: e.info())
        config = {k: v for k, v in self.config.items() if k != "uuid"}
        return {"status": "green", "optimizer_status": "ok",
                "indexed_vectors_count": counts.indexed_vectors_count, "points_count": counts.points_count,
                "segments_count": counts.segments_count,
                "config": config, "payload_schema": self.payload_schema(counts.points_count),
                "update_queue": {"length": 0}}

    def vector_names(self):
        vectors = self.config["params"]["vectors"]
        return [""] if "size" in vectors else [*vectors, *self.config["params"].get("sparse_vectors", {})]

    def upsert(self, body):
        return self._update(lambda: edge.UpdateOperation.upsert_points(_points_in(body)))

    def delete(self, body):
        if "points" in body:
            return self._update(lambda: edge.UpdateOperation.delete_points(body["points"]))
        return self._update(lambda: edge.UpdateOperation.delete_points_by_filter(_filter(body["filter"])))

    def count(self, body):
        self.strict.read(exact=body.get("exact", True))
        return self._read("count", lambda e: e.count(edge.CountRequest(exact=body.get("exact", True),
                                                                       filter=_filter(body.get("filter")))))

    def retrieve(self, body):
        records = self._read("retrieve", lambda e: e.retrieve(
            body["ids"], _payload_selector(body.get("with_payload", False)), body.get("with_vector", False)))
        return [_record(r) for r in records]

    def scroll(self, body):
        offset = body.get("offset")
        self.strict.read(limit=body.get("limit") or 10)
        request = edge.ScrollRequest(
            offset=uuid.UUID(offset) if isinstance(offset, str) else offset, limit=body.get("limit") or 10,
            filter=_filter(body.get("filter")), with_vector=body.get("with_vector", False),
            with_payload=_payload_selector(body.get("with_payload", True)))
        records, following = self._read("Scroll", lambda e: e.scroll(request))
        return {"points": [_record(r) for r in records],
                "next_page_offset": None if following is None else _id_out(following)}

    def query(self, body):
        query = body.get("query")
        if isinstance(query, dict) and "nearest" in query:
            query = query["nearest"]
        if isinstance(query, (int, str)):
            query = self._vector_of(query, body.get("using") or "")
        nearest = None if query is None else edge.Query.Nearest(_vector_in(query), using=body.get("using"))
        request = edge.QueryRequest(
            limit=body.get("limit") or 10, offset=body.get("offset") or 0, query=nearest,
            filter=_filter(body.get("filter")), score_threshold=body.get("score_threshold"),
            with_payload=_payload_selector(body.get("with_payload", False)),
            with_vector=body.get("with_vector", False))
        points = self._read("query", lambda e: e.query(request))
        return {"points": [_record(p, version=p.version, score=shortest(p.score)) for p in points]}

    def _vector_of(self, point, using):
        found = self.retrieve({"ids": [point], "with_payload": False, "with_vector": True})
        if not found:
            raise fault.not_found(f"No point with id {point} found")
        vector = found[0]["vector"]
        return vector[using] if isinstance(vector, dict) else vector
