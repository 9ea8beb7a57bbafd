"""Rewards without training: what the base model finds likely, and what length alone would give.

The paper lets its base model choose in words, after some thought. A small base model does not keep
to such a format, so here it chooses the response that is likeliest under it, by the mean log
probability of a token. "Few-shot LM" sees labelled examples before each prompt.
"""
import random
from dataclasses import replace

import torch
from torch import nn

import data

UNTRAINED = {
    "Length": {"labels": ()},  # the response with more tokens wins
    "Base LM": {"labels": ()},
    "Few-shot LM": {"labels": ("source",)},
}
SHOTS = 10  # labelled examples that Few-shot LM sees, as many as in the paper


class Likelihood(nn.Module):
    """What `dial.predict` needs to reward a response by its tokens' mean log probability, or by
    their number.

    Args:
        model: a RewardModel as yet untrained: LoRA begins at 0, so it is the base model.
        length: reward by the number of tokens.
    """

    def __init__(self, model, length=False):
        super().__init__()
        self.model, self.length, self.reward_head = model, length, nn.Identity()

    def embed(self, batch):
        """The rewards themselves, (N, 1)."""
        found = data.next_tokens(batch)  # (4, T)
        found = found[:, found[3] >= 0]
        n = batch["last"].shape[1]
        number = torch.bincount(found[3], minlength=n).float()  # (N,): tokens of each response
        if self.length:
            return number[:, None]
        losses = self.model.language_losses(self.model.hidden_states(batch), found[:3])  # (T,)
        return -(losses.new_zeros(n).index_add(0, found[3], losses) / number)[:, None]


def with_examples(rows, labeled, seed):
    """`rows` with SHOTS labelled Preferences, the same for all, before every prompt."""
    examples = random.Random(seed).sample(labeled, min(SHOTS, len(labeled)))
    shots = "".join(f"{e.prompt.rstrip()}\n{e.chosen}\n\n" for e in examples)
    return [replace(row, prompt=shots + row.prompt) for row in rows]
