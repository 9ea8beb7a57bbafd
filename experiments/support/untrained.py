"""Rewards that take no training: what length, counting and the base model give.

A function takes a `training.Run`, its model as yet untrained (LoRA at 0: the base model), and the
domain whose test is rewarded; it returns the rewards of each record's responses, (responses,).

The paper lets its base model choose in words, after some thought. A small base model does not keep
to such a format: here Base LM and Few-shot LM choose the response that is likeliest under it, by
the mean log probability of a token.
"""
import math
import random
import re
from collections import Counter
from dataclasses import replace

import torch

import data
import dial

from support.baselines import token_losses

SHOTS = 10  # labelled examples that Few-shot LM sees, as many as in the paper


def longest(run, domain):
    """The response with more words wins."""
    return [torch.tensor([float(len(text.split())) for text in row.responses])
            for row in domain.test]


def shortest(run, domain):
    return [-words for words in longest(run, domain)]


def seen_sentences(run, domain):
    """Adds up the sentences of a response, each by the log odds of being chosen in the labelled
    source: it reads nothing, and new sentences count 0."""
    return log_odds(run, domain, r"(?<=[.!?])\s+")


def seen_words(run, domain):
    """The same with words."""
    return log_odds(run, domain, r"\s+")


def log_odds(run, domain, separator):
    def parts(text):
        return re.split(separator, text.strip().lower())

    chosen, rejected = Counter(), Counter()
    for row in run.source.labeled:
        chosen.update(parts(row.chosen))
        rejected.update(part for text in row.rejected for part in parts(text))
    return [torch.tensor([sum(math.log((chosen[part] + 1) / (rejected[part] + 1))
                              for part in parts(text)) for text in row.responses])
            for row in domain.test]


def base_lm(run, domain):
    return dial.predict(Likelihood(run.model), run.batches(run.encode(domain, "test")),
                        f"Base LM on {domain.name}")


def few_shot_lm(run, domain):
    """As Base LM, with SHOTS labelled Preferences, the same for all, before every prompt."""
    labeled = run.source.labeled
    examples = random.Random(run.seed).sample(labeled, min(SHOTS, len(labeled)))
    shots = "".join(f"{e.prompt.rstrip()}\n{e.chosen}\n\n" for e in examples)
    rows = [replace(row, prompt=shots + row.prompt) for row in domain.test]
    encoded = data.encode(rows, run.tokenizer, run.args.max_length, True, domain.name)
    return dial.predict(Likelihood(run.model), run.batches(encoded),
                        f"Few-shot LM on {domain.name}")


class Likelihood(torch.nn.Module):
    """What `dial.predict` needs to reward a response by its tokens' mean log probability."""

    def __init__(self, model):
        super().__init__()
        self.model, self.reward_head = model, torch.nn.Identity()

    def embed(self, batch):
        """The rewards themselves, (N, 1)."""
        (places,) = (batch["token_response"] >= 0).nonzero(as_tuple=True)
        response = batch["token_response"][places]  # (T,)
        losses = token_losses(self.model, self.model.hidden_states(batch), batch, places)  # (T,)
        total = losses.new_zeros(sum(batch["counts"])).index_add(0, response, losses)
        return -(total / response.bincount(minlength=len(total)))[:, None]
