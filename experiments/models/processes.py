"""The processes that torchrun starts: how they begin and end together, and share one folder.

Process 0 alone prints, and reads and writes files. What it decides is broadcast to the others.
"""
import os
import signal
from contextlib import contextmanager, nullcontext
from datetime import timedelta

import torch

from data import InputError

PATIENCE = timedelta(days=7)  # process 0 may be busy alone; torchrun ends those whose peer is dead


def count():
    """How many processes there are; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank():
    """The number of this process."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def told(decide):
    """What a function returns in process 0, in every process."""
    if count() == 1:
        return decide()
    from torch.distributed import broadcast_object_list

    message = [None if rank() else decide()]
    broadcast_object_list(message, device=torch.device("cpu"))
    return message[0]


@contextmanager
def together(allowed):
    """Join the other processes, by NCCL between CUDA devices and gloo between CPUs.

    Process 0 alone prints. An error ends all processes, and the first to have one prints it.
    Raises InputError unless several processes are `allowed`.
    """
    import torch.distributed as dist

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # torchrun's, to those that wait for a dead peer
    try:
        store, *_ = next(dist.rendezvous("env://", timeout=PATIENCE))
    except (ValueError, KeyError) as error:
        raise InputError(f"WORLD_SIZE is set, but not by torchrun: {error}") from None
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    if rank() > 0:
        os.dup2(nowhere, 1), os.dup2(nowhere, 2)
    try:
        if not allowed:
            raise InputError("this command takes one process: start it without torchrun")
        backends = "gloo"
        if torch.cuda.is_available():  # "cuda" is then the process's own device
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
            backends = "cpu:gloo,cuda:nccl"
        dist.init_process_group(backends, store=store, rank=rank(), world_size=count(),
                                timeout=PATIENCE)
        yield
        dist.destroy_process_group()
    except BaseException as error:
        os.dup2(stderr if store.add("failed", 1) == 1 else nowhere, 2)
        if isinstance(error, dist.DistError) or "by peer" in str(error):  # gloo's words
            raise InputError("another process was ended") from None
        raise


def check(args, methods):
    """Raise InputError for flags that several processes cannot follow, or one.

    Args: methods: those of methods/table.py, by name.
    """
    for name in args.methods:
        method = methods[name]
        if method.language:
            raise InputError(f"{name} takes one process: start it without torchrun")
        line = args.training.get(name, args.training["others"]) if args.training else args
        n_records = line.batch_size * (len(method.labels) + method.reads_target)
        if method.step and n_records < count():
            raise InputError(f"{name}: {n_records} records a step for {count()} processes; raise "
                             "--batch-size")
    if args.shard and args.compile:
        raise InputError("--shard does not go with --compile")
    if args.device not in ("cpu", "cuda"):
        raise InputError(f"--device {args.device}: several processes take cpu or cuda")
    n_local, n_devices = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if args.device == "cuda" and n_local > n_devices:
        raise InputError(f"{n_local} processes on a machine with {n_devices} CUDA devices")


class SharedFolder:
    """Process 0's `harness.folder.Folder`, for all processes to go through the same runs. A job is
    (method, seed, [(source, target), ...])."""

    def __init__(self, folder):
        self.folder = folder  # None in the others

    def left(self, jobs):
        return list(self.follow(jobs, self.folder and self.folder.left(jobs)))

    def take(self, jobs, overwrite=False):
        return self.follow(jobs, self.folder and self.folder.take(jobs, overwrite))

    def follow(self, jobs, chosen):
        """Yield in each process the jobs that process 0 has `chosen`, one by one."""
        pairs = {(name, seed, s.name, t.name): (s, t) for name, seed, group in jobs
                 for s, t in group}
        named = ((name, seed, [(s.name, t.name) for s, t in group])
                 for name, seed, group in chosen or ())
        while job := told(lambda: next(named, None)):
            name, seed, names = job
            yield name, seed, [pairs[name, seed, *pair] for pair in names]

    def __getattr__(self, name):
        """What process 0 alone does: to_save, write and runs_of."""
        return getattr(self.folder, name) if self.folder else lambda *args: []


@contextmanager
def shared(results_folder, args, settings):
    """`harness.folder.results_folder` for several processes, which get a `SharedFolder`."""
    with nullcontext() if rank() else results_folder(args, settings) as folder:
        yield SharedFolder(folder)
