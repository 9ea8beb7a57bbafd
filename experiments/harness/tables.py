"""Numbers of commands and toys: their means and errors, gains and their p, text, results.json."""
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from unicodedata import category, east_asian_width

from data import InputError

LEVEL, SEEDS = 0.05, 5  # a gain is established below this p, over so many seeds or more


def print_columns(lines):
    widths = [max(map(width, column)) for column in zip(*lines)]
    for line in lines:
        print("  ".join(cell + " " * (wide - width(cell))
                        for cell, wide in zip(line, widths)).rstrip())


def width(text):
    """How many places a text takes in a terminal: a Chinese or Korean character two, a Thai vowel
    above another character none."""
    return sum(0 if category(c) in ("Mn", "Me", "Cf") else 1 + (east_asian_width(c) in "WF")
               for c in text)


def mean_and_error(values):
    """Mean, standard error (None for a single value) and the values themselves."""
    n = len(values)
    se = statistics.stdev(values) / n**0.5 if n > 1 else None
    return {"mean": statistics.fmean(values), "se": se, "values": values}


def paired(gains):
    """Mean and standard error of gains, one a seed, and the two-sided p of a paired t-test: None
    where they do not vary, and for a single one."""
    row = mean_and_error([round(gain, 12) for gain in gains])  # or rounding errors vary
    if not row["se"]:
        return row | {"p": None}
    from scipy import stats  # it takes a second
    return row | {"p": float(stats.ttest_1samp(gains, 0).pvalue)}


def holm(ps):
    """Holm's correction of several p values, in their order; None stays."""
    known = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    corrected, largest = [None] * len(ps), 0.0
    for rank, (p, i) in enumerate(known):
        largest = corrected[i] = max(largest, min(1.0, (len(known) - rank) * p))
    return corrected


def established(row, p):
    """Whether a gain is: p below LEVEL over SEEDS seeds or more, and above 0."""
    return p is not None and p < LEVEL and len(row["values"]) >= SEEDS and row["mean"] > 0


def verdict(row):
    """Of a paired gain, in words."""
    if established(row, row["p"]):
        return "established"
    if len(row["values"]) < SEEDS:
        return f"too few seeds to say, {SEEDS} are needed"
    if row["p"] is None and row["mean"]:
        return "the gains are all the same: no test"
    return "no gain found"


def plus_minus(row, sign=""):
    """Mean ± standard error of a row, or of nothing."""
    if not row or row["mean"] is None:
        return ""
    return f"{row['mean']:{sign}.3f}" + ("" if row["se"] is None else f" ± {row['se']:.3f}")


def write_results(out, experiment, model, config, rows, seconds):
    """OUT/results.json: the command, its settings, what made it, and the rows."""
    record = {"experiment": experiment, "model": model, "command": shlex.join(sys.argv),
              "config": config, "seconds": round(seconds, 1), **made_with(), "rows": rows}
    write_whole(out / "results.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")


@cache
def made_with():
    """The versions, the commit of this project (None where there is no git), and the machine."""
    import torch
    versions = {name: version(name) for name in ("torch", "transformers", "peft")}
    try:
        commit = subprocess.run(["git", "describe", "--always", "--dirty"], text=True, check=True,
                                capture_output=True, cwd=Path(__file__).parent).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = None
    machine = f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads"
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return {"versions": versions | {"python": platform.python_version()}, "commit": commit,
            "machine": f"{machine}, {torch.backends.cpu.get_cpu_capability()}{gpu}"}


def write_whole(path, content):
    """Write a file, text or bytes: all of it is on the disk, or nothing. Raises InputError where it
    cannot be written."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # two may finish at once
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        for name in (part, path.parent) if os.name == "posix" else ():
            descriptor = os.open(name, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def make_folder(path):
    """Make a folder, with those it lies in."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: this folder cannot be made: {error.strerror}") from None
