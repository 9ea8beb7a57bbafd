"""PPO for a language model, from the formulas (Schulman et al., 2017; Ziegler et al., 2019).

A response is a row of T actions, its tokens, with the end of sequence last unless it was cut off
there. Before each the policy (policy.py) has seen the prompt and the actions so far. The paper
leaves "all other default parameters from TRL", which vary by version: ours are in `PPOConfig`.
"""
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F

from dial import descend


@dataclass
class PPOConfig:
    """The settings of PPO."""

    learning_rate: float = 5e-5  # of LoRA and the value head (AdamW)
    kl_weight: float = 0.05  # kappa, what a nat of divergence from the reference costs
    gae_lambda: float = 0.95  # 0: advantages trust the value, 1: the rewards that came
    clip: float = 0.2  # the ratio of probabilities counts up to 1 +- this
    value_clip: float = 0.2  # the value moves so far in an epoch
    value_weight: float = 0.1  # of the value's loss beside the policy's
    passes: int = 4  # over each epoch's responses
    batch_size: int = 8  # responses a step
    grad_clip: float = 1.0  # largest norm of the gradient, 0 for any

    def __post_init__(self):
        for f in fields(self):
            value, low = getattr(self, f.name), int(f.type is int)
            if not low <= value <= 1e30:
                raise ValueError(f"{f.name} must be from {low} to 1e+30, not {value}")


# ------------------------------------------------------------------ formulas: functions of tensors


def token_rewards(reward, log_probs, ref_log_probs, real, kl_weight):
    """The reward of every action: -kl_weight (log pi - log pi_ref), and at the last the response's.

    Args:
        reward: (B,). log_probs, ref_log_probs, real: (B, T), the last 1 for actions, 0 after them.
    Returns (B, T), 0 after the last action.
    """
    at_last = F.one_hot(real.sum(1) - 1, real.shape[1])  # (B, T)
    return real * (at_last * reward[:, None] - kl_weight * (log_probs - ref_log_probs))


def advantages_and_returns(rewards, values, real, gae_lambda=0.95):
    """Generalised advantage estimation, from the last action to the first.

        delta_t = R_t + V_(t+1) - V_t,   A_t = delta_t + lambda A_(t+1)

    A later reward counts as much as an early one (gamma is 1, as in TRL).
    Args: all (B, T); after the last action there is no value. Returns (A, A + V): (B, T) each.
    """
    values, columns = values * real, []
    after = advantage = torch.zeros_like(values[:, 0])  # V and A of the next
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + after - values[:, t]
        advantage = (delta + gae_lambda * advantage) * real[:, t]
        after = values[:, t]
        columns.insert(0, advantage)
    advantages = torch.stack(columns, 1)
    return advantages, advantages + values


def mean(x, real):
    """The mean of (B, T) over real actions."""
    return (x * real).sum() / real.sum()


def whiten(x, real):
    """Mean 0 and variance 1 over real actions: (B, T)."""
    x = x - mean(x, real)
    return x / (mean(x.square(), real) + 1e-8).sqrt() * real


def policy_loss(log_probs, old_log_probs, advantages, real, clip):
    """- mean min(ratio A, clip(ratio) A), ratio = pi / pi_old; all (B, T). Its gradient is 0 where
    the ratio has left 1 +- clip in the direction that A asks for."""
    ratio = (log_probs - old_log_probs).exp()
    return mean(torch.maximum(-ratio * advantages,
                              -ratio.clamp(1 - clip, 1 + clip) * advantages), real)


def value_loss(values, old_values, returns, real, clip):
    """1/2 mean max((V - return)^2, (V clipped - return)^2), V clipped to V_old +- clip."""
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    return mean(torch.maximum((values - returns).square(), (clipped - returns).square()), real) / 2


# ------------------------------------------------------------------ an epoch


@torch.no_grad()
def look_back(policy, responses, batch_size):
    """Of responses, as the policy is now: log probabilities of the actions, the same of the
    reference, values, and KL(pi || pi_ref) at each action, all (B, T)."""
    rows = []
    for index in torch.arange(len(responses.ids)).split(batch_size):
        batch = responses.select(index)
        log_policy, values = policy(batch)
        with policy.model.disable_adapter():
            ref_log_policy, _ = policy(batch)
        kl = (log_policy.exp() * (log_policy - ref_log_policy)).sum(-1)
        rows.append((policy.taken(log_policy, batch), policy.taken(ref_log_policy, batch), values,
                     kl))
    return [torch.cat(columns) for columns in zip(*rows)]


def checked_step(loss, optimizer, clip, where):
    """`dial.descend`; raises FloatingPointError where the loss or its gradient is not finite."""
    norm = descend(loss, optimizer, clip)
    if not torch.isfinite(loss + norm):
        raise FloatingPointError(f"{where}: the loss or its gradient is not finite; lower "
                                 "learning_rate (--ppo) or lora_alpha (--set)?")


def ppo_epoch(policy, optimizer, responses, reward, config, title="PPO"):
    """`config.passes` over the responses that the policy just gave, with their rewards (B,), of
    which the mean is taken off: Bradley-Terry leaves their level open, and the value, which begins
    at 0 and moves by `value_clip` an epoch, would have to climb it.

    Returns:
        KL(pi || pi_ref) in nats a response, before the epoch.
    Raises FloatingPointError for a step that is not finite, named by `title`.
    """
    real = responses.real
    old_log_probs, ref_log_probs, old_values, kl = look_back(policy, responses, config.batch_size)
    rewards = token_rewards(reward - reward.mean(), old_log_probs, ref_log_probs, real,
                            config.kl_weight)
    advantages, returns = advantages_and_returns(rewards, old_values, real, config.gae_lambda)
    advantages = whiten(advantages, real)
    orders = (index for _ in range(config.passes)
              for index in torch.randperm(len(real)).split(config.batch_size))
    for step, index in enumerate(orders, 1):
        batch = responses.select(index)
        log_policy, values = policy(batch)
        log_probs = policy.taken(log_policy, batch)
        loss = policy_loss(log_probs, old_log_probs[index], advantages[index], real[index],
                           config.clip)
        loss_v = value_loss(values, old_values[index], returns[index], real[index],
                            config.value_clip)
        checked_step(loss + config.value_weight * loss_v, optimizer, config.grad_clip,
                     f"{title}, step {step}")
    return ((kl * real).sum() / len(real)).item()


def supervised_loss(policy, responses):
    """- mean log pi of the responses' tokens, a scalar."""
    return -mean(policy.taken(policy(responses)[0], responses), responses.real)
