"""Measure what a training step costs: ours, the authors' recipe and TRL, by turns in one run.

    python experiments/benchmark.py                       # ten minutes on two CPU cores
    python experiments/benchmark.py --lengths lists       # two or three minutes
    python experiments/benchmark.py --growth --repeats 2  # DIAL's step while its batch grows

There are three kinds of records: `lists` are odd-one-out lists of desserts; `dialogues` are pairs
with lengths like SHP's (log-normal, prompts of 150 tokens on average and responses of 100, no text
above 1024); `full` are pairs of 1024 tokens. All get the same records and train the same LoRA (on q
and v of all layers, as in the paper), head and critic in the same precision. speed/peers.py says
what each of them does. TRL takes part if it is installed (`pip install trl`).
"""
import random
import statistics
import time

from tqdm import tqdm

import harness  # noqa: F401  (first of the project: it sets the path)
import data
import dial
from domains.foods import food_domain
from harness.command import count, exit_codes, run_parser
from harness.flags import MACHINE, MEMORY
from harness.tables import make_folder, mean_and_error, print_columns, write_results
from speed import peers
from speed.growth import grow
from speed.meter import dialogue_lengths, peak_memory, random_records, timed

SIZES = {"lists": 8, "dialogues": 4, "full": 2}  # records of each domain
PEER_OF = {"DIAL": "DIAL, authors' recipe", "Src-Pref": "Src-Pref, TRL"}


def batches_of(name, n, repeats, tokenizer):
    """Yield (labelled, unlabelled) records of a kind, `n` each."""
    rng, lists = random.Random(0), []
    if name == "lists":
        for domain in ("desserts:en", "desserts:ko"):
            rows = food_domain(domain, n_train=n * repeats, n_test=1).labeled
            lists.append(data.encode(rows, tokenizer, 1024))
    for i in range(repeats):
        if name == "lists":
            yield [rows[i * n: (i + 1) * n] for rows in lists]
        else:
            lengths = ((lambda: dialogue_lengths(rng)) if name == "dialogues"
                       else (lambda: (614, 410)))
            yield [random_records(rng, n, lengths) for _ in range(2)]


def compare(args):
    """Measure everyone on every kind of records; print; return the rows of results."""
    own, padded = (peers.Learner(args, name) for name in ("blocks", "sdpa"))
    runs = {"DIAL": peers.ours(own, dial.dial_step), PEER_OF["DIAL"]: peers.padded_dial(padded),
            "Src-Pref": peers.ours(own, dial.preference_step)}
    try:
        runs[PEER_OF["Src-Pref"]] = peers.trl_preference(args)
    except ImportError as error:
        print(f"without TRL: {error}")
    rows = []
    for length in args.lengths:
        n, found, memory = args.pairs or SIZES[length], {name: [] for name in runs}, {}
        batches = list(batches_of(length, n, args.repeats + 1, own.tokenizer))
        for i, (labeled, unlabeled) in enumerate(tqdm(batches, desc=length, dynamic_ncols=True)):
            for name, run in runs.items():
                if i == 0:  # to warm up
                    memory[name] = peak_memory(own.device, run, labeled, unlabeled)
                    continue
                records = labeled + unlabeled if name.startswith("DIAL") else labeled
                tokens = data.pack(records)["input_ids"].numel()
                positions, seconds = timed(own.device, run, labeled, unlabeled)
                found[name].append({
                    "seconds a step": seconds, "records a second": len(records) / seconds,
                    "tokens a second": tokens / seconds, "positions a token": positions / tokens,
                    "GiB": memory[name] / 2**30})
        for name, steps in found.items():
            for metric in steps[0]:
                values = [step[metric] for step in steps]
                rows.append({"method": name, "source": length, "target": "", "metric": metric,
                             **mean_and_error(values), "median": statistics.median(values),
                             "n_test": n, "paper": None})
    table(rows)
    return rows


def table(rows):
    """Medians by kind of records and method; seconds with the least and the most."""
    cells = {(r["source"], r["method"], r["metric"]): r for r in rows}
    names = ("records a second", "tokens a second", "positions a token", "GiB")
    lines = [("records", "method", "seconds a step", "ours is faster", *names)]
    for length, method in dict.fromkeys(key[:2] for key in cells):
        row, peer = (cells.get((length, name, "seconds a step"))
                     for name in (method, PEER_OF.get(method)))
        ratios = [b / a for a, b in zip(row["values"], peer["values"])] if peer else []
        lines.append((length, method, f"{row['median']:.2f} ({min(row['values']):.2f} to "
                      f"{max(row['values']):.2f})",
                      f"{statistics.median(ratios):.1f} times" if ratios else "",
                      *(f"{cells[length, method, name]['median']:.2f}" for name in names)))
    print_columns(lines)


def main(argv=None):
    p = run_parser(__doc__, "benchmark", {}, MACHINE | MEMORY)
    p.tables, add = (), p.add_argument
    add("--lengths", nargs="+", choices=list(SIZES), default=list(SIZES), help="(all)")
    add("--pairs", type=count, help="records of each domain in all of them, instead of "
        + ", ".join(f"{n} {name}" for name, n in SIZES.items()))
    add("--growth", action="store_true", help="DIAL's step while its batch grows, instead")
    add("--repeats", type=count, default=5, help="steps of each (%(default)s)")
    args = p.parse_args(argv)
    make_folder(args.out)
    start, name = time.time(), "growth" if args.growth else "benchmark"
    rows = grow(args) if args.growth else compare(args)
    write_results(args.out, name, args.model, peers.settings(args), rows, time.time() - start)


if __name__ == "__main__":
    with exit_codes():
        main()
