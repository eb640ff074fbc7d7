"""A model of EFS replication: it promises no order between files, no whole files and no time for deletions.

    copy = Replicating(primary, replica, seed=7)
    copy.step()        # one change: a file, a part of one, a temporary name, a deletion; False: nothing is left to do
    copy.run(20)       # so many changes, or fewer if that is all there is
    copy.run()         # to the end: the replica is what the primary is now
    copy.pending()     # how many paths still differ

The primary may change at any time between two steps: each one looks anew.
"""
import os
import pathlib
import random
import shutil

TEMPORARY = ".in-transit-"


class Replicating:
    """Chances: `cut`, that a file arrives short first; `holed`, that it has its length, but zeros in it; `temporary`, that it
    comes under another name first; `lazy`, that a step which could delete does something else, if there is anything."""

    def __init__(self, primary, replica, seed=0, cut=0.3, holed=0.1, temporary=0.2, lazy=0.8):
        self.primary, self.replica = pathlib.Path(primary), pathlib.Path(replica)
        self.random = random.Random(seed)
        self.cut, self.holed, self.temporary, self.lazy = cut, holed, temporary, lazy
        self.begun = set()  # arrived in part: the next step finishes them
        self.replica.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def _files(root):
        return {p.relative_to(root) for p in root.rglob("*") if p.is_file() and not p.is_symlink()}

    def _same(self, name):
        a, b = self.primary / name, self.replica / name
        x, y = a.stat(), b.stat()
        if (x.st_size, x.st_mtime_ns) != (y.st_size, y.st_mtime_ns) or name in self.begun:
            return False
        return a.read_bytes() == b.read_bytes() if x.st_size < 1 << 20 else True

    def differences(self):
        """(what is to be copied, what is to be deleted), each in a fixed order, so that a seed always gives the same run."""
        here, there = self._files(self.primary), self._files(self.replica)
        copies = [n for n in here if n not in there or not self._same(n)]
        return sorted(copies), sorted(there - here)

    def pending(self):
        return sum(map(len, self.differences()))

    def step(self):
        copies, deletions = self.differences()
        if not copies and not deletions:
            self._empty_folders()
            return False
        if deletions and (not copies or self.random.random() > self.lazy):
            (self.replica / self.random.choice(deletions)).unlink()
        else:
            self._copy(self.random.choice(copies))
        return True

    def run(self, steps=None):
        """Returns how many steps were made."""
        done = 0
        while (steps is None or done < steps) and self.step():
            done += 1
        return done

    def arrive(self, name):
        """This file (or all files of this folder) now, and whole."""
        path = self.primary / name
        for f in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
            self._whole(f.relative_to(self.primary))

    def _copy(self, name):
        data = (self.primary / name).read_bytes()
        chance = self.random.random()
        if name in self.begun or not data or chance > self.cut + self.holed + self.temporary:
            self._whole(name)
        elif chance < self.cut:
            self._part(name, data[:self.random.randrange(len(data))])
        elif chance < self.cut + self.holed:
            at = self.random.randrange(len(data))
            self._part(name, data[:at] + bytes(len(data) - at))
        else:  # never finished under that name: it goes as a deletion does
            self._part(name.with_name(f"{TEMPORARY}{self.random.randrange(10 ** 9)}"), data[:self.random.randrange(len(data) + 1)])

    def _part(self, name, data):
        to = self.replica / name
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(data)
        self.begun.add(name)

    def _whole(self, name):
        to = self.replica / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(self.primary / name, to)
        self.begun.discard(name)

    def _empty_folders(self):
        for folder, _, _ in os.walk(self.replica, topdown=False):
            if pathlib.Path(folder) != self.replica and not os.listdir(folder) and \
                    not (self.primary / pathlib.Path(folder).relative_to(self.replica)).is_dir():
                os.rmdir(folder)
