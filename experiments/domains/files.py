"""Files to rows: JSON, JSON lines, CSV, TSV, gzip, folders of them, and files on the hub.

A row is a dictionary with the place where it stands, for errors. Bad input raises `InputError`.
"""
import csv
import gzip
import io
import json
import re
import zlib
from os.path import exists
from pathlib import Path

from data import InputError

LIST = re.compile(r"\[\s*['\"].*['\"]\s*\]$", re.DOTALL)  # as pandas writes one into a cell


def read_rows(path):
    """All records of a file or folder, each as (where it stands, dictionary)."""
    path = Path(_from_hub(str(path)) if str(path).startswith("hub:") else path)
    if not exists(path):  # unlike Path.exists, no error where the name is too long
        raise InputError(f"{path}: no such file or folder")
    files = [path]
    if path.is_dir():
        files = [f for f in sorted(path.iterdir()) if _suffix(f) in READERS]
    elif _suffix(path) not in READERS:
        raise InputError(f"{path}: the name must end in .json, .jsonl, .csv or .tsv (or with .gz)")
    rows = [row for file in files for row in READERS[_suffix(file)](file)]
    if not rows:
        raise InputError(f"{path}: holds no records")
    for where, row in rows:
        if not isinstance(row, dict):
            kind = type(row).__name__
            raise InputError(f"{where}: expected an object with named fields, found {kind}")
    return rows


def checksum(*paths):
    """A number for all that files hold, so that finished runs of other data are refused."""
    rows = [row for path in paths if path for _, row in read_rows(path)]
    return zlib.crc32(repr(rows).encode("utf-8", "backslashreplace"))


def _from_hub(path):
    """Fetch hub:owner/name/file, a file of a data set, and return where it lies."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    owner, _, rest = path.removeprefix("hub:").partition("/")
    name, _, file = rest.partition("/")
    if not file:
        raise InputError(f"{path}: a data set on the hub is named hub:owner/name/file")
    try:
        return hf_hub_download(f"{owner}/{name}", file, repo_type="dataset")
    except Exception as error:  # offline, private, misspelled: the hub's own words say which
        missing = isinstance(error, EntryNotFoundError)
        if missing and not isinstance(error, LocalEntryNotFoundError):
            held = ", ".join(HfApi().list_repo_files(f"{owner}/{name}", repo_type="dataset"))
            raise InputError(f"{path}: no such file; {owner}/{name} holds {held}") from None
        raise InputError(f"{path}: cannot be fetched: {str(error).splitlines()[0]}") from None


def _suffix(file):
    return Path(file.name.removesuffix(".gz")).suffix


def read_text(file):
    """All of a file, perhaps a .gz, its line ends as they are."""
    try:
        opener = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rt", encoding="utf-8-sig", newline="") as f:
            return f.read()
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise InputError(f"{file}: cannot be read as UTF-8 text: {error}") from None


def _read_json(file):
    text = read_text(file)
    if text.lstrip().startswith("["):
        return [(f"{file}: record {i}", row) for i, row in enumerate(_parse(text, file), 1)]
    return [(f"{file}:{i}", _parse(line, f"{file}:{i}"))
            for i, line in enumerate(text.split("\n"), 1) if line.strip()]


def _parse(text, where):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits, lists 10,000 deep
        raise InputError(f"{where}: not valid JSON: {error}; a file holds an object a line, or one "
                         "list of objects") from None


def read_table(file, delimiter=None, columns=(), quoting=csv.QUOTE_MINIMAL):
    """The rows of a file with a header line, each as (where it stands, dictionary).

    Args:
        delimiter: a comma for .csv and a tab for others if not given. columns: that must be there.
        quoting: as for the csv module.
    """
    delimiter = delimiter or {".csv": ","}.get(_suffix(file), "\t")
    lines = io.StringIO(read_text(file), newline="")
    csv.field_size_limit(2**31 - 1)
    reader = csv.DictReader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    rows = []
    try:
        names = reader.fieldnames or []
        if missing := [c for c in columns if c not in names]:
            raise no_column(missing[0], names, file)
        if twice := [c for c in names if c.strip() and names.count(c) > 1]:
            raise InputError(f"{file}: twice the column {twice[0]!r}")
        for row in reader:
            where = f"{file}:{reader.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{where}: not {len(names)} columns as in the first line")
            for name in {"rejected", "responses"} & row.keys():
                if LIST.match(row[name]) and not LIST.match(row.get("chosen", "")):
                    raise InputError(f"{where}: '{name}' holds a list, which takes JSON: a cell of "
                                     "a table is a single text")
            rows.append((where, row))
    except csv.Error as error:
        raise InputError(f"{file}:{reader.reader.line_num}: {error}") from None
    return rows


def text_of(value, name, where, allow_empty=False):
    """The text of a field. Raises InputError for what cannot be one."""
    if not isinstance(value, str):
        problem = "is missing" if value is None else f"must be text, not {type(value).__name__}"
        raise InputError(f"{where}: '{name}' {problem}")
    if not value.strip() and not allow_empty:
        raise InputError(f"{where}: '{name}' is empty")
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise InputError(f"{where}: '{name}' holds half a character, such as a cut emoji")
    return value


def no_column(name, names, where):
    listed = ", ".join(map(repr, names)) or "none"  # quoted: a blank in a name is seen
    return InputError(f"{where}: no column '{name}'; there are: {listed}")


READERS = {".json": _read_json, ".jsonl": _read_json, ".csv": read_table, ".tsv": read_table}
