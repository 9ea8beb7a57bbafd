"""OODPL: does a reward that is meta-learned on several domains guide a policy in a new one?

    python experiments/meta_reward.py                          # each food category left out once
    python experiments/meta_reward.py --data a.jsonl b.jsonl c.jsonl   # each file a domain

All domains but one have labelled preferences. A policy is measured on the one left out, of which
there are only unlabelled texts: its lists, each with all items as answers. SFT fits the policy to
the texts of all domains; all else begins with that.

    DPO, HPL          train the policy on the preferences; nothing adapts it to the new domain
    BT + fit          a Bradley-Terry reward weighs the new domain's texts, and the policy is fitted
                      to them (the paper has PPO in the place of the fit)
    OODPL             the same with a reward that methods/bilevel.py learned

The policy is the output layer of a frozen model (methods/frozen.py). The reward is linear in the
last token's state less the prompt's mean. No training list has an item of the category left out: it
would show the reward that category's items, and only as right answers. The labels are those of
odd_one_out.py --source others --n-train 60.
"""
import random
import statistics
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import harness  # noqa: F401  (first: it sets the path)
from data import InputError
from domains.files import checksum, read_rows
from domains.foods import CATEGORIES, food_domain
from domains.records import each, read_preference
from domains.splits import Domain
from harness.command import exit_codes, settings
from harness.figures import plot_meta_reward
from harness.flags import KINDS, MADE, RUNS, SETTINGS, run_parser
from harness.folder import results_folder
from harness.report import summarize, words
from harness.run_files import run_jobs
from harness.tables import plus_minus, print_columns, write_results
from methods import frozen
from methods.meta import MetaConfig, Task
from models import backbones, opening

METHODS, BASE = ("SFT", "DPO", "HPL", "BT + fit", "OODPL"), "BT + fit"
FLAGS = SETTINGS | MADE | {name: RUNS[name] for name in ("--seeds", "--truncate")}


def read_flags(argv):
    p = run_parser(__doc__, "meta_reward", {}, FLAGS, n_train=60, n_test=60, seeds=[*range(5)])
    p.tables, add = [({}, MetaConfig)], p.add_argument
    add("--left-out", nargs="+", metavar="NAME", help="domains to leave out, in turn (each)")
    add("--data", nargs="+", metavar="FILE", help=f"labelled preferences, a domain each: {KINDS}")
    add("--paper", action="store_true", help="with --dry-run: the paper's setup beside ours")
    args = p.parse_args(argv)
    if args.data and (len(args.data) < 3 or args.part != "test"):
        raise InputError("--data takes three files or more, and no --part")
    args.names = [Path(file).name for file in args.data] if args.data else list(CATEGORIES)
    args.left_out = args.left_out or args.names
    if len(set(args.names)) < len(args.names):
        raise InputError("--data: two files have one name")
    if unknown := set(args.left_out) - set(args.names):
        raise InputError(f"--left-out {min(unknown)}: there are {', '.join(args.names)}")
    args.config = settings(MetaConfig, {}, args.set, "--set")
    return args


def rows_of(args, seed, left_out, own=()):
    """{domain: Preferences}: of the one left out what is measured on, of the others what to train
    on; `own`: for each domain all rows of --data."""
    rows, rng = {}, random.Random(seed)
    for name, given in zip(args.names, own):
        n = args.n_test if name == left_out else args.n_train
        rows[name] = rng.sample(given, min(n, len(given)))
    for name in () if own else args.names:
        domain = food_domain(name, seed, args.part, args.n_train, args.n_test, without=left_out)
        rows[name] = domain.test if name == left_out else domain.labeled
    return rows


def train(args, jobs):
    """Train what is not finished in --out; return the runs."""
    given, tokenizer = [read_rows(f) for f in args.data or ()], backbones.load_tokenizer(args.model)
    own = [each(read_preference, rows, tokenizer) for rows in given]
    chosen = asdict(args.config) | {name: getattr(args, name) for name in (
        "model", "device", "dtype", "max_length", "truncate", "n_train", "n_test", "part", "names")}
    chosen |= {"model_checksum": opening.checksum(args.model),
               "checksum": checksum(*given) if given else None}

    @lru_cache(len(args.left_out))  # those of a seed
    def task(seed, left_out):
        texts = frozen.read(args, backbone, rows_of(args, seed, left_out, own))
        return Task(test=texts.pop(left_out), train=texts.values(), config=args.config, seed=seed)

    def run(method, seed, pairs):
        results, log = [], []
        for source, target in pairs:
            metrics, steps = task(seed, target.name).run(method)
            results.append({"method": method, "source": source.name, "target": target.name,
                            "n_test": len(task(seed, target.name).test.counts), "metrics": metrics})
            log += [{"target": target.name} | record for record in steps]
        return {"results": results, "log": log}

    with results_folder(args, chosen) as folder:
        if folder.left(jobs):
            backbone = backbones.load(args.model, args.device, args.dtype)
        return run_jobs(args, folder, jobs, run)


def whole(runs):
    """The runs, one for each method and seed: earlier commands may have left out other domains."""
    found = {}
    for run in runs:
        asked = {result["target"] for result in run["results"]}
        run = run | {"log": [record for record in run["log"] if record["target"] in asked]}
        key = run["method"], run["seed"]
        found[key] = run | {name: found[key][name] + run[name]
                            for name in ("results", "log", "seconds")} if key in found else run
    return list(found.values())


def mean(run):
    """A run with one result, the means over the domains left out."""
    metrics = [result["metrics"] for result in run["results"]]
    return run | {"results": [run["results"][0] | {"target": "mean", "metrics": {
        name: statistics.fmean(m[name] for m in metrics) for name in metrics[0]}}]}


def main(argv=None):
    args = read_flags(argv)
    if args.paper:
        from paper.neighbours import show
        return show(args, "OODPL")
    pairs = [(Domain("the others"), Domain(name)) for name in args.left_out]
    jobs = [(method, seed, pairs) for seed in args.seeds for method in METHODS]
    if args.dry_run:
        return print_columns([(method, f"seed {seed}", *args.left_out) for method, seed, _ in jobs])
    args.device, args.dtype = backbones.pick_machine(args.device, args.dtype)
    if not (runs := whole(train(args, jobs))):
        return
    rows = [row for some in (runs, map(mean, runs)) for row in summarize(some, METHODS, base=BASE)]
    write_results(args.out, "meta_reward", args.model, runs[0]["settings"] | {"seeds": args.seeds},
                  rows, sum(run["seconds"] for run in runs))
    plot_meta_reward([run for run in runs if run["method"] == "OODPL"], args.config.beta,
                     args.out / "meta_reward.png")
    print_columns([("method", "left out", "metric", "mean", f"less {BASE}")] + [
        (r["method"], r["target"], r["metric"], plus_minus(r), r["gain"] and words(r["gain"]) or "")
        for r in rows])


if __name__ == "__main__":
    with exit_codes():
        main()
