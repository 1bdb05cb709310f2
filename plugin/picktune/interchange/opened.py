"""Opening a file to be read: unpacked if it is gzip, and in UTF-8 whatever Unicode it came in."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from picktune.errors import InvalidInput

BOM = b"\xef\xbb\xbf"
Content = Literal["text", "xlsx", "parquet"]

_CHUNK = 1 << 16
# Four bytes first: the mark of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OLE = b"\xd0\xcf\x11\xe0"


class _Recoded(io.RawIOBase):
    """Another encoding as UTF-8, decoded as it is read."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            read = self._file.read(_CHUNK)
            text = self._decoder.decode(read, final=not read)
            self._ready = text.encode("utf-8", "surrogatepass")
            if not read:
                break
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


@contextmanager
def opened(path: Path, encoding: str | None = None) -> Iterator[io.BufferedReader]:
    """The file's bytes: of a text in UTF-8, of a workbook or Parquet file as they are.

    What begins with the mark of UTF-16 or UTF-32 is decoded; ``encoding`` names what else it is in. Raises
    ``InvalidInput``, saying what to do, also while it is read.
    """
    if encoding is not None:
        _check(encoding)
    try:
        with path.open("rb") as file:
            plain: Any = (
                io.BufferedReader(gzip.GzipFile(fileobj=file)) if _starts(file, b"\x1f\x8b") else file
            )
            marked = next((name for mark, name in _MARKS if _starts(plain, mark)), None)
            known = encoding or marked
            yield io.BufferedReader(_Recoded(plain, known), _CHUNK) if known else plain
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path} is not {error.encoding} (byte 0x{error.object[error.start]:02x}); name the right "
            f"encoding, or save the file as UTF-8",
            field="encoding",
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(f"{path} is broken gzip: {error}; fetch it again", field="path") from error
    except IsADirectoryError:
        raise InvalidInput(
            f"cannot read {path}: it is a directory; name the files in it", field="path"
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidInput(f"cannot read {path}: {reason}; check the path", field="path") from error


def content(path: Path, file: io.BufferedReader) -> Content:
    """What a file is by its first bytes; raises ``InvalidInput`` for what is no file of rows."""
    if _starts(file, b"PAR1"):
        return "parquet"
    if _starts(file, b"PK\x03\x04"):
        return "xlsx"
    if _starts(file, _OLE):
        raise InvalidInput(
            f"{path} is a workbook of an Excel before 2007; save it as .xlsx or as CSV UTF-8", field="path"
        )
    return "text"


def _check(encoding: str) -> None:
    try:
        text = codecs.lookup(encoding)
    except LookupError:
        text = None
    # Some codecs, such as hex, are no encodings of text.
    if text is None or not getattr(text, "_is_text_encoding", True):
        raise InvalidInput(
            f"no encoding named {encoding!r}; name one that Python knows, such as gbk or latin-1",
            field="encoding",
        )


def _starts(file: IO[bytes], mark: bytes) -> bool:
    assert isinstance(file, io.BufferedReader)  # noqa: S101 - path.open and the two above
    return file.peek(len(mark))[: len(mark)] == mark
