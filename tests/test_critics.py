"""toy/critics.py: the critic by itself against the exact distance, and the best slope there is."""
import math
import re

import pytest
import torch

import critics
from bound import wasserstein_1


def test_critic_against_the_exact_distance(monkeypatch):
    """Of k W1 - lambda_gp (k - 1)^2 the best slope is k = 1 + W1 / (2 lambda_gp); the critic is
    trained with SETTINGS."""
    used, adamw, theirs = [], torch.optim.AdamW, critics.SETTINGS
    monkeypatch.setattr(torch.optim, "AdamW", lambda *args, **options: (
        used.append(adamw(*args, **options)), used[-1])[1])
    torch.manual_seed(0)
    source, target = critics.clouds(2.0, 100)
    exact = wasserstein_1(source, target)
    assert exact == pytest.approx(2 * math.sqrt(2), rel=0.1)  # moved by (2, 2)
    distance, slope = critics.estimate_distance(source, target, 10.0, steps=120)
    assert slope == pytest.approx(1 + exact / 20, rel=0.1)
    assert distance / slope == pytest.approx(exact, rel=0.1)
    (group,) = used[-1].param_groups
    assert (group["lr"], group["weight_decay"], group["betas"][0]) == (
        theirs.critic_learning_rate, theirs.critic_weight_decay, theirs.critic_beta1)


def test_the_clouds_by_their_moments():
    torch.manual_seed(0)
    source, target = critics.clouds(2.0, 20_000)
    for points, mean in ((source, 0.0), (target, 2.0)):
        torch.testing.assert_close(points.mean(0), torch.full((2,), mean), rtol=0, atol=0.03)
        torch.testing.assert_close(points.std(0), torch.tensor([1.0, 0.3]), rtol=0, atol=0.03)


def test_the_table(monkeypatch, capsys):
    monkeypatch.setattr(critics, "SHIFTS", (0.0, 30.0))
    monkeypatch.setattr(critics, "estimate_distance", lambda source, target, gp: (gp, 4.0))
    critics.main()
    head, _, moved = capsys.readouterr().out.splitlines()
    assert head.split("  ")[-1] == "critic, lambda_gp 100"
    shift, exact, *cells = re.split("  +", moved)
    assert float(exact) == pytest.approx(30 * math.sqrt(2), rel=0.01) and shift == "30"
    assert cells == [
        "1.00, / slope 0.25", "10.00, / slope 2.50", "100.00, / slope 25.00"]
