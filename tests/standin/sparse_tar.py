"""Writes tar archives as Qdrant does: GNU format, files with holes as sparse members.

The standard library reads such members but cannot write them, and a shard's write-ahead log alone is 64 MiB
of holes: without them every snapshot of five points would be that large.
"""
import contextlib
import io
import os
import tarfile

BLOCK = 512
IN_HEADER, IN_EXTENSION = 4, 21  # how many (offset, size) pairs the header and each block after it hold


def _octal(number, width):
    return b"%0*o" % (width - 1, number) + b"\0"


def _data_parts(fd, size):
    """The parts of a file that are not holes, as the file system tells them."""
    parts, at = [], 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole up to the end
            break
        at = os.lseek(fd, start, os.SEEK_HOLE)
        parts.append((start, min(at, size) - start))
    if not parts or sum(parts[-1]) < size:
        parts.append((size, 0))  # marks where the file ends
    return parts


class SparseTar:
    """A tar archive that is written member after member to an open file."""

    def __init__(self, out):
        self.out = out

    def add_bytes(self, name, data):
        """A member without a date, as Qdrant writes what it has in memory only."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._header(info)
        self._body(io.BytesIO(data), len(data))

    def add_directory(self, name, path):
        info = tarfile.TarInfo(name + "/")
        info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, int(os.stat(path).st_mtime)
        self._header(info)

    def add_file(self, name, path):
        with open(path, "rb") as source:
            status = os.fstat(source.fileno())
            parts = _data_parts(source.fileno(), status.st_size)
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = status.st_mode & 0o7777, int(status.st_mtime)
            info.size = stored = sum(size for _, size in parts)
            if stored == status.st_size:
                source.seek(0)
                self._header(info)
                self._body(source, stored)
                return
            info.type = tarfile.GNUTYPE_SPARSE
            self._header(info, parts, status.st_size)
            for offset, size in parts:
                source.seek(offset)
                self._copy(source, size)
            self._pad(stored)

    @contextlib.contextmanager
    def archive(self, name):
        """A tar archive as a member; its size is known, and its header true, only at the end."""
        info, start = tarfile.TarInfo(name), self.out.tell()
        self._header(info)
        inner = SparseTar(self.out)
        body = self.out.tell()
        yield inner
        inner.finish()
        end = self.out.tell()
        info.size = end - body
        self.out.seek(start)
        self._header(info)
        self.out.seek(end)

    def finish(self):
        self.out.write(bytes(2 * BLOCK))
        self.out.flush()

    def _header(self, info, parts=None, real_size=0):
        blocks = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        if parts is None:
            self.out.write(blocks)
            return
        header = bytearray(blocks[-BLOCK:])  # a long name comes in blocks before it
        pairs = [_octal(offset, 12) + _octal(size, 12) for offset, size in parts]
        rest = pairs[IN_HEADER:]
        header[386:482] = b"".join(pairs[:IN_HEADER]).ljust(96, b"\0")
        header[482] = 1 if rest else 0
        header[483:495] = _octal(real_size, 12)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        self.out.write(blocks[:-BLOCK] + bytes(header))
        while rest:
            block = bytearray(b"".join(rest[:IN_EXTENSION]).ljust(BLOCK, b"\0"))
            rest = rest[IN_EXTENSION:]
            block[504] = 1 if rest else 0
            self.out.write(bytes(block))

    def _body(self, source, size):
        self._copy(source, size)
        self._pad(size)

    def _copy(self, source, size):
        while size > 0:
            data = source.read(min(size, 1 << 20))
            if not data:
                raise OSError("a file became shorter while it was archived")
            self.out.write(data)
            size -= len(data)

    def _pad(self, size):
        self.out.write(bytes(-size % BLOCK))
