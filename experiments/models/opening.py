"""Open a model from safetensors alone, and without anybody's code.

`from_pretrained` would also run code of the model's folder or of the hub (custom classes, attention
kernels), and read pickles. `check` says which files ask for that before they are opened.
"""
import hashlib
import json
import os
import re
from functools import lru_cache
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from transformers import AutoConfig

from data import InputError

GEMMA = "gemma-3-270m"
TRUST = {"trust_remote_code": False}  # for every from_pretrained: no code of a model's folder runs
KINDS = (".json", ".jinja", ".model", ".safetensors", ".txt")  # of files of a model that are read
QUICK = 2**31  # bytes of a file that are read for its sha256: a second or two
MOST_LAYERS = 1000


def open_model(kind, name, dtype, **options):
    """A model of a class of transformers, and which weights, of its head, are new.

    Raises InputError for what cannot be opened, or not safely, and where config.json asks for other
    layers than there are, or for more weights (no memory would do for it).
    """
    check(name)
    try:
        config, folder = AutoConfig.from_pretrained(locate(name), **TRUST), Path(locate(name))
        with torch.device("meta"):
            wanted = folder.is_dir() and sum(
                p.numel() for p in kind.from_config(config, **TRUST).parameters())
        n_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        if 0 < n_bytes < wanted:
            raise InputError(f"{name}: its config.json wants {wanted} weights, more than its "
                             "safetensors files hold")
        model, info = kind.from_pretrained(
            locate(name), dtype=getattr(torch, dtype), use_safetensors=True,
            ignore_mismatched_sizes=True, output_loading_info=True, **options, **TRUST)
    except Exception as error:  # libraries raise all kinds
        raise unusable(name, error) from None
    new = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    layers = {re.sub(r"\d+", "0", key) for key in model.state_dict() if ".0." in key}
    unfit = [key for key in new if key.startswith(f"{model.base_model_prefix}.")] + [
        key for key in info["unexpected_keys"]
        if any(layer.endswith(re.sub(r"\d+", "0", key)) for layer in layers)]
    if unfit:
        raise InputError(f"{name}: its config.json does not fit its weights: see {min(unfit)}")
    return model, new


def check(name):
    """Raise InputError for a model that asks for code of others, for pickles, or for weights that
    are quantised: they take code of other packages."""
    config = read_json(name, "config.json")
    nested = [config]
    for part in nested:
        for key, value in part.items():
            if isinstance(value, dict):
                nested.append(value)
            if key == "num_hidden_layers" and isinstance(value, int) and value > MOST_LAYERS:
                raise InputError(f"{name}: its config.json has {value} layers")
            if (key.endswith("attn_implementation") and value not in (None, "eager", "sdpa")
                    or key in ("quantization_config", "transformers_weights") and value):
                raise InputError(f"{name}: its config.json has {key} {str(value)[:60]}, which "
                                 "takes code or weights of others; without it the model may do")
    index = read_json(name, "model.safetensors.index.json")
    files = index.get("weight_map", {})
    for file in files.values() if isinstance(files, dict) else [files]:
        if not (isinstance(file, str) and re.fullmatch(r"[^/\\]+\.safetensors", file)):
            raise InputError(f"{name}: its model.safetensors.index.json names {file}, which is not "
                             "a safetensors file beside it")


def locate(name):
    """The folder of a backbone that is kept in the cache, made where it is not there, or not as it
    was made; other names as they are. A folder is absolute, since a saved adapter remembers it."""
    if name in (GEMMA, "tiny"):
        folder = Path(os.environ.get("DIAL_CACHE") or Path.home() / ".cache" / "dial").resolve()
        folder /= name
        if not intact(folder):
            from models.made import make
            make(name, folder)
        return str(folder)
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def intact(folder):
    """Whether a folder has the files that were made."""
    try:
        return json.loads((folder / "done").read_text(encoding="utf-8")) == sums(folder)
    except (OSError, ValueError):
        return False


def folder_of(name):
    """The folder of a model, where its settings are; of one on the hub, the cache's of a commit.
    Raises InputError where there is no such model."""
    return folder if (folder := Path(locate(name))).is_dir() else fetch_settings(name)


@lru_cache
def fetch_settings(name):
    """The folder with the JSON files of a model on the hub."""
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


def unusable(name, error):
    """The InputError for a model or tokenizer that did not load."""
    if isinstance(error, InputError):
        return error
    return InputError(f"{name}: cannot be loaded: {' '.join(str(error).split())[:300]}")
