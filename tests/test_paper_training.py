"""What --paper trains differently: how long, in what steps, and its looks on the way."""
import dataclasses
import json
import shutil
from types import SimpleNamespace

import pytest
from conftest import pair_of_domains, run_once

import dial
from domains.splits import Domain
from methods.table import METHODS
from models import saving
from paper.looks import looker
from paper.settings import Training


@pytest.fixture
def paper_args(args):
    """The flags of a run with --paper."""
    args.paper, args.steps, args.eval_every = "folder", None, 0
    args.training = {"Src-Pref": Training(1, 2, "source", 1e-3, 0.5), "others": Training(2, 4)}
    return args


@pytest.mark.parametrize("steps, epochs, every, expected", [
    (5, 3, 0, [2, 4, 5]), (5, 3, 4, [2, 4, 5]), (6, 2, 4, [3, 4, 6]), (3, 3, 0, [1, 2, 3]),
    (2, 3, 0, [1, 2]), (7, 1, 2, [2, 4, 6, 7])])
def test_when_looks_are_due(steps, epochs, every, expected):
    """At each epoch's end, and every so many steps."""
    pairs = [(Domain("s"), Domain("t", validation=Domain("v")))]
    look = looker(SimpleNamespace(eval_every=every), pairs, epochs)(
        None, dial.DialConfig(steps=steps), lambda domain: {"accuracy": 1.0})
    assert [step for step in range(1, steps + 1) if look(step)] == expected


def test_a_look_is_at_every_targets_validation_and_test():
    targets = [Domain("t", validation=Domain("tv")), Domain("u", validation=Domain("uv")),
               Domain("none")]
    values = {id(d): i / 10 for i, d in enumerate(
        domain for target in targets[:2] for domain in (target.validation, target))}
    look = looker(SimpleNamespace(eval_every=0), [(Domain("s"), t) for t in targets], 1)(
        None, dial.DialConfig(steps=1),
        lambda domain: {"pearson": values[id(domain)], "spearman": -values[id(domain)]})
    assert look(1) == {
        f"{part} {metric} of {name}": sign * value
        for name, part, value in (("t", "validation", 0.0), ("t", "test", 0.1),
                                  ("u", "validation", 0.2), ("u", "test", 0.3))
        for metric, sign in (("pearson", 1), ("spearman", -1))}


def test_steps_are_the_methods_own(paper_args, monkeypatch):
    """Records of a step, how many steps, learning rate and weight decay."""
    sizes, method, train = [], METHODS["Src-Pref"], dial.train
    monkeypatch.setitem(METHODS, "Src-Pref", dataclasses.replace(method, step=lambda *args: (
        sizes.append((args[2].param_groups[0]["weight_decay"], len(args[4]["counts"]))),
        method.step(*args))[1]))
    configs = []
    monkeypatch.setattr(dial, "train", lambda model, critic, batches, config, *rest, **_: (
        configs.append(config), train(model, critic, batches, config, *rest))[1])
    run = run_once(paper_args, "Src-Pref", pair_of_domains())  # five records
    assert sizes == [(0.5, 2)] * 3 and len(run["log"]) == 3
    assert [(c.steps, c.learning_rate, c.weight_decay) for c in configs] == [(3, 1e-3, 0.5)]


def test_a_model_that_is_kept_and_one_that_cannot_be(paper_args, tmp_path, monkeypatch):
    """The settings saved are those of the training; what cannot be kept leaves nothing, and its
    run."""
    folder = tmp_path / "models" / "Src-Pref"
    paper_args.save = "adapter"
    run = run_once(paper_args, "Src-Pref", pair_of_domains(), save=folder)
    saved = json.loads((folder / "dial_config.json").read_text())
    assert (saved["steps"], saved["learning_rate"], saved["weight_decay"]) == (3, 1e-3, 0.5)
    assert (run["saved"], run["failure"]) == ("adapter", None)

    def fail(model, tokenizer, config, folder, merged):
        (folder / "adapter_model.safetensors").touch()
        raise errors.pop()

    shutil.rmtree(folder)
    monkeypatch.setattr(saving, "write", fail)
    errors = [MemoryError(), OSError("no space left")]  # the first has no words of its own
    for failure in ("no space left", "MemoryError"):
        run = run_once(paper_args, "Src-Pref", pair_of_domains(), save=folder)
        assert (run["saved"], run["failure"]) == (None, failure)
        assert len(run["log"]) == 3 and "accuracy" in run["results"][0]["metrics"]
        assert not folder.exists()
