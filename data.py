"""Text for DIAL: records, files, generated lists, splits, and batches that share prompts.

The plain form of a file is one JSON object a line,

    {"prompt": "...", "chosen": "...", "rejected": "..." or ["...", ...]}     a Preference
    {"prompt": "...", "responses": ["...", ...]}  (or "response": "...")      Unlabeled

`load_preferences` and `load_unlabeled` also read JSON lists, CSV and TSV, gzip, folders of such
files, `hub:owner/name/file`, and the columns of the authors' files (`response_chosen`,
`response_rejected`; `correct`, `wrong_a` ...) and of TRL (the prompt implicit or not, plain or
conversational). Bad input raises `InputError`, which says where and what to do.
"""
import csv
import gzip
import io
import json
import math
import random
import re
import zlib
from dataclasses import dataclass
from itertools import islice, takewhile
from os.path import commonprefix
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence


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
    """A prompt and its responses, kept in alphabetical order: no order of a file can tell which
    was chosen, and training comes out the same, bit for bit, however they were labelled."""

    prompt: str
    responses: tuple

    def __post_init__(self):
        object.__setattr__(self, "responses", tuple(sorted(self.responses)))


@dataclass
class Domain:
    """The text of a domain: Preferences to test on, and to train on (a source, or for an oracle);
    Unlabeled records, all that DIAL sees of a target."""

    name: str
    test: list
    scores: list = None  # of `test`, which then holds single responses and is correlated with
    labeled: list = ()
    unlabeled: list = ()
    validation: "Domain" = None  # whose `test` a snapshot is chosen by; a target's, by an oracle

    @property
    def metric(self):
        """What is measured on `test`."""
        return "accuracy" if self.scores is None else "pearson"


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
    return _preferences(read_rows(path), tokenizer)


def load_unlabeled(path, tokenizer=None):
    """Read a target domain: files as for `load_preferences`; labels, if there, are not kept."""
    return [read_unlabeled(row, where, tokenizer) for where, row in read_rows(path)]


def load_scored(path):
    """Read texts with scores, {"prompt": ..., "response": ..., "score": number}, to correlate with;
    or {"text": ..., "label": number}, as the authors name them.

    Returns:
        (records, scores): `Unlabeled` of one response each, and floats.
    """
    return _scored(read_rows(path))


def load_test(path, tokenizer=None):
    """Read what to measure with: (records, scores), the scores None for preferences."""
    rows = read_rows(path)
    if kind_of(rows[0][1]) == "scored":
        return _scored(rows)
    return _preferences(rows, tokenizer), None


def _preferences(rows, tokenizer):
    return [read_preference(row, where, tokenizer) for where, row in rows]


def _scored(rows):
    return tuple(map(list, zip(*(read_scored(row, where) for where, row in rows))))


def read_rows(path):
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
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    parts = path.removeprefix("hub:").split("/", 2)
    if len(parts) < 3:
        raise InputError(f"{path}: a data set on the hub is named hub:owner/name/file")
    repo, file = "/".join(parts[:2]), parts[2]
    try:
        return hf_hub_download(repo, file, repo_type="dataset")
    except Exception as error:
        offline = isinstance(error, LocalEntryNotFoundError)
        if isinstance(error, EntryNotFoundError) and not offline:
            held = ", ".join(HfApi().list_repo_files(repo, repo_type="dataset"))
            raise InputError(f"{path}: no such file; {repo} holds {held}") from None
        # offline, private, misspelled: the hub's own words say which
        raise InputError(f"{path}: cannot be fetched: {str(error).splitlines()[0]}") from None


def _kind(file):
    """The format of a file by its name: 'json', 'csv', 'tsv' or None."""
    suffix = Path(file.name.removesuffix(".gz")).suffix
    return {".json": "json", ".jsonl": "json", ".csv": "csv", ".tsv": "tsv"}.get(suffix)


def _read(file):
    kind = _kind(file)
    if kind is None:
        raise InputError(f"{file}: the name must end in .json, .jsonl, .csv or .tsv (or with .gz)")
    if kind == "json":
        text = read_text(file)
        rows = _json_list(text, file) if text.lstrip().startswith("[") else _json_lines(text, file)
    else:
        rows = read_table(file, "," if kind == "csv" else "\t")
    for where, row in rows:
        if not isinstance(row, dict):
            found = type(row).__name__
            raise InputError(f"{where}: expected an object with named fields, found {found}")
    return rows


def read_text(file):
    """All of a file, perhaps a .gz, its line ends as they are."""
    try:
        opener = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rt", encoding="utf-8-sig", newline="") as f:
            return f.read()
    except FileNotFoundError:
        raise InputError(f"{file}: no such file or folder") from None
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise InputError(f"{file}: cannot be read as UTF-8 text: {error}") from None


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


def read_table(file, delimiter, columns=(), quoting=csv.QUOTE_MINIMAL):
    """The rows of a file with a header line, each as (where it stands, dictionary).

    Args:
        columns: that must be there. quoting: as for the csv module.
    """
    lines = io.StringIO(read_text(file), newline="")
    reader = csv.DictReader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    rows = []
    try:
        if missing := [c for c in columns if c not in (reader.fieldnames or ())]:
            there = ", ".join(reader.fieldnames or ["none"])
            raise InputError(f"{file}: no column '{missing[0]}'; there are: {there}")
        for row in reader:
            where = f"{file}:{reader.line_num}"
            if None in row or None in row.values():
                n = len(reader.fieldnames)
                raise InputError(f"{where}: not {n} columns as in the first line")
            rows.append((where, row))
    except csv.Error as error:
        raise InputError(f"{file}:{reader.line_num}: {error}") from None
    return rows


def _text(value, name, where, allow_empty=False):
    if not isinstance(value, str):
        found = "is missing" if value is None else f"must be text, not {type(value).__name__}"
        raise InputError(f"{where}: '{name}' {found}")
    if not value.strip() and not allow_empty:
        raise InputError(f"{where}: '{name}' is empty")
    return value


def read_preference(row, where, tokenizer=None, allow_empty=False):
    """Turn a record with any of the known column names into a Preference.

    Args:
        row: a dictionary. where: it stands, for errors. allow_empty: responses may be empty.
    """
    names = {"response_chosen": "chosen", "response_rejected": "rejected", "correct": "chosen"}
    row = {names.get(k, k): v for k, v in row.items()}
    wrong = [row[k] for k in sorted(row) if k.startswith("wrong_")]
    if "rejected" not in row and wrong:
        row["rejected"] = wrong
    for name in ("chosen", "rejected"):
        if name not in row:
            raise InputError(f"{where}: no column '{name}'; there are: {', '.join(map(str, row))}")
    if isinstance(row["chosen"], list) and row["chosen"] and isinstance(row["chosen"][0], dict):
        return _conversation(row, where, tokenizer)
    chosen, rejected = _text(row["chosen"], "chosen", where, allow_empty), row["rejected"]
    rejected = rejected if isinstance(rejected, list) else [rejected]
    rejected = [_text(r, "rejected", where, allow_empty) for r in rejected]
    if not rejected:
        raise InputError(f"{where}: 'rejected' is empty")
    if "prompt" in row:
        return Preference(_text(row["prompt"], "prompt", where), chosen, tuple(rejected))
    prompt = commonprefix([chosen, *rejected])  # implicit: what the dialogues share, up to a blank
    prompt = prompt[: max(prompt.rfind(" "), prompt.rfind("\n")) + 1]
    name = "chosen or rejected, after what they share,"
    chosen, *rejected = [_text(r[len(prompt):], name, where, allow_empty)
                         for r in (chosen, *rejected)]
    return Preference(_text(prompt, "prompt", where), chosen, tuple(rejected))


def kind_of(row):
    """What a record is by its columns: "preference", "scored" or "unlabeled"."""
    if not row.keys() & {"chosen", "response_chosen", "correct"}:
        if {"response", "score"} <= row.keys() or {"text", "label"} <= row.keys():
            return "scored"
        if row.keys() & {"response", "responses"}:
            return "unlabeled"
    return "preference"  # if it is none, its reader says what is missing


def read_unlabeled(row, where, tokenizer=None):
    """Turn a record of any kind into an Unlabeled one: its label is dropped, its score not read."""
    kind = kind_of(row)
    if kind == "preference":
        return unlabel([read_preference(row, where, tokenizer)])[0]
    if kind == "scored":
        return _scored_text(row, where)
    responses = row["responses"] if "responses" in row else [row["response"]]
    if not isinstance(responses, list) or not responses:
        raise InputError(f"{where}: 'responses' must be a list with at least one text, which takes "
                         "JSON: a cell of a table is a single text")
    prompt = _text(row.get("prompt"), "prompt", where)
    return Unlabeled(prompt, [_text(r, "responses", where) for r in responses])


def read_scored(row, where):
    """Turn a record into (Unlabeled, score)."""
    record, value = _scored_text(row, where), row.get("score", row.get("label"))
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{where}: 'score' must be a number, not {value!r}")
    return record, score


def _scored_text(row, where):
    row = {"prompt": "Text:", "response": row.get("text")} | row
    response, prompt = (_text(row[k], k, where) for k in ("response", "prompt"))
    return Unlabeled(prompt, [response])


def _conversation(row, where, tokenizer):
    """TRL's conversational form, lists of {"role": ..., "content": ...}, by the chat template."""
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(f"{where}: a conversation needs a tokenizer with a chat template")
    if not isinstance(row["rejected"], list):
        raise InputError(f"{where}: 'rejected' must be a conversation, as 'chosen' is")
    skip = 0 if "prompt" in row else sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1],
                                                              zip(row["chosen"], row["rejected"])))
    prompt = row["prompt"] if "prompt" in row else row["chosen"][:skip]
    try:
        texts = [tokenizer.apply_chat_template(prompt + row[k][skip:], tokenize=False)
                 for k in ("chosen", "rejected")]
        start = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    except Exception as error:
        raise InputError(f"{where}: the chat template does not take it: {error}") from None
    if not all(text.startswith(start) for text in texts):
        start = commonprefix(texts)
    chosen, rejected = (_text(text[len(start):], "chosen and rejected", where) for text in texts)
    return Preference(_text(start, "prompt", where), chosen, (rejected,))


# ------------------------------------------------------------------ generated data and splits


def split_items(items, seed=0, fractions=(0.6, 0.2, 0.2)):
    """Split a sequence at random into train, validation and test; the same for the same seed."""
    order = random.Random(seed).sample(range(len(items)), len(items))
    ends = [round(sum(fractions[:i]) * len(items)) for i in range(len(fractions) + 1)]
    return tuple([items[i] for i in order[a:b]] for a, b in zip(ends, ends[1:]))


def split_by_prompt(rows, seed=0, fractions=(0.8, 0.1, 0.1)):
    """Split records into train, validation and test so that no prompt is in two of them."""
    prompts = split_items(sorted({row.prompt for row in rows}), seed, fractions)
    return tuple([row for row in rows if row.prompt in part] for part in map(set, prompts))


ODD_ONE_OUT = ("Identify the item that does not fit. Only output the name of the item as written "
               "and nothing else.")  # A.6


def odd_one_out(items, others, n, seed=0):
    """Lists of four items of a category and one other, which is the right answer (A.6).

    Args:
        items, others: names in the category, and outside it.
        n: how many lists; no two have the same items.
    Returns:
        n Preferences, with four rejected responses each.
    Raises:
        InputError: fewer than four items, no others, or not as many lists as asked for.
    """
    if len(items) < 4 or not others:
        there = f"{len(items)} and {len(others)}"
        raise InputError(f"an odd-one-out list takes 4 items and 1 other, there are {there}")
    rng, seen, lists = random.Random(seed), set(), []
    for _ in range(20 * n):
        same, odd = rng.sample(items, 4), rng.choice(others)
        if len(lists) < n and (key := (odd, *sorted(same))) not in seen:
            seen.add(key)
            listed = rng.sample([odd, *same], 5)
            prompt = f"{ODD_ONE_OUT}\n\n{', '.join(listed)}\n"
            lists.append(Preference(prompt, odd, tuple(i for i in listed if i != odd)))
    if len(lists) < n:
        there = f"{len(items)} items and {len(others)} others"
        raise InputError(f"{there} do not make {n} different lists")
    return lists


SLANG = {"because": "cuz", "you": "u", "your": "ur", "are": "r", "people": "ppl", "with": "w/",
         "without": "w/o", "really": "rly", "going to": "gonna", "want to": "wanna", "about": "abt",
         "before": "b4", "great": "gr8", "today": "2day", "though": "tho", "through": "thru",
         "should": "shd", "please": "plz", "and": "n", "them": "em", "something": "smth",
         "probably": "prolly", "their": "thier", "there": "ther", "every": "evry", "never": "nvr"}
NOISE = 0.15  # chance of a typo in a word
EMOJI = "😀😂🙄🤔👍🙏😅🔥💯😬"


def add_noise(text, rng, rate=NOISE):
    """Write a text as in a hurry on a phone; nothing else about it changes.

    Args:
        rng: a random.Random.
        rate: chance of a typo in a word, and, each sentence, half of that of an emoji. A word of
            SLANG is replaced half of the time; a sentence loses its capital and its punctuation
            half of the time each.
    """
    sentences = re.split(r"(?<=[.!?]) +", text)
    noisy = []
    for sentence in sentences:
        for word, short in SLANG.items():
            if rng.random() < 0.5:
                sentence = re.sub(rf"\b{word}\b", short, sentence, flags=re.IGNORECASE)
        words = [_typo(word, rng) if rng.random() < rate else word for word in sentence.split(" ")]
        sentence = " ".join(words)
        if rng.random() < 0.5:
            sentence = sentence.lower()
        if rng.random() < 0.5:
            sentence = re.sub(r"[.,;:!?']", "", sentence)
        if rng.random() < rate / 2:
            sentence += " " + rng.choice(EMOJI)
        noisy.append(sentence)
    return " ".join(noisy)


def _typo(word, rng):
    """Swap two neighbouring letters, or drop or double one; short words stay."""
    if len(word) < 4:
        return word
    i = rng.randrange(1, len(word) - 1)
    return rng.choice([word[:i] + word[i + 1] + word[i] + word[i + 2:],
                       word[:i] + word[i + 1:], word[:i] + word[i] + word[i:]])


def graded_text(sound, flawed, n, flaws, rng):
    """A text of `n` sentences of which `flaws` are flawed, in random order.

    Args:
        sound, flawed: sentences to draw from, without replacement. rng: a random.Random.
    Raises:
        InputError: too few of either.
    """
    if len(sound) < n - flaws or len(flawed) < flaws:
        raise InputError(f"{n} sentences with {flaws} flawed: there are {len(sound)} and "
                         f"{len(flawed)} to draw from")
    sentences = rng.sample(sound, n - flaws) + rng.sample(flawed, flaws)
    return " ".join(rng.sample(sentences, n))


def neighbouring_pairs(texts, scores, prompt, n, rng):
    """Preferences between texts of neighbouring score levels (A.5).

    Every text that has a neighbour is in one pair at least, if `n` allows.

    Args:
        texts, scores: as many of each; distinct scores are the levels.
        prompt: of all pairs. n: how many pairs. rng: a random.Random.
    Raises:
        InputError: fewer than two levels.
    """
    levels = [[t for t, s in zip(texts, scores) if s == level] for level in sorted(set(scores))]
    if len(levels) < 2:
        raise InputError("pairs of neighbouring levels need two levels of scores")
    pairs = []
    for low, high in zip(levels, levels[1:]):
        for i in range(max(len(low), len(high))):
            pairs.append((high[i % len(high)], low[i % len(low)]))
    rng.shuffle(pairs)
    while len(pairs) < n:
        i = rng.randrange(len(levels) - 1)
        pairs.append((rng.choice(levels[i + 1]), rng.choice(levels[i])))
    return [Preference(prompt, better, (worse,)) for better, worse in pairs[:n]]


# ------------------------------------------------------------------ tokens and batches


def encode(rows, tokenizer, max_length, truncate=False, name="data"):
    """Turn each record into the tokens that all its responses begin with and the rest of each.

    Each text, prompt and response joined by a line break unless the prompt ends in white space, is
    tokenised as a whole, so the tokens are those that the plain tokenizer gives. BOS leads.

    Args:
        rows: Preferences or Unlabeled.
        max_length: the longest text, in tokens.
        truncate: cut longer prompts from the left, keeping BOS and the whole response.
        name: of the data, for error messages.
    Returns:
        a list of (prefix, suffixes): lists of token ids, no suffix empty.
    Raises:
        InputError: a text is longer than `max_length`, and cutting is not asked for or no help;
            or it ends in the padding token.
    """
    encoded, bos = [], tokenizer.bos_token_id
    for i, row in enumerate(rows, 1):
        joint = "" if row.prompt[-1].isspace() else "\n"
        texts = [row.prompt + joint + response for response in row.responses]
        template = bool(bos is not None and row.prompt.startswith(tokenizer.bos_token))
        tokens = tokenizer(texts, add_special_tokens=not template)["input_ids"]
        if bos is not None:  # a Gemma without it collapses
            tokens = [ids if ids[0] == bos else [bos, *ids] for ids in tokens]
        if tokenizer.pad_token_id in [ids[-1] for ids in tokens]:
            raise InputError(f"{name}: row {i} ends in {tokenizer.pad_token!r}, which is the "
                             "padding token: where it ends would not be known")
        alone = []  # a single response shares nothing but its prompt
        if len(texts) == 1:
            alone = [tokenizer(row.prompt + joint, add_special_tokens=False)["input_ids"]]
            if bos is not None and not template:
                alone = [[bos, *alone[0]]]
        shared = min(len(commonprefix(tokens + alone)), min(map(len, tokens)) - 1)
        prefix, suffixes = tokens[0][:shared], [ids[shared:] for ids in tokens]
        excess = max(map(len, tokens)) - max_length
        if excess > 0:
            keep = 1 if bos is not None else 0
            if not truncate or excess > shared - keep:
                advice = "raise --max-length" + (" or pass --truncate" if not truncate else
                                                 ": its response alone is too long")
                raise InputError(f"{name}: row {i} has {excess + max_length} tokens, more than "
                                 f"{max_length}: {advice}")
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
        `last`: (2, N), row and column of each response's last token; `shared`: as asked for;
        `counts`: how many responses each record has.
    """
    rows = encoded
    if not share:
        rows = [(prefix, [suffix]) for prefix, suffixes in encoded for suffix in suffixes]
    ids, positions, segments, last = [], [], [], []
    for r, (prefix, suffixes) in enumerate(rows):
        row, position, segment = list(prefix), list(range(len(prefix))), [0] * len(prefix)
        for k, suffix in enumerate(suffixes, 1):
            row += suffix
            position += range(len(prefix), len(prefix) + len(suffix))
            segment += [k] * len(suffix)
            last.append((r, len(row) - 1))
        ids.append(row), positions.append(position), segments.append(segment)

    def padded(lists, value):
        return pad_sequence([torch.tensor(x) for x in lists], True, value)

    return {"input_ids": padded(ids, pad_id), "position_ids": padded(positions, 0),
            "segment_ids": padded(segments, -1), "last": torch.tensor(last).T, "shared": share,
            "counts": [len(suffixes) for _, suffixes in encoded]}


def next_tokens(batch):
    """All that a language model has to predict in a batch of `pack`.

    Returns:
        (4, T): row and column of the position before each token, the token, and which of the
        batch's responses it belongs to, -1 for a prompt.
    """
    segment = batch["segment_ids"]  # (R, L)
    there = segment >= 0
    there[:, 0] = False  # nothing comes before BOS
    row, column = there.nonzero().T
    end = (segment == 0).sum(dim=1) - 1  # of each prompt: what comes before a response's first
    same = segment[row, column] == segment[row, column - 1]
    before = torch.where(same, column - 1, end[row])
    responses = segment.amax(dim=1)  # (R,): how many in each row
    first = responses.cumsum(0) - responses
    which = torch.where(segment[row, column] > 0, first[row] + segment[row, column] - 1, -1)
    found = torch.stack([row, before, batch["input_ids"][row, column], which])
    return found[:, before >= 0]  # without BOS, a prompt may be empty


def training_batches(source, target, batch_size, steps, seed=0, language=None, lm_tokens=0,
                     **pack_options):
    """Yield `steps` batches of `batch_size` source records, then as many target records.

    Each domain is gone through in a new random order every epoch. The source's order does not
    depend on the target, so that methods with and without one see the same source batches.

    Args:
        source: encoded Preferences. target: encoded Unlabeled records, or None.
        language: adds `predict`, the `next_tokens` of "source" (the chosen responses) or "target"
            (prompts and responses): all, or `lm_tokens` of them at random.
        pack_options: for `pack`.
    """
    source_order = _epochs(source, random.Random(seed))
    target_order = _epochs(target, random.Random(seed + 1)) if target else iter(())
    rng = random.Random(seed + 2)
    for _ in range(steps):
        rows = [*islice(source_order, batch_size), *islice(target_order, batch_size)]
        batch = pack(rows, **pack_options)
        counts = batch["counts"][:batch_size]
        starts = [sum(counts[:i]) for i in range(batch_size)]
        pairs = [(start, start + k) for start, n in zip(starts, counts) for k in range(1, n)]
        chosen, rejected = torch.tensor(pairs).T
        batch |= {"n_source": sum(counts), "chosen": chosen, "rejected": rejected}
        if language:
            found = next_tokens(batch)
            if language == "source":
                wanted = torch.isin(found[3], torch.tensor(starts))
            else:
                wanted = found[0] >= batch["last"][0, sum(counts)]  # from the target's first row
            found = found[:3, wanted]
            some = rng.sample(range(found.shape[1]), min(lm_tokens, found.shape[1]))
            batch["predict"] = found[:, sorted(some)] if lm_tokens else found
        yield batch


def _epochs(rows, rng):
    while True:
        yield from rng.sample(rows, len(rows))


def evaluation_batches(encoded, tokens=2048, **pack_options):
    """All records in batches of about `tokens` tokens at most, similar lengths together; `index`
    says which records each batch holds."""
    share = pack_options.get("share", True)

    def size(i):
        prefix, suffixes = encoded[i]
        own = [len(suffix) for suffix in suffixes]
        return (1, len(prefix) + sum(own)) if share else (len(own), len(prefix) + max(own))

    batches, index, rows = [], [], 0
    for i in sorted(range(len(encoded)), key=lambda i: size(i)[1]):
        n, length = size(i)
        if index and (rows + n) * length > tokens:
            batches.append(index)
            index, rows = [], 0
        index, rows = [*index, i], rows + n
    return [pack([encoded[i] for i in part], **pack_options) | {"index": part}
            for part in [*batches, index]]
