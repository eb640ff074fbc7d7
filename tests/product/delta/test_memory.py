"""COMPRESSION=delta: its memory is bounded, too, however many members a snapshot has."""
import os
import pathlib
import re

import pytest
from days import Version, name_of, packed
from harness import wait_for


@pytest.mark.skipif(bool(os.environ.get("SANITIZED")), reason="a sanitizer needs memory of its own")
def test_a_hundred_thousand_members_that_all_change_need_less_than_64_mib(tree):
    version = Version()
    for number in range(2):
        body = bytes([number]) * 16 + bytes(2084)
        tree.snapshot("docs", name_of(number), packed({f"0/segments/s/{i:08d}": i.to_bytes(8, "big") + body for i in range(100_000)}))
        p = tree.start(COMPRESSION="delta", QDRANT_URL=version.url, NODE_NAME="n1")
        wait_for(lambda n=number: len(tree.complete()) == n + 1, 120)
        assert int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{p.pid}/status").read_text())[1]) < 64 << 10, "kB"
        p.terminate()
        assert p.wait() == 0
    assert {b["codec"] for b in tree.ls()} == {"zstd:1", "delta"}
    version.stop()
