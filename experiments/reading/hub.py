"""Data sets of the hub, and files and folders of the `datasets` package, which is optional.

It is imported where it is needed. Nothing here runs code of a data set.
"""
import importlib
import re

from data import InputError


class Unreadable(InputError):
    """A file or data set that `datasets` cannot read, or not without being installed."""


def package(name, path):
    """A package that comes with `datasets`, or that itself."""
    try:
        importlib.import_module("datasets").disable_progress_bars()
        return importlib.import_module(name)
    except ImportError:
        raise Unreadable(f"{path}: needs the package datasets: pip install datasets") from None


def open_zst(file, mode):
    """A compressed file, opened to read bytes."""
    return package("pyarrow", file).input_stream(str(file), compression="zstd")


def hub_file(path):
    """Fetch hub:owner/name/file and return where it lies."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    owner, name, file = path.removeprefix("hub:").split("/", 2)
    try:
        return hf_hub_download(f"{owner}/{name}", file, repo_type="dataset")
    except Exception as error:  # offline, private, misspelled: the hub's own words say which
        missing = isinstance(error, EntryNotFoundError)
        if missing and not isinstance(error, LocalEntryNotFoundError):
            held = ", ".join(HfApi().list_repo_files(f"{owner}/{name}", repo_type="dataset"))
            raise InputError(f"{path}: no such file; {owner}/{name} holds {held}") from None
        raise unreadable(path, error) from None


def hub_rows(path):
    """(rows, the other splits' names) of hub:owner/name or hub:owner/name:split."""
    if not re.fullmatch(r"hub:[^/:]+/[^/:]+(:[^/:]+)?", path):
        raise InputError(f"{path}: a data set on the hub is named hub:owner/name, "
                         "hub:owner/name:split or hub:owner/name/file")
    name, _, wanted = path.removeprefix("hub:").partition(":")
    return _rows_of_split(path, f"hub:{name}:", wanted, "load_dataset", name)


def disk_rows(folder):
    """(rows, the other splits' names) of a folder that `save_to_disk` wrote."""
    return _rows_of_split(folder, f"{folder}/", "", "load_from_disk", str(folder))


def _rows_of_split(path, before, wanted, load, name):
    """A split asked for; otherwise the only one, or else `train`."""
    datasets = package("datasets", path)
    try:
        splits = getattr(datasets, load)(name)
    except Exception as error:
        raise unreadable(path, error) from None
    splits = splits if isinstance(splits, dict) else {"": splits}
    split = wanted or (next(iter(splits)) if len(splits) == 1 else "train")
    if split not in splits:
        known = ", ".join(before + name for name in splits)
        raise InputError(f"{path}: which of its splits? There are {known}")
    rows = _listed(path, lambda: splits[split].with_format("arrow")[:])
    return rows, [f"split {name}" for name in splits if name != split]


def read_parquet(file):
    """The rows of a Parquet file, each as (where it stands, dictionary)."""
    parquet = package("pyarrow.parquet", file)
    return _listed(file, lambda: parquet.ParquetFile(file).read())


def read_arrow(file):
    """The rows of an Arrow file, as `datasets` writes it."""
    arrow = package("pyarrow", file)
    return _listed(file, lambda: arrow.ipc.open_stream(file.read_bytes()).read_all())


def _listed(path, read):
    try:
        table = read()
        table.validate(full=True)
        return [(f"{path}: record {i}", row) for i, row in enumerate(table.to_pylist(), 1)]
    except Exception as error:  # a damaged file, in the package's words
        raise unreadable(path, error) from None


def unreadable(path, error):
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return Unreadable(f"{path}: cannot be read: {lines[0]}")
