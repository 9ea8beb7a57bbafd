"""A domain, and how items are divided into parts."""
import random
from dataclasses import dataclass

import torch

import dial

PARTS = ("train", "validation", "test")


@dataclass
class Domain:
    """The texts of a domain: Preferences to train on (a source's, or for an oracle), Unlabeled
    records, all that DIAL sees of a target, and what to measure on."""

    name: str
    labeled: list = ()
    unlabeled: list = ()
    test: list = ()  # Preferences; with `scores`, Unlabeled texts to correlate with them
    scores: list = None
    validation: "Domain" = None  # with --paper, its `test` is an oracle's validation set

    def measure(self, rewards):
        """The accuracy of rewards of `test`; of texts with scores, their correlations.

        Args: rewards: a tensor (responses,) for each record.
        """
        if self.scores is None:
            return {"accuracy": dial.accuracy(rewards)}
        from domains.correlation import within_prompts
        return within_prompts(torch.cat(rewards).tolist(), self.scores,
                              [row.prompt for row in self.test])


def split_items(items, seed=0, fractions=(0.6, 0.2, 0.2)):
    """Split a sequence at random into train, validation and test; the same for the same seed."""
    order = random.Random(seed).sample(range(len(items)), len(items))
    ends = [round(sum(fractions[:i]) * len(items)) for i in range(len(fractions) + 1)]
    return tuple([items[i] for i in order[a:b]] for a, b in zip(ends, ends[1:]))


def split_by_prompt(rows, seed=0, fractions=(0.8, 0.1, 0.1)):
    """Split records into train, validation and test so that no prompt is in two of them."""
    prompts = split_items(sorted({row.prompt for row in rows}), seed, fractions)
    return tuple([row for row in rows if row.prompt in part] for part in map(set, prompts))
