"""The command line: exit codes, numbers, and parsers of the flags in flags.py."""
import argparse
import math
import os
import re
import signal
import sys
import unicodedata
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from data import InputError
from dial import DialConfig
from harness.settings import settings, settings_table
from models import processes


@contextmanager
def exit_codes(several=False):
    """End the process as every command does: with 0 when it is done, 2 and one line for bad input,
    130 when it is stopped (SIGINT, SIGTERM), 1 for anything else, with one line where a file or the
    terminal cannot be written. `several`: whether torchrun may start the command."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may know ASCII alone
    try:
        with processes.together(several) if processes.count() > 1 else nullcontext():
            yield
        sys.stdout.flush()
    except (InputError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        print(f"error: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is not printed yet
        sys.exit(1)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises InputError where argparse would end the process."""

    tables = ()  # arguments of `settings_table`, for --help

    def format_help(self):
        self.epilog = "\n\n".join(settings_table(*table) for table in self.tables)
        return super().format_help()

    def parse_args(self, args=None, namespace=None):
        words = sys.argv[1:] if args is None else args
        for before, word in zip(["", *words], words):
            if not word or re.fullmatch("--[^=]+=", word):
                raise InputError(f"{word or before}: the value is empty")
            if any(unicodedata.category(character) in ("Cc", "Cs") for character in word):
                raise InputError(f"{ascii(word)}: control characters, and bytes that are not "
                                 "UTF-8, cannot be used")
        return super().parse_args(args, namespace)

    def error(self, message):
        raise InputError(f"{message} (--help lists the flags)")


GIVEN = ("paper", "data", "source_data", "target_data", "eval_data")  # they say what the data are
GENERATED = ("source", "target", "all", "no_cue", "part", "n_train", "n_test")  # of domains that are made
PARSER = {"allow_abbrev": False, "usage": "%(prog)s [flags]",  # for every Parser
          "formatter_class": argparse.RawDescriptionHelpFormatter}


def run_parser(doc, name, preset, flags, **defaults):
    """The parser of a command that trains.

    Args:
        doc: of the command. name: of its experiment, and of its folder in runs/.
        preset: of DialConfig, over its defaults. flags: of flags.py. defaults: of these flags.
    """
    p = Parser(description=doc, **PARSER)
    p.tables = [(preset,)]
    for flag, options in flags.items():
        p.add_argument(flag, **options)
    p.set_defaults(experiment=name, preset=preset, out=Path("runs") / name, training=None,
                   eval_every=0, save=None, question="Which answer is the best?", **defaults)
    return p


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


def parse(p, argv=None):
    """The flags of a command as a namespace; `config` holds the DialConfig, `given` says whether
    files say what the data are.

    Raises InputError for what cannot be used, and for what would not be.
    """
    args = p.parse_args(argv)
    given = [name for name in GIVEN if getattr(args, name, None) is not None]
    if args.pairs and not args.paper:
        raise InputError("--pairs goes with --paper")
    for name in ("methods", "seeds", "target", "pairs"):
        values = getattr(args, name, [])
        if isinstance(values, list) and len(set(values)) < len(values):
            raise InputError(f"--{name} takes each once: {' '.join(map(str, values))}")
    others = [*given[1:] * bool(args.paper), *(
        name for name in GENERATED if given and given != ["data"] and hasattr(args, name)
        and getattr(args, name) != p.get_default(name))]
    if others:
        raise InputError(f"{flag(others[0])} does not go with {flag(given[0])}, which says what "
                         "the data are")
    if args.paper:
        from paper.settings import parse_paper
        args = parse_paper(p, argv)
    if "all" in args.methods:
        from methods.table import ALL
        args.methods = list(ALL)
    steps = [f"steps={args.steps}"] if args.steps else []
    args.given = bool(given)
    args.config = settings(DialConfig, args.preset, args.set + steps, "--set")
    return args


def flag(name):
    return f"--{name.replace('_', '-')}"


def given_domains(args):
    """{seed: pairs of (source, target) domains} of the paper's files or of a user's own. Raises
    InputError for what cannot be read, or is missing."""
    if args.paper:
        from paper.files import domains
    else:
        from domains.own import domains
    return domains(args)
