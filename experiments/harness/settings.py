"""A configuration, a dataclass, on the command line: NAME=VALUE, and its table for --help."""
import inspect
import re
from dataclasses import fields

from data import InputError
from dial import DialConfig


def settings(kind, preset, words, flag):
    """A configuration, a dataclass, of a preset and of what `flag` says in `words` NAME=VALUE."""
    values, types = dict(preset), {f.name: f.type for f in fields(kind)}
    for word in words:
        name, _, value = word.partition("=")
        if name not in types or not value:
            known = ", ".join(types)
            raise InputError(f"{flag} {word}: it takes NAME=VALUE with a NAME of {known}")
        try:
            values[name] = ({"true": True, "false": False}[value.lower()]
                            if types[name] is bool else types[name](value))
        except (ValueError, KeyError):
            raise InputError(f"{flag} {word}: {name} is of type {types[name].__name__}") from None
    try:
        return kind(**values)
    except ValueError as error:
        raise InputError(f"{flag}: {error}") from None


def settings_table(preset, kind=DialConfig, flag="--set"):
    """The fields of a configuration, the values of `preset` and the comments that explain them."""
    lines = [f"settings of the method ({flag}), this command's value and {kind.__name__}'s:"]
    source = inspect.getsource(kind)
    for name, default, comment in re.findall(r"(\w+): \w+ = (\S+)  # (.*)", source):
        value = str(preset.get(name, default.strip('"')))
        lines.append(f"  {name:21} {value:>7}  {default.strip(chr(34)):>13}  {comment}")
    return "\n".join(lines)
