"""The REST API: what each route does and replies."""
import json
import re
import uuid

import fault
import snapshots as snap
from http_server import File, Later, Refusal, Text, route, save_upload
from storage import check_new_name

VERSION = "1.18.2"


def check_checksum(value, where):
    if value is None:
        return
    if len(value) != 64:
        raise fault.invalid(where, "checksum", 'Validation error: invalid_sha256_hash '
                            '[{"value": String("%s"), "expected_length": Number(64), "length": Number(%d)}]'
                            % (value, len(value)))
    if not re.fullmatch("[0-9a-fA-F]{64}", value):
        raise fault.invalid(where, "checksum", "invalid characters, expected 0-9, a-f, A-F")


# Service

@route("GET", "/")
def index(_r):
    return Text(json.dumps({"title": "qdrant - vector search engine", "version": VERSION,
                            "commit": "0" * 40}))


@route("GET", "/healthz")
@route("GET", "/livez")
def healthz(_r):
    return Text("healthz check passed")


@route("GET", "/readyz")
def readyz(_r):
    return Text("all shards are ready")


@route("GET", "/metrics")
def metrics(r):
    lines = []

    def family(name, values, kind="gauge"):
        if values:
            lines.append(f"# HELP {name} {name.replace('_', ' ')}")
            lines.append(f"# TYPE {name} {kind}")
            lines.extend(f"{name}{labels} {value}" for labels, value in values)
    counters = r.snapshots.counters
    names = r.storage.names()
    counters.know(names)
    points = {n: r.storage.collection(n).points_count() for n in names}
    vectors = [(f'{{collection="{n}",vector="{v}"}}', points[n])
               for n in names for v in r.storage.collection(n).vector_names()]
    family("app_info", [(f'{{name="qdrant",version="{VERSION}"}}', 1)])
    family("app_status_recovery_mode", [("", int(bool(r.settings.recovery_mode)))])
    family("collections_total", [("", len(names))])
    family("collections_vector_total", [("", sum(n for _, n in vectors))])
    family("collection_vectors", vectors)
    family("collection_indexed_only_excluded_points",
           [(f'{{id="{n}",vector="{v}"}}', 0) for n in names for v in r.storage.collection(n).vector_names()])
    family("collection_active_replicas_min", [("", int(bool(names)))])
    family("collection_active_replicas_max", [("", int(bool(names)))])
    family("collection_running_optimizations", [(f'{{id="{n}"}}', 0) for n in names])
    family("collection_points", [(f'{{id="{n}"}}', points[n]) for n in names])
    family("collection_dead_replicas", [("", 0)])
    family("snapshot_creation_running", [(f'{{id="{n}"}}', c) for n, c in counters.creating.items()])
    family("snapshot_recovery_running", [(f'{{id="{n}"}}', c) for n, c in counters.recovering.items()])
    family("snapshot_created_total", [(f'{{id="{n}"}}', c) for n, c in counters.created.items()], "counter")
    for name in ("shard_transfer_incoming", "shard_transfer_outgoing", "update_queue_length",
                 "update_queue_deferred_points"):
        family(f"collection_{name}", [(f'{{id="{n}"}}', 0) for n in names])
    family("cluster_enabled", [("", int(r.settings.cluster))])
    return Text("\n".join(lines) + "\n")


@route("GET", "/telemetry")
def telemetry(r):
    collections = {"number_of_collections": len(r.storage.names())}
    if int(r.query.get("details_level", 0)) >= 3:
        collections["collections"] = [r.storage.collection(n).telemetry() for n in r.storage.names()]
    return {"id": r.id, "app": {"name": "qdrant", "version": VERSION, "startup": r.startup},
            "collections": collections,
            "cluster": {"enabled": r.settings.cluster, "resharding_enabled": False},
            "requests": {"rest": {"responses": r.responses.told()}}}


@route("GET", "/cluster")
def cluster(r):
    if not r.settings.cluster:
        return {"status": "disabled"}
    peer = r.storage.peer_id
    return {"status": "enabled", "peer_id": peer, "peers": {str(peer): {"uri": r.settings.uri + "/"}},
            "raft_info": {"term": 1, "commit": 1, "pending_operations": 0, "leader": peer, "role": "Leader",
                          "is_voter": True},
            "consensus_thread_status": {"consensus_thread_status": "working", "last_update": r.startup},
            "message_send_failures": {}}


# Collections

@route("GET", "/collections")
def list_collections(r):
    return {"collections": [{"name": n} for n in r.storage.names()]}


@route("GET", "/aliases")
def list_aliases(r):
    return {"aliases": [{"alias_name": alias, "collection_name": collection}
                        for alias, collection in sorted(r.storage.aliases.items())]}


@route("GET", "/collections/{collection_name}/aliases")
def list_collection_aliases(r, name):
    return {"aliases": [a for a in list_aliases(r)["aliases"] if a["collection_name"] == name]}


@route("POST", "/collections/aliases")
def change_aliases(r):
    return r.storage.change_aliases(r.json().get("actions", []))


@route("GET", "/collections/{collection_name}")
def get_collection(r, name):
    return r.storage.by_alias(name).info()


@route("GET", "/collections/{collection_name}/exists")
def collection_exists(r, name):
    return {"exists": name in r.storage.names()}


@route("PUT", "/collections/{collection_name}")
def create_collection(r, name):
    check_new_name(name)
    return r.storage.create(name, r.json())


@route("DELETE", "/collections/{collection_name}")
def delete_collection(r, name):
    return r.storage.delete(name)


@route("GET", "/collections/{collection_name}/cluster")
def collection_cluster(r, name):
    return r.storage.by_alias(name).cluster(r.storage.peer_id)


@route("PUT", "/collections/{collection_name}/index")
def create_index(r, name):
    body, collection = r.json(), r.storage.by_alias(name)
    collection.set_indexes(collection.indexes | {body["field_name"]: body["field_schema"]})
    return {"operation_id": 1, "status": "completed"}


@route("DELETE", "/collections/{collection_name}/index/{field}")
def delete_index(r, name, field):
    collection = r.storage.by_alias(name)
    collection.set_indexes({f: s for f, s in collection.indexes.items() if f != field})
    return {"operation_id": 1, "status": "completed"}


def keyed(r, name):
    """The collection of which a shard key is made or dropped, if it has any."""
    if not r.settings.cluster:
        raise fault.bad_request("Distributed mode disabled")
    collection = r.storage.by_alias(name)
    if not hasattr(collection, "keys"):
        raise fault.bad_request("Shard Key cannot be created with Auto sharding method")
    return collection


@route("PUT", "/collections/{collection_name}/shards")
def create_shard_key(r, name):
    body = r.json()
    return keyed(r, name).add_key(body["shard_key"], body.get("shards_number") or 1)


@route("POST", "/collections/{collection_name}/shards/delete")
def delete_shard_key(r, name):
    body = r.json()
    return keyed(r, name).drop_key(body["shard_key"])


# Points

def updated(r, operation):
    return {"operation_id": operation, "status": "completed" if r.wait(False) else "acknowledged"}


@route("PUT", "/collections/{collection_name}/points")
def upsert_points(r, name):
    body = r.json()
    return updated(r, r.storage.to_write(name).upsert(body))


@route("POST", "/collections/{collection_name}/points/delete")
def delete_points(r, name):
    body = r.json()
    return updated(r, r.storage.to_write(name).delete(body))


@route("POST", "/collections/{collection_name}/points/count")
def count_points(r, name):
    body = r.json()
    return {"count": r.storage.by_alias(name).count(body)}


@route("POST", "/collections/{collection_name}/points/scroll")
def scroll_points(r, name):
    body = r.json()
    return r.storage.by_alias(name).scroll(body)


@route("POST", "/collections/{collection_name}/points/query")
def query_points(r, name):
    body = r.json()
    return r.storage.by_alias(name).query(body)


@route("POST", "/collections/{collection_name}/points")
def get_points(r, name):
    body = r.json()
    return r.storage.by_alias(name).retrieve(body)


@route("GET", "/collections/{collection_name}/points/{id}")
def get_point(r, name, point):
    try:
        key = int(point) if point.isdigit() else str(uuid.UUID(point))
    except ValueError as e:
        raise fault.wrong_input(f'Can not recognize "{point}" as point id') from e
    found = r.storage.by_alias(name).retrieve({"ids": [key], "with_payload": True, "with_vector": True})
    if not found:
        raise fault.not_found(f"Point with id {point} does not exists!")
    return found[0]


# Snapshots

def download(find):
    try:
        return File(find())
    except fault.Fault as f:
        raise Refusal(f.status, f.text) from f


@route("GET", "/collections/{collection_name}/snapshots")
def list_snapshots(r, name):
    return snap.list_folder(r.snapshots.of_collection(name))


@route("POST", "/collections/{collection_name}/snapshots")
def create_snapshot(r, name):
    return Later(r, lambda: r.snapshots.create(name))


@route("POST", "/collections/{collection_name}/snapshots/upload")
def upload_snapshot(r, name):
    check_new_name(name)
    checksum = r.query.get("checksum")
    check_checksum(checksum, "query parameters")
    upload = save_upload(r.body, r.headers.get("content-type"), r.storage.upload_folder())

    def work():
        try:
            digest = snap.sha256_of(upload.path)
            if checksum and digest != checksum.lower():
                raise fault.Fault(400, f"Checksum mismatch: expected {digest}, actual {checksum}")
            location = r.snapshots.keep_upload(name, upload.path, upload.name)
        finally:
            upload.close()
        return r.snapshots.recover(name, location)
    return Later(r, work)


@route("PUT", "/collections/{collection_name}/snapshots/recover")
def recover_snapshot(r, name):
    body = r.json()
    check_checksum(body.get("checksum"), "JSON body")
    if not isinstance(body.get("location"), str):
        raise fault.malformed("missing field `location`")
    if body.get("priority") not in (None, "no_sync", "snapshot", "replica"):
        raise fault.malformed(f"unknown variant `{body['priority']}`, "
                              "expected one of `no_sync`, `snapshot`, `replica`")
    return Later(r, lambda: r.snapshots.recover(name, body["location"], body.get("checksum"),
                                                body.get("api_key")))


@route("GET", "/collections/{collection_name}/snapshots/{snapshot_name}")
def get_snapshot(r, name, snapshot):
    return download(lambda: snap.find(r.snapshots.of_collection(name), snapshot))


@route("DELETE", "/collections/{collection_name}/snapshots/{snapshot_name}")
def delete_snapshot(r, name, snapshot):
    def work():
        snap.delete_file(snap.find(r.snapshots.of_collection(name), snapshot))
        return True
    return Later(r, work)


@route("GET", "/collections/{collection_name}/shards/{shard}/snapshots")
def list_shard_snapshots(r, name, shard):
    return snap.list_folder(r.snapshots.of_shard(name, shard))


@route("POST", "/collections/{collection_name}/shards/{shard}/snapshots")
def create_shard_snapshot(r, name, shard):
    return Later(r, lambda: r.snapshots.create_of_shard(name, shard))


@route("PUT", "/collections/{collection_name}/shards/{shard}/snapshots/recover")
def recover_shard_snapshot(r, name, shard):
    body = r.json()
    check_checksum(body.get("checksum"), "JSON body")
    return Later(r, lambda: r.snapshots.recover_shard(
        name, shard, r.snapshots.find_of_shard(name, shard, body["location"]), body.get("checksum")))


@route("GET", "/collections/{collection_name}/shards/{shard}/snapshots/{snapshot}")
def get_shard_snapshot(r, name, shard, snapshot):
    return download(lambda: r.snapshots.find_of_shard(name, shard, snapshot))


@route("DELETE", "/collections/{collection_name}/shards/{shard}/snapshots/{snapshot}")
def delete_shard_snapshot(r, name, shard, snapshot):
    def work():
        snap.delete_file(r.snapshots.find_of_shard(name, shard, snapshot))
        return True
    return Later(r, work)


@route("GET", "/snapshots")
def list_full_snapshots(r):
    return snap.list_folder(r.storage.snapshots_path)


@route("POST", "/snapshots")
def create_full_snapshot(r):
    return Later(r, r.snapshots.create_full)


@route("GET", "/snapshots/{snapshot_name}")
def get_full_snapshot(r, snapshot):
    return download(lambda: snap.find(r.storage.snapshots_path, snapshot))


@route("DELETE", "/snapshots/{snapshot_name}")
def delete_full_snapshot(r, snapshot):
    def work():
        snap.delete_file(snap.find(r.storage.snapshots_path, snapshot))
        return True
    return Later(r, work)
