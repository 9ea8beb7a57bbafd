"""Conversations that were written into a text, as `to_csv` does with lists of messages.

A text that begins like a list of objects, `[{'role': ...`, and holds messages is read as a
conversation: as JSON, or as Python wrote it, with commas between the messages or, from numpy,
without. Other data, and Python code, stay text. What begins so, names a role and a content and is
neither data nor code is refused, for it may have been cut. Nothing is ever executed.
"""
import ast
import json
import re
import warnings

from data import InputError

BEGINS = re.compile(r"""\s*(?:\[\s*|(?:np\.)?array\(\s*|list\(\s*){0,5}\{\s*(['"])\w+\1\s*:""")
FIELDS = [re.compile(rf"""(['"]){name}\1\s*:""") for name in ("role", "content")]
# A string, which is left alone, or the end of an object or list that another one follows. (A stray
# escape is passed over, or the search for the end of a string would begin anew at each.)
BETWEEN = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\\.)|([}\]])\s*(?=[{\[])""",
                     re.DOTALL)


def unpack(value, name, where):
    """A text's conversation in its place, if it holds one, also in a list of texts.

    Args:
        value: of any type. name, where: for errors.
    """
    if isinstance(value, list):
        return [unpack(entry, name, where) if isinstance(entry, str) else entry for entry in value]
    if not isinstance(value, str) or not BEGINS.match(value):
        return value
    with_commas = BETWEEN.sub(lambda m: m[1] or f"{m[2]},", value.strip())
    readers = [(json.loads, value), (ast.literal_eval, with_commas), (ast.parse, value.strip())]
    for read, form in readers[:2 if "array(" in value else 3]:  # the last finds code, not data
        try:
            with warnings.catch_warnings(action="ignore"):  # of backslashes in the user's text
                data = read(form)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        return data if _holds_messages(data) else value
    if not all(field.search(value) for field in FIELDS):
        return value
    raise InputError(f"{where}: '{name}' begins like a conversation but cannot be read as one, "
                     f"{value.strip()[:40]!r}: write JSON lines instead of a table")


def _holds_messages(data):
    """Whether data are a message, or a list with messages, or with lists of them."""
    entries = data if isinstance(data, list) else [data]
    inner = [message for entry in entries if isinstance(entry, list) for message in entry]
    return any(isinstance(entry, dict) and ({"role", "content"} <= entry.keys()
                                            or {"from", "value"} <= entry.keys())  # refused later
               for entry in [*entries, *inner])
