"""Batches that are made while a GPU is busy. (On a CPU packing takes about a thousandth of a step.)"""
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch

from data import Blocks


def ahead(batches):
    """Yield batches in their order. A thread makes the next one while this one is trained on, in
    memory that the GPU reads without making the host wait."""
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
