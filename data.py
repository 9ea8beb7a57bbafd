"""Text for DIAL: records, files, tokens, and batches whose rows share prompts.

The plain form of a file is one JSON object a line,

    {"prompt": "...", "chosen": "...", "rejected": "..." or ["...", ...]}     a Preference
    {"prompt": "...", "responses": ["...", ...]}  (or "response": "...")      Unlabeled
    {"prompt": "...", "response": "...", "score": number}                     to correlate with

The loaders also read JSON lists, CSV and TSV, gzip, folders of such files, `hub:owner/name/file`,
and the columns of the authors' files (`response_chosen`, `response_rejected`; `correct`, `wrong_a`
...; `text`, `label`) and of TRL (the prompt implicit or not, plain or conversational). Bad input
raises `InputError`, which says where and what to do.
"""
import csv
import gzip
import io
import json
import math
import random
import sys
import zlib
from dataclasses import dataclass
from itertools import islice, takewhile
from os.path import commonprefix, exists
from pathlib import Path
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
        object.__setattr__(self, "responses", tuple(sorted(self.responses)))


def unlabel(preferences):
    """Forget which response was chosen."""
    return [Unlabeled(p.prompt, p.responses) for p in preferences]


# ------------------------------------------------------------------ files


def load_preferences(path, tokenizer=None):
    """Read labelled preferences.

    Args:
        path: a file (.json, .jsonl, .csv, .tsv, perhaps with .gz), a folder of such files, or
            hub:owner/name/file.
        tokenizer: needed for conversations only, for its chat template.
    Returns:
        a list of `Preference`, in the order of the file.
    Raises:
        InputError: the file, line and field that cannot be used.
    """
    return [read_preference(row, where, tokenizer) for where, row in read_rows(path)]


def load_unlabeled(path, tokenizer=None):
    """Read a target domain: files as for `load_preferences`; labels, if there, are not kept."""
    return [read_unlabeled(row, where, tokenizer) for where, row in read_rows(path)]


def load_test(path, tokenizer=None):
    """Read what to measure with: (records, scores); of preferences the scores are None, of scored
    texts the records are `Unlabeled` of one response each."""
    rows = read_rows(path)
    if kind_of(rows[0][1]) == "scored":
        return tuple(map(list, zip(*(read_scored(row, where) for where, row in rows))))
    return [read_preference(row, where, tokenizer) for where, row in rows], None


def read_rows(path):
    """All records of a file or folder, each as (where it stands, dictionary)."""
    path = Path(_from_hub(path) if str(path).startswith("hub:") else path)
    if not exists(path):  # unlike Path.exists, no error where the name is too long
        raise InputError(f"{path}: no such file or folder")
    files = [path]
    if path.is_dir():
        files = [f for f in sorted(path.iterdir()) if _suffix(f) in READERS]
    elif _suffix(path) not in READERS:
        raise InputError(f"{path}: the name must end in .json, .jsonl, .csv or .tsv (or with .gz)")
    rows = [row for file in files for row in READERS[_suffix(file)](file)]
    if not rows:
        raise InputError(f"{path}: holds no records")
    for where, row in rows:
        if not isinstance(row, dict):
            kind = type(row).__name__
            raise InputError(f"{where}: expected an object with named fields, found {kind}")
    return rows


def _from_hub(path):
    """Fetch hub:owner/name/file, a file of a data set, and return where it lies."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    owner, _, rest = path.removeprefix("hub:").partition("/")
    name, _, file = rest.partition("/")
    if not file:
        raise InputError(f"{path}: a data set on the hub is named hub:owner/name/file")
    try:
        return hf_hub_download(f"{owner}/{name}", file, repo_type="dataset")
    except Exception as error:  # offline, private, misspelled: the hub's own words say which
        missing = isinstance(error, EntryNotFoundError)
        if missing and not isinstance(error, LocalEntryNotFoundError):
            held = ", ".join(HfApi().list_repo_files(f"{owner}/{name}", repo_type="dataset"))
            raise InputError(f"{path}: no such file; {owner}/{name} holds {held}") from None
        raise InputError(f"{path}: cannot be fetched: {str(error).splitlines()[0]}") from None


def _suffix(file):
    return Path(file.name.removesuffix(".gz")).suffix


def read_text(file):
    """All of a file, perhaps a .gz, its line ends as they are."""
    try:
        opener = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rt", encoding="utf-8-sig", newline="") as f:
            return f.read()
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise InputError(f"{file}: cannot be read as UTF-8 text: {error}") from None


def _read_json(file):
    text = read_text(file)
    if text.lstrip().startswith("["):
        return [(f"{file}: record {i}", row) for i, row in enumerate(_parse(text, file), 1)]
    return [(f"{file}:{i}", _parse(line, f"{file}:{i}"))
            for i, line in enumerate(text.split("\n"), 1) if line.strip()]


def _parse(text, where):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits, lists 10,000 deep
        raise InputError(f"{where}: not valid JSON: {error}") from None


def read_table(file, delimiter=None, columns=(), quoting=csv.QUOTE_MINIMAL):
    """The rows of a file with a header line, each as (where it stands, dictionary).

    Args:
        delimiter: a comma for .csv and a tab for others if not given. columns: that must be there.
        quoting: as for the csv module.
    """
    delimiter = delimiter or {".csv": ","}.get(_suffix(file), "\t")
    lines = io.StringIO(read_text(file), newline="")
    reader = csv.DictReader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    rows = []
    try:
        if missing := [c for c in columns if c not in (reader.fieldnames or ())]:
            names = ", ".join(reader.fieldnames or ["none"])
            raise InputError(f"{file}: no column '{missing[0]}'; there are: {names}")
        for row in reader:
            where = f"{file}:{reader.line_num}"
            if None in row or None in row.values():
                n = len(reader.fieldnames)
                raise InputError(f"{where}: not {n} columns as in the first line")
            rows.append((where, row))
    except csv.Error as error:
        raise InputError(f"{file}:{reader.reader.line_num}: {error}") from None
    return rows


READERS = {".json": _read_json, ".jsonl": _read_json, ".csv": read_table, ".tsv": read_table}


# ------------------------------------------------------------------ records


def kind_of(row):
    """What a record is by its columns: "preference", "scored" or "unlabeled"."""
    if not row.keys() & {"chosen", "response_chosen", "correct"}:
        if {"response", "score"} <= row.keys() or {"text", "label"} <= row.keys():
            return "scored"
        if row.keys() & {"response", "responses"}:
            return "unlabeled"
    return "preference"  # if it is none, its reader says what is missing


def read_preference(row, where, tokenizer=None, allow_empty=False):
    """Turn a record with any of the known column names into a Preference.

    Args:
        row: a dictionary. where: it stands, for errors. allow_empty: responses may be empty.
    """
    names = {"response_chosen": "chosen", "response_rejected": "rejected", "correct": "chosen"}
    row = {names.get(k, k): v for k, v in row.items()}
    if wrong := [row[k] for k in sorted(map(str, row)) if k.startswith("wrong_")]:
        row.setdefault("rejected", wrong)
    for name in ("chosen", "rejected"):
        if name not in row:
            raise InputError(f"{where}: no column '{name}'; there are: {', '.join(map(str, row))}")
    if isinstance(row["chosen"], list) and row["chosen"] and isinstance(row["chosen"][0], dict):
        return _conversation(row, where, tokenizer)
    rejected = row["rejected"] if isinstance(row["rejected"], list) else [row["rejected"]]
    if not rejected:
        raise InputError(f"{where}: 'rejected' is empty")
    responses = [_text(row["chosen"], "chosen", where, allow_empty),
                 *(_text(r, "rejected", where, allow_empty) for r in rejected)]
    if "prompt" not in row:  # implicit: what the dialogues share, up to a blank
        prompt = commonprefix(responses)
        row["prompt"] = prompt[: max(prompt.rfind(" "), prompt.rfind("\n")) + 1]
        responses = [_text(r[len(row["prompt"]):], "chosen or rejected, after what they share,",
                           where, allow_empty) for r in responses]
    return Preference(_text(row["prompt"], "prompt", where), responses[0], tuple(responses[1:]))


def read_unlabeled(row, where, tokenizer=None):
    """Turn a record of any kind into an Unlabeled one: its label is dropped, its score not read."""
    kind = kind_of(row)
    if kind == "preference":
        return unlabel([read_preference(row, where, tokenizer)])[0]
    if kind == "scored":
        return read_scored(row | {"score": 0}, where)[0]
    responses = row["responses"] if "responses" in row else [row["response"]]
    if not isinstance(responses, list) or not responses:
        raise InputError(f"{where}: 'responses' must be a list with at least one text, which takes "
                         "JSON: a cell of a table is a single text")
    prompt = _text(row.get("prompt"), "prompt", where)
    return Unlabeled(prompt, [_text(r, "responses", where) for r in responses])


def read_scored(row, where):
    """Turn a record into (Unlabeled, score); without a prompt it is "Text:"."""
    row = {"prompt": "Text:", "response": row.get("text"), "score": row.get("label")} | row
    try:
        score = float(row["score"])
    except (TypeError, ValueError, OverflowError):  # the last of a whole number of 400 digits
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{where}: 'score' must be a number, not {row['score']!r}")
    response, prompt = (_text(row[k], k, where) for k in ("response", "prompt"))
    return Unlabeled(prompt, [response]), score


def _text(value, name, where, allow_empty=False):
    if not isinstance(value, str):
        problem = "is missing" if value is None else f"must be text, not {type(value).__name__}"
        raise InputError(f"{where}: '{name}' {problem}")
    if not value.strip() and not allow_empty:
        raise InputError(f"{where}: '{name}' is empty")
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise InputError(f"{where}: '{name}' holds half a character, such as a cut emoji")
    return value


def _conversation(row, where, tokenizer):
    """TRL's conversational form, lists of {"role": ..., "content": ...}, by the chat template."""
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(f"{where}: a conversation needs a tokenizer with a chat template")
    if not isinstance(row["rejected"], list):
        raise InputError(f"{where}: 'rejected' must be a conversation, as 'chosen' is")
    pairs = zip(row["chosen"], row["rejected"])
    skip = 0 if "prompt" in row else len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    prompt = row.get("prompt", row["chosen"][:skip])
    try:
        texts = [tokenizer.apply_chat_template(prompt + row[k][skip:], tokenize=False)
                 for k in ("chosen", "rejected")]
        start = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    except Exception as error:
        raise InputError(f"{where}: the chat template does not take it: {error}") from None
    start = start if all(text.startswith(start) for text in texts) else commonprefix(texts)
    chosen, rejected = (_text(text[len(start):], "chosen and rejected", where) for text in texts)
    return Preference(_text(start, "prompt", where), chosen, (rejected,))


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
        InputError: a text is longer than `max_length`, and cutting is not asked for; or it ends in
            the padding token.
    """
    encoded, bos, n_cut = [], tokenizer.bos_token_id, [0, 0]
    for i, row in enumerate(rows, 1):
        joint = "" if row.prompt[-1].isspace() else "\n"
        template = bool(bos is not None and row.prompt.startswith(tokenizer.bos_token))
        strings = [row.prompt + joint + response for response in ("", *row.responses)]
        tokens = tokenizer(strings, add_special_tokens=not template)["input_ids"]
        if bos is not None:  # a Gemma without it collapses
            tokens = [ids if ids[:1] == [bos] else [bos, *ids] for ids in tokens]
        texts, n_prompt = tokens[1:], len(commonprefix(tokens))  # the first is the prompt alone
        n_prompt, length = min(n_prompt, min(map(len, texts)) - 1), max(map(len, texts))
        if tokenizer.pad_token_id in [ids[-1] for ids in texts]:
            raise InputError(f"{name}: row {i} ends in {tokenizer.pad_token!r}, which is the "
                             "padding token: where it ends would not be known")
        excess, keep = max(0, length - max_length), int(bos is not None)
        if excess and not truncate:
            raise InputError(f"{name}: row {i} has {length} tokens, more than {max_length}: "
                             "raise --max-length, or pass --truncate")
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
        share: all texts in one row, a `Tree`; otherwise each has a row of its own.
    Returns:
        `input_ids`: (R, L). `last_row`, `last_column`: (N,), where the last token of each response
        is. `counts`: a list, how many responses each record has. `token_id`, `token_row`,
        `token_before`, `token_record`, `token_response`: (T,), all that a language model has to
        predict, by record: the token, its row, the column of the token before it, its record, and
        its response, -1 in a prompt. With `share` also `position_ids`: (1, L), and `blocks`, who
        sees whom.
    """
    trees, places, tokens, blocks, start = [], [], [], [], 0
    for r, record in enumerate(encoded):
        for k, text in enumerate(record.texts):
            if not (share and trees):
                trees.append(Tree())
            columns = trees[-1].add(text)
            for i in range(1 if k == 0 else record.n_prompt, len(text)):
                response = len(places) if i >= record.n_prompt else -1
                if i:  # nothing comes before BOS
                    tokens.append((text[i], len(trees) - 1, columns[i - 1], r, response))
            places.append((len(trees) - 1, columns[-1]))
            new = len(trees[-1].ids) - start
            if share and (new >= BLOCK or (new and k == len(record.texts) - 1)):
                blocks.append(trees[-1].block(start))
                start += new
    names = ("token_id", "token_row", "token_before", "token_record", "token_response")
    batch = dict(zip(names, torch.tensor(tokens).view(-1, 5).T))
    batch |= zip(("last_row", "last_column"), torch.tensor(places).T)
    batch["counts"] = [len(record.texts) for record in encoded]
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
    """
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
