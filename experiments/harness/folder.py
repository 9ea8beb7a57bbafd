"""The folder of a command, OUT: a file for each finished run, OUT/runs/METHOD-SEED-....json, and no
other command that writes there at the same time."""
import json
import re
import shutil
import sys
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from data import InputError
from harness.tables import write_whole
from methods.table import METHODS


@contextmanager
def results_folder(out, settings, overwrite=False):
    """Make OUT for this command alone, and yield a `Folder` of the finished runs in it.

    Args:
        settings: all that a run depends on but for its method, seed and domains.
        overwrite: whether to look away from what an earlier command left (`Folder.clear`).
    Raises InputError for runs of other settings, and for a folder that cannot be used.
    """
    try:
        (out / "runs").mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock", timeout=0).acquire()
    except Timeout:
        raise InputError(f"--out {out}: another command is writing there") from None
    except OSError as error:
        raise InputError(f"--out {out}: this folder cannot be written: {error.strerror}") from None
    with lock:
        folder = Folder(out / "runs", out / "models", json.loads(json.dumps(settings)))
        for path in [] if overwrite else sorted(folder.path.glob("*.json")):
            folder.add(folder.read(path))
        try:
            yield folder
        except BaseException:
            if folder.runs:
                same = "the same command without --overwrite" if overwrite else "the same command"
                print(f"finished runs are kept in {out}: {same} goes on from there",
                      file=sys.stderr)
            raise


@dataclass
class Folder:
    """The finished runs of a folder, dictionaries with `method`, `seed` and `results`."""

    path: Path  # OUT/runs
    models: Path  # OUT/models
    settings: dict
    runs: dict = field(default_factory=dict)  # by (method, seed, source, target)

    def read(self, path):
        """A run file. Raises InputError for one of other settings."""
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            found = run["settings"]
            differs = [k for k in self.settings.keys() | found.keys()
                       if found.get(k) != self.settings.get(k)]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{path}: not a run of this program") from None
        if differs:
            name = min(differs, key=lambda name: (name == "checksum", name))
            what = (f"has {name} {found.get(name)}, not {self.settings.get(name)}"
                    if name != "checksum" else "is of other data in the same files")
            raise InputError(f"{path} {what}: choose another --out, or --overwrite")
        return run

    def add(self, run):
        self.runs |= {(run["method"], run["seed"], r["source"], r["target"]): run
                      for r in run["results"]}

    def clear(self):
        """Delete OUT/runs/*.json and the saved models in OUT/models, and nothing else that is
        there. Raises InputError where --model is one of them."""
        if self.models.resolve() in Path(self.settings["model"]).resolve().parents:
            raise InputError(f"--model {self.settings['model']}: --overwrite would delete it")
        for path in self.path.glob("*.json"):
            path.unlink()
        for path in self.models.glob("*/dial_config.json"):  # `saving.save` wrote it
            shutil.rmtree(path.parent, ignore_errors=True)

    def write(self, run):
        """Keep a run, in a file named after its method, seed and pairs of domains. Raises
        InputError where its model could not be saved."""
        names = list(dict.fromkeys((r["source"], r["target"]) for r in run["results"]))
        name = f"{run['method']}-{run['seed']}-{zlib.crc32(str(names).encode()):08x}.json"
        run = {"method": run["method"], "seed": run["seed"], "settings": self.settings} | run
        write_whole(self.path / re.sub(r"[*,]", "", name).replace(" ", "_"), json.dumps(run))
        self.add(run)
        if run.get("failure"):
            raise InputError(f"--save: the model of {run['method']} was not kept: "
                             f"{run['failure']}; without --save the other runs go on")

    def to_save(self, asked, jobs, left):
        """The methods of which the next run keeps its model, `asked` for as "adapter" or "merged".
        Raises InputError where it is too late: all is trained, and nothing kept."""
        kept = {run["method"] for run in self.runs.values() if run["saved"] in ("merged", asked)}
        wanted = {name for name, *_ in jobs if METHODS[name].step} - kept
        if late := wanted - {name for name, *_ in left}:
            raise InputError(f"--save: the runs of {', '.join(sorted(late))} are finished and "
                             "their model was not kept: choose another --out, or --overwrite")
        return wanted

    def runs_of(self, jobs):
        """The runs that belong to `jobs`, in their order, with the results that were asked for."""
        runs = {}
        for name, seed, pairs in jobs:
            names = [(source.name, target.name) for source, target in pairs]
            for run in (self.runs[name, seed, *pair] for pair in names):
                runs[id(run)] = run | {"results": [
                    r for r in run["results"] if (r["source"], r["target"]) in names]}
        return list(runs.values())
