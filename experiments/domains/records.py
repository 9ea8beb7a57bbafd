"""Rows to records: what a user's file, the authors' or TRL's calls a preference.

The plain form of a file is one JSON object a line,

    {"prompt": "...", "chosen": "...", "rejected": "..." or ["...", ...]}     a Preference
    {"prompt": "...", "responses": ["...", ...]}  (or "response": "...")      Unlabeled
    {"prompt": "...", "response": "...", "score": number}                     to correlate with

Other columns that are known: the authors' (`response_chosen`, `response_rejected`; `correct`,
`wrong_a` ...; `text`, `label`) and TRL's (with a prompt or without; plain or, if labelled,
conversational). Bad input raises `InputError`, which says where and what to do.
"""
import math
from itertools import takewhile
from os.path import commonprefix

from data import InputError, Preference, Unlabeled, unlabel

from domains.files import no_column, read_rows, text_of

PROMPTS = {"prompt", "question", "instruction", "query", "input"}  # as others may call it


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
        texts, scores = zip(*(read_scored(row, where) for where, row in rows))
        if len(set(scores)) < 2:
            raise InputError(f"{path}: all scores are {scores[0]:g}: nothing to correlate with")
        return list(texts), list(scores)
    return [read_preference(row, where, tokenizer) for where, row in rows], None


def with_our_names(row):
    """A record with the authors' names for chosen and rejected as ours."""
    found = {"rejected": [row[k] for k in sorted(row) if k.startswith("wrong_")]}
    if found["rejected"] and "correct" in row:  # without these it may be anything
        found["chosen"] = row["correct"]
    found |= {name: row[f"response_{name}"] for name in ("chosen", "rejected")
              if f"response_{name}" in row}
    return {name: value for name, value in found.items() if value != []} | row


def kind_of(row):
    """What a record is by its columns: "preference", "scored" or "unlabeled"."""
    if "chosen" not in with_our_names(row):
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
    row = with_our_names(row)
    for name in ("chosen", "rejected"):
        if name not in row:
            raise no_column(name, row, where)
    if isinstance(row["chosen"], list) and row["chosen"] and isinstance(row["chosen"][0], dict):
        return _conversation(row, where, tokenizer)
    rejected = row["rejected"] if isinstance(row["rejected"], list) else [row["rejected"]]
    if not rejected:
        raise InputError(f"{where}: 'rejected' is empty")
    responses = [text_of(row["chosen"], "chosen", where, allow_empty),
                 *(text_of(r, "rejected", where, allow_empty) for r in rejected)]
    if "prompt" not in row:  # implicit: what the dialogues share, up to a blank
        prompt = commonprefix(responses)
        prompt = prompt[: max(prompt.rfind(" "), prompt.rfind("\n")) + 1]
        if not prompt.strip() or PROMPTS & {name.strip().lower() for name in row}:
            raise no_column("prompt", row, where)
        row["prompt"] = prompt
        responses = [text_of(r[len(row["prompt"]):], "chosen or rejected, after what they share,",
                             where, allow_empty) for r in responses]
    return Preference(text_of(row["prompt"], "prompt", where), responses[0], tuple(responses[1:]))


def read_unlabeled(row, where, tokenizer=None):
    """Turn a record of any kind into an Unlabeled one: its label is dropped, its score not read."""
    kind = kind_of(row)
    if kind == "preference":
        if "chosen" not in with_our_names(row):
            raise no_column("responses", row, where)
        return unlabel([read_preference(row, where, tokenizer)])[0]
    if kind == "scored":
        return read_scored(row | {"score": 0}, where)[0]
    responses = row["responses"] if "responses" in row else [row["response"]]
    if not isinstance(responses, list) or not responses:
        raise InputError(f"{where}: 'responses' must be a list with at least one text, which takes "
                         "JSON: a cell of a table is a single text")
    prompt = text_of(row.get("prompt"), "prompt", where)
    return Unlabeled(prompt, [text_of(r, "responses", where) for r in responses])


def read_scored(row, where):
    """Turn a record into (Unlabeled, score); without a prompt it is "Text:"."""
    row = {"prompt": "Text:", "response": row.get("text"), "score": row.get("label")} | row
    try:
        score = float(row["score"])
    except (TypeError, ValueError, OverflowError):  # the last of a whole number of 400 digits
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{where}: 'score' must be a number, not {row['score']!r}")
    response, prompt = (text_of(row[k], k, where) for k in ("response", "prompt"))
    return Unlabeled(prompt, [response]), score


def _conversation(row, where, tokenizer):
    """TRL's conversational form, lists of {"role": ..., "content": ...}, by the chat template."""
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(f"{where}: a conversation needs a tokenizer with a chat template, "
                         "of an instruction-tuned --model")
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
    chosen, rejected = (text_of(text[len(start):], "chosen and rejected", where) for text in texts)
    return Preference(text_of(start, "prompt", where), chosen, (rejected,))
