"""How meta_reward.py trains its methods on the `Texts` of several domains, one of them left out."""
from dataclasses import dataclass
from functools import partial

import torch

import dial
from methods.bilevel import fit, pair_accuracy, pair_loss, weights
from methods.losses import dpo_loss, sft_loss

LOOK_EVERY = 20  # steps of OODPL, for the figure


@dataclass
class MetaConfig:
    """The settings of meta_reward.py; results/README.md says how far they were searched."""
    alpha: float = 1.0  # rate of the inner loop
    beta: float = 2.0  # weights are exp(reward / beta)
    inner_steps: int = 5  # D, of the inner loop while the reward is learned
    outer_steps: int = 60  # updates of the reward
    outer_rate: float = 3e-3  # of the reward (AdamW)
    records: int = 20  # of each domain in a step of any method
    test_steps: int = 40  # of the fit to the domain left out, at rate alpha
    sft_steps: int = 150  # of SFT, at rate 0.01
    bt_steps: int = 60  # of the Bradley-Terry reward
    bt_rate: float = 3e-3  # of the Bradley-Terry reward
    bt_beta: float = 1.0  # beta of the fit to what that reward weighs
    policy_steps: int = 60  # of DPO and HPL
    policy_rate: float = 1e-3  # of DPO and HPL
    dpo_beta: float = 0.1  # of DPO
    decay: float = 0.1  # weight decay of all of them, as AdamW has it

    def __post_init__(self):
        for name, value in vars(self).items():
            if not (0 if name == "decay" else 1e-9) <= value <= 1e6:
                raise ValueError(f"{name} must be above 0 and at most 1e6, not {value}")


def sft(theta, texts):
    return sft_loss(texts.log_probs(theta))


def hpl(theta, texts):
    """f of the policy itself."""
    return pair_loss((texts.log_probs(theta) / texts.length).split(texts.counts))


def dpo(theta, texts, theta_0, beta):
    """Against the policy of theta_0."""
    with torch.no_grad():
        ref = texts.log_probs(theta_0).split(texts.counts)
    pairs = [(p[:1].expand(len(p) - 1), p[1:], r[:1].expand(len(r) - 1), r[1:])
             for p, r in zip(texts.log_probs(theta).split(texts.counts), ref)]
    return dpo_loss(*map(torch.cat, zip(*pairs)), beta)


def bradley_terry(phi, texts, scale):
    return pair_loss((features(texts, scale) @ phi).split(texts.counts))


def outer(phi, texts, scale, theta_0, config):
    """f_k(theta_D(phi)) of a domain's texts, which are also those that the policy is fitted to."""
    w = weights(phi, features(texts, scale), config.beta)
    return hpl(fit(theta_0, texts.log_probs, w, config.alpha, config.inner_steps), texts)


def features(texts, scale=1.0):
    """(N, D): the state of each response's last token, less its prompt's mean, divided by scale."""
    return torch.cat([e - e.mean(0) for e in texts.last.split(texts.counts)]) / scale


def minimise(start, loss, domains, steps, rate, config, look=None):
    """Minimise the sum over domains of loss(value, texts) with AdamW, on random records of each.

    Args: start: a tensor. domains: `Texts` each. look: called with (step, the mean so far).
    Returns the mean of the second half of the values, and a log: for each step `loss`, the mean
    over domains, and `gradient`, the norm of the sum's. Raises FloatingPointError.
    """
    value, log = start.clone().requires_grad_(), []
    optimizer, mean = torch.optim.AdamW([value], rate, weight_decay=config.decay), start
    for step in range(1, steps + 1):
        parts = [t.select(torch.randperm(len(t.counts))[: config.records].tolist())
                 for t in domains]
        total = sum(loss(value, texts) for texts in parts)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        log.append({"step": step, "loss": total.item() / len(parts),
                    "gradient": value.grad.norm().item()})
        if not torch.isfinite(total) or not torch.isfinite(value).all():
            raise FloatingPointError(f"step {step} of a loss: not finite; lower alpha or "
                                     "the rate (--set)?")
        n = step - steps // 2
        mean = value.detach().clone() if n <= 1 else mean + (value.detach() - mean) / n
        if look:
            log[-1] |= look(step, mean)
    return mean, log


class Task:
    """What all methods begin with when one domain is left out: the others' `Texts` (`train`), its
    own (`test`), and theta_0, SFT on the texts of all."""

    def __init__(self, train, test, config, seed):
        torch.manual_seed(seed)
        self.train, self.test, self.config, self.seed = train, test, config, seed
        self.scale = torch.cat([*map(features, train)]).std()
        start = torch.zeros(test.z.shape[1], test.layer.output.shape[1])
        self.theta, _ = minimise(start, sft, [*train, test], config.sft_steps, 0.01, config)

    def adapted(self, phi, beta):
        """The policy fitted to the texts of the domain left out, as the reward weighs them."""
        w = weights(phi, features(self.test, self.scale), beta)
        return fit(self.theta, self.test.log_probs, w, self.config.alpha, self.config.test_steps)

    def measure(self, theta):
        """The share of pairs (23), and of records whose chosen response has the largest score."""
        scores = (self.test.log_probs(theta) / self.test.length).split(self.test.counts)
        return {"pairs": pair_accuracy(scores), "accuracy": dial.accuracy(scores)}

    def look(self, step, phi):
        late = step % LOOK_EVERY == 0
        return self.measure(self.adapted(phi, self.config.beta)) if late else {}

    def policy(self, loss):
        config = self.config
        return minimise(self.theta, loss, self.train, config.policy_steps, config.policy_rate,
                        config)

    def reward(self, loss, steps, rate, beta, look=None):
        """The policy adapted to a reward that is learned, and the log, with the final rewards."""
        phi, log = minimise(torch.zeros(self.test.last.shape[1]), loss, self.train, steps, rate,
                            self.config, look)
        log[-1]["rewards"] = (features(self.test, self.scale) @ phi).tolist()
        return self.adapted(phi, beta), log

    def run(self, name):
        """Train a method; return its metrics and its log."""
        torch.manual_seed(self.seed)
        config, scale = self.config, self.scale
        theta, log = {
            "SFT": lambda: (self.theta, []),
            "DPO": lambda: self.policy(partial(dpo, theta_0=self.theta, beta=config.dpo_beta)),
            "HPL": lambda: self.policy(hpl),
            "BT + fit": lambda: self.reward(partial(bradley_terry, scale=scale), config.bt_steps,
                                            config.bt_rate, config.bt_beta),
            "OODPL": lambda: self.reward(
                partial(outer, scale=scale, theta_0=self.theta, config=config), config.outer_steps,
                config.outer_rate, config.beta, self.look)}[name]()
        return self.measure(theta), log
