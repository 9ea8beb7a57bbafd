"""The names of columns, and checks of single fields, that every reader shares."""
from data import InputError

LEAVE_OUT = ("to leave such rows out: python experiments/prepare.py plain FILE --skip-empty "
             "--out NEW.jsonl")


def text_of(value, name, where, allow_empty=False):
    """The text of a field. Raises InputError for what cannot be one."""
    if value is None and allow_empty:
        return ""
    if not isinstance(value, str):
        problem = "is missing" if value is None else f"must be text, not {type(value).__name__}"
        raise InputError(f"{where}: '{name}' {problem}")
    if not value.strip() and not allow_empty:
        raise InputError(f"{where}: '{name}' is empty; {LEAVE_OUT}")
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise InputError(f"{where}: '{name}' holds half a character, such as a cut emoji")
    return value


def no_column(name, names, where):
    listed = ", ".join(map(repr, names)) or "none"  # quoted: a blank in a name is seen
    return InputError(f"{where}: no column '{name}'; there are: {listed}")


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
        if row.keys() & {"response", "responses", "messages"}:
            return "unlabeled"
    return "preference"  # if it is none, its reader says what is missing
