"""The pure functions against closed forms, finite differences and brute force."""
import math

import pytest
import torch

from dial import (Critic, DialConfig, best_of_accuracy, bradley_terry_loss, critic_slope,
                  critic_view, gradient_penalty, pairwise_accuracy, tree_mask,
                  wasserstein_distance)


def unit_linear(dim, norm=1.0):
    weight = torch.randn(dim)
    weight *= norm / weight.norm()
    return lambda emb: emb @ weight


def test_bradley_terry_by_hand():
    assert bradley_terry_loss(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(math.log(2))
    loss = bradley_terry_loss(torch.zeros(3), torch.zeros(3, 4))
    assert loss.item() == pytest.approx(math.log(2))
    chosen, rejected = [1.0, -0.5], [[0.0, 2.0, -1.0], [0.5, 0.5, -3.0]]
    by_hand = [math.log(1 + math.exp(r - c)) for c, row in zip(chosen, rejected) for r in row]
    loss = bradley_terry_loss(torch.tensor(chosen), torch.tensor(rejected))
    assert loss.item() == pytest.approx(sum(by_hand) / 6)


def test_bradley_terry_far_apart_is_finite():
    chosen = torch.tensor([-1e4], requires_grad=True)
    loss = bradley_terry_loss(chosen, torch.tensor([1e4]))
    loss.backward()
    assert loss.item() == pytest.approx(2e4) and chosen.grad.item() == pytest.approx(-1)


@pytest.mark.parametrize("shapes", [((2,), (3,)), ((2, 1), (2,)), ((2,), (2, 1, 1))])
def test_bradley_terry_rejects_other_shapes(shapes):
    with pytest.raises(ValueError, match="need chosen"):
        bradley_terry_loss(*(torch.zeros(s) for s in shapes))


def test_distance_of_a_shift():
    """Two copies of a sample, shifted: W1 is the shift's norm, the best critic linear along it."""
    shift = torch.tensor([3.0, 4.0])
    target = torch.randn(50, 2)
    distance = wasserstein_distance(lambda z: z @ (shift / 5), target + shift, target)
    assert distance.item() == pytest.approx(5, abs=1e-5)


def test_penalty_is_zero_for_a_unit_norm_linear_critic():
    """A penalty whose norm runs over the batch axis instead gives .6 here."""
    source, target = torch.randn(20, 6), torch.randn(30, 6)
    assert gradient_penalty(unit_linear(6), source, target).item() == pytest.approx(0, abs=1e-10)
    steep = gradient_penalty(unit_linear(6, 3.0), source, target)
    assert steep.item() == pytest.approx(4, abs=1e-4)


def test_slope_by_finite_differences():
    torch.manual_seed(0)
    critic = Critic(5, (16, 8)).double()
    source, target = torch.randn(4, 5).double(), torch.randn(3, 5).double()
    slopes = critic_slope(critic, source, target)
    assert slopes.shape == (4 + 3 + 4,)
    eps = 1e-6
    for point, slope in zip(torch.cat([source, target]), slopes):  # the mixes come after
        gradient = [(critic(point + eps * e) - critic(point - eps * e)).item() / (2 * eps)
                    for e in torch.eye(5).double()]
        assert slope.item() == pytest.approx(math.hypot(*gradient), rel=1e-6)


def test_penalty_is_also_taken_between_the_domains():
    """A critic flat at both domains, and steep between them, must be caught on the mixes."""
    torch.manual_seed(0)
    source, target = torch.zeros(200, 1), torch.full((200, 1), 10.0)
    slopes = critic_slope(lambda z: torch.sigmoid(8 * (z[:, 0] - 5)), source, target)
    assert slopes[:400].max() < 1e-6 and slopes[400:].max() > 0.5


def test_penalty_trains_the_critic_and_not_the_embeddings():
    critic = Critic(4, (8,))
    source, target = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    gradient_penalty(critic, source, target).backward()
    assert source.grad is None and target.grad is None
    assert critic.layers[0].weight.grad.norm() > 0


def test_penalty_rejects_mismatched_widths():
    with pytest.raises(ValueError, match="N_s, D"):
        gradient_penalty(Critic(4), torch.randn(3, 4), torch.randn(3, 5))


def test_default_critic_is_not_affine():
    """An affine critic only sees means; the released one was affine by accident."""
    torch.manual_seed(0)
    critic, a, b = Critic(10), torch.randn(200, 10), torch.randn(200, 10)
    bend = (critic(a) + critic(b)) / 2 - critic((a + b) / 2)
    assert bend.std() > 0.05 * critic(a).std()
    assert [m.weight.shape[0] for m in critic.layers if hasattr(m, "weight")] == [256, 128, 1]


def test_ties_count_one_half():
    chosen, rejected = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([1.0, 1.0, 1.0])
    assert pairwise_accuracy(chosen, rejected) == 0.5
    assert best_of_accuracy(chosen, rejected[:, None]) == 0.5
    assert best_of_accuracy(torch.zeros(3), torch.zeros(3, 4)) == pytest.approx(0.2)
    assert best_of_accuracy(torch.tensor([1.0]), torch.tensor([[0.0, 2.0]])) == 0.0
    assert best_of_accuracy(torch.tensor([1.0]), torch.tensor([[0.0, math.nan]])) == 1.0


def test_tree_mask_by_brute_force():
    segments = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2, -1], [0, 1, 1, 1, 2, 3, -1, -1, -1]])
    positions = torch.tensor([[0, 1, 2, 3, 4, 3, 4, 5, 0], [0, 1, 2, 3, 1, 1, 0, 0, 0]])
    for window in (None, 2):
        mask = tree_mask(segments, positions, window)
        for r in range(2):
            for q in range(9):
                for k in range(9):
                    sq, sk = segments[r, q].item(), segments[r, k].item()
                    sees = k <= q and (sk == sq or (sk == 0 and sq >= 0))
                    if window:
                        sees = sees and positions[r, q] - positions[r, k] < window
                    assert mask[r, 0, q, k].item() == bool(sees), (r, q, k)


def test_critic_view_without_what_a_prompt_shares():
    torch.manual_seed(0)
    counts, emb, config = [2, 3, 5, 2], torch.randn(12, 4), DialConfig(center_prompts=True)
    batch = {"n_source": 5, "counts": counts}
    source, target = critic_view(emb, batch, config)
    by_hand = torch.cat([rows - rows.mean(dim=0) for rows in emb.split(counts)])
    assert torch.allclose(torch.cat([source, target]), by_hand, atol=1e-6) and len(source) == 5
    moved = emb + torch.randn(4, 4).repeat_interleave(torch.tensor(counts), dim=0)
    assert torch.allclose(torch.cat(critic_view(moved, batch, config)), by_hand, atol=1e-6)
    assert torch.equal(torch.cat(critic_view(emb, batch, DialConfig())), emb)
    with pytest.raises(ValueError, match="two responses"):
        critic_view(emb[:3], {"n_source": 2, "counts": [2, 1]}, config)
