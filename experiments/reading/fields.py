"""The names of columns, and single fields, for every reader."""
import re
import sys
import unicodedata
from collections import Counter
from os.path import commonprefix

from data import InputError

OTHER_PROMPTS = {"question", "instruction", "query", "input"}  # it may have such a name instead
# Where a text without a prompt may be cut, the best first.
CUTS = (r"\s", r"[:：.。?？!！;；…‥]", r"[,，、)）\]】」』”’》〉—～~-]")


class EmptyText(InputError):
    """A text is missing or empty: the record is left out (domains/records.py)."""


def is_blank(text):
    """Whether nothing of a text can be seen: white space, zero-width and control characters."""
    return all(unicodedata.category(c) in ("Zs", "Zl", "Zp", "Cc", "Cf") for c in text)


def text_of(value, name, where, allow_empty=False):
    """The text of a field. Raises InputError for what cannot be one."""
    if not isinstance(value, str) and value is not None:
        raise InputError(f"{where}: '{name}' must be text, not {type(value).__name__}")
    if any("\ud800" <= c <= "\udfff" for c in value or ""):
        raise InputError(f"{where}: '{name}' holds half a character, such as a cut emoji")
    if not allow_empty and is_blank(value or ""):
        raise EmptyText(f"{where}: '{name}' is empty")
    return value or ""


def say(found, rows, what):
    """Say on stderr what was found, of all rows: where first, and how often."""
    if found:
        print(f"{found[0]}: {what} ({len(found)} of {len(rows)} records)", file=sys.stderr)


def twice(names):
    """A name that is there twice, or None."""
    return next((name for name, n in Counter(names).most_common(1) if n > 1), None)


def no_column(name, names, where):
    return InputError(f"{where}: no column '{name}'; there are: {listed(names)}")


def listed(names):
    """Names for a message, in quotation marks, so that a blank in one is seen."""
    return (", ".join(map(repr, names)) or "none")[:300]


def with_our_names(row):
    """A record with the authors' names for chosen and rejected as ours."""
    wrong, theirs = [row[name] for name in sorted(row) if name.startswith("wrong_")], {}
    if wrong:
        theirs = {"rejected": wrong} | ({"chosen": row["correct"]} if "correct" in row else {})
    return theirs | {name.removeprefix("response_"): row[name] for name in (
        "response_chosen", "response_rejected") if name in row} | row


def kind_of(row):
    """What a record is by its columns: "preference", "scored" or "unlabeled"."""
    if "chosen" not in with_our_names(row):
        if {"response", "score"} <= row.keys() or {"text", "label"} <= row.keys():
            return "scored"
        if row.keys() & {"response", "responses", "messages"}:
            return "unlabeled"
    return "preference"  # if it is none, its reader says what is missing


def divide(texts, row, where):
    """(prompt, responses) of texts without a prompt column: what they begin with alike, up to the
    last white space in it or, where there is none, the last end of a sentence, or the last other
    punctuation that opens no quotation."""
    shared = commonprefix(texts)
    ends = [[m.end() for m in re.finditer(cut, shared)] for cut in CUTS]
    end = next((places[-1] for places in ends if places and shared[:places[-1]].strip()), 0)
    if shared.strip() in map(str.strip, texts) and re.search(r"[:：]\s*$", shared):
        end = len(shared)  # "Assistant:" and no answer
    if not end or OTHER_PROMPTS & {name.strip().lower() for name in row}:
        raise no_column("prompt", row, where)
    if any(is_blank(text[end:]) for text in texts):
        raise EmptyText(f"{where}: an answer is empty, after what chosen and rejected share, "
                        f"{shared[-40:]!r}")
    return shared[:end], [text[end:] for text in texts]
