"""The terms of Theorem 2.1 against closed forms, other algorithms and random search; what holds,
and what does not (counterexamples with known numbers)."""
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance as wasserstein_1d
from torch import nn

import bound
from bound import error_bounds, preference_error, wasserstein_1


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_preference_error_by_hand():
    error = preference_error(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0]))
    assert error.item() == pytest.approx((sigmoid(-1) + sigmoid(3)) / 2)
    assert preference_error(torch.ones(4), torch.ones(4)).item() == 0.5


def test_wasserstein_1_against_others():
    torch.manual_seed(0)
    a, b = torch.randn(40, 1), 2 + 3 * torch.randn(40, 1)  # on the line, where sorting will do
    assert wasserstein_1(a, b) == pytest.approx(wasserstein_1d(a[:, 0].numpy(), b[:, 0].numpy()))
    points = torch.randn(40, 3)
    moved = points[torch.randperm(40)] + torch.tensor([3.0, 4.0, 0.0])
    assert wasserstein_1(points, moved) == pytest.approx(5)
    a, b = torch.randn(2, 6, 2, 3)  # pairs of points, whose distances add; every permutation
    cost = (a[:, None] - b[None]).norm(dim=-1).sum(dim=-1)
    best = min(sum(cost[i, j].item() for i, j in enumerate(order))
               for order in itertools.permutations(range(6))) / 6
    assert wasserstein_1(a, b) == pytest.approx(best)


@pytest.mark.parametrize("n, m", [((2, 3), (2, 4)), ((2, 3), (3, 3)), ((0, 3), (0, 3)), (2, 2)])
def test_wasserstein_1_rejects(n, m):
    with pytest.raises(ValueError, match="need"):
        wasserstein_1(torch.zeros(n), torch.zeros(m))


def test_counterexamples_of_four_responses():
    examples = {name: (source, target) for name, source, target in bound.counterexamples()}
    source, target, stated, holds = bound.check(*examples["A"])
    assert source == pytest.approx(sigmoid(-1)) and target == pytest.approx(sigmoid(1))
    assert stated == 0 and target - source <= holds
    source, target, stated, holds = bound.check(*examples["A'"])
    assert source == pytest.approx((sigmoid(-4) + sigmoid(12)) / 2)
    assert target == pytest.approx(sigmoid(4)) and stated == 0 and target - source <= holds
    source, target = (pairs.sort(dim=0).values for pairs in examples["A'"])
    assert torch.equal(source, target)  # winners are distributed alike, and losers


@pytest.mark.parametrize("d", [0.5, 0.1, 0.001])
def test_counterexample_of_mirrored_atoms(d):
    source, target, stated, holds = bound.check(*bound.mirrored_atoms(d))
    assert source == pytest.approx((sigmoid(-1) + 0.5) / 2)
    assert target == pytest.approx((sigmoid(1) + 0.5) / 2)
    assert stated <= d + 1e-6 and target - source <= holds
    assert d > 0.2 or target - source > stated


@pytest.mark.parametrize("angle", [1, 5, 20])
def test_counterexample_of_a_line(angle):
    source, target, stated, holds = bound.check(*bound.thin_line(angle, 400))
    # W1 <= the mean distance of a point to its mirror image, 2 sin(angle) E|z|.
    assert stated <= 2 / 4 * 2 * math.sin(math.radians(angle)) * math.sqrt(2 / math.pi) + 1e-6
    assert source + target == pytest.approx(1, abs=1e-6)  # the mirror turns every choice around
    assert stated < target - source <= holds


def test_pair_bound_on_random_instances():
    """Rewards with K = 1 on the line; no violation, and nearly tight where rewards lie close."""
    rng, tightest = np.random.default_rng(0), 0
    for _ in range(1000):
        points = rng.normal(size=6) * 10 ** rng.uniform(-2.5, 1)
        n = rng.integers(1, 9)  # pairs of (winner, loser), drawn with replacement
        pairs = [torch.tensor(points[rng.integers(6, size=(n, 2))]) for _ in range(2)]
        errors = [preference_error(p[:, 0], p[:, 1]).item() for p in pairs]
        _, limit = error_bounds(errors[0], 1.0, *(p[..., None] for p in pairs))
        assert errors[1] <= limit + 1e-9
        if limit > errors[0]:
            tightest = max(tightest, (errors[1] - errors[0]) / (limit - errors[0]))
    assert tightest > 0.99


def test_the_lemmas_constant():
    """sigmoid(r(l) - r(w)) is K/4-Lipschitz for the sum of the two distances, not for less; for
    the larger of the two the constant is twice that, the paper's."""
    pairs = torch.randn(200, 2, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    loss = torch.sigmoid(pairs[:, 1] - pairs[:, 0])
    change, apart = (loss[:, None] - loss).abs(), (pairs[:, None] - pairs).abs()
    assert (change <= apart.sum(dim=-1) / 4 + 1e-12).all()
    assert (change <= apart.amax(dim=-1) / 2 + 1e-12).all()
    t = 1e-4  # (w, l) = (0, t) against (t, 0): both moved by t
    assert sigmoid(t) - sigmoid(-t) == pytest.approx(2 * t / 4, rel=1e-6) == t / 2


@pytest.mark.parametrize("seed", range(20))
def test_stated_bound_holds_for_a_translation(seed):
    """The target is the source moved, winners and losers kept; then it is the pair bound."""
    torch.manual_seed(seed)
    reward = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    k = math.prod(np.linalg.norm(reward[i].weight.detach(), 2) for i in (0, 2))  # tanh's is 1
    source = torch.randn(30, 2, 3).double()
    target = source + torch.randn(3).double()
    errors = [preference_error(*reward(pairs).unbind(1)).item() for pairs in (source, target)]
    stated, holds = error_bounds(errors[0], k, source, target)
    assert errors[1] <= stated + 1e-9 and stated == pytest.approx(holds)
