"""Snapshots that are as good as the real one, but for one thing."""
import io
import tarfile


def members_of(data: bytes) -> list:
    """(name, bytes) of each member; holes are zeros."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(m.name, tar.extractfile(m).read()) for m in tar if m.isfile()]


def tar_with(members, kind=tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), kind
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def without(members, part):
    left = [(n, d) for n, d in members if part not in n]
    assert left != members
    return left


def changed(members, part, change):
    """`change` makes new bytes of those of the first member whose name has `part`."""
    at = next(i for i, (name, _) in enumerate(members) if part in name)
    return [*members[:at], (members[at][0], change(members[at][1])), *members[at + 1:]]


def cut_between_members(data: bytes) -> bytes:
    """Whole members, but not all of them, and no mark of the end."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return data[:tar.getmembers()[-1].offset]


def cut_before_the_mark(data: bytes) -> bytes:
    """All members, each filled up to a block, but no mark of the end."""
    data = data.rstrip(b"\0")
    return data + bytes(-len(data) % 512)
