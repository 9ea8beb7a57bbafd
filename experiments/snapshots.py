"""Which moment of training to keep: rules that see no target label, and the paper's, which does.

`--choose bound` keeps the snapshot that a rule likes best; of several rules, each makes a row of
the table, "DIAL, bound" for example. A rule reads a training record with what `Run.look` adds
to it at an evaluation. Methods without a critic have no row for `distance` and `bound`.
"""
import torch

import dial
from data import InputError

RULES = {  # a record's value to a rule: the larger, the better
    "last": lambda r: r["step"],
    "source": lambda r: r["source_accuracy"],  # held-out source rows (few_shot.py has none)
    "distance": lambda r: -r["normalized_distance"],
    "bound": lambda r: -dial.stated_error_bound(  # what Theorem 2.1 says, true or not
        r["source_error"], r["head_norm"], r["normalized_distance"]),
    "entropy": lambda r: -r["target_entropy"],  # how sure the reward is of unlabelled target rows
    "oracle*": lambda r: r["target_validation"],  # the paper's: labelled target rows
}
OF_CRITIC = ("distance", "bound")  # not for methods without a critic


def read(rules, source, target):
    """Which parts of the domains `Run.look` reads for these rules: (domain, part)."""
    parts = [] if rules == ["last"] else [(source.validation or source, "test")]
    parts += [(target, "unlabeled")] if "entropy" in rules else []
    return parts + ([(target.validation, "test")] if "oracle*" in rules else [])


def entropy(rewards):
    """Mean entropy, in nats, of the choice between the responses of each record: how unsure a
    reward is of what is best. Single responses are compared two by two.

    Args:
        rewards: a list of (responses,) tensors.
    """
    if max(map(len, rewards)) < 2 and len(rewards) > 1:
        rewards = torch.cat(rewards[: len(rewards) // 2 * 2]).view(-1, 2)
    return torch.stack([torch.distributions.Categorical(logits=r).entropy()
                        for r in rewards]).mean().item()


def check_rules(names):
    """Raise InputError for a rule that does not exist, or that is named twice."""
    for name in names:
        if name not in RULES or names.count(name) > 1:
            raise InputError(f"--choose {name}: once each, there are {', '.join(RULES)}")


class Snapshots:
    """For each rule, the best state so far of what is trained, and the step it is from."""

    def __init__(self, model, rules):
        self.model, self.best = model, dict.fromkeys(rules)

    def trained(self):
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def keep(self, record):
        """Look at the model as it is; of equals, the later stays."""
        state = None
        for rule, best in self.best.items():
            value = RULES[rule](record)
            if best is None or not value < best[0]:
                state = state or {k: p.detach().clone() for k, p in self.trained().items()}
                self.best[rule] = value, record["step"], state

    def restore(self, rule):
        """Put a rule's choice back into the model; return its step."""
        _, step, state = self.best[rule]
        for name, p in self.trained().items():
            p.data.copy_(state[name])
        return step
