"""What --paper trains differently: the oracle's snapshot, and how long."""
import argparse
import copy
import dataclasses
import json

import torch
from torch import nn

import data
import dial
from domains.splits import Domain
from support import saving
from support.methods import METHODS
from support.paper import Training
from support.runs import Job
from support.trainer import Trainer
from support.training import Run, Snapshot


def trial(method, **changes):
    """A trainer and a job of `method` on six rows, two epochs of four at a time."""
    rows = [data.Preference(f"Q {i}", f"yes {i}", ("no",)) for i in range(6)]
    source = Domain("s", labeled=rows, test=rows)
    target = Domain("t", unlabeled=data.unlabel(rows), test=rows,
                    validation=Domain("validation", test=rows))
    args = argparse.Namespace(model="tiny", device="cpu", dtype="float32", batch_size=4,
                              max_length=99, truncate=True, eval_every=1, checkpoint=False,
                              compile=False, save=None, config=dial.DialConfig(),
                              training={"others": Training(2, 4, "larger", 1e-2)})
    vars(args).update(changes)
    return Trainer(args), Job(method, 0, [(source, target)])


def test_the_snapshot_kept_is_the_best_on_validation(cache, monkeypatch):
    """The state after the step of the largest value, of equals the later, comes back."""
    trainer, job = trial("Src-Pref")
    values, states = iter([0.2, 0.9, 0.9]), []
    run = Run(trainer, job)
    measure = run.measure

    def validate(domain):
        if domain.name != "validation":
            return measure(domain)
        states.append([p.detach().clone() for p in run.model.parameters() if p.requires_grad])
        return {"accuracy": next(values)}

    monkeypatch.setattr(run, "measure", validate)
    log = run.train()
    assert [r["target_validation"] for r in log] == [0.2, 0.9, 0.9]
    run.model.reward_head.weight.data.zero_()
    run.best[run.target.name].restore()
    for p, kept in zip((p for p in run.model.parameters() if p.requires_grad), states[2]):
        torch.testing.assert_close(p.detach(), kept, rtol=0, atol=0)
    layer = nn.Linear(1, 1, bias=False)
    best = Snapshot(layer)
    for weight, value in ((1.0, 0.5), (2.0, 0.8), (3.0, 0.1)):
        layer.weight.data.fill_(weight)
        best.keep(value)
    best.restore()
    assert layer.weight.item() == 2.0


def test_the_oracles_row_is_of_the_best_snapshot(cache, monkeypatch):
    """Measured here: the reward head's sum, at the last step and at the first, the best."""
    values, heads = iter([0.9, 0.2, 0.1]), []

    def measure(run, domain):
        head = run.model.reward_head.weight.sum().item()
        if domain.name == "validation":
            heads.append(head)
            return {"accuracy": next(values)}
        return {"accuracy": head}

    monkeypatch.setattr(Run, "measure", measure)
    trainer, job = trial("Tgt-Pref*")
    job.pairs[0][1].labeled = job.pairs[0][0].labeled
    last, best = trainer.run(job)[0]
    assert (last["method"], best["method"]) == ("Tgt-Pref*", "Tgt-Pref, best*")
    assert [r["metrics"]["accuracy"] for r in (last, best)] == [heads[2], heads[0]]
    assert heads[0] != heads[2]


def test_each_target_has_its_own_best_snapshot(cache, monkeypatch):
    """Trained once for two targets: the first is best after step 1, the second after step 3."""
    trainer, job = trial("Src-Pref")
    (source, target), other = job.pairs[0], copy.copy(job.pairs[0][1])
    other.name, other.validation = "other", copy.copy(target.validation)
    job.pairs.append((source, other))
    run, states = Run(trainer, job), []
    values = {id(target.validation): iter([0.9, 0.1, 0.1]), id(other.validation): iter([0, 0, 1])}

    def validate(domain):
        states.append(run.model.reward_head.weight.detach().clone())
        return {"accuracy": next(values[id(domain)])}

    monkeypatch.setattr(run, "measure", validate)
    run.train()
    for name, kept in ((target.name, states[0]), ("other", states[-1])):
        run.best[name].restore()
        assert torch.equal(run.model.reward_head.weight, kept)
    assert not torch.equal(states[0], states[-1])


def test_records_a_step_are_the_methods_own(cache, monkeypatch):
    sizes, method = [], METHODS["Src-Pref"]
    monkeypatch.setitem(METHODS, "Src-Pref", dataclasses.replace(method, step=lambda *args: (
        sizes.append(len(args[4]["counts"])), method.step(*args))[1]))
    trainer, job = trial("Src-Pref", training={"Src-Pref": Training(1, 2, "source", 1e-3),
                                               "others": Training(2, 4)})
    Run(trainer, job).train(evaluate=lambda step: None)
    assert sizes == [2] * 3


def test_the_logs_validation_is_the_first_targets(cache, monkeypatch):
    trainer, job = trial("Src-Pref")
    source, target = job.pairs[0]
    other = copy.copy(target)
    other.name, other.validation = "other", copy.copy(target.validation)
    job.pairs.append((source, other))
    run = Run(trainer, job)
    monkeypatch.setattr(run, "measure", lambda domain: {
        "accuracy": float(domain is other.validation)})
    assert [record["target_validation"] for record in run.train()] == [0.0] * 3


def test_the_saved_settings_are_those_of_the_training(cache, tmp_path):
    trainer, job = trial("Src-Pref", out=tmp_path, save="adapter")
    trainer.run(job, save=True)
    saved = json.loads((tmp_path / "models" / "Src-Pref" / "dial_config.json").read_text())
    assert (saved["steps"], saved["learning_rate"]) == (3, 1e-2)


def test_a_model_that_cannot_be_kept_leaves_nothing_and_its_run(cache, tmp_path, monkeypatch):
    def fail(model, tokenizer, config, folder, merged):
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").touch()
        raise OSError("no space left")

    monkeypatch.setattr(saving, "save", fail)
    trainer, job = trial("Src-Pref", out=tmp_path, save="adapter")
    results, log, failure = trainer.run(job, save=True)
    assert len(log) == 3 and "accuracy" in results[0]["metrics"] and str(failure) == "no space left"
    assert not (tmp_path / "models" / "Src-Pref").exists()
