"""The text of a file: its name's ending, compression and encoding."""
import codecs
import gzip
import zlib
from pathlib import Path

from data import InputError

from reading.hub import package

COMPRESSED = (".gz", ".zst")
# The first bytes of a file that say its encoding. UTF-32 comes first: it begins like UTF-16.
MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
         codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def suffix(file):
    """The ending of a file's name, in lower case and without that of its compression."""
    name = Path(file).name.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return Path(name).suffix


def read_text(file):
    """All of a file, perhaps compressed, its line ends as they are. Raises InputError where it
    cannot be opened, or is not text."""
    try:
        content = _content(Path(file))
    except IsADirectoryError:
        raise InputError(f"{file}: a folder; here its files are named one by one, for example "
                         f"{file}/*") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    marked = (name for mark, name in MARKS.items() if content.startswith(mark))
    encoding = next(marked, "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(_not_utf8(file, f"for line {line} has other bytes")) from None
    if "\0" in text:
        raise InputError(_not_utf8(file, "for it holds zero bytes"))
    return text


def _content(file):
    if file.suffix.lower() == ".zst":
        arrow = package("pyarrow", file)
        try:
            with arrow.input_stream(str(file), compression="zstd") as f:
                return f.read()
        except arrow.ArrowInvalid as error:
            raise OSError(error) from None
    opener = gzip.open if file.suffix.lower() == ".gz" else open
    with opener(file, "rb") as f:
        return f.read()


def _not_utf8(file, problem):
    return (f"{file}: cannot be read as UTF-8 text, {problem}: save it as UTF-8, for example with "
            "iconv -f WINDOWS-1252 -t UTF-8 (or -f UTF-16LE, or what else the file is in)")
