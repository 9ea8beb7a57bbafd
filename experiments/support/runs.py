"""Runs over methods, pairs of domains and seeds, and what they leave in a folder.

A run trains one method with one seed. Its results and its log are a file of their own, OUT/runs/
METHOD-SEED-....json, written when it is done, whole or not at all; `--resume` takes finished runs
from there.
"""
import time
from dataclasses import asdict, dataclass

from tqdm import tqdm

from data import InputError

from support import backbones, paper, paper_files
from support.folder import earlier, write_run, writing
from support.memory import memory_line
from support.methods import METHODS
from support.tables import print_columns
from support.trainer import Trainer
from support.training import training_of

# Flags that two runs may differ in and still be of one table; all others must agree to --resume,
# the whole DialConfig, which --set and --steps end in, and what --device and --dtype come to.
NO_SETTINGS = ("methods", "seeds", "source", "target", "all", "out", "resume", "save", "dry_run",
               "experiment", "preset", "set", "steps", "config", "eval_every", "checkpoint",
               "pairs")


@dataclass
class Job:
    """A run to do: the method is trained on the first of the pairs and measured on all."""

    method: str
    seed: int
    pairs: list  # of (source, target) domains

    @property
    def names(self):
        return [(source.name, target.name) for source, target in self.pairs]


def plan(args, domains):
    """The jobs of a command.

    Args:
        domains: a function from a seed to the (source, target) pairs of domains.
    Returns:
        a list of `Job`. A method that does not look at the target is trained once for all targets
        of a source.
    """
    jobs = {}
    for seed in args.seeds:
        pairs = domains(seed)
        names = [(source.name, target.name) for source, target in pairs]
        if len(set(names)) < len(names):
            raise InputError(f"twice the same pair of domains among {names}")
        for name in args.methods:
            method = METHODS[name]
            for source, target in pairs:
                key = (name, seed, source.name if "source" in method.labels else "",
                       target.name if method.reads_target or "target" in method.labels else "")
                jobs.setdefault(key, Job(name, seed, [])).pairs.append((source, target))
    return list(jobs.values())


def run_jobs(args, jobs):
    """Train and measure all jobs, or with --dry-run print what would be run.

    Returns:
        the runs, a dictionary for each: method, seed, settings, results, log, seconds.
    """
    if args.dry_run:
        describe(args, jobs)
        return []
    settings = {k: v for k, v in vars(args).items() if k not in NO_SETTINGS}
    settings |= asdict(args.config) | backbones.machine(args)
    finished = earlier(args.out / "runs", settings) if args.resume else []
    asked = list(dict.fromkeys(names for job in jobs for names in job.names))
    jobs = unfinished(args, jobs, finished)
    trainer = Trainer(args) if jobs else None
    if trainer:
        trainer.check(jobs)
    with writing(args) as folder:
        saved = kept_models(args, finished)
        for job in tqdm(jobs, desc="runs", dynamic_ncols=True):
            start, save = time.time(), bool(args.save and job.method not in saved
                                            and METHODS[job.method].step)
            results, log, failure = trainer.run(job, save)
            kept = args.save if save and not failure else None
            saved |= {job.method} if kept else set()
            finished.append({"method": job.method, "seed": job.seed, "settings": settings,
                             "saved": kept, "seconds": round(time.time() - start, 1),
                             "results": results, "log": log})
            write_run(folder, finished[-1])
            if failure:
                raise InputError(f"--save: the model of {job.method} was not kept: {failure}; "
                                 "without --save the other runs go on")
    place = {names: i for i, names in enumerate(asked)}  # finished runs are found in any order
    return sorted(finished, key=lambda run: min(
        place.get((r["source"], r["target"]), len(place)) for r in run["results"]))


def unfinished(args, jobs, finished):
    """What is left of the jobs. Raises InputError where --save comes too late."""
    done = {(run["method"], run["seed"], r["source"], r["target"])
            for run in finished for r in run["results"]}
    left = [Job(job.method, job.seed, [(s, t) for s, t in job.pairs
                                       if (job.method, job.seed, s.name, t.name) not in done])
            for job in jobs]
    left = [job for job in left if job.pairs]
    late = ({job.method for job in jobs if METHODS[job.method].step}
            - kept_models(args, finished) - {job.method for job in left})
    if args.save and late:
        raise InputError(f"--save: the runs of {', '.join(sorted(late))} are finished and their "
                         "model was not kept; leave out --resume to train again")
    return left


def kept_models(args, finished):
    """The methods whose model an earlier command kept, as --save asks for it."""
    return {run["method"] for run in finished if run["saved"] in ("merged", args.save or "adapter")}


def describe(args, jobs):
    """Print what would be run."""
    rows = "" if args.training else f" with {args.batch_size} + {args.batch_size} rows a step"
    print(f"{args.model}: {len(jobs)} runs{rows}")
    if args.training:
        print_columns(paper_table(args))
        often = f"every {args.eval_every} steps and " if args.eval_every else ""
        print(f"texts of at most {args.max_length} tokens; validated {often}at each epoch's end")
    for job in jobs:
        method = METHODS[job.method]
        config, _, epochs = training_of(args, job.method, *job.pairs[0])
        length = f"{epochs} epochs" if epochs else f"{config.steps} steps"
        print(f"  {job.method}, seed {job.seed}, {length if method.step else 'no training'}: "
              f"{', '.join(f'{s} -> {t}' for s, t in job.names)}")
    print(memory_line(args))
    if args.paper:
        print("files:", *paper_files.files(args), sep="\n  ")


def paper_table(args):
    """What --paper trains with: a line for all methods that train alike."""
    names = {}
    for name in args.methods:
        if METHODS[name].step:
            names.setdefault(paper.training(args, name), []).append(name)
    return [["methods", "epochs", "of the domain", "records of each", "learning rate",
             "weight decay"]] + [
        [", ".join(alike), str(line.epochs), line.epoch_of, str(line.batch_size),
         f"{line.learning_rate:g}", f"{line.weight_decay:g}"] for line, alike in names.items()]
