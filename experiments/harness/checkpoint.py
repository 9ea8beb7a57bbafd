"""The checkpoint of a run that is not finished, with --checkpoint-every or after it."""
import hashlib
import io
import json
import pickle
import sys
import time

import torch
from tqdm import tqdm

from data import InputError
from harness import run_files
from harness.tables import write_whole
from models import processes


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
        if run_files.differing(*map(json.loads, (state["settings"], self.settings))):
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
        file = io.BytesIO()
        torch.save(state, file)
        content = file.getvalue()
        try:
            write_whole(self.path, hashlib.sha256(content).digest() + content)
        except InputError as error:
            say(f"{error}; the run goes on")


def say(line):
    """Print a line above the bars."""
    tqdm.write(line, sys.stderr)
