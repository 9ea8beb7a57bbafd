"""The distances of the ablation against closed forms and loops, and their step by hand."""
import math
from dataclasses import replace

import pytest
import torch
from conftest import pair_of_domains, run_once
from test_algorithm import FACTORS, HARD, AdamW, losses_by_hand, toy, toy_batches

import dial
from data import InputError
from methods import matching

DISTANCES = (matching.mean_distance, matching.squared_mmd)


def two_samples(n_source=7, n_target=5, dim=3, shift=1.0):
    g = torch.Generator().manual_seed(0)
    return (torch.randn(n_source, dim, generator=g).double(),
            2 * torch.randn(n_target, dim, generator=g).double() + shift)


def test_mean_matching_is_the_best_affine_critic():
    source, target = two_samples(dim=2)
    directions = torch.linspace(0, 2 * math.pi, 10001).double()
    critics = torch.stack([directions.cos(), directions.sin()])  # all of slope 1
    best = ((source @ critics).mean(dim=0) - (target @ critics).mean(dim=0)).max().item()
    assert matching.mean_distance(source, target).item() == pytest.approx(best, rel=1e-6)
    closed = math.hypot(*(a - b for a, b in zip(source.mean(dim=0).tolist(),
                                                target.mean(dim=0).tolist())))
    assert matching.mean_distance(source, target).item() == pytest.approx(closed, rel=1e-12)


def mmd_by_loops(source, target, mean_squared=None):
    """(squared MMD, mean squared distance), pair by pair."""
    def squared(x, y):
        return sum((a - b) ** 2 for a, b in zip(x, y))

    def mean_kernel(xs, ys):
        return sum(math.exp(-squared(x, y) / (width * mean_squared)) for x in xs for y in ys
                   for width in (0.25, 0.5, 1, 2, 4)) / len(xs) / len(ys)

    source, target = source.tolist(), target.tolist()
    both = source + target
    mean_squared = mean_squared or sum(squared(x, y) for x in both for y in both) / len(both) ** 2
    return (mean_kernel(source, source) + mean_kernel(target, target)
            - 2 * mean_kernel(source, target), mean_squared)


def test_mmd_by_loops():
    """Its gradient, by differences, takes the kernels' widths as constants."""
    samples = [sample.requires_grad_(True) for sample in two_samples()]
    value = matching.squared_mmd(*samples)
    by_loops, mean_squared = mmd_by_loops(*samples)
    assert value.item() == pytest.approx(by_loops, rel=1e-10) and by_loops > 0.1
    for n, gradient in enumerate(torch.autograd.grad(value, samples)):
        for i, j in ((0, 0), (4, 2)):
            moved = [[sample.detach().clone() for sample in samples] for _ in range(2)]
            moved[0][n][i, j] += 1e-5
            moved[1][n][i, j] -= 1e-5
            up, down = (mmd_by_loops(*pair, mean_squared)[0] for pair in moved)
            assert gradient[i, j].item() == pytest.approx((up - down) / 2e-5, rel=1e-5)


def test_mmd_sees_what_the_means_do_not():
    wide, narrow = torch.tensor([[-2.0], [2.0]]), torch.tensor([[-1.0], [1.0]])
    assert matching.mean_distance(wide, narrow) == 0 and matching.squared_mmd(wide, narrow) > 0.1


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_distance_falls_for_both_domains(distance):
    """Same samples are at distance 0, and a step down the gradient of either brings them nearer."""
    source, target = two_samples()
    assert distance(source, source[torch.randperm(7)]).item() == pytest.approx(0, abs=1e-12)

    def value(*samples):
        torch.manual_seed(1)
        return distance(*samples)

    source, target = source.requires_grad_(True), target.requires_grad_(True)
    before = value(source, target)
    g_source, g_target = torch.autograd.grad(before, [source, target])
    assert before > value(source - 0.01 * g_source, target)
    assert before > value(source, target - 0.01 * g_target)
    assert g_source.norm() > 0.01 and g_target.norm() > 0.01


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("name, distance", [
    ("mean_matching", matching.mean_distance), ("mmd", matching.squared_mmd)])
def test_a_matching_step_by_hand(name, distance, center):
    """The model goes down source_loss + 2 distance of what the critic would see; the critic
    stays."""
    config = replace(HARD, center_prompts=center)
    (model, critic), (other, _) = toy(), toy()
    before = [p.clone() for p in critic.parameters()]
    torch.manual_seed(2)
    records = dial.train(model, critic, toy_batches(), config, getattr(matching, name))
    torch.manual_seed(2)
    ours = AdamW(other, 0.02, 0.9, 0.3)
    for factor, batch, record in zip(FACTORS, toy_batches(), records, strict=True):
        seen, emb = [], other.embed(batch)
        source_loss, *_ = losses_by_hand(other, lambda x: seen.append(x) or x, emb, batch, center)
        value = distance(*seen)
        ours.step(source_loss + 2 * value, factor, clip=0.05)
        assert record["source_loss"] == pytest.approx(source_loss.item(), rel=1e-9)
        assert record["domain_loss"] == record["distance"] == pytest.approx(value.item(), rel=1e-9,
                                                                            abs=1e-12)
    if name != "mean_matching" or not center:  # centred means are 0: their direction is rounding
        for a, b in zip(model.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    assert all(map(torch.equal, before, critic.parameters()))


def test_centred_means_teach_nothing(args):
    """Mean matching is Src-Pref then, whatever its weight, and is refused."""
    with pytest.raises(InputError, match="Mean matching: centred means are all 0, so it would be"):
        args.config = replace(args.config, center_prompts=True)
        run_once(args, "Mean matching", pair_of_domains())
    results = []
    for step in (matching.mean_matching, dial.preference_step):
        model, critic = toy()
        config = replace(HARD, center_prompts=True, lambda_da=100.0)
        dial.train(model, critic, toy_batches(), config, step)
        results.append(list(model.parameters()))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)
