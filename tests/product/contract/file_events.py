"""Records what happens to the files below a folder, as inotify(7) tells it to whoever watches."""
import ctypes
import os
import pathlib
import struct
import threading

_libc = ctypes.CDLL(None, use_errno=True)
_NAMES = {0x2: "MODIFY", 0x4: "ATTRIB", 0x8: "CLOSE_WRITE,CLOSE", 0x40: "MOVED_FROM", 0x80: "MOVED_TO",
          0x100: "CREATE", 0x200: "DELETE"}
_MASK = sum(_NAMES) | 0x01000000  # IN_ONLYDIR
_ISDIR, _IGNORED, _OVERFLOW = 0x40000000, 0x8000, 0x4000
_HEAD = struct.Struct("iIII")


class Recorder:
    """Watches `root` and all folders in it, also those that are made meanwhile.

    A folder's watch comes after the folder: what the server did in it before that is not seen. `late` tells
    that this happened, so that a test can start over instead of comparing half of a recording.
    """

    def __init__(self, root):
        self.root, self.events, self.late = pathlib.Path(root), [], False
        self.folders, self.more = {}, threading.Condition()
        self.fd = _libc.inotify_init1(os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._watch(self.root, new=False)
        self.stopped = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def close(self):
        """Ends the recording; the last event is one of our own."""
        self.stopped.set()
        (self.root / ".end").touch()

    def _watch(self, folder, new):
        wd = _libc.inotify_add_watch(self.fd, os.fsencode(folder), _MASK)
        if wd < 0:
            return  # gone already
        self.folders[wd] = folder
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                self.late |= new and not self._temporary(folder)
            elif folder / entry.name not in self.folders.values():
                if new:
                    self._add("CREATE,ISDIR", folder / entry.name)
                self._watch(folder / entry.name, new)

    def _temporary(self, folder):
        return folder.relative_to(self.root).parts[:1] == ("tmp",)

    def _run(self):
        while not self.stopped.is_set():
            data, at = os.read(self.fd, 1 << 16), 0
            with self.more:
                while at < len(data):
                    wd, mask, _, size = _HEAD.unpack_from(data, at)
                    name = os.fsdecode(data[at + _HEAD.size:at + _HEAD.size + size].rstrip(b"\0"))
                    at += _HEAD.size + size
                    self._event(wd, mask, name)
                self.more.notify_all()
        os.close(self.fd)

    def _event(self, wd, mask, name):
        if mask & _OVERFLOW:
            self.late = True
        if mask & _IGNORED:
            self.folders.pop(wd, None)
            return
        kind = next((text for bit, text in _NAMES.items() if mask & bit), None)
        if kind is None or wd not in self.folders or not name:
            return
        path = self.folders[wd] / name
        if mask & _ISDIR:
            kind += ",ISDIR"
            if kind == "CREATE,ISDIR":
                if path not in self.folders.values():  # else the look into its parent was quicker
                    self._add(kind, path)
                    self._watch(path, new=True)
                return
        self._add(kind, path)

    def _add(self, kind, path):
        self.events.append(f"{kind} {path.relative_to(self.root.parent)}")

    def wait(self, done, seconds=10):
        """The events so far, once `done(events)` or when the time is up."""
        with self.more:
            self.more.wait_for(lambda: self.late or done(self.events), seconds)
            return list(self.events)
