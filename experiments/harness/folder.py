"""The folder of a command, OUT, which processes with the same command share.

    OUT/runs/METHOD-SEED-....json         a finished run
    OUT/runs/METHOD-SEED-....checkpoint   the state of one that is not finished
    OUT/runs/METHOD-SEED-....lock         a run that a process has taken; free when that ends
    OUT/settings.json                     what the runs of those who write there have in common
    OUT/.lock                             held while one of them reads what there is, or takes a run
"""
import json
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from data import InputError
from harness import run_files
from harness.tables import made_with
from methods.table import METHODS


@contextmanager
def results_folder(args, settings):
    """Make args.out and yield its `Folder`; with --overwrite that looks away from earlier runs.

    Args: settings: all that a run depends on but for its method, seed and domains.
    Raises InputError for runs of other settings, and for a folder that cannot be used.
    """
    folder, models = Folder(args.out, settings, args.save), (args.out / "models").resolve()
    if (args.overwrite or args.save) and models in Path(args.model).resolve().parents:
        raise InputError(f"--model {args.model}: this would write over it; choose another --out")
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with folder.lock:
            if not args.overwrite:
                folder.read()
    except OSError as error:
        raise InputError(f"--out {args.out}: cannot be written: {error.strerror}") from None
    try:
        yield folder
    except BaseException:
        if folder.runs:
            print(f"finished runs are kept in {args.out}: the same command, without --overwrite, "
                  "goes on from there", file=sys.stderr)
        raise


class Folder:
    """The finished runs of a folder: `runs`, dictionaries by (method, seed, source, target). A job
    is (method, seed, [(source, target), ...]), a `Domain` each."""

    def __init__(self, out, settings, save=None):
        self.out, self.path, self.lock = out, out / "runs", FileLock(out / ".lock")
        self.settings, self.runs, self.save = json.loads(json.dumps(settings)), {}, save

    def read(self, overwrite=False):
        """Read the finished runs; with `overwrite` delete them, checkpoints and saved models.
        Raises InputError for other settings, of unfinished runs too; it deletes none at work."""
        at_work = any(map(run_files.held, self.path.glob("*.lock")))
        saved = [] if at_work else [*self.out.glob("models/*.part")]  # of a killed command
        if at_work and overwrite:
            raise InputError(f"--out {self.out}: another command is writing there")
        if at_work or not overwrite and any(self.path.glob("*.checkpoint")):
            run_files.read(self.out / "settings.json", self.settings)
        if overwrite:
            for path in (*self.path.glob("*.json*"), *self.path.glob("*.checkpoint*"),
                         *self.out.glob("results.json")):
                path.unlink()
            saved += [path.parent for path in self.out.glob("models/*/dial_config.json")]
        for path in saved:
            shutil.rmtree(path, ignore_errors=True)
        for path in sorted(self.path.glob("*.json")):
            self.add(run_files.read(path, self.settings))

    def add(self, run):
        if not (self.save and run["failure"]):  # else it is trained again
            self.runs |= {(run["method"], run["seed"], r["source"], r["target"]): run
                          for r in run["results"]}

    def left(self, jobs):
        """What of the jobs is not finished."""
        left = [(name, seed, [(s, t) for s, t in pairs
                              if (name, seed, s.name, t.name) not in self.runs])
                for name, seed, pairs in jobs]
        return [job for job in left if job[2]]

    def take(self, jobs, overwrite=False):
        """Yield the jobs that no other process has finished or taken, each taken meanwhile."""
        with self.lock:
            self.read(overwrite)
            run_files.write(self.out / "settings.json", {"settings": self.settings})
        before, left = None, self.left(jobs)
        if done := len(jobs) - len(left):
            print(f"{done} of {len(jobs)} runs are finished in {self.out}", file=sys.stderr)
        while left != before:  # a process that is killed gives its run back: look again
            before = left
            for name, seed, pairs in left:
                path = self.path / run_files.name(name, seed, pairs)
                try:
                    with self.lock:
                        taken = FileLock(path.with_suffix(".lock")).acquire(timeout=0)
                except Timeout:
                    continue
                with taken:
                    if path.exists():
                        self.add(run_files.read(path, self.settings))
                    if self.left([(name, seed, pairs)]):
                        yield name, seed, pairs
            left = self.left(jobs)

    def write(self, run):
        """Keep a run. Raises InputError where its model could not be saved."""
        run = {"settings": self.settings, "saved": None, "failure": None, **made_with()} | run
        pairs = list(dict.fromkeys((r["source"], r["target"]) for r in run["results"]))
        path = self.path / run_files.name(run["method"], run["seed"], pairs)
        run_files.write(path, run)
        self.add(run)
        if run["failure"]:
            raise InputError(f"--save: {run['method']}'s model was not kept: {run['failure']}; "
                             "the same command trains it again, without --save the others go on")
        path.with_suffix(".checkpoint").unlink(missing_ok=True)

    def to_save(self, asked, jobs):
        """The jobs that keep their model, `asked` for as "adapter" or "merged": the first of each
        method that is left. Raises InputError where all is trained, and nothing kept."""
        kept = {run["method"] for run in self.runs.values() if run["saved"] in ("merged", asked)}
        kept = {m for m in kept if [*self.out.glob(f"models/{m.rstrip('*')}/dial_config.json")]}
        wanted = {name for name, *_ in jobs if METHODS[name].step} - kept
        first = {job[0]: job for job in reversed(self.left(jobs))}
        if late := wanted - first.keys():
            raise InputError(f"--save: the runs of {', '.join(sorted(late))} are finished and "
                             "their model was not kept: choose another --out, or --overwrite")
        return [first[name] for name in wanted]

    def say_unsaved(self, asked, jobs):
        """A line where another process, which does not save, took the run whose model was asked."""
        try:
            asked and self.to_save(asked, jobs)
        except InputError as error:
            print(error, file=sys.stderr)

    def runs_of(self, jobs):
        """The runs of `jobs`, as asked for; none while other processes are at some of them."""
        with self.lock:
            self.read()
        if left := self.left(jobs):
            print(f"{len(left)} runs are with other processes, whose last one makes the table",
                  file=sys.stderr)
            return []
        for path in self.path.glob("*.json"):
            for left in (".lock", ".checkpoint"):
                path.with_suffix(left).unlink(missing_ok=True)
        runs = {}
        for name, seed, pairs in jobs:
            names = [(source.name, target.name) for source, target in pairs]
            for run in (self.runs[name, seed, *pair] for pair in names):
                runs[id(run)] = run | {"results": [
                    r for r in run["results"] if (r["source"], r["target"]) in names]}
        return list(runs.values())
