"""Conversations that were written into a text, as `to_csv` does with lists of messages.

A text that begins like a list of objects, `[{'role': ...`, is read as a conversation where all of
them are messages: as JSON, or as Python wrote it, with commas between the messages or, from numpy,
without. Other data, and Python code, stay text. What begins so, names a role and a content and is
neither is refused, for it may have been cut.
Nothing is ever executed.
"""
import ast
import json
import re
import warnings

from data import InputError

BEGINS = re.compile(r"""\s*(?:\[\s*|(?:np\.)?array\(\s*|list\(\s*){0,5}\{\s*(['"])\w+\1\s*:""")
FIELDS = [re.compile(rf"""(['"]){name}\1\s*:""") for name in ("role", "content")]
# A string, which is left alone, or the end of an object or list that another one follows.
BETWEEN = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|([}\]])\s*(?=[{\[])""", re.DOTALL)
NUMPY = {"array", "np", "list", "object", "nan"}  # names in what is data, not code


def unpack(value, name, where):
    """A field with conversations in the place of texts that hold one.

    Args:
        value: of any type; in a list every entry is looked at. name, where: for errors.
    """
    if isinstance(value, list):
        return [unpack(entry, name, where) for entry in value]
    if not isinstance(value, str) or not BEGINS.match(value):
        return value
    data = _read(value)
    if _has_messages(data):
        return data
    messages = (_has_messages(data, any) if data is not None else
                all(field.search(value) for field in FIELDS) and not _is_code(value))
    if not messages:
        return value
    raise InputError(f"{where}: '{name}' begins like a conversation but cannot be read as one, "
                     f"{value.strip()[:40]!r}: write JSON lines instead of a table")


def _read(text):
    """The JSON or Python data of a text, or None."""
    with_commas = BETWEEN.sub(lambda m: m[1] or f"{m[2]},", text.strip())
    for read, form in ((json.loads, text), (ast.literal_eval, with_commas)):
        try:
            with warnings.catch_warnings(action="ignore"):  # of backslashes in the user's text
                return read(form)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None


def _has_messages(data, all=all):
    """Whether it is a message, or a list all of messages, or lists of them."""
    if isinstance(data, list):
        return bool(data) and all(_has_messages(entry, all) for entry in data)
    return isinstance(data, dict) and ({"role", "content"} <= data.keys()
                                       or {"from", "value"} <= data.keys())  # to be refused


def _is_code(text):
    """Whether it is Python with names of its own in it."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return bool({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - NUMPY)
