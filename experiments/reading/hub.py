"""Data sets of the hub, and files and folders of the `datasets` package, which is optional.

It is imported where it is needed. Nothing here runs code of a data set.
"""
import importlib

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
        raise cannot("fetched", path, error) from None


def hub_rows(path):
    """(rows, the other splits' names) of hub:owner/name or hub:owner/name:split."""
    name, _, wanted = path.removeprefix("hub:").partition(":")
    datasets = package("datasets", path)
    try:
        splits = datasets.load_dataset(name)
    except Exception as error:
        raise cannot("fetched", path, error) from None
    return _rows_of_split(splits, wanted, path, f"hub:{name}:")


def disk_rows(folder):
    """(rows, the other splits' names) of a folder that `save_to_disk` wrote."""
    datasets = package("datasets", folder)
    try:
        saved = datasets.load_from_disk(str(folder))
    except Exception as error:
        raise cannot("read", folder, error) from None
    splits = saved if isinstance(saved, dict) else {"": saved}
    return _rows_of_split(splits, "", folder, f"{folder}/")


def _rows_of_split(splits, wanted, path, before):
    """A split asked for; otherwise the only one, or else `train`."""
    names = list(splits)
    split = wanted or (names[0] if len(names) == 1 else "train")
    if split not in splits:
        known = ", ".join(before + name for name in names)
        raise InputError(f"{path}: which of its splits? There are {known}")
    rows = _listed(path, lambda: splits[split].with_format("arrow")[:])
    return rows, [f"split {name}" for name in names if name != split]


def read_parquet(file):
    """The rows of a Parquet file, each as (where it stands, dictionary)."""
    parquet = package("pyarrow.parquet", file)
    return _listed(file, lambda: parquet.ParquetFile(file).read())


def read_arrow(file):
    """The rows of an Arrow file, a stream or not."""
    arrow = package("pyarrow", file)

    def table():
        content = file.read_bytes()
        try:
            return arrow.ipc.open_stream(content).read_all()
        except arrow.ArrowInvalid:
            return arrow.ipc.open_file(content).read_all()

    return _listed(file, table)


def _listed(path, read):
    try:
        table = read()
        table.validate(full=True)
        return [(f"{path}: record {i}", row) for i, row in enumerate(table.to_pylist(), 1)]
    except Exception as error:  # a damaged file, in the package's words
        raise cannot("read", path, error) from None


def cannot(what, path, error):
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return Unreadable(f"{path}: cannot be {what}: {lines[0]}")
