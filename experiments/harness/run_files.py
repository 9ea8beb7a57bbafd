"""The files of a run: of a finished one its name, and what it must hold; the checkpoint before."""
import json
import math
import re
import zlib

from data import InputError
from methods.table import METHODS
from models import processes


def name(method, seed, pairs):
    """The name of a run's file; `pairs`: the names of its domains, (source, target)."""
    text = f"{method}-{seed}-{zlib.crc32(str(pairs).encode()):08x}.json"
    return re.sub(r"[*,]", "", text).replace(" ", "_")


def name_of(method, seed, pairs):
    """`name` for pairs of `Domain`s."""
    return name(method, seed, [(source.name, target.name) for source, target in pairs])


def read(path, settings):
    """A run, or with settings.json what runs have in common. Raises InputError for what this
    program has not written, and for other settings."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        if path.name != "settings.json":
            check(run)
        kept = run["settings"]
        differs = [k for k in settings.keys() | kept.keys() if kept.get(k) != settings.get(k)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: not a run of this program; move it away") from None
    if differs:
        other = {"checksum": "data in the same files",
                 "model_checksum": "weights in the same place"}
        first = min(differs, key=lambda name: (name in other, name))
        what = (f"is of other {other[first]}" if first in other
                else f"has {first} {kept.get(first)}, not {settings.get(first)}")
        raise InputError(f"{path} {what}: choose another --out, or --overwrite")
    return run


def check(run):
    """Raise an error where a run lacks something that `Folder.write` writes, or has a text where a
    number belongs."""
    numbers, texts = [run["seed"], run["seconds"]], [run["method"]]
    for result in run["results"]:
        numbers += [result["n_test"], *result["metrics"].values()]
        texts += [result["source"], result["target"]]
    for record in run["log"]:
        numbers += [record["step"], *(value for value in record.values()
                                      if value is not None and not isinstance(value, list))]
    if not (run["results"] and {"saved", "failure"} <= run.keys()
            and all(isinstance(text, str) for text in texts)
            and all(isinstance(number, int | float) and math.isfinite(number)
                    for number in numbers)):
        raise ValueError


def checkpoint(args, settings, backbone, encoded, method, seed, pairs):
    """The `Checkpoint` of a run, which belongs to its settings, data and weights; None where none
    is asked for, and none is there."""
    path = (args.out / "runs" / name_of(method, seed, pairs)).with_suffix(".checkpoint")
    if not METHODS[method].step or not (processes.told(path.exists) or args.checkpoint_every):
        return None
    from models.training import Checkpoint, fingerprint
    parts = [encoded[id(getattr(domain, part))] for pair in pairs
             for domain, part in METHODS[method].reads(*pair)]
    number = fingerprint(backbone.classifier.base_model, parts)
    return Checkpoint(path, args.checkpoint_every, json.dumps([settings, number], sort_keys=True))
