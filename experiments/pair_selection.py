"""REAL: which two of three unlabelled responses to a prompt are worth a label?

    python experiments/pair_selection.py

Every question has three answers of known quality (domains/arguments.py). A strategy picks two by
the cosine of their embeddings, the mean last states of the answers without the question: hard, the
most similar; easy, the least; centroid; random (methods/selection.py). An annotator, who is right
with probability sigmoid(tau * difference of the scores), labels each pair. SFT on the chosen ones
of the random pairs gives pi_ref, an epoch of DPO on each strategy's pairs a policy, the output
layer of a frozen model (methods/frozen.py). All are measured on the same new pairs, labelled
without error, by margin (10) and loss (11) of r = beta log(pi / pi_ref). (The paper prints r
without the log, and its beta twice.)
"""
from functools import lru_cache, partial

import harness  # noqa: F401  (first: it sets the path)
import torch

from domains.arguments import Writer, argument_domain
from domains.splits import Domain
from harness.command import exit_codes, made, number
from harness.figures import figure, plot_seeds
from harness.flags import MADE, RUNS, SETTINGS, run_parser
from harness.folder import results_folder
from harness.report import summarize, words
from harness.run_files import run_jobs
from harness.tables import plus_minus, print_columns, write_results
from methods import frozen
from methods.selection import STRATEGIES, Alignment
from models import backbones, opening

positive = partial(number, float, 1e-9, 1e6, "a number from 1e-9 to 1e6")
FLAGS = SETTINGS | MADE | {name: RUNS[name] for name in ("--seeds", "--truncate")}
FLAGS.pop("--set")
COLORS = ("tab:red", "tab:gray", "tab:blue", "tab:green")  # of the strategies


def read_flags(argv):
    p = run_parser(__doc__, "pair_selection", {}, FLAGS, n_train=60, n_test=40, seeds=[*range(5)])
    add = p.add_argument
    add("--batch-size", type=made, default=8, help="pairs (%(default)s)")
    for name, value, text in (("--tau", 1.0, "of the annotator, per flaw"),
                              ("--beta", 0.1, "of r and of DPO"),
                              ("--rate", 3e-3, "of SFT and of the epoch (AdamW)")):
        add(name, type=positive, default=value, help=f"{text} (%(default)s)")
    add("--paper", action="store_true", help="with --dry-run: the paper's setup beside ours")
    return p.parse_args(argv)


def train(args, jobs, settings):
    """Train what is not finished in --out; return the runs."""
    @lru_cache(1)
    def alignment(seed):
        rows, scores = Writer("clean", "train", seed).candidates(args.n_train, 3)
        test = argument_domain("clean", args.part, 1, args.n_test, seed).test
        texts = frozen.read(args, backbone, {"train": rows, "test": test})
        alone = frozen.alone(backbone, [text for row in rows for text in row.responses])
        return Alignment(args, **texts, alone=alone, scores=torch.tensor(scores), seed=seed)

    def run(name, seed, _):
        metrics, log = alignment(seed).run(name)
        return {"results": [{"method": name, "source": "arguments", "target": "arguments",
                             "n_test": args.n_test, "metrics": metrics}], "log": log}

    with results_folder(args, settings) as folder:
        if folder.left(jobs):
            backbone = backbones.load(args.model, args.device, args.dtype)
        return run_jobs(args, folder, jobs, run)


def saved(easy, random):
    """1 - n_easy / n_random, from the logs of a seed: n_easy labels of easy pairs give the margin
    that all n_random of the random pairs give; 0 where they do not."""
    last = random[-1]
    enough = [r["labels"] for r in easy[1:] if r["margin"] >= last["margin"]]
    return 1 - min([*enough, last["labels"]]) / last["labels"]


def main(argv=None):
    args = read_flags(argv)
    if args.paper:
        from paper.neighbours import show
        return show(args, "REAL")
    jobs = [(strategy, seed, [(Domain("arguments"), Domain("arguments"))])
            for seed in args.seeds for strategy in STRATEGIES]
    if args.dry_run:
        return print_columns([(name, f"seed {seed}") for name, seed, _ in jobs])
    args.device, args.dtype = backbones.pick_machine(args.device, args.dtype)
    settings = {name: getattr(args, name) for name in (
        "model", "device", "dtype", "max_length", "truncate", "n_train", "n_test", "part",
        "batch_size", "tau", "beta", "rate")} | {"model_checksum": opening.checksum(args.model)}
    if not (runs := train(args, jobs, settings)):
        return
    logs = {(run["method"], run["seed"]): run["log"] for run in runs}
    for run in runs:
        if run["method"] == "easy":
            run["results"][0]["metrics"]["labels_saved"] = saved(
                run["log"], logs["random", run["seed"]])
    rows = summarize(runs, STRATEGIES, base="random")
    write_results(args.out, "pair_selection", args.model, settings | {"seeds": args.seeds}, rows,
                  sum(run["seconds"] for run in runs))
    draw(args, runs, rows)
    print_columns([("method", "metric", "mean", "less random")] + [
        (r["method"], r["metric"], plus_minus(r), r["gain"] and words(r["gain"]) or "")
        for r in rows])


def draw(args, runs, rows):
    """The margin over labels, Figures 2 and 5."""
    title = "DPO (thin: a seed, thick: their mean)"
    with figure(args.out / "pair_selection.png", title, (13, 4), 3) as axes:
        for name, color in zip(STRATEGIES, COLORS):
            logs = [run["log"] for run in runs if run["method"] == name]
            for ax, key in zip((axes[0], axes[1], axes[1]), ("margin", "alone", "with_prompt")):
                plot_seeds(ax, [{r["labels"]: r[key] for r in log} for log in logs], f"{name}, "
                           f"{key.replace('_', ' ')}", (color, 0.4 if "prompt" in key else 1))
            (row,) = [r for r in rows if (r["method"], r["metric"]) == (name, "agreement")]
            axes[2].bar(name, row["mean"], yerr=row["se"] or 0, color=color)
        for ax, title in zip(axes, ("margin on the test pairs", "cosine of chosen and rejected")):
            ax.set(title=title, xlabel="labels"), ax.legend(frameon=False, fontsize=7)
        axes[2].set(title="two annotators agree")


if __name__ == "__main__":
    with exit_codes():
        main()
