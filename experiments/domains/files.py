"""Files to rows: files and folders of every form, and data sets of the hub.

What is read, by the ending of the name, which may be in capitals:

    .json, .jsonl, .ndjson    an object a line, or one list of objects
    .csv, .tsv                a table (reading/tables.py), with commas, semicolons, tabs or bars
    .parquet, .arrow          by the optional package datasets, as what follows
    hub:owner/name            a data set of the hub, its split `train` or only one;
                              hub:owner/name:split another one; hub:owner/name/file a file of it
    a folder                  that `save_to_disk` of datasets wrote: as a data set of the hub
    another folder            all files in it with such names. Folders inside it, hidden files
                              (`._a.jsonl`) and other names are passed over, and so are Parquet
                              and Arrow files that cannot be read.

JSON and tables may be compressed: .gz, or .zst with datasets. They are in UTF-8, or in UTF-16 where
a byte order mark says so. A line on stderr says how many records and files were read and what was
passed over. A row is a dictionary with the place where it stands, for errors: file:line, as an
editor numbers lines, or the number of the record in a list or a Parquet file. Bad input raises
`InputError`, and so do a pipe in place of a file and an object with a key twice.
"""
import json
import re
import sys
import zlib
from os.path import exists, isdir, isfile
from pathlib import Path

from data import InputError
from reading.fields import twice
from reading.hub import Unreadable, disk_rows, hub_file, hub_rows, read_arrow, read_parquet
from reading.tables import read_table
from reading.texts import read_text, suffix

SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk writes, of splits or of one
LISTED = 8  # names in a message


def read_rows(path):
    """All records of a file, folder or data set, each as (where it stands, dictionary)."""
    if re.fullmatch(r"hub:[^/:]+/[^/:]+/.+", str(path)):
        path = hub_file(path)
    n_files, passed = 0, []
    if str(path).startswith("hub:"):
        rows, passed = hub_rows(path)
    elif any(exists(f"{path}/{name}") for name in SAVED):
        rows, passed = disk_rows(path)
    elif isdir(path):
        rows, n_files, passed = _of_folder(Path(path))
    elif isfile(path):  # no pipe, which may never end
        rows, n_files = _of_file(Path(path)), 1
    else:
        raise InputError(f"{path}: no such file or folder (a pipe is neither)")
    more = f" and {len(passed) - LISTED} more" if len(passed) > LISTED else ""
    over = f"; passed over: {', '.join(passed[:LISTED])}{more}" if passed else ""
    if not rows:
        raise InputError(f"{path}: holds no records{over}")
    for where, row in rows:
        if not isinstance(row, dict):
            kind = type(row).__name__
            raise InputError(f"{where}: expected an object with named fields, found {kind}")
    files = f" of {n_files} file{'s' * (n_files > 1)}" if n_files else ""
    print(f"{path}: {len(rows)} record{'s' * (len(rows) > 1)}{files}{over}", file=sys.stderr)
    return rows


def checksum(*parts):
    """A number for all rows of `read_rows`, so that finished runs of other data are refused."""
    rows = [[row for _, row in part] for part in parts]
    return zlib.crc32(repr(rows).encode("utf-8", "backslashreplace"))


def _of_folder(folder):
    """(rows, number of files, what was passed over)."""
    rows, n_files, passed = [], 0, []
    for file in sorted(folder.iterdir()):
        if file.is_dir():
            passed.append(f"{file.name}/")
        elif file.name.startswith(".") or suffix(file) not in READERS or not file.is_file():
            passed.append(file.name)
        else:
            try:
                rows += _of_file(file)
                n_files += 1
            except Unreadable as error:
                passed.append(f"{file.name} ({str(error).removeprefix(f'{file}: ')})")
    return rows, n_files, passed


def _of_file(file):
    if suffix(file) not in READERS:
        raise InputError(f"{file}: the name must end in {', '.join(READERS)} (JSON and tables also "
                         "with .gz or .zst)")
    return READERS[suffix(file)](file)


def _read_json(file):
    text = read_text(file)
    if text.lstrip().startswith("["):
        return [(f"{file}: record {i}", row) for i, row in enumerate(_parse(text, file), 1)]
    return [(f"{file}:{i}", _parse(line, f"{file}:{i}"))
            for i, line in enumerate(text.split("\n"), 1) if line.strip()]


def _parse(text, where):
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits, lists 10,000 deep
        raise InputError(f"{where}: not valid JSON: {error}; a file holds an object a line, or one "
                         "list of objects") from None


def _object(pairs):
    if (key := twice(key for key, _ in pairs)) is not None:
        raise ValueError(f"twice the key {key!r}")
    return dict(pairs)


READERS = {".json": _read_json, ".jsonl": _read_json, ".ndjson": _read_json, ".csv": read_table,
           ".tsv": read_table, ".parquet": read_parquet, ".arrow": read_arrow}
