"""benchmark.py --growth: what a DIAL step costs while one thing grows to ten times the default: the
records of a batch, the tokens of a text, the responses to a prompt. Records are of random tokens.
"""
import random
import statistics

from tqdm import tqdm

import dial
from harness.tables import mean_and_error, print_columns
from speed import peers
from speed.meter import peak_memory, random_records, timed

FACTORS = (1, 2, 5, 10)
# What grows: (records, tokens of a prompt, of a response, responses a prompt), so many times.
KINDS = {"records": lambda f: (8 * f, 20, 3, 5),
         "tokens a text": lambda f: (8, 20 * f, 3 * f, 5),
         "responses a prompt": lambda f: (8, 20, 3, 5 * f)}


def grow(args):
    """Measure and print a line for each kind and factor; return the rows of results."""
    learner, rows = peers.Learner(args, "blocks"), []
    run, rng = peers.ours(learner, dial.dial_step), random.Random(0)
    lines = [("what grows", "times", "positions", "seconds a step", "GiB")]
    for kind, factor in tqdm([(k, f) for k in KINDS for f in FACTORS], dynamic_ncols=True):
        n, prompt, response, responses = KINDS[kind](factor)
        records = [random_records(rng, n, lambda: (prompt, response), responses) for _ in range(2)]
        memory = peak_memory(learner.device, run, *records) / 2**30  # and to warm up
        positions, seconds = zip(*(timed(learner.device, run, *records)
                                   for _ in range(args.repeats)))
        lines.append((kind, str(factor), str(positions[0]),
                      f"{statistics.median(seconds):.2f}", f"{memory:.2f}"))
        rows += [{"method": "DIAL", "source": f"{kind} x {factor}", "target": "", "metric": metric,
                  **mean_and_error(values), "n_test": positions[0], "paper": None}
                 for metric, values in (("seconds a step", [*seconds]), ("GiB", [memory]))]
    print_columns(lines)
    return rows
