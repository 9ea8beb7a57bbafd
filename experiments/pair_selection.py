"""REAL: which two of several unlabelled responses to a prompt are worth a label?

    python experiments/pair_selection.py
    python experiments/pair_selection.py --losses DPO IPO SLiC           # Table 4
    python experiments/pair_selection.py --answers 2                     # one pair a prompt, as HH

Every question has three answers of known quality (domains/arguments.py). A strategy picks two by
the cosine of their embeddings, the mean last states of the answers without the question: hard, the
most similar; easy, the least; centroid; random (methods/selection.py). An annotator, who is right
with probability sigmoid(tau * difference of the scores), labels each pair. SFT on the chosen ones
of the random pairs gives pi_ref, an epoch of DPO on each strategy's pairs a policy, the output
layer of a frozen model (methods/frozen.py). All are measured on the same new pairs, labelled
without error, by margin (10) and loss (11) of r = beta log(pi / pi_ref). (The paper prints r
without the log, and its beta twice.)
"""
import itertools
import time
from contextlib import closing
from functools import partial

import harness  # noqa: F401  (first: it sets the path)
import torch
from tqdm import tqdm

from data import InputError
from domains.arguments import Writer, argument_domain
from domains.splits import Domain
from harness.command import exit_codes, made, number, run_parser, whole
from harness.figures import figure, plot_seeds
from harness.flags import MADE, SETTINGS
from harness.folder import results_folder
from harness.report import summarize, words
from harness.tables import paired, plus_minus, print_columns, write_results
from methods import frozen
from methods.losses import RATIO_LOSSES
from methods.selection import STRATEGIES, Alignment
from models import backbones

positive = partial(number, float, 1e-9, 1e6, "a number from 1e-9 to 1e6")
FLAGS = {k: v for k, v in (SETTINGS | MADE).items() if k != "--set"}
COLORS = ("tab:red", "tab:gray", "tab:blue", "tab:green")  # of the strategies
ORDER = (("margin", "hard", "random"), ("margin", "random", "easy"), ("margin", "easy", "centroid"),
         ("label_error", "random", "hard"), ("label_error", "easy", "random"))  # each should rise


def read_flags(argv):
    p = run_parser(__doc__, "pair_selection", {}, FLAGS, n_train=60, n_test=40)
    add = p.add_argument
    add("--seeds", nargs="+", type=whole, default=[0, 1, 2, 3, 4], help="(0 1 2 3 4)")
    add("--losses", nargs="+", choices=RATIO_LOSSES, default=["DPO"], help="(DPO)")
    add("--answers", type=int, choices=(2, 3, 4), default=3, help="to a question; with 2, a "
        "strategy labels half of 2 x --n-train prompts (3)")
    add("--batch-size", type=made, default=8, help="pairs (%(default)s)")
    for name, value, text in (("--tau", 1.0, "of the annotator, per flaw"),
                              ("--beta", 0.1, "of r and of the losses"),
                              ("--rate", 3e-3, "of SFT and of the epoch (AdamW)")):
        add(name, type=positive, default=value, help=f"{text} (%(default)s)")
    add("--paper", action="store_true", help="with --dry-run: the paper's setup beside ours")
    args = p.parse_args(argv)
    if args.paper and not args.dry_run:
        raise InputError("--paper: SHP2, HH and models of 1.3 to 7 B cannot be run here; add "
                         "--dry-run to see them")
    if len(set(args.seeds)) < len(args.seeds) or len(set(args.losses)) < len(args.losses):
        raise InputError("--seeds and --losses take each once")
    args.strategies = [s for s in STRATEGIES if s != "centroid" or args.answers > 2]
    return args


def begin(args, backbone, seed):
    """The `Alignment` of a seed: its answers, their scores and their embeddings."""
    n = args.n_train * (1 + (args.answers == 2))
    rows, scores = Writer("clean", "train", seed).candidates(n, args.answers)
    test = argument_domain("clean", args.part, 1, args.n_test, seed).test
    texts = frozen.read(args, backbone, {"train": rows, "test": test})
    alone = frozen.alone(backbone, [text for row in rows for text in row.responses])
    return Alignment(args, **texts, alone=alone, scores=torch.tensor(scores), seed=seed)


def train(args, settings):
    """Train what is not finished in --out; return the runs."""
    pair, start = [(Domain("arguments"), Domain("arguments"))], None
    with results_folder(args, settings) as folder:
        jobs = [(f"{loss}, {name}", seed, pair) for seed in args.seeds for loss in args.losses
                for name in args.strategies]
        if left := folder.left(jobs):
            backbone = backbones.load(args.model, args.device, args.dtype)
        with closing(folder.take(left, args.overwrite)) as taken:
            for name, seed, _ in tqdm(taken, "runs", len(left), disable=not left):
                began = time.time()
                start = start if start and start.seed == seed else begin(args, backbone, seed)
                metrics, log = start.run(*name.split(", "))
                result = {"method": name, "source": "arguments", "target": "arguments",
                          "n_test": args.n_test, "metrics": metrics}
                folder.write({"method": name, "seed": seed, "seconds": time.time() - began,
                              "log": log, "results": [result]})
        return folder.runs_of(jobs)


def saved(runs, loss):
    """For each seed 1 - n_easy / n_random: n_easy labels of easy pairs give the margin that all
    n_random of the random pairs give; 0 where they do not."""
    easy, random = ([run["log"] for run in runs if run["method"] == name]
                    for name in (f"{loss}, easy", f"{loss}, random"))
    return [1 - min([r["labels"] for r in log[1:] if r["margin"] >= last["margin"]] + [
        last["labels"]]) / last["labels"] for log, (*_, last) in zip(easy, random)]


def main(argv=None):
    args = read_flags(argv)
    if args.dry_run:
        from paper.neighbours import REAL, show
        return show(REAL if args.paper else itertools.product(
            map(str, args.seeds), args.losses, args.strategies))
    args.device, args.dtype = backbones.pick_machine(args.device, args.dtype)
    chosen = {name: getattr(args, name) for name in (
        "model", "device", "dtype", "max_length", "n_train", "n_test", "part", "answers",
        "batch_size", "tau", "beta", "rate")}
    if not (runs := train(args, chosen | {"model_checksum": backbones.checksum(args.model)})):
        return
    rows = []
    for loss in args.losses:
        own = [run for run in runs if run["method"].startswith(loss)]
        easy = [run for run in own if run["method"] == f"{loss}, easy"]
        for run, share in zip(easy, saved(own, loss)):
            run["results"][0]["metrics"]["labels_saved"] = share
        rows += summarize(own, [f"{loss}, {name}" for name in args.strategies],
                          base=f"{loss}, random")
    write_results(args.out, "pair_selection", args.model, chosen | {"seeds": args.seeds}, rows,
                  sum(run["seconds"] for run in runs))
    draw(args, runs, rows)
    print_columns([("method", "metric", "mean", "less random")] + [
        (r["method"], r["metric"], plus_minus(r), r["gain"] and words(r["gain"]) or "")
        for r in rows])
    values = {(r["method"], r["metric"]): r["values"] for r in rows}
    for loss, (metric, low, high) in itertools.product(args.losses, ORDER):
        if high in args.strategies:
            both = zip(values[f"{loss}, {high}", metric], values[f"{loss}, {low}", metric])
            print(f"{loss}, {metric}: {high} less {low} {words(paired([a - b for a, b in both]))}")


def draw(args, runs, rows):
    """Of the first loss the margin over labels, Figures 2 and 5."""
    title = f"{args.losses[0]} (thin: a seed, thick: their mean)"
    with figure(args.out / "pair_selection.png", title, (13, 4), 3) as axes:
        for name, color in zip(args.strategies, COLORS):
            method = f"{args.losses[0]}, {name}"
            logs = [run["log"] for run in runs if run["method"] == method]
            for ax, key in zip((axes[0], axes[1], axes[1]), ("margin", "alone", "with_prompt")):
                plot_seeds(ax, [{r["labels"]: r[key] for r in log} for log in logs], f"{name}, "
                           f"{key.replace('_', ' ')}", (color, 0.4 if "prompt" in key else 1))
            (row,) = [r for r in rows if (r["method"], r["metric"]) == (method, "agreement")]
            axes[2].bar(name, row["mean"], yerr=row["se"] or 0, color=color)
        for ax, title in zip(axes, ("margin on the test pairs", "cosine of chosen and rejected")):
            ax.set(title=title, xlabel="labels"), ax.legend(frameon=False, fontsize=7)
        axes[2].set(title="two annotators agree")


if __name__ == "__main__":
    with exit_codes():
        main()
