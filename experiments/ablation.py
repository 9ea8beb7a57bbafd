"""The ablation: what each part of DIAL does, and what other distances do in the critic's place.

    python experiments/ablation.py --tasks odd_one_out    # hours; processes share the runs

A cell of the table is what another command measures with the settings of a row, in a folder of its
own. The command's own flags, such as --compile, are passed on. A gain is a row less DIAL, by seed.
"""
import io
from contextlib import redirect_stdout
from dataclasses import fields
from importlib import import_module

import harness  # noqa: F401  (first: it sets the path)
from data import InputError
from dial import DialConfig
from harness.command import exit_codes
from harness.figures import figure
from harness.flags import RUNS, run_parser
from harness.report import summarize, words
from harness.tables import plus_minus, print_columns, write_results

TASKS = {  # what a row says in braces; few-shot's weights are those of ParaDetox
    "odd_one_out": {"long": 640, "mean": 0.1, "mmd": 0.03},
    "cross_lingual": {"long": 160, "mean": 0.01, "mmd": 0.03},
    "few_shot": {"long": 480, "mean": 0.01, "mmd": 0.3}}
FLAGS = {"odd_one_out": ["--no-cue"]}
PUBLISHED = [f"{f.name}={f.default}" for f in fields(DialConfig) if f.name != "steps"]
ROWS = {  # a method, and after a comma how it differs from the task's own settings
    "Src-Pref": [], "DIAL": [], "DEAL": [],
    "Mean matching": ["lambda_da={mean}"], "MMD": ["lambda_da={mmd}"],
    "Src-Pref, as published": PUBLISHED, "DIAL, as published": PUBLISHED,
    "Src-Pref, as published, 4 times the steps": [*PUBLISHED, "steps={long}"],
    "DIAL, as published, 4 times the steps": [*PUBLISHED, "steps={long}"],
    "DIAL, unscaled": ["scale_embeddings=false"], "DIAL, uncentred": ["center_prompts=false"],
    "DIAL, 3 critic steps": ["critic_steps=3"], "DIAL, 1 critic step": ["critic_steps=1"],
    "Mean matching, uncentred": ["lambda_da={mean}", "center_prompts=false"]}


def chosen_of(task, row):
    """The settings of a row on a task, NAME=VALUE."""
    return [word.format(**TASKS[task]) for word in ROWS[row]]


def measure(task, row, args, flags):
    """Train and measure a row on a task; return its runs, with the row as their method: none while
    other processes are at some of them."""
    out, method = args.out / task / row.replace(", ", "-").replace(" ", "_"), row.partition(",")[0]
    chosen = chosen_of(task, row)
    runs = import_module(task).main([
        "--methods", method, "--seeds", *map(str, args.seeds), "--out", str(out), *flags,
        *FLAGS.get(task, []), *["--set", *chosen] * bool(chosen)])
    return [run | {"results": [r | {"method": row} for r in run["results"]]} for run in runs]


def main(argv=None):
    flags = {name: RUNS[name] for name in ("--seeds", "--out")}
    p = run_parser(__doc__, "ablation", {}, flags, seeds=[0, 1, 2, 3, 4])
    for flag, names in (("--tasks", list(TASKS)), ("--rows", list(ROWS))):
        p.add_argument(flag, nargs="+", choices=names, default=names, metavar="NAME",
                       help=f"of {'; '.join(names)} (all)")
    args, flags = p.parse_known_args(argv)
    if not {"--methods", "--steps", "--dry-run"}.isdisjoint(x.partition("=")[0] for x in flags):
        raise InputError("--methods and --steps are the rows' own (--set steps=N is not), and "
                         "--dry-run is each command's")
    jobs = [(task, row) for task in args.tasks for row in args.rows
            if ("uncentred" not in row if task == "odd_one_out" else row != "Mean matching")]
    if not jobs:
        raise InputError("--rows: odd_one_out has no uncentred rows, since none there is centred; "
                         "elsewhere centred means are equal, so mean matching is uncentred")
    with redirect_stdout(io.StringIO()):  # a flag that a task lacks is refused before any run
        for job in dict(reversed(jobs)).items():
            measure(*job, args, [*flags, "--dry-run"])
    measured = [measure(*job, args, flags) for job in jobs]
    if not all(measured):
        raise InputError("some runs are with other processes: give the command again later")
    runs = sum(measured, [])
    rows = summarize(runs, args.rows, base="DIAL")
    config = {"seeds": args.seeds,
              "rows": {f"{task}: {row}": chosen_of(task, row) for task, row in jobs}}
    write_results(args.out, "ablation", runs[0]["settings"]["model"], config, rows,
                  sum(run["seconds"] for run in runs))
    cells = [row for row in rows if row["metric"] == "accuracy"]
    with figure(args.out / "ablation.png", "mean over seeds and standard error", (8, 5)) as ax:
        for pair in dict.fromkeys((r["source"], r["target"]) for r in cells):
            x, y, error = zip(*((r["mean"], r["method"], r["se"] or 0) for r in cells
                                if (r["source"], r["target"]) == pair))
            ax.errorbar(x, y, xerr=error, fmt="o", label=" to ".join(pair))
        ax.set(xlabel="accuracy on the target", ylim=ax.get_ylim()[::-1])  # the first on top
        ax.legend(frameon=False)
    print_columns([["source", "target", "row", "accuracy", "less DIAL"]] + [
        [r["source"], r["target"], r["method"], plus_minus(r), words(r["gain"]) if r["gain"] else ""]
        for r in cells])


if __name__ == "__main__":
    with exit_codes():
        main()
