"""Parsing flags, their numbers, and exit codes: what commands and toys share."""
import argparse
import math
import sys

from data import InputError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises InputError where argparse would exit; flags `without` are as
    if they were not given, and not offered."""

    def __init__(self, doc, without=(), **options):
        self.without = without
        super().__init__(description=doc, allow_abbrev=False, usage="%(prog)s [flags]",
                         formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def add_argument(self, *names, **options):
        if names[0] not in self.without:
            return super().add_argument(*names, **options)
        default = options.get("default", False if "action" in options else None)
        self.set_defaults(**{names[0].strip("-").replace("-", "_"): default})

    def error(self, message):
        raise InputError(f"{message} (--help lists the flags)")


def number(kind, low, high, words):
    """A type for argparse: a `kind` of number from `low` to `high`."""
    def parse_number(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or math.isinf(value):
            raise argparse.ArgumentTypeError(f"must be {words}, not {text}")
        return value

    return parse_number


count = number(int, 1, math.inf, "a whole number above 0")
whole = number(int, 0, 2**32 - 1, "a whole number from 0 to 2^32 - 1")
probability = number(float, 0, 1, "a number from 0 to 1")


def make_folder(path):
    """Make a folder, with those it lies in."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: this folder cannot be made: {error.strerror}") from None


def command_line(main):
    """Call `main` and exit: 0 done, 2 with one line for bad input, 130 stopped by hand, 1 for
    anything else."""
    try:
        main()
    except (InputError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
