"""Functions of numbers against closed forms, finite differences and counting by hand."""
import math

import pytest
import scipy.stats
import torch

from dial import (Critic, DialConfig, accuracy, bradley_terry_loss, critic_view, gradient_penalty,
                  wasserstein_distance)
from domains.correlation import within_prompts


def test_bradley_terry_by_hand():
    assert bradley_terry_loss(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(math.log(2))
    chosen, rejected = [1.0, 1.0, -0.5, -0.5], [0.0, 2.0, 0.5, -3.0]
    by_hand = [math.log(1 + math.exp(r - c)) for c, r in zip(chosen, rejected)]
    loss = bradley_terry_loss(torch.tensor(chosen), torch.tensor(rejected))
    assert loss.item() == pytest.approx(sum(by_hand) / 4)


def test_bradley_terry_far_apart_is_finite():
    chosen = torch.tensor([-1e4], requires_grad=True)
    loss = bradley_terry_loss(chosen, torch.tensor([1e4]))
    loss.backward()
    assert loss.item() == pytest.approx(2e4) and chosen.grad.item() == pytest.approx(-1)


@pytest.mark.parametrize("shapes", [((2,), (3,)), ((2, 1), (2,)), ((2,), (2, 1))])
def test_bradley_terry_rejects_other_shapes(shapes):
    with pytest.raises(ValueError, match="need chosen"):
        bradley_terry_loss(*(torch.zeros(s) for s in shapes))


def test_distance_of_a_shift():
    """Two copies of a sample, shifted: W1 is the shift's norm, the best critic linear along it."""
    shift = torch.tensor([3.0, 4.0])
    target = torch.randn(50, 2)
    distance = wasserstein_distance(lambda z: z @ (shift / 5), target + shift, target)
    assert distance.item() == pytest.approx(5, abs=1e-5)


@pytest.mark.parametrize("norm", [1.0, 3.0, 0.25])
def test_penalty_of_a_linear_critic(norm):
    """A penalty whose norm runs over the batch axis instead gives .6 for a critic of unit norm."""
    weight = torch.randn(6, dtype=torch.float64)
    weight *= norm / weight.norm()
    source, target = torch.randn(20, 6).double(), torch.randn(30, 6).double()
    penalty, slope = gradient_penalty(lambda z: z @ weight, source, target)
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-10)
    assert slope.item() == pytest.approx(norm)


def test_penalty_by_finite_differences():
    """Source and target at one point, so that their mixes lie there as well."""
    torch.manual_seed(0)
    critic = Critic(5, (16, 8)).double()
    for point in torch.randn(4, 1, 5).double():
        penalty, slope = gradient_penalty(critic, point, point)
        gradient = [(critic(point + 1e-6 * e) - critic(point - 1e-6 * e)).item() / 2e-6
                    for e in torch.eye(5).double()]
        assert slope.item() == pytest.approx(math.hypot(*gradient), rel=1e-6)
        assert penalty.item() == pytest.approx((math.hypot(*gradient) - 1) ** 2, rel=1e-6)


def test_penalty_is_also_taken_between_the_domains():
    """A critic that is flat at both domains and rises by 1 on the way of length 10 has a mean slope
    of .1 on uniform mixes, and mixes are a third of the points."""
    torch.manual_seed(0)
    source, target = torch.zeros(20_000, 1), torch.full((20_000, 1), 10.0)
    penalty, slope = gradient_penalty(lambda z: torch.sigmoid(8 * (z[:, 0] - 5)), source, target)
    assert slope.item() == pytest.approx(0.1 / 3, rel=0.1)
    square = 64 / 6 / 80  # mean squared slope of the mixes: the integral of 64 (s (1 - s))^2 / 10
    assert penalty.item() == pytest.approx(1 - 2 * 0.1 / 3 + square / 3, abs=0.01)


def mixes_of(source, target):
    """The points between the domains at which the penalty is taken."""
    seen = []
    gradient_penalty(lambda z: seen.append(z.detach()) or z.sum(1), source, target)
    return seen[0][len(source) + len(target):]


def test_a_mix_lies_on_the_line_between_two_points():
    end = torch.tensor([1.0, 2, 3, 4])
    mixes = mixes_of(torch.zeros(50, 4), end.expand(50, 4))
    assert torch.allclose(mixes / end, mixes[:, :1].expand(50, 4)) and mixes[:, 0].std() > 0.1


@pytest.mark.parametrize("few", [0, 1])
def test_each_point_of_the_larger_domain_is_mixed_once(few):
    """Two points at 0 against seven on a circle: what lies between keeps its angle."""
    angles = torch.arange(7.0)
    pair = [torch.zeros(2, 2), torch.stack([angles.cos(), angles.sin()], 1)]
    mixes = mixes_of(pair[few], pair[1 - few])
    found = torch.atan2(mixes[:, 1], mixes[:, 0]) % (2 * math.pi)
    assert torch.allclose(found.sort().values, angles, atol=1e-3)


def test_the_critic_by_hand():
    """One unit, weights 1: x times the normal distribution function (GELU)."""
    critic = Critic(1, (1,))
    for layer in (critic.layers[0], critic.layers[2]):
        torch.nn.init.ones_(layer.weight), torch.nn.init.zeros_(layer.bias)
    for x in (-2.0, -0.5, 0.0, 1.5):
        assert critic(torch.tensor([[x]])).item() == pytest.approx(
            x * (1 + math.erf(x / 2**0.5)) / 2, abs=1e-6)


def test_penalty_trains_the_critic_and_not_the_embeddings():
    critic = Critic(4, (8,))
    source, target = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    penalty, slope = gradient_penalty(critic, source, target)
    penalty.backward()
    assert source.grad is None and target.grad is None and not slope.requires_grad
    assert critic.layers[0].weight.grad.norm() > 0


@pytest.mark.parametrize("shapes", [((3, 4), (3, 5)), ((0, 4), (3, 4)), ((3, 4), (0, 4))])
def test_penalty_rejects_other_shapes(shapes):
    with pytest.raises(ValueError, match="N_s, D"):
        gradient_penalty(Critic(4), *(torch.randn(s) for s in shapes))


def test_the_default_critic_is_the_papers_and_not_affine():
    """An affine critic only sees means; the released one was affine by accident."""
    torch.manual_seed(0)
    critic, a, b = Critic(10), torch.randn(200, 10), torch.randn(200, 10)
    bend = (critic(a) + critic(b)) / 2 - critic((a + b) / 2)
    assert bend.std() > 0.05 * critic(a).std() and critic(a).shape == (200,)
    assert [m.weight.shape[0] for m in critic.layers if hasattr(m, "weight")] == [256, 128, 1]


@pytest.mark.parametrize("rewards, expected", [
    ([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]], 2 / 3),
    ([[1.0, 1.0], [2.0, 1.0], [0.0, 1.0]], 0.5),  # a tie of two
    ([[0.0] * 5, [0.0] * 5], 0.2),  # a tie of five
    ([[1.0, 1.0, 0.0], [1.0, 0.0, 2.0]], 0.25),
    ([[1.0, 1.0], [3.0, 3.0, 3.0], [-9.0, -10.0]], (1 / 2 + 1 / 3 + 1) / 3),  # of several lengths
])
def test_accuracy_by_hand(rewards, expected):
    assert accuracy([torch.tensor(row) for row in rewards]) == pytest.approx(expected)


def test_accuracy_of_nothing():
    with pytest.raises(ValueError, match="nothing"):
        accuracy([])


def test_critic_view_by_hand():
    """Each embedding less the mean of its own prompt: what a prompt shares changes nothing."""
    torch.manual_seed(0)
    emb, config = torch.randn(12, 4), DialConfig(center_prompts=True)
    batch = {"n_source": 5, "counts": [2, 3, 5, 2]}
    record = torch.tensor([0] * 2 + [1] * 3 + [2] * 5 + [3] * 2)
    source, target = critic_view(emb, batch, config)
    by_hand = torch.stack([e - emb[record == r].mean(dim=0) for e, r in zip(emb, record)])
    torch.testing.assert_close(source, by_hand[:5])
    torch.testing.assert_close(target, by_hand[5:])
    moved = emb + torch.randn(4, 4)[record]
    torch.testing.assert_close(torch.cat(critic_view(moved, batch, config)), by_hand,
                               atol=1e-6, rtol=1e-5)
    source, target = critic_view(emb, batch, DialConfig())
    assert torch.equal(source, emb[:5]) and torch.equal(target, emb[5:])
    with pytest.raises(ValueError, match="two responses"):
        critic_view(emb[:3], {"n_source": 2, "counts": [2, 1]}, config)


def test_correlation_within_prompts():
    """A mean by hand of scipy's; a constant added to all rewards of a prompt changes nothing."""
    torch.manual_seed(0)
    x, y, prompts = torch.randn(31), torch.randn(31), ["a"] * 10 + ["b"] * 20 + ["alone"]
    moved = x + torch.tensor([5.0] * 10 + [0.0] * 21)
    for name, f in (("pearson", scipy.stats.pearsonr), ("spearman", scipy.stats.spearmanr)):
        parts = [f(x[i], y[i]).statistic for i in (slice(0, 10), slice(10, 30))]
        for rewards in (x, moved):
            found = within_prompts(rewards.tolist(), y.tolist(), prompts)[name]
            assert found == pytest.approx((10 * parts[0] + 20 * parts[1]) / 30, abs=1e-6)
        for prompts_of in (["a"] * 31, list(range(31))):  # one prompt, or as many as texts
            found = within_prompts(x.tolist(), y.tolist(), prompts_of)[name]
            assert found == pytest.approx(f(x, y).statistic, abs=1e-6)
    assert within_prompts([1, 2, 3, 4], [1, 2, 5, 5], "aabb")["pearson"] == pytest.approx(1)
    assert within_prompts([1, 1], [1, 2], "aa") == {"pearson": 0, "spearman": 0}
    # Two of ten texts have a prompt in common: all are taken together.
    rewards, scores = [*range(10)], [1, 0, *range(2, 10)]
    assert within_prompts(rewards, scores, [0, 0, *range(2, 10)])["pearson"] == pytest.approx(
        scipy.stats.pearsonr(rewards, scores).statistic)
