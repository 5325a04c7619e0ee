"""Archives such as condor_annex packs for its instances."""

import gzip
import io
import tarfile
from typing import Callable, Mapping, Sequence, Tuple, Union

Entry = Union[bytes, Callable[[tarfile.TarInfo], None]]


def tar(entries: Sequence[Tuple[str, Entry]], how: int = tarfile.GNU_FORMAT) -> bytes:
    """An archive of files (bytes), of directories (those called *.d without content), and of what a function makes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=how) as archive_file:
        for name, entry in entries:
            info = tarfile.TarInfo(name)
            content = entry if isinstance(entry, bytes) else b""
            info.size = len(content)
            if callable(entry):
                entry(info)
            elif not content and name.endswith(".d"):
                info.type = tarfile.DIRTYPE
            archive_file.addfile(info, io.BytesIO(content) if content else None)
    return stream.getvalue()


def packed(entries: Mapping[str, Entry], how: int = tarfile.GNU_FORMAT) -> bytes:
    return gzip.compress(tar(list(entries.items()), how))
