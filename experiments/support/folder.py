"""The folder of runs that a command leaves, and goes on from with --resume."""
import json
from contextlib import contextmanager
from datetime import datetime

from data import InputError

from support.flags import make_folder


def earlier(folder, settings):
    """The finished runs of a folder. Raises InputError for runs of other settings."""
    runs = []
    for path in sorted(folder.glob("*.json")):
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            differs = sorted(k for k in settings.keys() | run["settings"].keys()
                             if run["settings"].get(k) != settings.get(k))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{path}: not a run of this program") from None
        if differs:
            name = differs[0]
            raise InputError(f"--resume: {path} has {name} {run['settings'].get(name)}, not "
                             f"{settings.get(name)}: choose another --out, or the same settings")
        runs.append(run)
    return runs


def keep_aside(folder, resume):
    """Make the folder of runs; what an earlier command left there goes aside, unless resumed."""
    if not resume and folder.exists():
        folder.rename(folder.with_name(f"runs-{datetime.now():%Y%m%d-%H%M%S-%f}"))
    make_folder(folder)


def write_whole(path, record):
    """Write JSON, all of it or nothing."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record), encoding="utf-8")
    part.replace(path)


@contextmanager
def locked(folder):
    """Raise InputError if another command is writing to this folder; ends with the process."""
    with open(folder / ".lock", "w") as f:
        try:
            import fcntl
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass  # Windows: two commands on one folder are up to the user
        except OSError:
            raise InputError(f"--out {folder}: another command is writing there") from None
        yield
