"""The command line of every command: exit codes, a parser, numbers, and settings NAME=VALUE."""
import argparse
import inspect
import math
import os
import re
import signal
import sys
import unicodedata
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from functools import partial

from data import InputError
from dial import DialConfig


@contextmanager
def exit_codes(several=False):
    """End the process as every command does: with 0 when it is done, 2 and one line for bad input,
    130 when it is stopped (SIGINT, SIGTERM), 1 for anything else, with one line where a file or the
    terminal cannot be written. `several`: whether torchrun may start the command."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may know ASCII alone
    try:
        together = nullcontext
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            from models.processes import together
        with together(several):
            yield
        sys.stdout.flush()
    except (InputError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's
            raise
        print(f"error: {str(error).partition(chr(10))[0]} Try a smaller --batch-size or "
              "--max-length, or --gradient-checkpointing, where there is one.", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"error: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is not printed yet
        sys.exit(1)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises InputError where argparse would end the process."""

    tables = ()  # arguments of `settings_table`, for --help
    repeatable = ("source", "target", "set", "ppo")  # of flags with several values

    def format_help(self):
        self.epilog = "\n\n".join(settings_table(*table) for table in self.tables)
        return super().format_help()

    def parse_known_args(self, args=None, namespace=None):  # parse_args calls it
        words = sys.argv[1:] if args is None else args
        for before, word in zip(["", *words], words):
            if not word or re.fullmatch("--[^=]+=", word):
                raise InputError(f"{word or before}: the value is empty")
            if any(unicodedata.category(character) in ("Cc", "Cs") for character in word):
                raise InputError(f"{ascii(word)}: control characters, and bytes that are not "
                                 "UTF-8, cannot be used")
        found, others = super().parse_known_args(args, namespace)
        for action in self._actions:
            values = getattr(found, action.dest, None)
            if (action.option_strings and action.nargs == "+" and values and not isinstance(
                    values, str) and action.dest not in self.repeatable
                    and len(set(values)) < len(values)):
                raise InputError(f"{action.option_strings[0]} takes each once: "
                                 f"{' '.join(map(str, values))}")
        return found, others

    def error(self, message):
        raise InputError(f"{message} (--help lists the flags)")


PARSER = {"allow_abbrev": False, "usage": "%(prog)s [flags]",  # for every Parser
          "formatter_class": argparse.RawDescriptionHelpFormatter}


def number(kind, low, high, words, text):
    """Read a number of a kind from `low` to `high` from the text of a flag."""
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high or math.isinf(value):
        raise argparse.ArgumentTypeError(f"must be {words}, not {text}")
    return value


# Types for argparse.
count = partial(number, int, 1, math.inf, "a whole number above 0")
whole = partial(number, int, 0, 2**32 - 1, "a whole number from 0 to 2^32 - 1")
made = partial(number, int, 1, 10**5, "a whole number from 1 to 100000")  # records


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
