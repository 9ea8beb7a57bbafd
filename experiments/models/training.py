"""What a long training needs beside `dial.train`: a checkpoint, from which it goes on after it was
killed, and batches that are made while a GPU is busy."""
import hashlib
import io
import os
import pickle
import sys
import time
import zlib
from array import array
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch
from tqdm import tqdm

from data import Blocks, InputError
from models import processes


class Checkpoint:
    """The state of a training in a file: the SHA-256 of what follows, then what `torch.save` wrote.

    A training that goes on from there ends, on a CPU, in the same bits as an undisturbed one.
    """

    def __init__(self, path, every, identity):
        """Read the file, if there is one.

        Args: every: how many steps lie between checkpoints, 0 for none. identity: a text with all
        that the training depends on.
        Raises InputError for a checkpoint of another training.
        """
        self.path, self.every, self.identity = path, every, identity
        self.state = self.read()
        self.step = len(self.state["log"]) if self.state else 0
        self.began = time.time() - (self.state["seconds"] if self.state else 0)

    def read(self):
        """The state in the file; None where there is no file, or a damaged one."""
        if (content := processes.told(self.content)) is None:
            return None
        try:
            if content[:32] != hashlib.sha256(content[32:]).digest():  # torch.load would not notice
                raise ValueError
            state = torch.load(io.BytesIO(content[32:]), "cpu", weights_only=True)
        except (ValueError, pickle.UnpicklingError):
            say(f"{self.path} is damaged: the run begins again")
            return None
        if state["identity"] != self.identity:
            raise InputError(f"{self.path} is of other settings, data or weights: choose another "
                             "--out, or --overwrite")
        say(f"{self.path}: the run goes on after step {len(state['log'])}")
        return state

    def content(self):
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror}") from None

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
            "identity": self.identity, "seconds": time.time() - self.began, "log": log,
            "model": trained | {"scale": model.scale}, "critic": critic.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "generator": torch.get_rng_state(), "cuda_generator": cuda})

    def write(self, state):
        """Replace the file as a whole. Where that fails, say so and train on."""
        content, part = io.BytesIO(), self.path.with_name(f"{self.path.name}.part")
        torch.save(state, content)
        try:
            with part.open("wb") as file:
                file.write(hashlib.sha256(content.getbuffer()).digest())
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())  # on the disk before it has its name
            part.replace(self.path)
        except OSError as error:
            say(f"{self.path} is not written: {error.strerror}")


def say(line):
    """Print a line above the bars."""
    tqdm.write(line, sys.stderr)


def fingerprint(transformer, parts):
    """A number that is another one for other weights or other tokens.

    Args: transformer: a backbone less its head, which is random. parts: lists of encoded records.
    """
    number = 0
    for p in transformer.parameters():
        total = p.detach().flatten().view(torch.uint8).sum(dtype=torch.int64)
        number = zlib.crc32(str(total.item()).encode(), number)
    for text in (text for records in parts for record in records for text in record.texts):
        number = zlib.crc32(array("q", text), number)
    return number


def ahead(batches, device):
    """Yield batches in their order. On CUDA a thread makes the next one while this one is trained
    on, in memory that the GPU reads without making the host wait. On a CPU packing
    takes about a thousandth of a step: there is nothing to gain."""
    if torch.device(device).type != "cuda":
        yield from batches
        return
    batches = iter(batches)

    def following():
        return pinned(next(batches, None))

    with ThreadPoolExecutor(1) as thread:
        made = thread.submit(following)
        while (batch := made.result()) is not None:
            made = thread.submit(following)
            yield batch


def pinned(value):
    """The tensors in a batch, or in its `Blocks`, in pinned memory."""
    if isinstance(value, dict):
        return {name: pinned(x) for name, x in value.items()}
    if isinstance(value, Blocks):
        return replace(value, **pinned(vars(value)))
    return value.pin_memory() if isinstance(value, torch.Tensor) else value
