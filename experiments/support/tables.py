"""Numbers to text and to results.json, of commands and toys."""
import json
import platform
import shlex
import statistics
import sys
from importlib.metadata import version

from support.folder import write_whole


def print_columns(lines):
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def mean_and_error(values):
    """Mean, standard error (None for a single value) and the values themselves."""
    n = len(values)
    se = statistics.stdev(values) / n**0.5 if n > 1 else None
    return {"mean": statistics.fmean(values), "se": se, "values": values}


def plus_minus(row, sign=""):
    """Mean ± standard error of a row, or of nothing."""
    if not row or row["mean"] is None:
        return ""
    return f"{row['mean']:{sign}.3f}" + ("" if row["se"] is None else f" ± {row['se']:.3f}")


def write_results(out, experiment, model, config, rows, seconds):
    """OUT/results.json: the command, its settings, versions, and the rows."""
    versions = {name: version(name) for name in ("torch", "transformers", "peft")}
    record = {"experiment": experiment, "model": model, "command": shlex.join(sys.argv),
              "config": config, "seconds": round(seconds, 1),
              "versions": versions | {"python": platform.python_version()}, "rows": rows}
    write_whole(out / "results.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
