"""The folder of runs that a command leaves, and goes on from with --resume."""
import json
import re
import shutil
import sys
import zlib
from contextlib import contextmanager
from datetime import datetime

from data import InputError

from support.flags import make_folder


def earlier(folder, settings):
    """The finished runs of a folder. Raises InputError for runs of other settings."""
    runs, settings = [], json.loads(json.dumps(settings))  # as they are read
    for path in sorted(folder.glob("*.json")):
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            differs = [k for k in settings.keys() | run["settings"].keys()
                       if run["settings"].get(k) != settings.get(k)]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{path}: not a run of this program") from None
        if differs:
            name = min(differs, key=lambda name: (name == "checksum", name))
            what = (f"has {name} {run['settings'].get(name)}, not {settings.get(name)}"
                    if name != "checksum" else "is of other data in the same files")
            raise InputError(f"--resume: {path} {what}: choose another --out, or the same settings")
        runs.append(run)
    return runs


def write_run(folder, run):
    """Write a run to a file named after its method, seed and pairs of domains."""
    names = list(dict.fromkeys((r["source"], r["target"]) for r in run["results"]))
    name = f"{run['method']}-{run['seed']}-{zlib.crc32(str(names).encode()):08x}.json"
    write_whole(folder / re.sub(r"[*,]", "", name).replace(" ", "_"), json.dumps(run))


def write_whole(path, text):
    """Write a file, all of it or nothing."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


@contextmanager
def writing(args):
    """Make OUT and OUT/runs, which is yielded, for this command alone; runs of an earlier one, and
    with --save its models, go aside, unless they are resumed, and come back where this one
    finishes no run."""
    make_folder(args.out)
    with locked(args.out):
        folder, aside = args.out / "runs", {}  # path: where what was there went, if it was
        paths = [folder, *[args.out / "models"] * bool(getattr(args, "save", None))]
        date = f"{datetime.now():%Y%m%d-%H%M%S-%f}"
        try:
            for path in [] if args.resume else paths:
                aside[path] = (path.rename(path.with_name(f"{path.name}-{date}"))
                               if path.exists() else None)
            make_folder(folder)
            yield folder
        except BaseException:
            if any(folder.glob("*.json")):
                print("finished runs are kept: go on with --resume", file=sys.stderr)
            else:
                for path, moved in aside.items():
                    shutil.rmtree(path, ignore_errors=True)
                    moved and moved.rename(path)
            raise


@contextmanager
def locked(folder):
    """Raise InputError if another command is writing to this folder; ends with the process."""
    try:
        f = open(folder / ".lock", "w")
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written: {error.strerror}") from None
    with f:
        try:
            import fcntl
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass  # Windows: two commands on one folder are up to the user
        except OSError:
            raise InputError(f"--out {folder}: another command is writing there") from None
        yield
