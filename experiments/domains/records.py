"""Rows to records: what a user's file, the authors' or TRL's calls a preference.

The plain form of a file is one JSON object a line,

    {"prompt": "...", "chosen": "...", "rejected": "..." or ["...", ...]}     a Preference
    {"prompt": "...", "responses": ["...", ...]}  (or "response": "...")      Unlabeled
    {"prompt": "...", "response": "...", "score": number}                     to correlate with

Other columns that are known:

- the authors': `response_chosen`, `response_rejected`; `correct`, `wrong_a` ...; `text`, `label`.
- Conversations in the place of texts, with a prompt or without (reading/conversations.py); or
  `messages` alone, of which the last answer of the assistant is the response. In a table they may
  be as `to_csv` writes them (reading/cells.py); other lists in a cell are text.
- No prompt, as in HH-RLHF: the prompt is what the responses begin with alike, up to the last white
  space. Where there is none, as in Chinese, up to the last colon or end of a sentence, or else the
  last other punctuation. An empty answer is refused.

Bad input raises `InputError`, which says where and what to do.
"""
import math

from data import InputError, Preference, Unlabeled, unlabel

from domains.files import read_rows
from reading.cells import unpack
from reading.conversations import chat_texts, is_chat, last_answer, responses_of
from reading.fields import kind_of, no_column, text_of, with_our_names
from reading.prompts import divide


def load_preferences(path, tokenizer=None):
    """Read labelled preferences.

    Args:
        path: a file, a folder or a data set of the hub, as domains/files.py describes them.
        tokenizer: needed for conversations only, for its chat template.
    Returns:
        a list of `Preference`, in the order of the file.
    Raises:
        InputError: the file, line and field that cannot be used.
    """
    return preferences(read_rows(path), path, tokenizer)


def load_unlabeled(path, tokenizer=None):
    """Read a target domain: files as for `load_preferences`; labels, if there, are not kept."""
    return unlabeled(read_rows(path), tokenizer)


def load_test(path, tokenizer=None):
    """Read what to measure with: see `to_measure`."""
    return to_measure(read_rows(path), path, tokenizer)


def preferences(rows, path, tokenizer=None):
    """The Preferences of rows that `read_rows` returned for a path."""
    records = [read_preference(row, where, tokenizer) for where, row in rows]
    if all(record.chosen == response for record in records for response in record.rejected):
        raise InputError(f"{path}: chosen and rejected are the same in all records: there is "
                         "nothing to learn or to measure")
    return records


def unlabeled(rows, tokenizer=None):
    """The Unlabeled records of such rows."""
    return [read_unlabeled(row, where, tokenizer) for where, row in rows]


def to_measure(rows, path, tokenizer=None):
    """(records, scores); of preferences the scores are None, of scored texts the records are
    `Unlabeled` of one response each."""
    if kind_of(rows[0][1]) != "scored":
        return preferences(rows, path, tokenizer), None
    texts, scores = zip(*(read_scored(row, where, tokenizer) for where, row in rows))
    if len(set(scores)) < 2:
        raise InputError(f"{path}: all scores are {scores[0]:g}: nothing to correlate with")
    return list(texts), list(scores)


def read_preference(row, where, tokenizer=None, allow_empty=False):
    """Turn a record with any of the known column names into a Preference.

    Args:
        row: a dictionary. where: it stands, for errors. allow_empty: texts may be empty.
    """
    row = with_our_names(row)
    for name in ("chosen", "rejected"):
        if name not in row:
            raise no_column(name, row, where)
    prompt, chosen, rejected = (unpack(row.get(name), name, where)
                                for name in ("prompt", "chosen", "rejected"))
    rejected = responses_of(rejected, chosen)
    if not rejected:
        raise InputError(f"{where}: 'rejected' is empty")
    names = ["chosen"] + ["rejected"] * len(rejected)
    if any(map(is_chat, (prompt, chosen, *rejected))):
        prompt, texts = chat_texts(prompt, [chosen, *rejected], names, where, tokenizer)
        return Preference(prompt, texts[0], tuple(texts[1:]), template=True)
    texts = [text_of(text, name, where, allow_empty)
             for text, name in zip((chosen, *rejected), names)]
    if "prompt" in row:
        prompt = text_of(prompt, "prompt", where, allow_empty)
    else:
        prompt, texts = divide(texts, row, where, allow_empty)
    return Preference(prompt, texts[0], tuple(texts[1:]))


def read_unlabeled(row, where, tokenizer=None, allow_empty=False):
    """Turn a record of any kind into an Unlabeled one: its label is dropped, its score not read."""
    kind = kind_of(row)
    if kind == "preference":
        if "chosen" not in with_our_names(row):
            raise no_column("responses", row, where)
        return unlabel([read_preference(row, where, tokenizer, allow_empty)])[0]
    names = ("response", "text") if kind == "scored" else ("responses", "response", "messages")
    name = next(name for name in names if name in row)
    prompt, responses = (unpack(row.get(n), n, where) for n in ("prompt", name))
    if kind == "scored":
        responses, prompt = [responses], row.get("prompt", "Text:")
    elif name == "messages":
        responses, prompt = [last_answer(responses, where)], None
    elif name == "response":
        responses = [responses]
    if not isinstance(responses, list) or not responses:
        raise InputError(f"{where}: 'responses' must be a list with at least one text, which takes "
                         "JSON: a cell of a table is a single text")
    if any(map(is_chat, (prompt, *responses))):
        return Unlabeled(*chat_texts(prompt, responses, [name] * len(responses), where, tokenizer),
                         template=True)
    prompt = text_of(prompt, "prompt", where, allow_empty)
    return Unlabeled(prompt, [text_of(r, name, where, allow_empty) for r in responses])


def read_scored(row, where, tokenizer=None, allow_empty=False):
    """Turn a record into (Unlabeled, score); without a prompt it is "Text:"."""
    name = "label" if "label" in row and "score" not in row else "score"
    try:
        score = float(row.get(name))
    except (TypeError, ValueError, OverflowError):  # the last of a whole number of 400 digits
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{where}: '{name}' must be a number, not {row.get(name)!r}")
    if kind_of(row) != "scored":
        raise no_column("response", row, where)
    return read_unlabeled(row, where, tokenizer, allow_empty), score
