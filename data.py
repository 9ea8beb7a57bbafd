"""Text for DIAL: records, tokens, and batches in which what texts share is there once.

A source is a list of `Preference`, a target of `Unlabeled`: by type, no label of it can reach
training. `encode` makes tokens of them, `pack` a batch. (experiments/domains/records.py reads
files.) Bad input raises `InputError`, which says where and what to do. A whole script, with dial.py
and this file alone:

    classifier = AutoModelForSequenceClassification.from_pretrained(name, num_labels=1)
    model = RewardModel(classifier, config)
    critic = Critic(model.reward_head.in_features)
    source = encode([Preference(prompt, chosen, (rejected,)), ...], tokenizer, 1024)
    target = encode([Unlabeled(prompt, (response, response)), ...], tokenizer, 1024)
    options = {"pad_id": tokenizer.pad_token_id, "share": False}
    batches = training_batches([source], target, 4, config.steps, **options)
    train(model, critic, batches, config)
    rewards = predict(model, evaluation_batches(source, **options))

With `share`, experiments/support/attention.py and a classifier with attention "blocks", a step
takes a fraction of the time.
"""
import random
import sys
from dataclasses import dataclass
from itertools import islice
from os.path import commonprefix
from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

BLOCK = 64  # so many new tokens of a text are a block of attention: fewer are not worth the call


class InputError(ValueError):
    """What a user gave cannot be used; the message, one line, says where and what to do."""

    def __init__(self, message):
        super().__init__(" ".join(str(message).split()))


@dataclass(frozen=True)
class Preference:
    """A prompt, its chosen response and one or more rejected ones."""

    prompt: str
    chosen: str
    rejected: tuple

    def __post_init__(self):
        if isinstance(self.rejected, str):
            raise InputError("rejected: a tuple of texts, not a text")

    @property
    def responses(self):
        return (self.chosen, *self.rejected)


@dataclass(frozen=True)
class Unlabeled:
    """A prompt and its responses, kept in alphabetical order: no order of a file can tell which
    was chosen, and training comes out the same, bit for bit, however they were labelled."""

    prompt: str
    responses: tuple

    def __post_init__(self):
        if isinstance(self.responses, str):
            raise InputError("responses: a tuple of texts, not a text")
        object.__setattr__(self, "responses", tuple(sorted(self.responses)))


def unlabel(preferences):
    """Forget which response was chosen."""
    return [Unlabeled(p.prompt, p.responses) for p in preferences]


# ------------------------------------------------------------------ tokens and batches


class Encoded(NamedTuple):
    """The tokens of a record: each of its texts, prompt and response, as a whole; the first
    `n_prompt` tokens, fewer than any has, are the prompt's and common to all."""

    n_prompt: int
    texts: list

    @property
    def size(self):
        """How many tokens, the prompt's counted once."""
        return self.n_prompt + sum(len(text) - self.n_prompt for text in self.texts)


def tokenize(row, tokenizer):
    """(n_prompt, texts) of a record as `Encoded` has them, uncut."""
    bos, joint = tokenizer.bos_token_id, "" if row.prompt[-1].isspace() else "\n"
    template = bool(bos is not None and row.prompt.startswith(tokenizer.bos_token))
    strings = [row.prompt + joint + response for response in ("", *row.responses)]
    tokens = tokenizer(strings, add_special_tokens=not template)["input_ids"]
    if bos is not None:  # a Gemma without it collapses
        tokens = [ids if ids[:1] == [bos] else [bos, *ids] for ids in tokens]
    texts = tokens[1:]  # the first is the prompt alone
    return min(len(commonprefix(tokens)), min(map(len, texts)) - 1), texts


def encode(rows, tokenizer, max_length, truncate=False, name="data"):
    """Turn each record into tokens.

    Each text, prompt and response joined by a line break unless the prompt ends in white space, is
    tokenised as a whole, so the tokens are those that the plain tokenizer gives. BOS leads.

    Args:
        rows: Preferences or Unlabeled. max_length: the longest text, in tokens.
        truncate: cut longer texts: the prompt from the left, keeping BOS, and where that is not
            enough the responses on the right; how often is said on stderr.
        name: of the data, for messages.
    Returns:
        a list of `Encoded`.
    Raises:
        InputError: a prompt is empty; a text is longer than `max_length`, and cutting is not asked
            for; a text ends in the padding token, or the tokenizer has none.
    """
    if tokenizer.pad_token_id is None:
        raise InputError("the tokenizer has no padding token: set tokenizer.pad_token")
    encoded, n_cut, keep = [], [0, 0], int(tokenizer.bos_token_id is not None)
    for i, row in enumerate(rows, 1):
        if not row.prompt:
            raise InputError(f"{name}: row {i} has an empty prompt")
        n_prompt, texts = tokenize(row, tokenizer)
        for response, ids in zip(row.responses, texts):
            where = f"{name}: row {i}, {row.prompt[:40]!r} and {response[:40]!r},"
            if ids[-1] == tokenizer.pad_token_id:
                raise InputError(f"{where} ends in {tokenizer.pad_token!r}, which is the padding "
                                 "token: where it ends would not be known")
            if len(ids) > max_length and not truncate:
                raise InputError(f"{where} has {len(ids)} tokens, more than {max_length}: "
                                 "raise --max-length, or pass --truncate")
        excess = max(0, max(map(len, texts)) - max_length)
        cut = min(excess, n_prompt - keep)  # of the prompt
        n_cut = [n_cut[0] + (excess > 0), n_cut[1] + (excess > cut)]
        encoded.append(Encoded(n_prompt - cut, [(ids[:keep] + ids[keep + cut:])[:max_length]
                                                for ids in texts]))
    if n_cut[0]:
        print(f"{name}: {n_cut[0]} of {len(rows)} records are longer than {max_length} tokens: "
              f"the prompt is cut from the left, in {n_cut[1]} the responses on the right too",
              file=sys.stderr)
    return encoded


class Tree:
    """A row: texts whose common beginnings are there once. A token sees what it begins with and
    itself, so each text comes out as it would alone."""

    def __init__(self):
        self.ids, self.parents, self.positions, self.children = [], [], [], {}

    def add(self, ids):
        """Add a text; return the columns of its tokens."""
        columns, column = [], -1
        for position, token in enumerate(ids):
            key = column, token
            if key not in self.children:
                self.children[key] = len(self.ids)
                self.ids.append(token), self.parents.append(column)
                self.positions.append(position)
            column = self.children[key]
            columns.append(column)
        return columns

    def block(self, start):
        """What the tokens from column `start` on see.

        Returns:
            keys: (K,), the columns that any of them sees. back: (Q, K), by how many positions each
            key stands before each of them, -1 where it does not see it. chain: whether the keys are
            a single text.
        """
        queries, before = range(start, len(self.ids)), set()
        for column in queries:
            while 0 <= (column := self.parents[column]) < start and column not in before:
                before.add(column)
        keys = [*sorted(before), *queries]
        place = {column: i for i, column in enumerate(keys)}
        sees = torch.zeros(len(queries), len(keys), dtype=torch.bool).numpy()
        for seen, column in zip(sees, queries):
            seen[place[column]] = True
            while (column := self.parents[column]) >= 0:
                if column >= start:  # what its parent sees is known
                    seen |= sees[column - start]
                    break
                seen[place[column]] = True
        position = torch.tensor(self.positions, dtype=torch.int32)
        back = position[start:, None] - position[keys]
        return keys, back.where(torch.from_numpy(sees), -1), bool(sees[-1].all())


class Blocks:
    """Who sees whom in a row, in blocks of tokens that came one after another.

    Attention goes block by block, so it costs the square of a text and not of a row.
    sizes: (Q, K, chain) of each block; keys, back: those of `Tree.block`, flat, one block after
    another.
    """

    def __init__(self, sizes, keys, back):
        self.sizes, self.keys, self.back = sizes, keys, back

    def to(self, device, **options):
        return Blocks(self.sizes, self.keys.to(device, **options), self.back.to(device, **options))

    def masks(self, window=None):
        """For each block (Q, K) booleans, true where a query sees a key, `window` tokens far; None
        where causal attention among all of its keys costs less: they are one text, most of it the
        block's own, and shorter than the window."""
        sees = self.back >= 0 if window is None else (self.back >= 0) & (self.back < window)
        masks = sees.split([q * k for q, k, _ in self.sizes])
        return [None if chain and k < 2 * q and k <= (window or k) else mask.view(q, k)
                for (q, k, chain), mask in zip(self.sizes, masks)]


def pack(encoded, pad_id=0, share=True):
    """Make one batch, as `RewardModel.embed` wants it, of encoded records.

    Args:
        encoded: what `encode` returns. pad_id: the token that fills up rows; it is never seen.
        share: all texts in one row, a `Tree`, for attention that reads `blocks`; otherwise each
            has a row of its own, for any backbone.
    Returns:
        `input_ids`: (R, L). `last_row`, `last_column`: (N,), where the last token of each response
        is. `counts` and `n_prompts`: lists, how many responses each record has, and how many of
        their tokens are the prompt's. `columns`: a list for each response, where its tokens are,
        the prompt's first. With `share` also `position_ids`: (1, L), and `blocks`, who sees whom.
    """
    trees, places, columns, blocks, start = [], [], [], [], 0
    for record in encoded:
        for k, text in enumerate(record.texts):
            if not (share and trees):
                trees.append(Tree())
            columns.append(trees[-1].add(text))
            places.append((len(trees) - 1, columns[-1][-1]))
            new = len(trees[-1].ids) - start
            if share and (new >= BLOCK or (new and k == len(record.texts) - 1)):
                blocks.append(trees[-1].block(start))
                start += new
    batch = dict(zip(("last_row", "last_column"), torch.tensor(places).T))
    batch["counts"] = [len(record.texts) for record in encoded]
    batch["n_prompts"], batch["columns"] = [record.n_prompt for record in encoded], columns
    batch["input_ids"] = padded([tree.ids for tree in trees], pad_id)
    if share:
        batch["position_ids"] = torch.tensor([trees[0].positions])
        batch["blocks"] = Blocks([(*back.shape, chain) for _, back, chain in blocks],
                                 torch.tensor([column for keys, *_ in blocks for column in keys]),
                                 torch.cat([back.flatten() for _, back, _ in blocks]))
    return batch


def padded(rows, value):
    return pad_sequence([torch.tensor(row) for row in rows], True, value)


def training_batches(labeled, unlabeled, batch_size, steps, seed=0, **pack_options):
    """Yield `steps` batches of `batch_size` records of each labelled part, then as many unlabelled.

    Each part is gone through in a new random order every epoch, which does not depend on the
    others, so that methods with and without a target see the same source batches.

    Args:
        labeled: a list of parts, each encoded Preferences. unlabeled: encoded records, or None.
        pack_options: for `pack`.
    Returns batches with `n_source`, `n_source_records`, `chosen` and `rejected`, too: see dial.py.
    """
    if not all(labeled):
        raise InputError("a labelled part has no records")
    parts = [*labeled, *([unlabeled] if unlabeled else [])]
    orders = [_epochs(part, random.Random(seed + i)) for i, part in enumerate(parts)]
    n_labeled = len(labeled) * batch_size
    for _ in range(steps):
        records = [record for order in orders for record in islice(order, batch_size)]
        counts = [len(record.texts) for record in records[:n_labeled]]
        starts = [sum(counts[:i]) for i in range(n_labeled)]
        pairs = [(start, start + k) for start, n in zip(starts, counts) for k in range(1, n)]
        sizes = {"n_source": sum(counts), "n_source_records": n_labeled}
        yield pack(records, **pack_options) | sizes | dict(
            zip(("chosen", "rejected"), torch.tensor(pairs).T))


def _epochs(rows, rng):
    while True:
        yield from rng.sample(rows, len(rows))


def evaluation_batches(encoded, tokens=2048, **pack_options):
    """All records in batches of about `tokens` tokens, similar lengths together; `index` says which
    records each batch holds."""
    order = sorted(range(len(encoded)), key=lambda i: encoded[i].size)
    total, batches = 0, {}
    for i in order:
        total += encoded[i].size
        batches.setdefault(total // tokens, []).append(i)
    return [pack([encoded[i] for i in index], **pack_options) | {"index": index}
            for index in batches.values()]
