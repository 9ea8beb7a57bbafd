"""Text for DIAL: records, tokens, and batches in which a beginning that texts share stands once.

A source is a list of `Preference`. A target is a list of `Unlabeled`, a type without labels, so
none can reach training. `encode` turns records into tokens, and `pack` makes a batch of them. Bad
input raises `InputError`. With dial.py, a `name`, `tokenizer` and `config` this trains a model:

    classifier = AutoModelForSequenceClassification.from_pretrained(name, num_labels=1)
    model = RewardModel(classifier, config)
    critic = Critic(model.reward_head.in_features)
    source = encode([Preference(prompt, chosen, (rejected,)), ...], tokenizer, 1024)
    target = encode([Unlabeled(prompt, (response, response)), ...], tokenizer, 1024)
    options = {"pad_id": tokenizer.pad_token_id, "share": False}
    batches = training_batches([source], target, 4, config.steps, **options)
    train(model, critic, batches, config)
    rewards = predict(model, evaluation_batches(source, **options))
"""
import random
import sys
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from os.path import commonprefix
from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

BLOCK = 64  # new tokens in a row that are a block of attention: fewer are not worth the call


class InputError(ValueError):
    """What a user gave cannot be used. The message, one line, says where and what to do."""
    def __init__(self, message):
        super().__init__(" ".join(str(message).split()))


@dataclass(frozen=True)
class Preference:
    """A prompt, its chosen response and one or more rejected ones. `template`: a chat template
    wrote the texts, so nothing is put before or into them. `where`: in a file, for messages."""
    prompt: str
    chosen: str
    rejected: tuple
    template: bool = False
    where: str = field(default="", compare=False, repr=False)

    def __post_init__(self):
        if isinstance(self.rejected, str) or not self.rejected:
            raise InputError("rejected: a tuple of texts, not a text, and not empty")

    @property
    def responses(self):
        return (self.chosen, *self.rejected)

    def joint(self, response):
        """What joins plain text: a line break, unless there is white space where the two meet."""
        white = self.template or self.prompt[-1:].isspace() or response[:1].isspace()
        return "" if white else "\n"


@dataclass(frozen=True)
class Unlabeled:
    """A prompt and its responses in alphabetical order, so that no order tells which was chosen.
    However they were labelled, training comes out the same, bit for bit on a CPU."""
    prompt: str
    responses: tuple
    template: bool = False
    where: str = field(default="", compare=False, repr=False)

    def __post_init__(self):
        if isinstance(self.responses, str) or not self.responses:
            raise InputError("responses: a tuple of texts, not a text, and not empty")
        object.__setattr__(self, "responses", tuple(sorted(self.responses)))

    joint = Preference.joint


def unlabel(preferences):
    """Forget which response was chosen."""
    return [Unlabeled(p.prompt, p.responses, p.template, p.where) for p in preferences]


class Encoded(NamedTuple):
    """The tokens of a record: of its prompt with each response. The first `n_prompt` tokens are the
    prompt's and common to all texts; every text has more tokens than that."""
    n_prompt: int
    texts: list


def tokenize(rows, tokenizer):
    """For each record the tokens of its prompt, alone and with each response, uncut."""
    bos, tokens = tokenizer.bos_token_id, {}
    groups = [[(row.prompt + row.joint(response) + response, row.template)
               for response in ("", *row.responses)] for row in rows]
    keys = dict.fromkeys(key for group in groups for key in group)  # each distinct text once
    for whole in (False, True):  # texts that have their special tokens already
        part = [key for key in keys
                if whole == (key[1] or bos is not None and key[0].startswith(tokenizer.bos_token))]
        ids = part and tokenizer([text for text, _ in part], add_special_tokens=not whole)
        for key, x in zip(part, ids and ids["input_ids"]):
            tokens[key] = x if key[1] or bos in (None, *x[:1]) else [bos, *x]
    return [[tokens[key] for key in group] for group in groups]


def encode(rows, tokenizer, max_length, truncate=False, name="data"):
    """Turn each record into tokens.

    A prompt and a response are joined (`Preference.joint`) and tokenised together, so the tokens
    are those of the plain tokenizer. BOS leads plain text: without BOS, a Gemma is useless.

    Args:
        rows: Preferences or Unlabeled. max_length: of a text, in tokens. name: for messages.
        truncate: cut longer texts: the prompt from the left, keeping BOS, and where that is not
            enough the responses on the right. A line on stderr says how often.
    Returns a list of `Encoded`. Raises InputError where a prompt is empty, a text is too long and
    not to be cut, or a text ends in the padding token, or where the tokenizer has no such token.
    """
    if tokenizer.pad_token_id is None:
        raise InputError("the tokenizer has no padding token: set tokenizer.pad_token")
    encoded, n_cut, keep = [], [0, 0], int(tokenizer.bos_token_id is not None)
    for i, (row, (prompt, *texts)) in enumerate(zip(rows, tokenize(rows, tokenizer)), 1):
        place = row.where or f"{name}: row {i}"
        if not row.prompt:
            raise InputError(f"{place} has an empty prompt")
        n_prompt = min(len(commonprefix([prompt, *texts])), min(map(len, texts)) - 1)
        for response, ids in zip(row.responses, texts):
            where = f"{place}, {row.prompt[:40]!r} and {response[:40]!r},"
            if ids[-1] == tokenizer.pad_token_id:  # a classifier would not see where it ends
                raise InputError(f"{where} ends in the padding token {tokenizer.pad_token!r}")
            if len(ids) > max_length and not truncate:
                raise InputError(f"{where} has {len(ids)} tokens, more than {max_length}: "
                                 "raise --max-length, or pass --truncate")
        excess = max(0, max(map(len, texts)) - max_length)
        cut = max(0, min(excess, n_prompt - keep))  # of the prompt
        n_cut = [n_cut[0] + (excess > 0), n_cut[1] + (excess > cut)]
        encoded.append(Encoded(n_prompt - cut, [(ids[:keep] + ids[keep + cut:])[:max_length]
                                                for ids in texts]))
    if n_cut[0]:
        print(f"{name}: {n_cut[0]} of {len(rows)} records are longer than {max_length} tokens: "
              f"the prompt is cut from the left, in {n_cut[1]} the responses on the right too",
              file=sys.stderr)
    return encoded


@dataclass
class Blocks:
    """Which token of a packed row sees which, in blocks of consecutive columns.

        token i sees token j   exactly where   j <= i < end[j]
    """
    sizes: list  # (Q, K, chain): a block's own columns, its keys, and whether these are one text
    keys: torch.Tensor  # the keys' columns, block after block; the last Q are the block's own
    position: torch.Tensor  # (L,), of each token in its text
    end: torch.Tensor  # (L,), of each token the first column after the texts that hold it
    made: dict = field(default_factory=dict)  # masks by window

    def to(self, device, **options):
        tensors = (self.keys, self.position, self.end)
        return Blocks(self.sizes, *(x.to(device, **options) for x in tensors))

    def masks(self, window=None):
        """For each block (Q, K) booleans, true where a query sees a key, `window` tokens far. None
        where causal attention costs less: all keys are one text, most of it the block's own, and
        shorter than the window. All layers share the masks."""
        if window not in self.made:
            self.made[window], far = [], window or len(self.end)
            for (q, k, chain), j in zip(self.sizes, self.keys.split([k for _, k, _ in self.sizes])):
                i = j[-q:, None]  # (Q, 1), beside (K,)
                self.made[window].append(None if chain and k < 2 * q and k <= far else (
                    (j <= i) & (i < self.end[j]) & (self.position[i] - self.position[j] < far)))
        return self.made[window]


def pack(encoded, pad_id=0, share=True):
    """Make one batch, as `RewardModel.embed` wants it, of encoded records.

    Args:
        encoded: what `encode` returns. pad_id: the token that fills up rows; no token sees it.
        share: put all texts in `one_row`, for attention that reads `blocks` and several times as
            fast (experiments/models/attention.py); otherwise one text a row, for any backbone.
    Returns:
        `input_ids`: (R, L). `last_row`, `last_column`: (N,), where the last token of each response
        is. `counts` and `n_prompts`: lists, how many responses each record has, and how many of
        their tokens are the prompt's. `columns`: a list for each response, where its tokens are,
        the prompt's first. With `share` also `position_ids`: (1, L), and `blocks`: `Blocks`.
    """
    texts = [tuple(text) for record in encoded for text in record.texts]
    batch, columns = one_row(texts) if share else (
        {"input_ids": pad_sequence([torch.tensor(text) for text in texts], True, pad_id)},
        [[*range(len(text))] for text in texts])
    return batch | {"last_row": torch.tensor([0 if share else n for n in range(len(texts))]),
                    "last_column": torch.tensor([places[-1] for places in columns]),
                    "counts": [len(record.texts) for record in encoded],
                    "n_prompts": [record.n_prompt for record in encoded], "columns": columns}


def one_row(texts):
    """Pack texts, tuples of tokens, into a row that holds a common beginning once.

    Sorted by their tokens, texts that begin alike stand together; the row is a trie in depth-first
    order. A token sees the tokens before it in its text, and itself, so each text comes out as it
    would alone. Returns a batch and the columns of each text.
    """
    ids, position, end, keys, sizes, columns = [], [], [], [], [], {}
    previous, path, start, ancestors = (), [], 0, []  # path: the columns of the previous text
    for text in [*sorted(set(texts)), ()]:  # the last, empty, closes the row
        n = len(commonprefix([previous, text]))
        for column in path[n:]:
            end[column] = len(ids)  # no later text goes on from here
        new = len(ids) - start
        if new >= BLOCK or not text:
            # Where a token i of the block sees an earlier j, j < start <= i < end[j]: so the first
            # one, at start, sees j, too. Its ancestors and the block are all the keys there are.
            keys += [*ancestors, *range(start, len(ids))]
            sizes.append((new, len(ancestors) + new, len(ancestors) + new == len(path)))
            start, ancestors = len(ids), path[:n]
        path = path[:n] + [*range(len(ids), len(ids) + len(text) - n)]
        ids += text[n:]
        position += range(n, len(text))
        end += path[n:]  # for now
        previous, columns[text] = text, path
    blocks = Blocks(sizes, *map(torch.tensor, (keys, position, end)))
    return {"input_ids": torch.tensor([ids]), "position_ids": blocks.position[None],
            "blocks": blocks}, [columns[text] for text in texts]


def training_batches(labeled, unlabeled, batch_size, steps, seed=0, start=0, make=None, **options):
    """Yield `steps` batches of `batch_size` records of each labelled part, then as many unlabelled.

    Each part is gone through in a new random order every epoch, whatever the other parts are: with
    and without a target, methods see the same source batches.
    Args: labeled: parts of encoded Preferences. unlabeled: encoded records, or None. start: how
    many batches are left out, the first ones. make: it packs records, with `options`.
    Yields batches with `n_source`, `n_source_records`, `chosen` and `rejected`, too: see dial.py.
    """
    if not all(parts := [*labeled, *([] if unlabeled is None else [unlabeled])]):
        raise InputError("a part has no records")
    orders = [chain.from_iterable(map(random.Random(seed + i).sample, repeat(part), repeat(
        len(part)))) for i, part in enumerate(parts)]  # without end
    orders = [islice(order, start * batch_size, None) for order in orders]
    n_labeled = len(labeled) * batch_size
    for _ in range(steps - start):
        records = [record for order in orders for record in islice(order, batch_size)]
        counts = [len(record.texts) for record in records[:n_labeled]]
        starts = [sum(counts[:i]) for i in range(n_labeled)]
        pairs = [(start, start + k) for start, n in zip(starts, counts) for k in range(1, n)]
        yield (make or pack)(records, **options) | {
            "n_source": sum(counts), "n_source_records": n_labeled,
            **dict(zip(("chosen", "rejected"), torch.tensor(pairs).T))}


def evaluation_batches(encoded, tokens=2048, make=None, share=True, **options):
    """Yield all records in batches of about `tokens` tokens, similar lengths together. `index` says
    which records a batch holds. A batch is packed when it is asked for."""
    sizes = [sum(map(len, r.texts)) - share * r.n_prompt * (len(r.texts) - 1) for r in encoded]
    total, batches = 0, {}
    for i in sorted(range(len(encoded)), key=sizes.__getitem__):
        total += sizes[i]
        batches.setdefault(total // tokens, []).append(i)
    for index in batches.values():
        yield (make or pack)([encoded[i] for i in index], share=share, **options) | {"index": index}
