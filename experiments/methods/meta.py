"""How meta_reward.py trains its methods on the `Texts` of several domains, one of them left out."""
from dataclasses import dataclass, replace
from functools import partial

import torch

import dial
from methods.bilevel import fit, pair_accuracy, pair_loss, pairs, weights
from methods.frozen import iterates
from methods.losses import dpo_loss, log_ratio_margin, sft_loss

LOOK_EVERY = 20  # steps of OODPL, for the figure
DPO_BETA, SFT_RATE, DECAY = 0.1, 0.01, 0.1  # the last: AdamW's weight decay, of all methods


@dataclass
class MetaConfig:
    """The settings of meta_reward.py; results/README.md says how far they were searched."""
    alpha: float = 1.0  # rate of the inner loop, and of the fit to the domain left out
    beta: float = 2.0  # OODPL weighs texts by exp(reward / beta)
    bt_beta: float = 1.0  # the same of BT + fit
    inner_steps: int = 5  # D, of the inner loop while the reward is learned
    test_steps: int = 40  # of the fit to the domain left out
    sft_steps: int = 150  # of SFT
    steps: int = 60  # of either reward, of DPO and of HPL
    reward_rate: float = 3e-3  # of either reward (AdamW)
    policy_rate: float = 1e-3  # of DPO and HPL (AdamW)
    records: int = 20  # of each domain in a step of any method

    def __post_init__(self):
        for name, value in vars(self).items():
            if not 1e-9 <= value <= 1e6:
                raise ValueError(f"{name} must be above 0 and at most 1e6, not {value}")


def sft(theta, texts):
    return sft_loss(texts.log_probs(theta))


def hpl(theta, texts):
    """f of the policy itself."""
    return pair_loss((texts.log_probs(theta) / texts.length).split(texts.counts))


def dpo(theta, texts, theta_0):
    """Against the policy of theta_0."""
    with torch.no_grad():
        ref = pairs(texts.log_probs(theta_0).split(texts.counts))
    now = pairs(texts.log_probs(theta).split(texts.counts))
    return dpo_loss(log_ratio_margin(*now, *ref), DPO_BETA)


def bradley_terry(phi, texts):
    return pair_loss((texts.last @ phi).split(texts.counts))


def outer(phi, texts, theta_0, config):
    """f_k(theta_D(phi)) of a domain's texts, which are also those that the policy is fitted to."""
    w = weights(phi, texts.last, config.beta)
    return hpl(fit(theta_0, texts.log_probs, w, config.alpha, config.inner_steps), texts)


def minimise(start, loss, domains, steps, rate, records, look=None):
    """Minimise the sum over domains of loss(value, texts), on random records of each.

    Args: domains: `Texts` each. look: called with (step, the mean so far); it adds to the log.
    Returns the mean of the second half of the values, and the log of `iterates`.
    """
    def total(value):
        return sum(loss(value, texts.select(torch.randperm(len(texts.counts))[:records].tolist()))
                   for texts in domains)

    mean, log = start, []
    for value, record in iterates(start, [total] * steps, rate, DECAY):
        n = record["step"] - steps // 2
        mean = value.clone() if n <= 1 else mean + (value - mean) / n
        log.append(record | (look(record["step"], mean) if look else {}))
    return mean, log


class Task:
    """What all methods begin with when one domain is left out: `train`, the others' `Texts`, and
    `test`, its own, their last states less their prompt's mean and of variance 1 in `train`; and
    `theta`, theta_0, which SFT gives on the texts of all."""

    def __init__(self, train, test, config, seed):
        torch.manual_seed(seed)
        centered = [torch.cat([e - e.mean(0) for e in t.last.split(t.counts)])
                    for t in (*train, test)]
        scale = torch.cat(centered[:-1]).std()
        *self.train, self.test = (replace(t, last=x / scale)
                                  for t, x in zip((*train, test), centered))
        self.config, self.seed = config, seed
        start = torch.zeros(test.z.shape[1], test.layer.output.shape[1])
        self.theta, _ = minimise(start, sft, [*train, test], config.sft_steps, SFT_RATE,
                                 config.records)

    def adapted(self, phi, beta):
        """The policy fitted to the texts of the domain left out, as the reward weighs them."""
        w = weights(phi, self.test.last, beta)
        return fit(self.theta, self.test.log_probs, w, self.config.alpha, self.config.test_steps)

    def measure(self, theta):
        """The share of pairs (23), and of records whose chosen response has the largest score."""
        scores = (self.test.log_probs(theta) / self.test.length).split(self.test.counts)
        return {"pairs": pair_accuracy(scores), "accuracy": dial.accuracy(scores)}

    def look(self, step, phi):
        late = step % LOOK_EVERY == 0
        return self.measure(self.adapted(phi, self.config.beta)) if late else {}

    def run(self, name):
        """Train a method; return its metrics and its log, that of a reward with the final rewards
        of the domain left out."""
        torch.manual_seed(self.seed)
        config, theta, log = self.config, self.theta, []
        if name in ("DPO", "HPL"):
            loss = hpl if name == "HPL" else partial(dpo, theta_0=theta)
            theta, log = minimise(theta, loss, self.train, config.steps, config.policy_rate,
                                  config.records)
        elif name != "SFT":
            loss, beta, look = {
                "BT + fit": (bradley_terry, config.bt_beta, None),
                "OODPL": (partial(outer, theta_0=theta, config=config), config.beta, self.look),
            }[name]
            phi, log = minimise(torch.zeros(self.test.last.shape[1]), loss, self.train,
                                config.steps, config.reward_rate, config.records, look)
            log[-1]["rewards"] = (self.test.last @ phi).tolist()
            theta = self.adapted(phi, beta)
        return self.measure(theta), log
