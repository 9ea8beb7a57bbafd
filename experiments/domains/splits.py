"""A domain, and how items are divided into parts."""
import random
import sys
import zlib
from dataclasses import dataclass, field

import torch

import dial
from data import InputError

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
    groups: dict = field(default_factory=dict)  # {metric: whether it counts, for each of `test`}
    validation: "Domain" = None  # with --paper, its `test` is an oracle's validation set

    def check(self, part, encoded, classifier):
        """Raise InputError where a token or its place has no embedding, and where most records of
        preferences teach nothing: their responses are the same, or each pair stands there in both
        orders. Of fewer, say how many.

        Args: part: labeled, unlabeled or test. classifier: a transformers model.
        """
        name, texts = f"{self.name}, {part}", [record.texts for record in encoded]
        n_tokens = len(classifier.get_input_embeddings().weight)
        longest = max((len(text) for record in texts for text in record), default=0)
        most = getattr(classifier.config, "max_position_embeddings", None) or longest
        # Where positions are stretched a config may state their number before that.
        stretched = "factor" in str(getattr(classifier.config, "rope_parameters", ""))
        if longest > most and not stretched:
            raise InputError(f"{name}: a text has {longest} tokens, the model takes {most}: pass "
                             f"--max-length {most} --truncate")
        if any(max(text) >= n_tokens for record in texts for text in record):
            raise InputError(f"{name}: the tokenizer gives tokens beyond the model's {n_tokens} "
                             "embeddings; resize them to the tokenizer, or use its own")
        if part == "unlabeled" or part == "test" and self.scores is not None:
            return
        pairs = {(hash(tuple(chosen)), hash(tuple(text))) for chosen, *rest in texts
                 for text in rest}
        for n, all_of_them, what in (
                (sum(chosen in rest for chosen, *rest in texts), len(texts),
                 "records have a rejected response that is the chosen one"),
                (sum(a != b and (b, a) in pairs for a, b in pairs), len(pairs),
                 "pairs stand there in both orders")):
            if n > all_of_them / 2:
                raise InputError(f"{name}: {n} of {all_of_them} {what}: nothing can be learned")
            if n:
                print(f"{name}: {n} of {all_of_them} {what}", file=sys.stderr)

    def measure(self, rewards):
        """The accuracy of rewards of `test` and of its `groups`; of texts with scores, their
        correlations.

        Args: rewards: a tensor (responses,) for each record.
        """
        if self.scores is None:
            return {"accuracy": dial.accuracy(rewards)} | {
                metric: dial.accuracy([r for r, counts in zip(rewards, group) if counts])
                for metric, group in self.groups.items() if any(group)}
        from domains.correlation import within_prompts
        return within_prompts(torch.cat(rewards).tolist(), self.scores,
                              [row.prompt for row in self.test])


def divide(items, seed=0, train=0.6, key=str):
    """Divide items into parts, {"train", "validation", "test": a list}.

    Validation is the search pool, for choosing settings: a fifth of the items, those with the
    lowest checksums. No seed changes it, so that no seed trains or tests on what a setting was
    chosen on. The seed divides the other items at random.

    Args:
        train: share of all items to train on. key: a function that gives an item's text; items with
            the same text go into one part.
    """
    texts = {key(item) for item in items}
    texts = sorted(texts, key=lambda text: (zlib.crc32(text.encode()), text))
    pool, others = texts[: len(texts) // 5], texts[len(texts) // 5:]
    train = random.Random(seed).sample(others, round(train * len(texts)))
    part_of = (dict.fromkeys(others, "test") | dict.fromkeys(train, "train")
               | dict.fromkeys(pool, "validation"))
    return {part: [item for item in items if part_of[key(item)] == part] for part in PARTS}


def split_items(items, seed, fractions):
    """Split a sequence at random into parts of these shares; the same for the same seed."""
    order = random.Random(seed).sample(range(len(items)), len(items))
    ends = [round(sum(fractions[:i]) * len(items)) for i in range(len(fractions) + 1)]
    return tuple([items[i] for i in order[a:b]] for a, b in zip(ends, ends[1:]))


def split_by(key, rows, seed, fractions):
    """Split records at random so that those with the same key, a text, are in one part."""
    parts = split_items(sorted(set(map(key, rows))), seed, fractions)
    return tuple([row for row in rows if key(row) in part] for part in map(set, parts))
