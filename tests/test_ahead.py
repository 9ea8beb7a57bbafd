"""Batches made ahead by a thread: in the same order, and nothing left behind."""
import threading

import pytest
import torch

import data
from data import InputError
from models.ahead import ahead


@pytest.fixture
def pinned(monkeypatch):
    """What is asked to be in pinned memory, which takes CUDA."""
    asked = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: asked.append(id(x)) or x)
    return asked


def same_batches(first, second):
    return all(a.keys() == b.keys() and all(
        torch.equal(x, b[k]) if torch.is_tensor(x) else x == b[k]
        for k, x in a.items() if k != "blocks") for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("share", [True, False])
def test_batches_made_ahead_are_the_same(batches, pinned, share):
    """In the same order, nothing drawn from the generator, all tensors pinned, the thread gone."""
    before, n_threads = torch.get_rng_state(), threading.active_count()
    found = [*ahead(batches(5, share=share))]
    assert same_batches(found, batches(5, share=share)) and len(found) == 5
    assert torch.equal(torch.get_rng_state(), before)
    assert threading.active_count() == n_threads
    for batch in found:
        blocks = vars(batch.get("blocks", data.Blocks([], None, None, None)))
        tensors = [x for x in [*batch.values(), *blocks.values()] if torch.is_tensor(x)]
        assert len(tensors) == (9 if share else 5) and {*map(id, tensors)} <= {*pinned}


def test_one_batch_is_made_ahead(pinned):
    made = []
    batches = ahead(made.append(i) or {"x": i} for i in range(9))
    assert made == [] and next(batches) == {"x": 0} and next(batches) == {"x": 1}
    n_threads = threading.active_count()
    batches.close()  # waits for what is being made
    assert len(made) == 3 and threading.active_count() == n_threads - 1


def test_an_error_while_a_batch_is_made_ahead_is_that_of_training(capfd):
    def broken():
        yield {"x": 1}
        raise InputError("no such row")

    batches = ahead(broken())
    assert next(batches) == {"x": 1}
    with pytest.raises(InputError, match="^no such row$"):
        next(batches)
    assert capfd.readouterr() == ("", "") and not [
        t for t in threading.enumerate() if t.name.startswith("ThreadPool")]
