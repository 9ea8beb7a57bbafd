"""Text for DIAL: records, files, generated lists, splits, and token batches in which responses share their prompt.

The plain form of a file is one JSON object a line,

    {"prompt": "...", "chosen": "...", "rejected": "..." or ["...", ...]}     labelled: Preference
    {"prompt": "...", "responses": ["...", ...]}  or  {"prompt": "...", "response": "..."}     Unlabeled

`load_preferences` and `load_unlabeled` also read JSON lists, CSV and TSV, gzip, folders of such files, `hub:owner/name/file`,
and the columns of the authors' files (`response_chosen`, `response_rejected`; `correct`, `wrong_a` ...) and of TRL (the
prompt implicit or not, plain or conversational). Bad input raises `InputError`, which says where and what to do.
"""
import csv
import gzip
import json
import random
from dataclasses import dataclass
from itertools import takewhile
from os.path import commonprefix
from pathlib import Path

import torch


class InputError(ValueError):
    """What a user gave cannot be used; the message says where and what to do about it."""


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
    """A prompt and its responses. They are kept in alphabetical order: no order of a file can tell which was chosen,
    and training comes out the same, bit for bit, however they were labelled."""

    prompt: str
    responses: tuple

    def __post_init__(self):
        object.__setattr__(self, "responses", tuple(sorted(self.responses)))


def unlabel(preferences):
    """Forget which response was chosen."""
    return [Unlabeled(p.prompt, p.responses) for p in preferences]


# ---------------------------------------------------------------------------- files


def load_preferences(path, tokenizer=None):
    """Read labelled preferences.

    Args:
        path: a file (.json, .jsonl, .csv, .tsv, or one of them with .gz), a folder of such files, or hub:owner/name/file.
        tokenizer: needed for conversations only, for its chat template.
    Returns:
        a list of `Preference`, in the order of the file.
    Raises:
        InputError: the file, line and field that cannot be used.
    """
    return [_preference(row, where, tokenizer) for where, row in _rows(path)]


def load_unlabeled(path, tokenizer=None):
    """Read a target domain: files as for `load_preferences`, with or without labels, which are not kept."""
    records = []
    for where, row in _rows(path):
        if "responses" in row or "response" in row:
            responses = row["responses"] if "responses" in row else [row["response"]]
            if not isinstance(responses, list) or not responses:
                raise InputError(f"{where}: 'responses' must be a list with at least one text")
            prompt = _text(row.get("prompt"), "prompt", where)
            records.append(Unlabeled(prompt, [_text(r, "responses", where) for r in responses]))
        else:
            records += unlabel([_preference(row, where, tokenizer)])
    return records


def _rows(path):
    """All records of a file or folder, each as (where it stands, dictionary)."""
    path = str(path)
    if path.startswith("hub:"):
        path = _from_hub(path)
    path = Path(path)
    if path.is_dir():
        files = [f for f in sorted(path.iterdir()) if _kind(f)]
    elif path.is_file():
        files = [path]
    else:
        raise InputError(f"{path}: no such file or folder")
    rows = [row for file in files for row in _read(file)]
    if not rows:
        raise InputError(f"{path}: holds no records")
    return rows


def _from_hub(path):
    """Fetch hub:owner/name/file, a file of a data set, and return where it lies."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    parts = path.removeprefix("hub:").split("/", 2)
    if len(parts) < 3:
        raise InputError(f"{path}: a data set on the hub is named hub:owner/name/file")
    repo, file = "/".join(parts[:2]), parts[2]
    try:
        return hf_hub_download(repo, file, repo_type="dataset")
    except EntryNotFoundError:
        held = ", ".join(HfApi().list_repo_files(repo, repo_type="dataset"))
        raise InputError(f"{path}: no such file; {repo} holds {held}") from None
    except Exception as error:  # offline, private, misspelled: the hub's own words say which
        raise InputError(f"{path}: cannot be fetched: {str(error).splitlines()[0]}") from None


def _kind(file):
    """The format of a file by its name: 'json', 'csv', 'tsv' or None."""
    suffix = Path(file.name.removesuffix(".gz")).suffix
    return {".json": "json", ".jsonl": "json", ".csv": "csv", ".tsv": "tsv"}.get(suffix)


def _read(file):
    kind = _kind(file)
    if kind is None:
        raise InputError(f"{file}: the name must end in .json, .jsonl, .csv or .tsv (or one of them and .gz)")
    try:
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8-sig", newline="") as f:
            text = f.read()
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise InputError(f"{file}: cannot be read as UTF-8 text: {error}") from None
    if kind == "json":
        rows = _json_list(text, file) if text.lstrip().startswith("[") else _json_lines(text, file)
    else:
        rows = _table(text, file, "," if kind == "csv" else "\t")
    for where, row in rows:
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected an object with named fields, found {type(row).__name__}")
    return rows


def _json_list(text, file):
    try:
        return [(f"{file}: record {i}", row) for i, row in enumerate(json.loads(text), 1)]
    except json.JSONDecodeError as error:
        raise InputError(f"{file}:{error.lineno}: not valid JSON: {error.msg}") from None


def _json_lines(text, file):
    rows = []
    for i, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append((f"{file}:{i}", json.loads(line)))
            except json.JSONDecodeError as error:
                raise InputError(f"{file}:{i}: not valid JSON: {error.msg}") from None
    return rows


def _table(text, file, delimiter):
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    rows = []
    try:
        for row in reader:
            where = f"{file}:{reader.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{where}: not {len(reader.fieldnames)} columns as in the first line")
            rows.append((where, row))
    except csv.Error as error:
        raise InputError(f"{file}:{reader.line_num}: {error}") from None
    return rows


def _text(value, name, where):
    if not isinstance(value, str):
        found = "is missing" if value is None else f"must be text, not {type(value).__name__}"
        raise InputError(f"{where}: '{name}' {found}")
    if not value.strip():
        raise InputError(f"{where}: '{name}' is empty")
    return value


def _preference(row, where, tokenizer=None):
    """Turn a record with any of the known column names into a Preference."""
    row = {{"response_chosen": "chosen", "response_rejected": "rejected", "correct": "chosen"}.get(k, k): v
           for k, v in row.items()}
    wrong = [row[k] for k in sorted(row) if k.startswith("wrong_")]
    if "rejected" not in row and wrong:
        row["rejected"] = wrong
    for name in ("chosen", "rejected"):
        if name not in row:
            raise InputError(f"{where}: no column '{name}'; there are: {', '.join(map(str, row))}")
    if any(isinstance(row[k], list) and row[k] and isinstance(row[k][0], dict) for k in ("chosen", "prompt") if k in row):
        return _conversation(row, where, tokenizer)
    chosen, rejected = _text(row["chosen"], "chosen", where), row["rejected"]
    rejected = [_text(r, "rejected", where) for r in (rejected if isinstance(rejected, list) else [rejected])]
    if not rejected:
        raise InputError(f"{where}: 'rejected' is empty")
    if "prompt" in row:
        return Preference(_text(row["prompt"], "prompt", where), chosen, tuple(rejected))
    prompt = commonprefix([chosen, *rejected])  # implicit: what the dialogues share, up to a blank
    prompt = prompt[: max(prompt.rfind(" "), prompt.rfind("\n")) + 1]
    responses = [_text(r[len(prompt):], "chosen and rejected after what they share", where) for r in (chosen, *rejected)]
    return Preference(_text(prompt, "prompt", where), responses[0], tuple(responses[1:]))


def _conversation(row, where, tokenizer):
    """TRL's conversational form: lists of {"role": ..., "content": ...}, through the tokenizer's chat template."""
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(f"{where}: a conversation needs a tokenizer with a chat template, and this model's has none")
    skip = 0 if "prompt" in row else sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1],
                                                              zip(row["chosen"], row["rejected"])))
    prompt = row["prompt"] if "prompt" in row else row["chosen"][:skip]
    try:
        texts = [tokenizer.apply_chat_template(prompt + row[k][skip:], tokenize=False) for k in ("chosen", "rejected")]
        start = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    except Exception as error:
        raise InputError(f"{where}: not a conversation that the chat template takes: {error}") from None
    if not all(text.startswith(start) for text in texts):
        start = commonprefix(texts)
    chosen, rejected = (_text(text[len(start):], "chosen and rejected", where) for text in texts)
    return Preference(_text(start, "prompt", where), chosen, (rejected,))


# ---------------------------------------------------------------------------- generated data and splits


def split_items(items, seed=0, fractions=(0.6, 0.2, 0.2)):
    """Split a sequence into train, validation and test, at random but the same for each seed and length."""
    order = random.Random(seed).sample(range(len(items)), len(items))
    ends = [round(sum(fractions[:i]) * len(items)) for i in range(len(fractions) + 1)]
    return tuple([items[i] for i in order[a:b]] for a, b in zip(ends, ends[1:]))


def split_by_prompt(rows, seed=0, fractions=(0.8, 0.1, 0.1)):
    """Split records into train, validation and test so that no prompt is in two of them."""
    prompts = split_items(sorted({row.prompt for row in rows}), seed, fractions)
    return tuple([row for row in rows if row.prompt in part] for part in map(set, prompts))


def odd_one_out(items, others, n, seed=0, instruction=None):
    """Lists of four items of a category and one of another, in random order; the one is the right answer (A.6).

    Args:
        items, others: names in the category, and outside it.
        n: how many lists; no two are the same.
        instruction: the first paragraph of the prompt.
    Returns:
        n Preferences, with four rejected responses each.
    Raises:
        InputError: fewer than four items, no others, or not as many lists as asked for.
    """
    if len(items) < 4 or not others:
        raise InputError(f"an odd-one-out list takes 4 items and 1 other, there are {len(items)} and {len(others)}")
    instruction = instruction or ODD_ONE_OUT["en"]
    rng, seen, lists = random.Random(seed), set(), []
    for _ in range(20 * n):
        same, odd = rng.sample(items, 4), rng.choice(others)
        if len(lists) < n and (key := (odd, *sorted(same))) not in seen:
            seen.add(key)
            listed = rng.sample([odd, *same], 5)
            lists.append(Preference(f"{instruction}\n\n{', '.join(listed)}\n", odd, tuple(i for i in listed if i != odd)))
    if len(lists) < n:
        raise InputError(f"{len(items)} items and {len(others)} others do not make {n} different lists")
    return lists


ODD_ONE_OUT = {
    "en": "Identify the item that does not fit. Only output the name of the item as written and nothing else.",
    "ko": "어울리지 않는 항목을 고르세요. 적힌 그대로 항목의 이름만 쓰고 다른 것은 쓰지 마세요.",
    "th": "เลือกรายการที่ไม่เข้าพวก ตอบเฉพาะชื่อรายการตามที่เขียนไว้เท่านั้น",
    "zh": "找出不属于同一类的一项。只按原文写出该项的名称，不要写其他内容。",
}


# ---------------------------------------------------------------------------- tokens and batches


def encode(rows, tokenizer, max_length, truncate=False, name="data"):
    """Turn each record into the tokens that all its responses begin with and the rest of each.

    Every text, prompt and response joined by a line break unless the prompt ends in white space, is tokenised as a whole,
    so the tokens are those that the plain tokenizer gives; BOS leads where the tokenizer knows one.

    Args:
        rows: Preferences or Unlabeled.
        max_length: the longest text, in tokens.
        truncate: cut longer prompts from the left, keeping BOS and the whole response; otherwise they are an error.
    Returns:
        a list of (prefix, suffixes): lists of token ids, no suffix empty.
    Raises:
        InputError: a text is longer than `max_length`, and cutting was not asked for or does not help.
    """
    encoded, bos = [], tokenizer.bos_token_id
    for i, row in enumerate(rows, 1):
        joint = "" if row.prompt[-1].isspace() else "\n"
        texts = [row.prompt + joint + response for response in row.responses]
        own_bos = bool(bos is not None and row.prompt.startswith(tokenizer.bos_token))  # a chat template's
        tokens = tokenizer(texts, add_special_tokens=not own_bos)["input_ids"]
        if bos is not None:  # a Gemma without it collapses
            tokens = [ids if ids[0] == bos else [bos, *ids] for ids in tokens]
        shared = min(len(commonprefix(tokens)), min(map(len, tokens)) - 1)
        prefix, suffixes = tokens[0][:shared], [ids[shared:] for ids in tokens]
        excess = max(map(len, tokens)) - max_length
        if excess > 0:
            keep = 1 if bos is not None else 0
            if not truncate or excess > shared - keep:
                advice = "its response alone is too long" if truncate else "raise --max-length or pass --truncate"
                raise InputError(f"{name}: row {i} has {excess + max_length} tokens, more than {max_length}: {advice}")
            prefix = prefix[:keep] + prefix[keep + excess:]
        encoded.append((prefix, suffixes))
    return encoded


def pack(encoded, pad_id=0, share=True):
    """Make one batch, as `RewardModel.embed` wants it, of encoded records.

    Args:
        encoded: what `encode` returns.
        pad_id: the token that fills up rows; it is never seen.
        share: one row a record, its prompt once; otherwise one row a response.
    Returns:
        `input_ids`, `position_ids`, `segment_ids`: (R, L), padded to the longest row (segment -1);
        `last`: (2, N) row and column of each response's last token; `shared`; `counts`: responses of each record.
    """
    rows = encoded if share else [(prefix + suffix, ()) for prefix, suffixes in encoded for suffix in suffixes]
    ids, positions, segments, last = [], [], [], []
    for r, (prefix, suffixes) in enumerate(rows):
        row, position, segment = list(prefix), list(range(len(prefix))), [0] * len(prefix)
        for k, suffix in enumerate(suffixes, 1):
            row += suffix
            position += range(len(prefix), len(prefix) + len(suffix))
            segment += [k] * len(suffix)
            last.append((r, len(row) - 1))
        if not suffixes:
            last.append((r, len(row) - 1))
        ids.append(row), positions.append(position), segments.append(segment)

    def padded(lists, value):
        return torch.nn.utils.rnn.pad_sequence([torch.tensor(x) for x in lists], batch_first=True, padding_value=value)

    return {"input_ids": padded(ids, pad_id), "position_ids": padded(positions, 0), "segment_ids": padded(segments, -1),
            "last": torch.tensor(last).T, "shared": share, "counts": [len(suffixes) for _, suffixes in encoded]}


def training_batches(source, target, batch_size, steps, seed=0, **pack_options):
    """Yield `steps` batches of `batch_size` source records and as many target records, the source's first.

    Each domain is gone through in a new random order every epoch. The source's order does not depend on the target,
    so that methods with and without one see the same source batches.

    Args:
        source: encoded Preferences. target: encoded Unlabeled records, or None.
        pack_options: for `pack`.
    """
    orders = [_epochs(source, random.Random(seed)), _epochs(target, random.Random(seed + 1)) if target else None]
    for _ in range(steps):
        source_rows, target_rows = ([next(order) for _ in range(batch_size)] if order else [] for order in orders)
        batch = pack(source_rows + target_rows, **pack_options)
        counts = batch["counts"][: len(source_rows)]
        starts = [sum(counts[:i]) for i in range(len(counts))]
        pairs = [(start, start + k) for start, count in zip(starts, counts) for k in range(1, count)]
        chosen, rejected = torch.tensor(pairs).T
        yield batch | {"n_source": sum(counts), "chosen": chosen, "rejected": rejected}


def _epochs(rows, rng):
    while True:
        yield from rng.sample(rows, len(rows))


def evaluation_batches(encoded, tokens=2048, **pack_options):
    """All records in batches of at most about `tokens` tokens, similar lengths together; `index` says which is where."""
    share = pack_options.get("share", True)

    def size(i):
        prefix, suffixes = encoded[i]
        lengths = [len(suffix) for suffix in suffixes]
        return (1, len(prefix) + sum(lengths)) if share else (len(lengths), len(prefix) + max(lengths))

    batches, index, rows = [], [], 0
    for i in sorted(range(len(encoded)), key=lambda i: size(i)[1]):
        n, length = size(i)
        if index and (rows + n) * length > tokens:
            batches.append(index)
            index, rows = [], 0
        index, rows = [*index, i], rows + n
    return [pack([encoded[i] for i in part], **pack_options) | {"index": part} for part in [*batches, index]]
