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
  last other punctuation.

A text is empty if it is missing or holds nothing but white space, zero-width and control
characters. A record with an empty text is left out, and a line on stderr says so; another line says
where texts hold special tokens, such as <eos>. A score is a number, or a text like -1.5e3 in plain
digits. Other bad input raises `InputError`, which says where and what to do.
"""
import math
import re

from data import InputError, Preference, Unlabeled, unlabel
from domains.files import read_rows
from reading.cells import unpack
from reading.conversations import chat_texts, is_chat, last_answer
from reading.fields import EmptyText, divide, kind_of, no_column, say, text_of, with_our_names

NUMBER = re.compile(r"\s*[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?\s*", re.ASCII | re.IGNORECASE)


def load_preferences(path, tokenizer=None):
    """The Preferences of a path (domains/files.py), in its order. A tokenizer is needed for
    conversations only, for its chat template."""
    return each(read_preference, read_rows(path), tokenizer)


def load_test(path, tokenizer=None):
    """What to measure with: see `to_measure`."""
    return to_measure(read_rows(path), tokenizer)


def to_measure(rows, tokenizer=None):
    """(records, scores); of preferences the scores are None, of scored texts the records are
    `Unlabeled` of one response each."""
    scored = [kind_of(row) == "scored" for _, row in rows]
    if not all(scored) and any(scored):
        raise InputError(f"{rows[scored.index(not scored[0])][0]}: "
                         f"{'has no' if scored[0] else 'has a'} score, unlike the first record")
    if not any(scored):
        return each(read_preference, rows, tokenizer), None
    texts, scores = map(list, zip(*each(read_scored, rows, tokenizer)))
    if len(set(scores)) < 2:
        raise InputError(f"{rows[0][0]} and all others: the score is {scores[0]:g}: there is "
                         "nothing to correlate with")
    return texts, scores


def each(read, rows, tokenizer=None):
    """What `read` makes of each row; those with an empty text are left out, with a line. Where
    some rows have a prompt, the others lack it."""
    records, empty, lacks = [], [], {"prompt": None} if any("prompt" in r for _, r in rows) else {}
    for where, row in rows:
        try:
            records.append(read(lacks | row, where, tokenizer))
        except EmptyText as error:
            empty.append(error)
    if not records:
        raise InputError(f"{empty[0]}: every record has an empty text")
    say(empty, rows, "a record with an empty text is left out")
    say([where for where, row in rows if row.get("tools") not in (None, [], "", "[]", "null")],
        rows, "its tools are not read")
    special = [token for token in getattr(tokenizer, "all_special_tokens", ())
               if token != tokenizer.bos_token]  # which may begin a text
    say([where for where, row in rows if any(token in str(row) for token in special)], rows,
        f"holds {' or '.join(special)}, which the tokenizer does not read as text")
    return records


def read_preference(row, where, tokenizer=None):
    """Turn a row, a dictionary, into a Preference. where: it stands, for errors."""
    row = with_our_names(row)
    for name in ("chosen", "rejected"):
        if name not in row:
            raise no_column(name, row, where)
    prompt, chosen, rejected = (unpack(row.get(name), name, where)
                                for name in ("prompt", "chosen", "rejected"))
    if not isinstance(rejected, list) or isinstance(chosen, list) and is_chat(rejected):
        rejected = [rejected]  # a list of messages beside another one is one conversation
    if not rejected:
        raise EmptyText(f"{where}: 'rejected' is empty")
    names, texts = ["chosen"] + ["rejected"] * len(rejected), [chosen, *rejected]
    if template := any(map(is_chat, (prompt, *texts))):
        prompt, texts = chat_texts(prompt, texts, names, where, tokenizer)
    else:
        texts = [text_of(text, name, where) for text, name in zip(texts, names)]
        prompt, texts = ((text_of(prompt, "prompt", where), texts) if "prompt" in row else
                         divide(texts, row, where))
    return Preference(prompt, texts[0], tuple(texts[1:]), template, where)


def read_unlabeled(row, where, tokenizer=None):
    """Turn a record of any kind into an Unlabeled one: its label is dropped, its score not read."""
    kind = kind_of(row)
    if kind == "preference":
        if "chosen" not in with_our_names(row):
            raise no_column("responses", row, where)
        return unlabel([read_preference(row, where, tokenizer)])[0]
    names = ("response", "text") if kind == "scored" else ("responses", "response", "messages")
    name = next(name for name in names if name in row)
    prompt, responses = (unpack(row.get(n), n, where) for n in ("prompt", name))
    if kind == "scored":
        prompt = row.get("prompt", "Text:")
    if name == "messages":
        responses, prompt = last_answer(responses, where), None
    if name != "responses":
        responses = [responses]
    if not isinstance(responses, list) or not responses:
        raise InputError(f"{where}: 'responses' must be a list with at least one text, which takes "
                         "JSON: a cell of a table is a single text")
    if template := any(map(is_chat, (prompt, *responses))):
        prompt, responses = chat_texts(prompt, responses, [name] * len(responses), where, tokenizer)
    else:
        prompt = text_of(prompt, "prompt", where)
        responses = [text_of(text, name, where) for text in responses]
    return Unlabeled(prompt, responses, template, where)


def read_scored(row, where, tokenizer=None):
    """Turn a record into (Unlabeled, score); without a prompt it is "Text:"."""
    name = "label" if "label" in row and "score" not in row else "score"
    text = str(row.get(name))
    score = float(text) if NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(score):
        raise InputError(f"{where}: '{name}' must be a number, not {row.get(name)!r:.60}")
    if kind_of(row) != "scored":
        raise no_column("response", row, where)
    return read_unlabeled(row, where, tokenizer), score
