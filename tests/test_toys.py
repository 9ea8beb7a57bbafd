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
import gaussians
import synthetic_shift as shift
import two_moons
from bound import wasserstein_1
from data import InputError
from dial import DialConfig, accuracy, preference_step
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
    few = replace(two_moons.SETTINGS, steps=60, learning_rate=0.01)
    monkeypatch.setattr(two_moons, "SETTINGS", few)
    monkeypatch.delitem(two_moons.LABELS_AT, "middle")
    two_moons.main(["--seeds", "1", "--out", str(tmp_path)])
    rows = {r["method"]: r for r in json.loads((tmp_path / "results.json").read_text())["rows"]}
    plain, dial = rows["Src-Pref"], rows["DIAL"]
    assert dial["gain"]["mean"] == pytest.approx(dial["mean"] - plain["mean"]) and (
        dial["gain"]["mean"] > 0.08)  # 0 without alignment
    assert plain["called_second"][0] < 0.4 and abs(dial["called_second"][0] - 0.5) < 0.1
    assert f"{dial['mean']:.3f}" in capsys.readouterr().out
    assert (tmp_path / "two_moons.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("script, flag, value", [
    ("two_moons.py", "--seeds", "many"), ("synthetic_shift.py", "--kind", "sideways")])
def test_bad_flags_of_a_script(run, capsys, script, flag, value):
    with pytest.raises(SystemExit) as stop:
        run(ROOT / "toy" / script, flag, value)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: argument {flag}")


def test_a_closed_pipe_is_one_line(run, monkeypatch, capsys):
    """Every toy is inside `exit_codes`; bound.py shows what that does."""
    for path in (ROOT / "toy").glob("*.py"):
        text = path.read_text()
        assert path.name == "mlp.py" or text.endswith("    with exit_codes():\n        main()\n")
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

    for toy, flags in ((two_moons, []), (shift, ["--shift", "0"])):
        monkeypatch.setattr(toy, "SETTINGS", replace(toy.SETTINGS, steps=1))
        monkeypatch.setattr(toy, "print_columns", broken)
        with pytest.raises(BrokenPipeError):
            toy.main(["--seeds", "0", "--out", str(tmp_path / toy.__name__), *flags])
        assert {path.name for path in (tmp_path / toy.__name__).iterdir()} == {
            "results.json", f"{toy.__name__}.png"}


def test_moons_lie_on_their_circles():
    points, classes = two_moons.moons(200, noise=0.0)
    center = torch.stack([classes.float(), classes / 2], dim=1)
    assert torch.allclose((points - center).norm(dim=1), torch.ones(400), atol=1e-5)
    labeled, _ = two_moons.moons(5, two_moons.LABELS_AT["uneven"], noise=0.0, even=True)
    assert torch.allclose(labeled[[0, 4]], torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), atol=1e-6)
    assert labeled[5:, 0].min() > 1.5 and torch.allclose(labeled[9], torch.tensor([2.0, 0.5]))


def test_synthetic_shift(tmp_path, monkeypatch):
    few = replace(shift.SETTINGS, steps=40, learning_rate=0.01)
    monkeypatch.setattr(shift, "SETTINGS", few)
    shift.main(["--seeds", "0", "--shift", "1", "0", "--out", str(tmp_path)])
    rows = {(r["method"], r["target"], r["metric"]): r["mean"]
            for r in json.loads((tmp_path / "results.json").read_text())["rows"]}
    assert rows["DIAL", "shift 1", "accuracy"] > rows["Src-Pref", "shift 1", "accuracy"] + 0.1
    assert rows["Src-Pref", "shift 0", "accuracy"] > 0.95
    assert all(rows[m, t, "target_error"] <= rows[m, t, "bound"] for m, t, _ in rows)
    assert (tmp_path / "synthetic_shift.png").exists()
    with pytest.raises(InputError, match="--shift"):
        shift.main(["--shift", "5"])


def test_the_known_reward_is_kept_by_every_kind_of_shift():
    torch.manual_seed(0)
    pairs = shift.preferences(500)
    assert accuracy(-(pairs[..., 0] - 0.5).abs()) == 1
    for move in shift.KINDS.values():
        assert torch.allclose(move(pairs, 0.0), pairs, atol=1e-6)
        assert not torch.allclose(move(pairs, 1.0), pairs, atol=0.1)
    assert torch.allclose(shift.KINDS["rotate"](pairs, 3.0), -pairs, atol=1e-5)  # half a turn


def test_gaussians(monkeypatch, capsys):
    few = replace(gaussians.SETTINGS, steps=60, learning_rate=0.01)
    monkeypatch.setattr(gaussians, "SETTINGS", few)
    gaussians.main()
    plain, dial = (line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert float(plain[1]) > float(dial[1]) and float(dial[2]) > float(plain[2]) + 0.1
    assert float(dial[3]) > 2 * abs(float(dial[4]))  # the distance falls


def test_toy_model_and_step_by_hand():
    points, model = torch.randn(4, 2), ToyModel(2, 3)
    head, body = model.reward_head.weight[0], model.layers[0]
    rewards = (points @ body.weight.T + body.bias) @ head  # (4,)
    assert torch.allclose(model(points), rewards, atol=1e-6)
    batch = {"points": points, "n_source": 4, "chosen": torch.arange(2),
             "rejected": torch.arange(2, 4)}
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    loss = preference_step(model, None, optimizer, None, batch, DialConfig())["source_loss"]
    assert torch.allclose(loss, (1 + (rewards[2:] - rewards[:2]).exp()).log().mean())


def test_the_gaussians_table_and_that_methods_begin_alike(monkeypatch, capsys):
    starts = []

    def train(model, critic, batches, config, step, title):
        starts.append((next(batches)["points"], *(p.clone() for p in model.parameters())))
        return [{"distance": 9.0, "slope": 2.0}] + [{"distance": 6.0, "slope": 2.0}] * 50

    monkeypatch.setattr(gaussians, "train", train)
    gaussians.main()
    assert capsys.readouterr().out.splitlines()[2].split()[-2:] == ["4.50", "3.00"]  # W / slope
    assert all(torch.equal(a, b) for a, b in zip(*starts))
    quality = torch.randn(100)
    chosen, rejected = gaussians.pairs(quality)
    assert (quality[chosen] > quality[rejected]).all()
    assert sorted([*chosen.tolist(), *rejected.tolist()]) == list(range(100))


@pytest.mark.parametrize("fit", [
    lambda seed: two_moons.fit(dial.dial_step, seed, "uneven")["target"],
    lambda seed: shift.fit(dial.dial_step, "shift", 1.0, seed).reward_head.weight])
def test_a_toys_seed(fit, monkeypatch):
    for module in (two_moons, shift):
        monkeypatch.setattr(module, "train", lambda *_, **__: None)
    assert torch.equal(fit(3), fit(3)) and not torch.equal(fit(3), fit(4))


def test_gains_on_the_moons_are_paired_by_seed(tmp_path, monkeypatch):
    values = {("Src-Pref", 3): 0.5, ("Src-Pref", 4): 0.7, ("DIAL", 3): 0.6, ("DIAL", 4): 0.9}
    names = {step: name for name, step in two_moons.METHODS.items()}
    monkeypatch.setattr(two_moons, "fit", lambda step, seed, *_: {
        "accuracy": values[names[step], seed], "share": 0.5})
    monkeypatch.setattr(two_moons, "draw", lambda *_: None)
    two_moons.main(["--seeds", "3", "4", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert rows[1]["gain"]["values"] == pytest.approx([0.1, 0.2])


def test_errors_and_bounds_by_hand():
    """The identity with a head (3, 4), of slope 5; the same pairs for every model."""
    model = ToyModel(2, 2)
    with torch.no_grad():
        model.layers[0].weight.copy_(torch.eye(2)), model.layers[0].bias.zero_()
        model.reward_head.weight.copy_(torch.tensor([[3.0, 4.0]]))
    found = shift.measure(model, "shift", 1.0, 30)
    assert found == shift.measure(model, "shift", 1.0, 30)
    torch.manual_seed(12345)
    source, target = shift.preferences(30), shift.preferences(30) + 1
    errors = [torch.sigmoid((pairs[:, 1] - pairs[:, 0]) @ torch.tensor([3.0, 4.0])).mean().item()
              for pairs in (source, target)]
    assert [found["source_error"], found["target_error"]] == pytest.approx(errors)
    distances = [wasserstein_1(source, target),
                 wasserstein_1(source.view(-1, 2), target.view(-1, 2))]  # of pairs, of responses
    assert found["bound"] == pytest.approx(errors[0] + 5 / 4 * distances[0], rel=1e-5)
    assert found["stated"] == pytest.approx(errors[0] + 10 / 4 * distances[1], rel=1e-5)
