"""What benchmark.py measures with: seconds, memory, operations, random records."""
import ctypes
import math
import time
from pathlib import Path

import torch

from data import Encoded


def timed(device, run, *args):
    """(what `run` returns, seconds)."""
    synchronize(device)
    start = time.perf_counter()
    value = run(*args)
    synchronize(device)
    return value, time.perf_counter() - start


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def peak_memory(device, run, *args):
    """Bytes in use at most while `run` runs, above what was there before; 0 if not known (on a CPU
    only Linux tells). Not while timing: memory given back takes time to get again."""
    if device.type == "cuda":
        synchronize(device)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(*args)
        return torch.cuda.max_memory_allocated() - before

    def of_process(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))

    try:
        ctypes.CDLL(None).malloc_trim(0)  # give back what is free
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
        before = of_process("VmRSS:")
        run(*args)
        return of_process("VmHWM:") - before
    except (OSError, AttributeError, TypeError):
        return 0


def random_records(rng, n, lengths, responses=2):
    """Records of random tokens; `lengths` gives the prompt's and a response's."""
    def tokens(n):
        return [rng.randrange(10, 250) for _ in range(n)]

    prompts = [[2, *tokens(lengths()[0] - 1)] for _ in range(n)]
    return [Encoded(len(prompt), [prompt + tokens(lengths()[1]) for _ in range(responses)])
            for prompt in prompts]


def dialogue_lengths(rng):
    """Log-normal of mean 150 and 100, sigma .8, a text being at most 1024."""
    return [min(longest, max(2, round(rng.lognormvariate(math.log(mean) - 0.32, 0.8))))
            for mean, longest in ((150, 614), (100, 410))]
