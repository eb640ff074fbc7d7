"""Temporary files and folders, named as the server's: six letters and digits between prefix and suffix."""
import contextlib
import os
import pathlib
import secrets
import shutil
import string


def _new(make, folder, prefix, suffix):
    while True:
        middle = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(6))
        path = pathlib.Path(folder) / f"{prefix}{middle}{suffix}"
        with contextlib.suppress(FileExistsError):
            return make(path), path


def new_file(folder, prefix, suffix=""):
    """(descriptor, path) of a file that only its owner may read."""
    return _new(lambda path: os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), folder, prefix, suffix)


def new_folder(folder, prefix):
    return _new(lambda path: path.mkdir(mode=0o700), folder, prefix, "")[1]


@contextlib.contextmanager
def file(folder, prefix, suffix=""):
    """A file that stays open, also after it was moved away, until the caller is done."""
    fd, path = new_file(folder, prefix, suffix)
    try:
        yield path
    finally:
        os.close(fd)
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def directory(folder, prefix):
    path = new_folder(folder, prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
