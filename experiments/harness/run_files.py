"""The file of a finished run: its name, and the checksum by which an edited one is noticed; and the
loop of commands that train no reward models on domains."""
import hashlib
import json
import re
import time
import zlib
from contextlib import closing

from filelock import FileLock, Timeout
from tqdm import tqdm

from data import InputError
from harness.tables import write_whole


def name(method, seed, pairs):
    """The name of a run's file; `pairs`: of its domains, (source, target), or of their names."""
    pairs = [(getattr(s, "name", s), getattr(t, "name", t)) for s, t in pairs]
    text = f"{method}-{seed}-{zlib.crc32(str(pairs).encode()):08x}.json"
    return re.sub(r"[*,]", "", text).replace(" ", "_")


def write(path, content):
    """Write a dictionary, and in it the SHA-256 of the rest."""
    write_whole(path, json.dumps(content | {"sha256": digest(content)}))


def digest(content):
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read(path, settings):
    """What `write` wrote: a run, or what runs have in common. Raises InputError for what this
    program has not written, or not so, and for other settings."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        if run.pop("sha256") != digest(run):
            raise ValueError
        kept = run["settings"]
        differs = differing(kept, settings)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path}: not a run of this program; move it away") from None
    if differs:
        sums = {"checksum": "data in the same files",
                "model_checksum": "weights in the same place"}
        first = min(differs, key=lambda name: (name in sums, name))
        what = (f"is of other {sums[first]}" if first in sums
                else f"has {first} {kept.get(first)}, not {settings.get(first)}")
        raise InputError(f"{path} {what}: choose another --out, or --overwrite")
    return run


def differing(kept, settings):
    """The names of the settings that differ; of checksums by file, those of the same file count."""
    def other(a, b):
        if isinstance(a, dict) and isinstance(b, dict):
            return any(a[key] != b[key] for key in a.keys() & b.keys())
        return a != b
    return [k for k in settings.keys() | kept.keys() if other(kept.get(k), settings.get(k))]


def held(lock):
    """Whether another process holds a lock."""
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def run_jobs(args, folder, jobs, train):
    """Train what is left of the jobs of a `Folder`, keep it, and return the runs of all: for
    commands that train something else than `runs.run_all` does. `train` takes method, seed and
    pairs of domains, and returns a dictionary with `results` and `log`."""
    left = folder.left(jobs)
    with closing(folder.take(jobs, args.overwrite)) as taken:
        for name, seed, pairs in tqdm(taken, "runs", len(left), disable=not left):
            began = time.time()
            try:
                run = train(name, seed, pairs)
            except FloatingPointError as error:
                raise InputError(f"{name}, seed {seed}: {error}") from None
            folder.write({"method": name, "seed": seed,
                          "seconds": round(time.time() - began, 1)} | run)
    return folder.runs_of(jobs)
