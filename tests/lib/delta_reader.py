"""An independent reader of backups, by docs/format.md alone: not a line of it is the product's."""
import hashlib
import json

import zstandard
from harness import manifests_of


def part(data, at, size):
    assert at + size <= len(data), "behind the end"
    return data[at:at + size]


def snapshot_of(base, manifest):
    """Its bytes by docs/format.md alone."""
    def file(name, frequency):
        return (base / frequency / "docs" / name).read_bytes()

    whole = b""
    for layer in [*manifest.get("bases", []), manifest]:
        data = file(layer["data"], layer["frequency"])
        assert len(data) == layer["stored_size"]
        if layer["data"].endswith(".zst"):
            whole = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(data)
            continue
        recipe = part(data, layer["recipe"]["offset"], layer["recipe"]["size"])
        assert hashlib.sha256(recipe).hexdigest() == layer["recipe"]["sha256"]
        made = []
        for line in recipe.decode().splitlines():
            how, a, b, *rest = line.split()
            prefix = part(whole, int(a), int(b))
            if how == "=":
                made.append(prefix)
                continue
            dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if how == "~" else None
            frame = part(data, int(rest[0]), int(rest[1]))
            made.append(zstandard.ZstdDecompressor(dict_data=dictionary).decompress(frame))
        whole = b"".join(made)
    return whole


def check(tree):
    """Every backup that is there gives its snapshot; how many there are."""
    found = [json.loads(p.read_text()) for p in manifests_of(tree.base)] if tree.base.exists() else []
    for manifest in found:
        data = snapshot_of(tree.base, manifest)
        assert len(data) == manifest["size"] and hashlib.sha256(data).hexdigest() == manifest["sha256"], manifest["snapshot"]
    return len(found)
