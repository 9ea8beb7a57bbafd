"""OODPL: does a reward that is meta-learned on several domains guide a policy in a new one?

    python experiments/meta_reward.py                          # each food category left out once
    python experiments/meta_reward.py --data a.jsonl b.jsonl c.jsonl   # each file a domain

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
import itertools
import random
import statistics
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import harness  # noqa: F401  (first: it sets the path)
from tqdm import tqdm

from data import InputError
from domains.files import checksum, read_rows
from domains.foods import CATEGORIES, food_domain, read_foods
from domains.records import each, read_preference
from domains.splits import Domain
from harness.command import exit_codes, run_parser, whole
from harness.figures import plot_meta_reward
from harness.flags import KINDS, MADE, SETTINGS
from harness.folder import results_folder
from harness.report import summarize, words
from harness.settings import settings
from harness.tables import plus_minus, print_columns, write_results
from methods import frozen
from methods.meta import MetaConfig, Task
from models import backbones

METHODS, BASE = ("SFT", "DPO", "HPL", "BT + fit", "OODPL"), "BT + fit"


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
    if args.data and (len(args.data) < 3 or args.part != "test"):
        raise InputError("--data takes three files or more, and no --part")
    args.names = [Path(file).name for file in args.data] if args.data else list(CATEGORIES)
    if any(len(set(x)) < len(x) for x in (args.seeds, args.left_out or [], args.names)):
        raise InputError("--seeds, --left-out and the names of --data's files: each once")
    args.left_out = args.left_out or args.names
    if unknown := set(args.left_out) - set(args.names):
        raise InputError(f"--left-out {min(unknown)}: there are {', '.join(args.names)}")
    args.config = settings(MetaConfig, {}, args.set, "--set")
    return args


def own_rows(args):
    """{name: Preferences} of --data."""
    given, tokenizer = [read_rows(file) for file in args.data], backbones.load_tokenizer(args.model)
    args.checksum = checksum(*given)
    return {name: each(read_preference, rows, tokenizer) for name, rows in zip(args.names, given)}


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
                    task = task_of(args, rows, texts, domain.name, seed)
                    made_of = seed, domain.name
                metrics, log = task.run(name)
                result = {"method": name, "source": "the others", "target": domain.name,
                          "n_test": len(task.test.counts), "metrics": metrics}
                folder.write({"method": name, "seed": seed, "seconds": time.time() - began,
                              "log": log, "results": [result]})
        return folder.runs_of(jobs)


def main(argv=None):
    args = read_flags(argv)
    if args.dry_run:
        from paper.neighbours import OODPL, show
        return show(OODPL if args.paper else itertools.product(
            map(str, args.seeds), args.left_out, METHODS))
    args.device, args.dtype = backbones.pick_machine(args.device, args.dtype)
    chosen = {name: getattr(args, name) for name in (
        "model", "device", "dtype", "max_length", "n_train", "n_test", "part", "names")}
    chosen |= asdict(args.config) | {"model_checksum": backbones.checksum(args.model)}
    if not (runs := train(args, chosen)):
        return
    rows = summarize(runs, METHODS, base=BASE) + summarize(means(runs), METHODS, base=BASE)
    write_results(args.out, "meta_reward", args.model, runs[0]["settings"] | {"seeds": args.seeds},
                  rows, sum(run["seconds"] for run in runs))
    plot_meta_reward([run for run in runs if run["method"] == "OODPL"], args.config.beta,
                     args.out / "meta_reward.png")
    print_columns([("method", "left out", "metric", "mean", f"less {BASE}")] + [
        (r["method"], r["target"], r["metric"], plus_minus(r), r["gain"] and words(r["gain"]) or "")
        for r in rows])


def means(runs):
    """For each method and seed a run whose metrics are the means over the domains left out."""
    groups = {}
    for run in runs:
        groups.setdefault((run["method"], run["seed"]), []).append(run["results"][0])
    return [{"seed": seed, "results": [results[0] | {"target": "mean", "metrics": {
        k: statistics.fmean(result["metrics"][k] for result in results)
        for k in results[0]["metrics"]}}]} for (_, seed), results in groups.items()]


if __name__ == "__main__":
    with exit_codes():
        main()
