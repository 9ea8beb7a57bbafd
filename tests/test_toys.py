"""The toys as a class runs them: tables, files and what they claim; dial.py copied elsewhere."""
import json
import os
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT

import dial
import two_moons
from mlp import ToyModel

SOMEBODY_ELSES = """
import torch
from dial import Critic, DialConfig, dial_step, preference_step, train
class Model(torch.nn.Linear):
    def __init__(self):
        super().__init__(2, 2)
        self.reward_head = torch.nn.Linear(2, 1)
    def embed(self, batch):
        return self(batch["points"])
def batch(n=64):  # the first coordinate is the quality; the target lies 3 off in the second
    good, bad, target = torch.randn(3, n, 2) + torch.tensor([[[2, 0]], [[0, 0]], [[1, 3]]])
    return {"points": torch.cat([good, bad, target]), "n_source": 2 * n,
            "chosen": torch.arange(n), "rejected": n + torch.arange(n)}
for step in (preference_step, dial_step):
    torch.manual_seed(0)
    model, config = Model(), DialConfig(steps=120, learning_rate=.012, decay=.5, lambda_da=1.,
                                        critic_learning_rate=.003, critic_beta1=.5)
    records = train(model, Critic(2, (32,)), iter(batch, None), config, step)
    losses, emb = [r["source_loss"] for r in records], model.embed(batch(1000)).detach()
    gap = (emb[:2000].mean(0) - emb[2000:].mean(0)).norm().item()  # no critic is asked
    print(losses[0], sum(losses[-20:]) / 20, gap)
"""


@pytest.fixture
def run(monkeypatch):
    """A function that runs a script as somebody does: Python's path has the script's folder, and
    nothing of the project is imported yet. (A process of its own would import PyTorch again.)"""
    def run(script, *flags):
        for name, module in list(sys.modules.items()):
            if ROOT in Path(getattr(module, "__file__", None) or "/").parents:
                monkeypatch.delitem(sys.modules, name)
        others = [path for path in sys.path if not Path(path).is_relative_to(ROOT)]
        monkeypatch.setattr(sys, "path", [str(script.parent), *others])
        monkeypatch.setattr(sys, "argv", [str(script), *flags])
        runpy.run_path(str(script), run_name="__main__")

    return run


def test_dial_py_by_itself(tmp_path, run, capsys):
    shutil.copy(ROOT / "dial.py", tmp_path)
    (tmp_path / "mine.py").write_text(SOMEBODY_ELSES)
    run(tmp_path / "mine.py")
    assert Path(sys.modules["dial"].__file__) == tmp_path / "dial.py"
    plain, dial = (list(map(float, line.split()))
                   for line in capsys.readouterr().out.splitlines())
    assert plain[1] < plain[0] / 3 and dial[1] < dial[0] / 3 and dial[2] < plain[2] / 3


def test_two_moons(tmp_path, monkeypatch, capsys):
    """That DIAL gains there, test_lesson.py sees."""
    monkeypatch.setattr(two_moons, "SETTINGS", replace(two_moons.SETTINGS, steps=12))
    monkeypatch.delitem(two_moons.LABELS_AT, "middle")
    two_moons.main(["--seeds", "1", "--out", str(tmp_path)])
    rows = {r["method"]: r for r in json.loads((tmp_path / "results.json").read_text())["rows"]}
    plain, dial = rows["Src-Pref"], rows["DIAL"]
    assert dial["gain"]["mean"] == pytest.approx(dial["mean"] - plain["mean"]) != 0
    assert plain["called_second"] != dial["called_second"]
    assert f"{dial['mean']:.3f}" in capsys.readouterr().out
    assert (tmp_path / "two_moons.gif").read_bytes()[:4] == b"GIF8"


def test_a_closed_pipe_is_one_line(run, monkeypatch, capsys):
    """The toys that are commands are inside `exit_codes`; bound.py shows what that does."""
    for name in ("bound.py", "two_moons.py"):
        text = (ROOT / "toy" / name).read_text()
        assert text.endswith("    with exit_codes():\n        main()\n")
    reader, writer = os.pipe()
    os.close(reader)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", open(writer, "w", encoding="ascii"))
        patch.setattr(os, "dup2", lambda *_: None)  # the test's own output stays
        with pytest.raises(SystemExit) as stop:
            run(ROOT / "toy" / "bound.py")
        with pytest.raises(BrokenPipeError):
            sys.stdout.close()
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: standard output: Broken pipe\n"


def test_what_is_written_comes_before_what_is_printed(tmp_path, monkeypatch):
    def broken(_):
        raise BrokenPipeError

    monkeypatch.setattr(two_moons, "SETTINGS", replace(two_moons.SETTINGS, steps=1))
    monkeypatch.setattr(two_moons, "film_moons", lambda runs, path: path.touch())
    monkeypatch.setattr(two_moons, "print_columns", broken)
    with pytest.raises(BrokenPipeError):
        two_moons.main(["--seeds", "0", "--out", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "two_moons.gif"}


def test_moons_lie_on_their_circles():
    points, classes = two_moons.moons(200, noise=0.0)
    center = torch.stack([classes.float(), classes / 2], dim=1)
    assert torch.allclose((points - center).norm(dim=1), torch.ones(400), atol=1e-5)
    labeled, _ = two_moons.moons(5, two_moons.LABELS_AT["uneven"], noise=0.0, even=True)
    assert torch.allclose(labeled[[0, 4]], torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), atol=1e-6)
    assert labeled[5:, 0].min() > 1.5 and torch.allclose(labeled[9], torch.tensor([2.0, 0.5]))


def test_toy_model_by_hand():
    points, model = torch.randn(4, 2), ToyModel(2, 3)
    head, body = model.reward_head.weight[0], model.layers[0]
    rewards = (points @ body.weight.T + body.bias) @ head  # (4,)
    assert torch.allclose(model(points), rewards, atol=1e-6)


def test_a_toys_seed(monkeypatch):
    monkeypatch.setattr(two_moons, "train", lambda *_, **__: None)
    (_, first), (_, again), (_, other) = (
        two_moons.fit(dial.dial_step, seed, "uneven")[0] for seed in (3, 3, 4))
    assert torch.equal(first["target"], again["target"])
    assert not torch.equal(first["target"], other["target"])


def test_gains_on_the_moons_are_paired_by_seed(tmp_path, monkeypatch):
    values = {("Src-Pref", 3): 0.5, ("Src-Pref", 4): 0.7, ("DIAL", 3): 0.6, ("DIAL", 4): 0.9}
    names = {step: name for name, step in two_moons.METHODS.items()}
    monkeypatch.setattr(two_moons, "fit", lambda step, seed, *_: [
        (500, {"accuracy": values[names[step], seed], "share": 0.5})])
    monkeypatch.setattr(two_moons, "film_moons", lambda *_: None)
    two_moons.main(["--seeds", "3", "4", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert rows[1]["gain"]["values"] == pytest.approx([0.1, 0.2])
