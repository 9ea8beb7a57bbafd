"""Runs over methods, pairs of domains and seeds, and what they leave in a folder.

A run trains one method with one seed. Its results go to OUT/runs.jsonl and its steps to
OUT/log.jsonl as soon as it is done; with `--resume`, finished runs are taken from there.
"""
import json
import sys
import time

from tqdm import tqdm

import dial
import snapshots
from common import configure, make_folder
from data import InputError
from memory import memory_line
from methods import METHODS, SETTINGS, check_methods, labeled_domains, reads_target
from report import finish
from trainer import Trainer, steps

# Flags that two runs may differ in and still be of one table; all others must agree to --resume.
NO_SETTINGS = ("methods", "seeds", "source", "target", "all", "splits", "out", "resume", "save",
               "merge", "dry_run", "experiment")


def plan(methods, seeds, pairs):
    """Map each run to the pairs it is evaluated on.

    A run is (method, source or None, target or None, seed): None for a domain that the method does
    not look at, so that Src-Pref is trained once for all targets of a source.
    """
    runs = {}
    for seed in seeds:
        for method in methods:
            labels = METHODS[method]["labels"]
            if not labels and seed != seeds[0]:
                continue  # nothing random about it
            for source, target in pairs:
                s = source.name if "source" in labels else None
                t = target.name if reads_target(method) or "target" in labels else None
                runs.setdefault((method, s, t, seed), []).append((source, target))
    return runs


def run_and_report(args, title, pairs, paper, chance=0.5):
    """What a script ends in: all runs, then the table, the figure and results.json.

    Args:
        title: of the figure. pairs: as for `run`. paper: the paper's numbers, as for
            `report.summarize`. chance: the accuracy of guessing.
    """
    start = time.time()
    results, log = run(args, pairs)
    finish(args, results, log, paper, title, configure(args), time.time() - start, chance)


def run(args, pairs):
    """Train every method on every (source, target) pair of domains with every seed.

    Of several pairs there are no training curves, so `args.eval_every` is set to 0.

    Returns:
        (results, log): a dictionary for each run and pair, and one for each training step.
    """
    if len(pairs) > 1 and args.choose == ["last"]:
        args.eval_every = 0
    config, runs = configure(args), plan(check_methods(args.methods), args.seeds, pairs)
    check_choice(args, config, runs)
    if args.dry_run:
        describe(args, config, runs)
        sys.exit(0)
    settings = {k: v for k, v in vars(args).items() if k not in NO_SETTINGS}
    if args.choose == ["last"]:
        del settings["eval_every"]  # it changes no result
    results, log = earlier(args.out, settings) if args.resume else ([], [])
    todo, saved = unfinished(args, runs, results)
    trainer = Trainer(args, config) if todo else None
    if trainer:
        trainer.check(todo)
    open_folder(args.out, results, log, args.resume)
    for (method, _, _, seed), job in tqdm(todo.items(), desc="runs", dynamic_ncols=True):
        save = args.save and method not in saved
        saved.add(method)
        try:
            found, records = trainer.run(method, job, seed, save)
        except (InputError, KeyboardInterrupt):
            print("finished runs are kept: go on with --resume", file=sys.stderr)
            raise
        found = [r | {"settings": settings, "saved": save} for r in found]
        write_lines(args.out / "log.jsonl", records, "a")
        write_lines(args.out / "runs.jsonl", found, "a")
        results, log = results + found, log + records
    return results, log


def unfinished(args, runs, results):
    """What is left of `runs` after the finished ones, and the methods whose model is saved.

    Raises InputError where --save comes too late.
    """
    if args.merge and not args.save:
        raise InputError("--merge goes with --save")
    finished = {run_of(r) for r in results}
    todo = {key: [(s, t) for s, t in job if (key[0], s.name, t.name, key[3]) not in finished]
            for key, job in runs.items()}
    todo = {key: job for key, job in todo.items() if job}
    saved = {r["method"].split(",")[0] for r in results if r.get("saved")}
    late = {method for method, *_ in runs if method in dial.METHODS} - saved - {m for m, *_ in todo}
    if args.save and late:
        raise InputError(f"--save: the runs of {', '.join(sorted(late))} are finished and their "
                         "model was not kept; leave out --resume to train again")
    return todo, saved


def open_folder(folder, results, log, resume):
    """Make a folder with the earlier runs to go on from; without `resume`, put aside what an
    earlier command left there."""
    make_folder(folder)
    for name, records in (("runs.jsonl", results), ("log.jsonl", log)):
        path = folder / name
        if not resume and path.exists() and path.stat().st_size:
            path.replace(folder / f"previous_{name}")
        write_lines(path, records, "w")


def earlier(folder, settings):
    """The (results, log) of finished runs in a folder, all of these settings.

    A setting that is new since is taken to have had its default. Raises InputError for others.
    """
    results, log = read_lines(folder / "runs.jsonl"), read_lines(folder / "log.jsonl")
    defaults = {f.name: f.default for f in SETTINGS} | {"choose": ["last"]}
    for r in results:
        for name, value in json.loads(json.dumps(settings)).items():
            if (found := r["settings"].get(name, defaults.get(name))) != value:
                raise InputError(f"--resume: {folder} has runs with {name} {found}, not {value}: "
                                 "choose another --out, or the same settings")
    done = {run_of(r) for r in results}
    return results, [r for r in log if run_of(r) in done]


def run_of(record):
    """Which run a result or a step is of; several rules for a snapshot share one."""
    return (record["method"].split(",")[0], record["source"], record["target"], record["seed"])


def check_choice(args, config, runs):
    """Raise InputError where --choose asks for what cannot be done."""
    snapshots.check_rules(args.choose)
    if args.choose == ["last"]:
        return
    for (method, *_), pairs in runs.items():
        if method in dial.METHODS and len(pairs) > 1:
            raise InputError(f"--choose: {method} is trained once for {len(pairs)} pairs of "
                             "domains; give it one pair at a time")
        if method in dial.METHODS and not config.eval_every:
            raise InputError("--choose needs evaluations to choose among: --eval-every")
        if "oracle*" in args.choose and not all(t.validation and t.validation.test
                                                for _, t in pairs):
            raise InputError("--choose oracle*: the target has no labelled validation rows "
                             "(--validation-data)")


def describe(args, config, runs):
    """Print what would be run."""
    rows = f"{config.batch_size} + {config.batch_size}"
    print(f"{args.model}: {len(runs)} runs with {rows} rows a step")
    for (method, _, _, seed), pairs in runs.items():
        n = sum(len(domain.labeled) for domain in labeled_domains(method, *pairs[0]))
        length = f"{steps(args, n)} steps" if method in dial.METHODS else "no training"
        print(f"  {method}, seed {seed}, {length}: "
              f"{', '.join(f'{s.name} -> {t.name}' for s, t in pairs)}")
    print(memory_line(args))


def read_lines(path):
    """The records of a file, none where it is not there; a last line cut short is left out."""
    lines, records = path.read_text().splitlines() if path.exists() else [], []
    for i, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            if i < len(lines):
                raise InputError(f"{path}:{i}: not a record of this program") from None
    return records


def write_lines(path, records, mode):
    with open(path, mode) as f:
        f.writelines(json.dumps(record) + "\n" for record in records)
