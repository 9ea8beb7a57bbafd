"""The toys as a class runs them: tables, files, exit codes, and what they claim."""
import json
import math

import pytest
import torch

import synthetic_shift
import two_moons
from dial import pairwise_accuracy
from test_scripts import one_error_line, run


def test_two_moons_script(tmp_path):
    result = run("toy/two_moons.py", "--seeds", "0", "1", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    rows = {r["method"]: r for r in json.loads((tmp_path / "results.json").read_text())["rows"]}
    assert rows["DIAL"]["mean"] > rows["Src-Pref"]["mean"] + 0.05
    assert len(rows["DIAL"]["values"]) == 2
    assert f"{rows['DIAL']['mean']:.3f}" in result.stdout
    assert (tmp_path / "two_moons.png").read_bytes()[:4] == b"\x89PNG"


def test_synthetic_shift_script(tmp_path):
    result = run("toy/synthetic_shift.py", "--seeds", "0", "--shift", "1", "0", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    rows = {(r["method"], r["target"], r["metric"]): r["mean"]
            for r in json.loads((tmp_path / "results.json").read_text())["rows"]}
    assert rows["DIAL", "shift 1", "accuracy"] > rows["Src-Pref", "shift 1", "accuracy"] + 0.1
    assert rows["Src-Pref", "shift 0", "accuracy"] > 0.95
    assert all(rows[m, t, "target_error"] <= rows[m, t, "bound"] for m, t, name in rows
               if name == "target_error")
    assert (tmp_path / "synthetic_shift.png").exists()


def test_bound_table():
    result = run("toy/synthetic_shift.py", "--bound")
    table = [line for line in result.stdout.splitlines() if line.startswith(("A", "B"))]
    assert len(table) == 9 and all("(false)" in line for line in table)
    assert ["0.2689", "0.7311", "0.4621", "0.0000"] == table[0].split()[4:8]


@pytest.mark.parametrize("flags, words", [
    (["toy/two_moons.py", "--labels-at", "everywhere"], ["--labels-at", "everywhere"]),
    (["toy/synthetic_shift.py", "--shift", "5"], ["--shift", "3"]),
    (["toy/synthetic_shift.py", "--kind", "melt"], ["--kind", "melt"])])
def test_bad_flags(flags, words):
    one_error_line(run(*flags), *words)


def test_moons_lie_on_their_circles():
    points, classes = two_moons.moons(200, noise=0.0)
    center = torch.stack([classes.float(), classes / 2], dim=1)
    assert torch.allclose((points - center).norm(dim=1), torch.ones(400), atol=1e-5)
    outer, _ = two_moons.moons(50, *two_moons.LABELS_AT["outer"], noise=0.0)
    assert outer[:50, 0].max() < math.cos(0.69 * math.pi) and outer[50:, 0].min() > 1.5


def test_the_known_reward_is_kept_by_every_kind_of_shift():
    torch.manual_seed(0)
    pairs = synthetic_shift.preferences(500)
    off = (pairs[..., 0] - 0.5).abs()
    assert pairwise_accuracy(-off[:, 0], -off[:, 1]) == 1
    for kind, move in synthetic_shift.KINDS.items():
        assert torch.allclose(move(pairs, 0.0), pairs, atol=1e-6)
        assert not torch.allclose(move(pairs, 1.0), pairs, atol=0.1)
    turned = synthetic_shift.KINDS["rotate"](pairs, 3.0)
    assert torch.allclose(turned, -pairs, atol=1e-5)  # half a turn
