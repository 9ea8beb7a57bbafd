"""What a DIAL step costs while one thing grows to ten times the default: the records of a batch,
the tokens of a text, the responses to a prompt.

    python experiments/growth.py --repeats 2              # minutes on two CPU cores

LoRA is on q and v of all layers, as in the paper; records are of random tokens.
"""
import random
import statistics
import time

from tqdm import tqdm

import support  # noqa: F401  (first of the project: it sets the path)
import dial
from support import peers
from support.figures import figure
from support.flags import Parser, command_line, make_folder
from support.meter import peak_memory, random_records, timed
from support.tables import mean_and_error, print_columns, write_results

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


def main(argv=None):
    p = Parser(__doc__)
    peers.measuring_flags(p, "growth")
    args = p.parse_args(argv)
    make_folder(args.out)
    start = time.time()
    lines = measure(args)
    print_columns([("what grows", "times", "positions", "seconds a step", "GiB")] + [
        (kind, str(f), str(n), f"{statistics.median(s):.2f}", f"{m:.2f}")
        for kind, f, n, s, m in lines])
    rows = [{"method": "DIAL", "source": f"{kind} x {factor}", "target": "", "metric": metric,
             **mean_and_error(values), "n_test": positions, "paper": None}
            for kind, factor, positions, seconds, memory in lines
            for metric, values in (("seconds a step", seconds), ("GiB", [memory]))]
    write_results(args.out, "growth", args.model, peers.settings(args), rows, time.time() - start)
    draw(lines, args.out / "growth.png", f"DIAL's step, {args.model}")


if __name__ == "__main__":
    command_line(main)
