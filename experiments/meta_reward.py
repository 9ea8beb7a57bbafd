"""OODPL: does a reward that is meta-learned on several domains guide a policy in a new one?

    python experiments/meta_reward.py                          # each food category left out once
    python experiments/meta_reward.py --data a.jsonl b.jsonl c.jsonl     # preferences, a domain each

Of every domain but one, the training domains, there are labelled preferences. A policy is then
measured on the one left out, of which there are only unlabelled texts: its lists, each with all
items as answers. SFT fits the policy to the texts of all domains, and is what all else begins with.

    DPO, HPL          train the policy on the preferences; nothing adapts it to the new domain
    BT + fit          a Bradley-Terry reward weighs the new domain's texts, and the policy is fitted
                      to them (the paper has PPO in the place of the fit)
    OODPL             the same with a reward that methods/bilevel.py learned

The policy is the output layer of a frozen model (methods/frozen.py). The reward is linear in the
last token's state less the prompt's mean. A training list whose odd item is of the category left
out is not used: it would show the reward that category's items, and only as right answers.
"""
import random
import statistics
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import harness  # noqa: F401  (first: it sets the path)
import torch
from tqdm import tqdm

from data import InputError
from domains.files import checksum, read_rows
from domains.foods import CATEGORIES, food_domain, read_foods
from domains.splits import Domain
from harness.command import exit_codes, run_parser, whole
from harness.figures import figure, plot_seeds
from harness.flags import KINDS, MADE, SETTINGS
from harness.folder import results_folder
from harness.report import summarize
from harness.settings import settings
from harness.tables import mean_and_error, paired, plus_minus, print_columns, write_results
from methods import frozen
from methods.meta import MetaConfig, Task
from models import backbones

METHODS, BASE = ("SFT", "DPO", "HPL", "BT + fit", "OODPL"), "BT + fit"
PAPER = (  # what --paper --dry-run prints: the paper's section 3.5 and appendix E, and ours
    ("", "the paper", "here"),
    ("policy", "Flan-T5 XXL (11 B), LoRA and the output layer", "Gemma-3-270M, frozen, low-rank "
     "change of the output layer"),
    ("reward", "Flan-T5 XXL, LoRA and a value head", "linear in a frozen state"),
    ("domains", "Amazon reviews, one of 4 left out; SHP, 3 of 18", "foods, one of 5 left out"),
    ("texts, preferences", "1,000 and 500 (reviews); 2,706 to 57,096 and 113 to 3,154 (SHP)",
     "60 lists, 240 pairs"),
    ("baseline", "PPO with a Bradley-Terry reward", "a fit to the texts that this reward weighs"),
    ("measure", "share of pairs (23), a reward's and GPT-4's judgement", "share of pairs (23)"),
    ("alpha, beta, D", "from ranges; our copy of the paper has lost them", "1, 2, 5"))


def read_flags(argv):
    p = run_parser(__doc__, "meta_reward", {}, SETTINGS | MADE, n_train=60, n_test=60)
    p.tables, add = [({}, MetaConfig)], p.add_argument
    add("--seeds", nargs="+", type=whole, default=[0, 1, 2, 3, 4], help="(0 1 2 3 4)")
    add("--left-out", nargs="+", metavar="NAME", help="domains to leave out, in turn (each)")
    add("--data", nargs="+", metavar="FILE", help=f"labelled preferences, a domain each: {KINDS}")
    add("--paper", action="store_true", help="with --dry-run: the paper's setup beside ours")
    args = p.parse_args(argv)
    if args.paper and not args.dry_run:
        raise InputError("--paper: Flan-T5 XXL and the paper's 22 domains cannot be run here; add "
                         "--dry-run to see them")
    for name in ("seeds", "left_out", "data"):
        if len(set(values := getattr(args, name) or [])) < len(values):
            raise InputError(f"--{name.replace('_', '-')} takes each once")
    if args.data and (len(args.data) < 3 or args.part != "test"):
        raise InputError("--data takes three files or more, and no --part")
    args.names = [Path(file).name for file in args.data] if args.data else list(CATEGORIES)
    args.left_out = args.left_out or args.names
    if unknown := set(args.left_out) - set(args.names):
        raise InputError(f"--left-out {min(unknown)}: there are {', '.join(args.names)}")
    args.config = settings(MetaConfig, {}, args.set, "--set")
    return args


def own_rows(args):
    """{name: Preferences} of --data."""
    from domains import records
    given, tokenizer = [read_rows(file) for file in args.data], backbones.load_tokenizer(args.model)
    args.checksum = checksum(*given)
    return {name: records.each(records.read_preference, rows, tokenizer)
            for name, rows in zip(args.names, given)}


def rows_of(args, seed, own=None):
    """{(domain, part): Preferences}, of the parts labeled, to train on, and test."""
    if own:
        rng, sizes = random.Random(seed), {"labeled": args.n_train, "test": args.n_test}
        return {(name, part): rng.sample(rows, min(n, len(rows)))
                for name, rows in own.items() for part, n in sizes.items()}
    domains = {name: food_domain(name, seed, args.part, args.n_train, args.n_test)
               for name in args.names}
    return {(name, part): getattr(domain, part)
            for name, domain in domains.items() for part in ("labeled", "test")}


def task_of(args, rows, texts, left_out, seed):
    """The `Task` of a domain left out; training lists with an item of it are not used."""
    items = {row["en"] for row in read_foods() if row["category"] == left_out}
    others = [name for name in args.names if name != left_out]
    train = [texts[name, "labeled"].select([i for i, row in enumerate(rows[name, "labeled"])
                                            if row.chosen not in items]) for name in others]
    return Task(train, texts[left_out, "test"], args.config, seed)


def train(args, settings):
    """Train what is not finished in --out; return the runs."""
    own = own_rows(args) if args.data else None
    with results_folder(args, settings | {"checksum": getattr(args, "checksum", None)}) as folder:
        jobs = [(name, seed, [(Domain("the others"), Domain(left_out))]) for seed in args.seeds
                for left_out in args.left_out for name in METHODS]
        left, made_of, task = folder.left(jobs), None, None
        if left:
            backbone = backbones.load(args.model, args.device, args.dtype)
        with closing(folder.take(left, args.overwrite)) as taken:
            for name, seed, [(_, domain)] in tqdm(taken, "runs", len(left), disable=not left):
                began = time.time()
                if not made_of or made_of[0] != seed:
                    rows = rows_of(args, seed, own)
                    texts = frozen.read(args, backbone, rows)
                if made_of != (seed, domain.name):
                    task, made_of = task_of(args, rows, texts, domain.name, seed), (seed, domain.name)
                metrics, log = task.run(name)
                folder.write({
                    "method": name, "seed": seed, "seconds": time.time() - began, "log": log,
                    "results": [{"method": name, "source": "the others", "target": domain.name,
                                 "n_test": len(task.test.counts), "metrics": metrics}]})
        return folder.runs_of(jobs)


def main(argv=None):
    args = read_flags(argv)
    if args.dry_run:
        if args.paper:
            print("the paper's setup, which cannot be run here, and ours")
        return print_columns(PAPER if args.paper else [
            (f"seed {seed}, without {name}", *METHODS) for seed in args.seeds
            for name in args.left_out])
    args.device, args.dtype = backbones.pick_machine(args.device, args.dtype)
    chosen = {name: getattr(args, name) for name in (
        "model", "device", "dtype", "max_length", "n_train", "n_test", "part", "names")}
    runs = train(args, chosen | asdict(args.config) | {
        "model_checksum": backbones.checksum(args.model)})
    if not runs:
        return
    rows = summarize(runs, METHODS, base=BASE)
    write_results(args.out, "meta_reward", args.model, runs[0]["settings"] | {"seeds": args.seeds},
                  rows + means(rows), sum(run["seconds"] for run in runs))
    draw(args, [run for run in runs if run["method"] == "OODPL"])
    print_columns([("method", "left out", "metric", "mean", "less BT + fit", "p")] + [
        (r["method"], r["target"], r["metric"], plus_minus(r), plus_minus(r["gain"], "+"),
         f"{r['gain']['p']:.2g}" if r["gain"] and r["gain"]["p"] else "")
        for r in rows + means(rows)])


def means(rows):
    """For each method and metric the mean over the domains left out, paired by seed."""
    made = []
    for method, metric in dict.fromkeys((r["method"], r["metric"]) for r in rows):
        own, base = ([r["values"] for r in rows if (r["method"], r["metric"]) == (m, metric)]
                     for m in (method, BASE))
        own, base = ([*map(statistics.fmean, zip(*values))] for values in (own, base))
        made.append({"method": method, "source": "all", "target": "all", "metric": metric,
                     **mean_and_error(own), "seeds": rows[0]["seeds"], "n_test": rows[0]["n_test"],
                     "paper": None, "paper_se": None, "gain": None if method == BASE else paired(
                         [a - b for a, b in zip(own, base)])})
    return made


def draw(args, runs):
    """Figure 3: accuracy over the outer steps. Figure 5: the weights by beta. And the running mean
    of the squared norm of dF/dphi, beside 1 / sqrt(steps)."""
    with figure(args.out / "meta_reward.png", "OODPL, mean over seeds", (12, 3.8), 3) as axes:
        for name in args.left_out:
            own = [run["log"] for run in runs if run["results"][0]["target"] == name]
            plot_seeds(axes[0], [{r["step"]: r["pairs"] for r in log if "pairs" in r}
                                 for log in own], name)
            squares = [statistics.fmean(log[i]["gradient"] ** 2 for log in own)
                       for i in range(len(own[0]))]
            total = [sum(squares[: i + 1]) / (i + 1) for i in range(len(squares))]
            axes[2].loglog(range(1, len(total) + 1), total, label=name)
        axes[2].loglog(range(1, len(total) + 1), [total[0] / i**0.5 for i in
                                                  range(1, len(total) + 1)], "k:", label="rate")
        rewards = torch.tensor([r for run in runs for r in run["log"][-1]["rewards"]])
        for factor in (0.25, 1, 4):
            beta = factor * args.config.beta
            axes[1].hist((rewards / beta).exp().log10().tolist(), 60, histtype="step", density=True,
                         label=f"beta = {beta:g}")
        axes[0].set(xlabel="outer steps", title="share of pairs, domain left out")
        axes[1].set(xlabel="log10 of the weight", title="weights of the final reward")
        axes[2].set(xlabel="outer steps", title="mean of |dF/dphi|^2 so far; dotted: 1 / sqrt(steps)")
        axes[0].legend(frameon=False, fontsize=8), axes[1].legend(frameon=False, fontsize=8)


if __name__ == "__main__":
    with exit_codes():
        main()
