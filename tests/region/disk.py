"""A machine's disk: what was written over the shared tree."""

import os
import shutil
from pathlib import Path

from .command import run


class Disk:
    """The upper layer of an overlay.  All of it is for a machine that is off; one that is on has ``write``."""

    def __init__(self, tree: Path, directory: Path) -> None:
        """``tree`` is only read; ``directory`` holds the disk and what was saved of it."""
        self.layers = (tree, directory / "disk")
        self._tree, self._path = self.layers
        self._saved = directory / "saved"
        self._path.mkdir(mode=0o755, parents=True, exist_ok=True)

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file of root's, with the directories that are missing."""
        target = self._prepare(path)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)

    def link(self, path: str, target: str) -> None:
        """A symbolic link at ``path``."""
        self._prepare(path).symlink_to(target)

    def read(self, path: str) -> str:
        """A file that was written by the machine, or by ``put``."""
        return self.place(path).read_text(encoding="utf-8")

    def place(self, path: str) -> Path:
        """Where on the host what was written to ``path`` is."""
        return self._path / path.lstrip("/")

    def save(self) -> None:
        """Keep it as it is now for ``restore``."""
        shutil.rmtree(self._saved, ignore_errors=True)
        run(["cp", "--archive", str(self._path), str(self._saved)])

    def restore(self) -> None:
        """As it was when it was saved."""
        shutil.rmtree(self._path)
        run(["cp", "--archive", str(self._saved), str(self._path)])

    def _prepare(self, path: str) -> Path:
        """Where ``path`` is on the host, with nothing there yet: a link's target would be sought on the host."""
        place = self.place(path)
        self._make_directory(place.parent)
        place.unlink(missing_ok=True)
        return place

    def _make_directory(self, directory: Path) -> None:
        """A directory hides the tree's of the same name, and so takes over its mode and owner."""
        if directory.is_dir():
            return
        self._make_directory(directory.parent)
        directory.mkdir(mode=0o755)
        hidden = self._tree / directory.relative_to(self._path)
        if hidden.is_dir():
            found = hidden.stat()
            directory.chmod(found.st_mode & 0o7777)
            os.chown(directory, found.st_uid, found.st_gid)
