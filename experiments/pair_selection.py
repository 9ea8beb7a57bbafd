"""REAL: which two of several unlabelled responses to a prompt are worth a label?

    python experiments/pair_selection.py
    python experiments/pair_selection.py --losses DPO IPO SLiC           # Table 4
    python experiments/pair_selection.py --answers 2                     # one pair a prompt, as HH

Every question has three answers of known quality (domains/arguments.py). A strategy picks two by
the cosine of their embeddings, the mean last states of the answers without the question: hard, the
most similar; easy, the least; centroid; random (methods/selection.py). An annotator, who is right
with probability sigmoid(tau * difference of the scores), labels each pair. SFT on the chosen ones
of the random pairs gives pi_ref, and an epoch of DPO on each strategy's pairs a policy. All are
measured on the same new pairs, labelled without error:

    margin (10) = mean r(y+) - r(y-),   loss (11) = - mean log sigmoid(r(y+) - r(y-)),
    r = beta log(pi / pi_ref)           (the paper prints r without the log, and beta twice)

The policy is the output layer of a frozen model (methods/frozen.py).
"""
import time
from contextlib import closing

import harness  # noqa: F401  (first: it sets the path)
import torch
from tqdm import tqdm

from data import InputError
from domains.arguments import Writer, argument_domain
from domains.splits import Domain
from harness.command import count, exit_codes, number, run_parser, whole
from harness.figures import figure, plot_seeds
from harness.flags import MADE, SETTINGS
from harness.folder import results_folder
from harness.report import summarize
from harness.tables import mean_and_error, paired, plus_minus, print_columns, write_results
from methods import frozen
from methods.losses import RATIO_LOSSES
from methods.selection import STRATEGIES, Alignment
from models import backbones

FLAGS = {k: v for k, v in (SETTINGS | MADE).items() if k != "--set"}
NUMBERS = {"--tau": (1.0, "of the annotator, per flaw"), "--beta": (0.1, "of r and of the losses"),
           "--rate": (3e-3, "learning rate of SFT and of the epoch (AdamW)")}
PAPER = (  # what --paper --dry-run prints: sections 4.1 to 4.3 and appendices B and D, and ours
    ("", "the paper", "here"),
    ("models", "Phi-1.5, Pythia 2.8B, Llama 2 7B", "Gemma-3-270M, frozen, low-rank change of the "
     "output layer"),
    ("data", "SHP2, 3 responses a prompt; HH, one pair", "arguments of known flaws, 3 answers"),
    ("pairs to train on", "11k (SHP2), 21k and 22k (HH)", "100"),
    ("pairs to test on", "1.9k, 1.5k, 1.5k", "60, labelled without error"),
    ("SFT", "on chosen responses of a third of the data", "on those of the random pairs, 3 epochs"),
    ("training", "one epoch of DPO, batches of 64, 32, 16", "one epoch of DPO, batches of 8"),
    ("annotator", "votes of readers; GPT-4 for agreement", "right with probability "
     "sigmoid(tau * difference)"),
    ("beta, rate", "not stated", "0.1, 0.003, chosen on the search pool"))
ORDER = (("margin", "hard", "random"), ("margin", "random", "easy"), ("margin", "easy", "centroid"),
         ("label_error", "random", "hard"), ("label_error", "easy", "random"))  # each should rise


def read_flags(argv):
    p = run_parser(__doc__, "pair_selection", {}, FLAGS, n_train=100, n_test=60)
    add = p.add_argument
    add("--seeds", nargs="+", type=whole, default=[0, 1, 2, 3, 4], help="(0 1 2 3 4)")
    add("--losses", nargs="+", choices=RATIO_LOSSES, default=["DPO"], help="(DPO)")
    add("--answers", type=count, default=3, help="to a question, 2 to 4; of 2, half of the prompts "
        "are labelled, so that --n-train are (%(default)s)")
    add("--batch-size", type=count, default=8, help="pairs (%(default)s)")
    for name, (default, text) in NUMBERS.items():
        add(name, type=lambda text: number(float, 1e-9, 1e6, "a number above 0", text),
            default=default, help=f"{text} (%(default)s)")
    add("--paper", action="store_true", help="with --dry-run: the paper's setup beside ours")
    args = p.parse_args(argv)
    if args.paper and not args.dry_run:
        raise InputError("--paper: SHP2, HH and models of 1.3 to 7 B cannot be run here; add "
                         "--dry-run to see them")
    if not 2 <= args.answers <= 4:
        raise InputError(f"--answers {args.answers}: must be from 2 to 4")
    if len(set(args.seeds)) < len(args.seeds) or len(set(args.losses)) < len(args.losses):
        raise InputError("--seeds and --losses take each once")
    args.strategies = [s for s in STRATEGIES if s != "centroid" or args.answers > 2]
    return args


def begin(args, backbone, seed):
    """The `Alignment` of a seed: its answers, their scores and their embeddings."""
    n = args.n_train * (2 if args.answers == 2 else 1)
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
                if not start or start.seed != seed:
                    start = begin(args, backbone, seed)
                metrics, log = start.run(*name.split(", "))
                folder.write({"method": name, "seed": seed, "seconds": time.time() - began,
                              "log": log, "results": [{
                                  "method": name, "source": "arguments", "target": "arguments",
                                  "n_test": args.n_test, "metrics": metrics}]})
        return folder.runs_of(jobs)


def saved(runs, loss):
    """For each seed 1 - n_easy / n_random: n_easy labels of easy pairs give the margin that all
    n_random of the random pairs give; 0 where they do not."""
    logs = {(run["method"], run["seed"]): run["log"] for run in runs}
    shares = []
    for seed in dict.fromkeys(seed for _, seed in logs):
        easy, last = logs[f"{loss}, easy", seed], logs[f"{loss}, random", seed][-1]
        n = [r["labels"] for r in easy if r["margin"] >= last["margin"] and r["labels"]]
        shares.append(max(0.0, 1 - min(n, default=last["labels"]) / last["labels"]))
    return shares


def main(argv=None):
    args = read_flags(argv)
    if args.dry_run:
        if args.paper:
            print("the paper's setup, which cannot be run here, and ours")
        return print_columns(PAPER if args.paper else [
            (f"seed {seed}", loss, *args.strategies) for seed in args.seeds for loss in args.losses])
    args.device, args.dtype = backbones.pick_machine(args.device, args.dtype)
    chosen = {name: getattr(args, name) for name in (
        "model", "device", "dtype", "max_length", "n_train", "n_test", "part", "answers",
        "batch_size", "tau", "beta", "rate")}
    runs = train(args, chosen | {"model_checksum": backbones.checksum(args.model)})
    if not runs:
        return
    names = [f"{loss}, {name}" for loss in args.losses for name in args.strategies]
    rows = [row for loss in args.losses for row in summarize(
        [run for run in runs if run["method"].startswith(loss)], names, base=f"{loss}, random")]
    for loss in args.losses:
        rows.append({"method": f"{loss}, easy", "source": "arguments", "target": "arguments",
                     "metric": "labels_saved", **mean_and_error(saved(runs, loss)),
                     "seeds": args.seeds, "n_test": args.n_test, "paper": None, "paper_se": None,
                     "gain": None})
    write_results(args.out, "pair_selection", args.model, chosen | {"seeds": args.seeds}, rows,
                  sum(run["seconds"] for run in runs))
    draw(args, runs, rows)
    print_columns([("method", "metric", "mean", "less random", "p")] + [
        (r["method"], r["metric"], plus_minus(r), plus_minus(r["gain"], "+"),
         f"{r['gain']['p']:.2g}" if r["gain"] and r["gain"]["p"] else "") for r in rows])
    cells = {(r["method"], r["metric"]): r["values"] for r in rows}
    for loss in args.losses:
        for metric, low, high in ORDER:
            if {low, high} <= set(args.strategies):
                row = paired([a - b for a, b in zip(cells[f"{loss}, {high}", metric],
                                                    cells[f"{loss}, {low}", metric])])
                print(f"{loss}: {metric}, {high} less {low}: {plus_minus(row, '+')}, p = {row['p']}")


def draw(args, runs, rows):
    """Margins over labels, similarity over training (Figure 2), agreement (Figure 5); of DPO, or
    of the first loss."""
    loss = args.losses[0]
    with figure(args.out / "pair_selection.png", f"{loss}, thin: a seed, thick: their mean",
                (12, 3.8), 3) as axes:
        for name in args.strategies:
            logs = [run["log"] for run in runs if run["method"] == f"{loss}, {name}"]
            for ax, key in ((axes[0], "margin"), (axes[1], "alone"), (axes[1], "with_prompt")):
                plot_seeds(ax, [{r["labels"]: r[key] for r in log} for log in logs],
                           f"{name}, {key.replace('_', ' ')}" if ax is axes[1] else name)
        cells = {r["method"]: r for r in rows if r["metric"] == "agreement"}
        axes[2].bar(args.strategies, [cells[f"{loss}, {name}"]["mean"] for name in args.strategies],
                    yerr=[cells[f"{loss}, {name}"]["se"] or 0 for name in args.strategies])
        axes[0].set(xlabel="labels", title="margin on the test pairs")
        axes[1].set(xlabel="labels", title="cosine of chosen and rejected")
        axes[2].set(ylim=(0, 1), title="two annotators agree")
        axes[0].legend(frameon=False, fontsize=8), axes[1].legend(frameon=False, fontsize=6)


if __name__ == "__main__":
    with exit_codes():
        main()
