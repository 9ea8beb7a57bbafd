"""benchmark.py --growth: what a DIAL step costs while one thing grows to ten times the default: the
records of a batch, the tokens of a text, the responses to a prompt. Records are of random tokens.
"""
import random
import statistics

from tqdm import tqdm

import dial
from harness.figures import figure
from harness.tables import mean_and_error, print_columns
from speed import peers
from speed.meter import peak_memory, random_records, timed

FACTORS = (1, 2, 5, 10)
# What grows: (records, tokens of a prompt, of a response, responses a prompt), so many times.
KINDS = {"records": lambda f: (8 * f, 20, 3, 5),
         "tokens a text": lambda f: (8, 20 * f, 3 * f, 5),
         "responses a prompt": lambda f: (8, 20, 3, 5 * f)}


def measure(args):
    """A line for each kind and factor: (kind, factor, positions, seconds of each step, GiB)."""
    learner, lines = peers.Learner(args, "blocks"), []
    run, rng = peers.ours(learner, dial.dial_step), random.Random(0)
    for kind, factor in tqdm([(k, f) for k in KINDS for f in FACTORS], dynamic_ncols=True):
        n, prompt, response, responses = KINDS[kind](factor)
        records = [random_records(rng, n, lambda: (prompt, response), responses) for _ in range(2)]
        memory = peak_memory(learner.device, run, *records) / 2**30  # and to warm up
        steps = [timed(learner.device, run, *records) for _ in range(args.repeats)]
        lines.append((kind, factor, steps[0][0], [seconds for _, seconds in steps], memory))
    return lines


def draw(lines, path, title):
    """Seconds and memory against the positions of the batch."""
    with figure(path, title, (9, 3.4), 2) as axes:
        for kind in KINDS:
            _, _, positions, seconds, memory = zip(*(line for line in lines if line[0] == kind))
            axes[0].plot(positions, [*map(statistics.median, seconds)], "o-", label=kind)
            axes[1].plot(positions, memory, "o-")
        for ax, label in zip(axes, ("seconds a step", "GiB")):
            ax.set(xlabel="positions in the batch", ylabel=label, xlim=0, ylim=0)
        axes[0].legend(frameon=False)


def grow(args):
    """Measure, print and draw; return the rows of results."""
    lines = measure(args)
    print_columns([("what grows", "times", "positions", "seconds a step", "GiB")] + [
        (kind, str(f), str(n), f"{statistics.median(s):.2f}", f"{m:.2f}")
        for kind, f, n, s, m in lines])
    draw(lines, args.out / "growth.png", f"DIAL's step, {args.model}")
    return [{"method": "DIAL", "source": f"{kind} x {factor}", "target": "", "metric": metric,
             **mean_and_error(values), "n_test": positions, "paper": None}
            for kind, factor, positions, seconds, memory in lines
            for metric, values in (("seconds a step", seconds), ("GiB", [memory]))]
