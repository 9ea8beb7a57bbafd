"""The text of a file: its name's ending, compression and encoding."""
import codecs
import gzip
import zlib
from os.path import isfile
from pathlib import Path

from data import InputError
from reading.hub import open_zst

OPENERS = {".gz": gzip.open, ".zst": open_zst}


def suffix(file):
    """The ending of a file's name, in lower case and without that of its compression."""
    name = Path(file.name.lower())
    return (name.with_suffix("") if name.suffix in OPENERS else name).suffix


def read_text(file):
    """All of a file, perhaps compressed, its line ends as they are. Raises InputError where it
    cannot be opened, or is not text."""
    if not isfile(file):
        raise InputError(f"{file}: no such file")
    try:
        with OPENERS.get(file.suffix.lower(), open)(file, "rb") as f:
            content = f.read()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
        problem = "it holds zero bytes" if "\0" in text else None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"line {line} has other bytes"
    if problem:
        raise InputError(f"{file}: cannot be read as UTF-8 text, for {problem}: save it as UTF-8, "
                         "for example with iconv -f WINDOWS-1252 -t UTF-8 (or -f UTF-16LE, or what "
                         "else the file is in)")
    return text
