"""Open models and tokenizers by name: from safetensors alone, and without anybody's code."""
import os
from pathlib import Path

import torch

from data import InputError

GEMMA = "gemma-3-270m"
TRUST = {"trust_remote_code": False}  # for every from_pretrained: no code of a model's folder runs


def open_model(kind, name, dtype, **options):
    """What `from_pretrained` of a class of transformers or peft returns. Raises InputError where
    that fails."""
    try:
        return kind.from_pretrained(locate(name), dtype=getattr(torch, dtype),
                                    use_safetensors=True, **options, **TRUST)
    except Exception as error:  # libraries raise all kinds
        raise unusable(name, error) from None


def locate(name):
    """The folder of a backbone that is kept in the cache, made at its first use; other names as
    they are."""
    if name not in (GEMMA, "tiny"):  # absolute, since a saved adapter remembers it
        return str(Path(name).resolve()) if Path(name).is_dir() else name
    folder = Path(os.environ.get("DIAL_CACHE") or Path.home() / ".cache" / "dial") / name
    if not (folder / "done").exists():
        from models import made
        made.make(name, folder)
    return str(folder)


def unusable(name, error):
    """The InputError for a model or tokenizer that did not load."""
    if isinstance(error, InputError):
        return error
    return InputError(f"{name}: cannot be loaded: {' '.join(str(error).split())[:300]}")
