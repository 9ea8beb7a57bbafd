"""Where the files of a model are, by its name, and a sum of them that says when they change."""
import hashlib
import json
import os
import shutil
from functools import lru_cache
from pathlib import Path

from huggingface_hub import snapshot_download

from data import InputError

GEMMA = "gemma-3-270m"
KINDS = (".json", ".jinja", ".model", ".safetensors", ".txt")  # of files that are read
QUICK = 2**31  # bytes of a file that are read for a checksum: a second or two


def locate(name):
    """The folder of a backbone that is kept in the cache, made at its first use; other names as
    they are."""
    if name in (GEMMA, "tiny"):
        from models import made
        return made.folder_of(name)
    # absolute, since a saved adapter remembers it
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def folder_of(name):
    """The folder of a model, where its settings are; of one on the hub, the cache's of a commit.
    Raises InputError where there is no such model."""
    return folder if (folder := Path(locate(name))).is_dir() else fetch_settings(name)


@lru_cache
def fetch_settings(name):
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "adapter_model.safetensors"]))
    except Exception as error:  # libraries raise all kinds
        raise unusable(name, error) from None


def read_json(name, file):
    """The dictionary in a JSON file of a model; an empty one where there is no file."""
    path = folder_of(name) / file
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise unusable(f"{name}: its {file}", error) from None
    if not isinstance(content, dict):
        raise InputError(f"{name}: its {file} is not a JSON object")
    return content


def checksum(name):
    """What changes when a model does: its commit on the hub, or a sum of the files in its folder.
    Raises InputError where there is no such model."""
    folder = folder_of(name)
    if not Path(locate(name)).is_dir():
        return folder.name
    return hashlib.sha256(json.dumps(sums(folder)).encode()).hexdigest()


def sums(folder):
    """{name: sha256} of the files of a folder that are read."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in KINDS]
    return {path.name: sha256(path, path.stat().st_size, path.stat().st_mtime_ns)
            for path in paths if path.is_file()}


@lru_cache
def sha256(path, size, changed):
    """The sha256 of a file; of a large one, of its size, time and first bytes (a header)."""
    with open(path, "rb") as file:
        if size <= QUICK:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(f"{size} {changed} {file.read(2**20)}".encode()).hexdigest()


def put(part, folder):
    """Give a finished folder its name, when all of it is on the disk."""
    for path in (*part.rglob("*"), part) if os.name == "posix" else ():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def unusable(name, error):
    """The InputError for a model or tokenizer that did not load."""
    if isinstance(error, InputError):
        return error
    return InputError(f"{name}: cannot be loaded: {' '.join(str(error).split())[:300]}")
