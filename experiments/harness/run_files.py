"""The files of a run: what is kept of a finished one, and the checkpoint before."""
import hashlib
import io
import json
import pickle
import re
import sys
import time
import zlib

import torch
from tqdm import tqdm

from data import InputError
from harness.tables import whole_file, write_whole
from methods.table import METHODS
from models import processes


def name(method, seed, pairs):
    """The name of a run's file; `pairs`: of its domains, (source, target), or of their names."""
    pairs = [(getattr(s, "name", s), getattr(t, "name", t)) for s, t in pairs]
    text = f"{method}-{seed}-{zlib.crc32(str(pairs).encode()):08x}.json"
    return re.sub(r"[*,]", "", text).replace(" ", "_")


def write(path, content):
    """Write a dictionary, and in it the SHA-256 of the rest."""
    write_whole(path, json.dumps(content | {"sha256": digest(content)}))


def digest(content):
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read(path, settings):
    """What `write` wrote: a run, or what runs have in common. Raises InputError for what this
    program has not written, or not so, and for other settings."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        if run.pop("sha256") != digest(run):
            raise ValueError
        kept = run["settings"]
        differs = [k for k in settings.keys() | kept.keys() if kept.get(k) != settings.get(k)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path}: not a run of this program; move it away") from None
    if differs:
        other = {"checksum": "data in the same files",
                 "model_checksum": "weights in the same place"}
        first = min(differs, key=lambda name: (name in other, name))
        what = (f"is of other {other[first]}" if first in other
                else f"has {first} {kept.get(first)}, not {settings.get(first)}")
        raise InputError(f"{path} {what}: choose another --out, or --overwrite")
    return run


def checkpoint(args, settings, method, seed, pairs):
    """The `Checkpoint` of a run; None where none is asked for, and none is there."""
    path = (args.out / "runs" / name(method, seed, pairs)).with_suffix(".checkpoint")
    if METHODS[method].step and (processes.told(path.exists) or args.checkpoint_every):
        return Checkpoint(path, args.checkpoint_every, settings)
    return None


class Checkpoint:
    """The state of a training in a file: the SHA-256 of what follows, then what `torch.save` wrote.

    A training that goes on from there ends, on a CPU, in the same bits as an undisturbed one.
    """

    def __init__(self, path, every, settings):
        """Read the file, if there is one.

        Args: every: how many steps lie between checkpoints, 0 for none. settings: a dictionary of
        all that the training depends on, checksums of data and weights among it.
        Raises InputError for a checkpoint of another training.
        """
        self.path, self.every = path, every
        self.settings = json.dumps(settings, sort_keys=True)
        self.state = self.read()
        self.step = len(self.state["log"]) if self.state else 0
        self.began = time.time() - (self.state["seconds"] if self.state else 0)

    def read(self):
        """The state in the file; None where there is no file, or a damaged one."""
        content = processes.told(lambda: self.path.read_bytes() if self.path.is_file() else None)
        if content is None:
            return None
        try:
            if content[:32] != hashlib.sha256(content[32:]).digest():  # torch.load would not notice
                raise ValueError
            state = torch.load(io.BytesIO(content[32:]), "cpu", weights_only=True)
        except (ValueError, pickle.UnpicklingError):
            say(f"{self.path} is damaged: the run begins again")
            return None
        if state["settings"] != self.settings:
            raise InputError(f"{self.path} is of other settings, data or weights: choose another "
                             "--out, or --overwrite")
        say(f"{self.path}: the run goes on after step {len(state['log'])}")
        return state

    def restore(self, model, critic, *optimizers):
        """Put the state into what is trained. Returns the log; an empty one for a new training."""
        if not self.state:
            return []
        state, self.state = self.state, None  # it is not needed a second time
        model.load_state_dict(state["model"], strict=False)  # the frozen weights are not in it
        critic.load_state_dict(state["critic"])
        for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        torch.set_rng_state(state["generator"])
        if model.scale.is_cuda:
            torch.cuda.set_rng_state(state["cuda_generator"], model.scale.device)
        return state["log"]

    def keep(self, log, model, critic, *optimizers):
        """Every so many steps, write the state."""
        if not self.every or len(log) % self.every or processes.rank() > 0:
            return
        cuda = model.scale.is_cuda and torch.cuda.get_rng_state(model.scale.device)
        trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        self.write({
            "settings": self.settings, "seconds": time.time() - self.began, "log": log,
            "model": trained | {"scale": model.scale}, "critic": critic.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "generator": torch.get_rng_state(), "cuda_generator": cuda})

    def write(self, state):
        """Replace the file as a whole. Where that fails, say so and train on."""
        content = io.BytesIO()
        torch.save(state, content)
        try:
            with whole_file(self.path) as part, part.open("wb") as file:
                file.write(hashlib.sha256(content.getbuffer()).digest())
                file.write(content.getbuffer())
        except InputError as error:
            say(f"{error}; the run goes on")


def say(line):
    """Print a line above the bars."""
    tqdm.write(line, sys.stderr)
