"""An epoch of PPO, on a small language model, against hand computations and brute force."""
import math

import pytest
import torch
from test_policy import ACTIONS, CONFIG, END, PROMPTS, TOKENS, language_model, policy_of

import dial
from rlhf import ppo
from rlhf.policy import Policy, join
from rlhf.ppo import PPOConfig


def test_at_the_start_the_ratio_is_1_and_the_divergence_0():
    policy = Policy(language_model(), CONFIG, TOKENS, [END])
    torch.manual_seed(0)
    responses = policy.respond(PROMPTS * 4, 5)
    old, ref, values, kl = ppo.look_back(policy, responses, 8)
    torch.testing.assert_close(old, ref)
    assert kl.abs().max() < 1e-6
    seen = []
    original = ppo.policy_loss

    def watched(log_probs, old_log_probs, *rest):
        seen.append((log_probs - old_log_probs).detach().exp())
        return original(log_probs, old_log_probs, *rest)

    ppo.policy_loss = watched
    try:
        ppo.ppo_epoch(policy, torch.optim.SGD(policy.parameters(), 50.0), responses,
                      torch.randn(8), PPOConfig(passes=2))
    finally:
        ppo.policy_loss = original
    first, second = (ratio * 1.0 for ratio in seen)
    torch.testing.assert_close(first, torch.ones_like(first), atol=1e-5, rtol=0)
    assert (second - 1).abs().max() > 1e-3


def test_divergence_is_exact():
    policy = policy_of(language_model())
    responses = join(PROMPTS, ACTIONS)
    _, _, _, kl = ppo.look_back(policy, responses, 8)
    with torch.no_grad():
        p = policy(responses)[0].exp()
        with policy.model.disable_adapter():
            q = policy(responses)[0].exp()
    expected = torch.nn.functional.kl_div(q.log(), p, reduction="none").sum(-1)
    torch.testing.assert_close(kl, expected, atol=1e-5, rtol=1e-4)
    assert kl.max() > 1e-3


def learner(learning_rate):
    """A policy of a single layer, which is enough to learn from a prompt's last token, with its
    optimiser."""
    policy = Policy(language_model("llama", num_hidden_layers=1), CONFIG, TOKENS, [END])
    trained = [p for p in policy.parameters() if p.requires_grad]
    torch.manual_seed(0)
    return policy, torch.optim.AdamW(trained, learning_rate)


@pytest.mark.parametrize("epochs, learning_rate, setting", [
    (10, 0.02, {}), (16, 0.05, {"passes": 1})])
def test_the_policy_climbs_a_bandit(epochs, learning_rate, setting):
    policy, optimizer = learner(learning_rate)
    shares, rare = [], None
    for _ in range(epochs):
        responses = policy.respond(PROMPTS * 16, 1)
        rare = rare or min(TOKENS[1:], key=responses.actions.flatten().tolist().count)
        reward = (responses.actions[:, 0] == rare).float()
        shares.append(reward.mean().item())
        ppo.ppo_epoch(policy, optimizer, responses, reward, PPOConfig(batch_size=16, **setting))
    assert shares[0] < 0.2 and shares[-1] > 0.9, shares


def test_a_heavy_divergence_keeps_the_policy_where_it_was():
    moved = {}
    for weight in (0.0, 10.0):
        policy, optimizer = learner(0.015)
        for _ in range(6):
            responses = policy.respond(PROMPTS * 16, 1)
            moved[weight] = ppo.ppo_epoch(policy, optimizer, responses,
                                          (responses.actions[:, 0] == 13).float(),
                                          PPOConfig(kl_weight=weight, batch_size=16))
    assert moved[10.0] < moved[0.0] / 5, moved


def test_the_value_learns_what_to_expect():
    policy, _ = learner(0.0)
    optimizer = torch.optim.AdamW(policy.value_head.parameters(), 0.03)
    responses = policy.respond(PROMPTS * 8, 3)
    reward = torch.tensor([1.0, -1.0] * 8)  # by prompt
    for _ in range(20):
        ppo.ppo_epoch(policy, optimizer, responses, reward,
                      PPOConfig(kl_weight=0.0, batch_size=16))
    values = policy(responses)[1]
    error = ppo.mean((values - reward[:, None]).abs(), responses.real)
    assert error < 0.2


@pytest.mark.parametrize("reward, alpha", [(math.nan, 4.0), (0.0, 1e30)])
def test_what_is_not_finite_ends_it(reward, alpha):
    """A loss, and a gradient whose norm overflows, though the loss is finite: clipping would make
    it 0, and nothing would move."""
    config = dial.DialConfig(lora_rank=4, lora_alpha=alpha)
    policy = Policy(language_model(), config, TOKENS, [END])
    with pytest.raises(FloatingPointError, match="^epoch 7, step 1: the loss or its gradient"):
        ppo.ppo_epoch(policy, torch.optim.SGD(policy.parameters(), 0.1), join(PROMPTS, ACTIONS),
                      torch.tensor([1.0, reward]), PPOConfig(), "epoch 7")


@pytest.mark.parametrize("grad_clip", [0.0, 0.05])
def test_a_step_by_hand(grad_clip):
    """One step of plain gradient descent on all responses, at a ratio of 1, from sums over tokens:
    whitened advantages times grad log pi, less .3 times the value's grad of half its squared error.
    """
    policy = policy_of(language_model())
    responses, reward = join(PROMPTS, ACTIONS), torch.tensor([1.0, -2.0])
    config = PPOConfig(passes=1, batch_size=2, grad_clip=grad_clip, kl_weight=0.3, gae_lambda=0.5,
                       value_weight=0.3)
    log_policy, values = policy(responses)
    taken = policy.taken(log_policy, responses)
    with torch.no_grad(), policy.model.disable_adapter():
        ref = policy.taken(policy(responses)[0], responses)
    advantages, returns, spots = [], [], []
    for i, actions in enumerate(ACTIONS):
        n, v = len(actions), values[i].tolist() + [0.0]
        v[n] = 0.0
        r = (-0.3 * (taken[i] - ref[i])).tolist()
        r[n - 1] += reward[i].item() + 0.5  # less their mean
        deltas = [r[t] + v[t + 1] - v[t] for t in range(n)]
        for t in range(n):
            advantages.append(sum(0.5 ** (k - t) * deltas[k] for k in range(t, n)))
            returns.append(advantages[-1] + v[t])
            spots.append((i, t))
    a = torch.tensor(advantages)
    a = (a - a.mean()) / a.std(correction=0)
    chosen, expected = zip(*[(taken[spot], values[spot]) for spot in spots])
    loss = (-(torch.stack(chosen) * a).mean()
            + 0.3 * (torch.stack(expected) - torch.tensor(returns)).square().mean() / 2)
    trained = [p for p in policy.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    norm = math.sqrt(sum(g.square().sum() for g in gradients if g is not None))
    factor = grad_clip / norm if grad_clip else 1.0
    assert factor == 1.0 or factor < 0.5  # it bites
    before = [p.detach().clone() for p in trained]
    ppo.ppo_epoch(policy, torch.optim.SGD(trained, 0.5 / factor), responses, reward, config)
    for p, old, gradient in zip(trained, before, gradients):
        moved = torch.zeros_like(old) if gradient is None else -0.5 * gradient
        torch.testing.assert_close(p.detach() - old, moved, atol=2e-5, rtol=1e-3)
    assert max((p - old).abs().max() for p, old in zip(trained, before)) > 1e-3


def test_passes_and_batches(monkeypatch):
    policy, seen = policy_of(language_model()), []
    monkeypatch.setattr(ppo, "descend", lambda *_: (seen.append(1), torch.zeros(()))[1])
    monkeypatch.setattr(Policy, "taken", lambda self, log_policy, batch, taken=Policy.taken: (
        seen.append(len(batch.ids)), taken(self, log_policy, batch))[1])
    ppo.ppo_epoch(policy, None, join(PROMPTS * 4, ACTIONS * 4), torch.randn(8),
                  PPOConfig(passes=2, batch_size=3))
    assert seen == [3, 3, 3, 3, 2, 2] + [3, 1, 3, 1, 2, 1] * 2  # policy and reference; training


def test_a_constant_in_all_rewards_changes_nothing():
    moved = []
    for constant in (0.0, 5.0):
        policy = policy_of(language_model())
        torch.manual_seed(0)
        ppo.ppo_epoch(policy, torch.optim.SGD(policy.parameters(), 0.1), join(PROMPTS, ACTIONS),
                      torch.tensor([1.0, -2.0]) + constant, PPOConfig(passes=2))
        moved.append(torch.cat([p.detach().flatten() for p in policy.parameters()]))
    torch.testing.assert_close(*moved, atol=1e-5, rtol=1e-4)


def test_clips_are_the_configs_and_the_divergence_is_of_a_response(monkeypatch):
    seen, policy = [], policy_of(language_model())
    for name in ("policy_loss", "value_loss"):
        original = getattr(ppo, name)
        monkeypatch.setattr(ppo, name, lambda *a, f=original: (seen.append(a[-1]), f(*a))[1])
    responses = join(PROMPTS, ACTIONS)
    kl = ppo.look_back(policy, responses, 2)[3]
    found = ppo.ppo_epoch(policy, torch.optim.SGD(policy.parameters(), 0.0), responses,
                          torch.tensor([1.0, -2.0]), PPOConfig(passes=1, clip=0.3, value_clip=0.7))
    assert seen == [0.3, 0.7]
    assert found == pytest.approx((kl[0, :3].sum() + kl[1, :5].sum()).item() / 2)
