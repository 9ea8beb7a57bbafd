"""What benchmark.py measures with: random records, seconds and memory."""
import ctypes
import math
import random
import time
from pathlib import Path

import torch

from data import Encoded


def random_records(n, seed, full=False):
    """Pairs of random tokens. Their lengths are like SHP's, log-normal with a sigma of .8 and means
    of 150 and 100 tokens; with `full` each text has 1024."""
    rng = random.Random(seed)

    def tokens(mean, longest):
        length = round(rng.lognormvariate(math.log(mean) - 0.32, 0.8))
        return rng.choices(range(10, 250), k=longest if full else min(longest, max(1, length)))

    prompts = [[2, *tokens(150, 613)] for _ in range(n)]
    return [Encoded(len(prompt), [prompt + tokens(100, 410) for _ in range(2)])
            for prompt in prompts]


def timed(run, *records):
    """(what `run` returns, seconds)."""
    start = time.perf_counter()
    value = run(*records)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return value, time.perf_counter() - start


def peak_memory(device, run, *records):
    """Bytes in use at most while `run` runs, above what was there before; 0 where nothing tells.
    It is not called while timing, because memory that was given back takes time to get again."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(*records)
        return torch.cuda.max_memory_allocated() - before
    try:
        import resource
        ctypes.CDLL(None).malloc_trim(0)  # give back what is free
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        run(*records)
        return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    except (ImportError, OSError, AttributeError, TypeError):  # not Linux
        return 0
