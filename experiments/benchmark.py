"""Measure what a training step costs: ours, the authors' recipe and TRL, by turns in one run.

    python experiments/benchmark.py                       # ten minutes on two CPU cores
    python experiments/benchmark.py --lengths lists       # two or three minutes

There are three kinds of records: `lists` are odd-one-out lists of desserts; `dialogues` are pairs
with lengths like SHP's (log-normal, prompts of 150 tokens on average and responses of 100, no text
above 1024); `full` are pairs of 1024 tokens. All get the same records and train the same LoRA (on q
and v of all layers, as in the paper), head and critic in the same precision. speed/peers.py says
what each of them does. TRL takes part if it is installed (`pip install trl`).
"""
import statistics
import time
from dataclasses import asdict

import torch
from tqdm import tqdm

import harness  # noqa: F401  (first of the project: it sets the path)
import data
import dial
from domains.foods import food_domain
from harness.command import count, exit_codes
from harness.flags import MACHINE, MEMORY, run_parser
from harness.tables import make_folder, mean_and_error, print_columns, write_results
from models.backbones import pick_machine
from speed import peers
from speed.meter import peak_memory, random_records, timed

SIZES = {"lists": 8, "dialogues": 4, "full": 2}  # records of each domain
PEER_OF = {"DIAL": "DIAL, authors' recipe", "Src-Pref": "Src-Pref, TRL"}


def records_of(kind, seed, tokenizer):
    """(labelled, unlabelled) records of a kind."""
    n = SIZES[kind]
    if kind != "lists":
        return [random_records(n, 2 * seed + i, kind == "full") for i in range(2)]
    return [data.encode(food_domain(name, seed, n_train=n, n_test=1).labeled, tokenizer, 1024)
            for name in ("desserts:en", "desserts:ko")]


def compare(args):
    """Measure everyone on every kind of records; return the rows of results."""
    own, padded = (peers.Learner(args, name) for name in ("blocks", "sdpa"))
    runs = {"DIAL": peers.ours(own, dial.dial_step), PEER_OF["DIAL"]: peers.padded_dial(padded),
            "Src-Pref": peers.ours(own, dial.preference_step)}
    try:
        runs[PEER_OF["Src-Pref"]] = peers.trl_preference(args)
    except ImportError as error:
        print(f"without TRL: {error}")
    rows = []
    for kind in args.lengths:
        measured = {name: {"seconds a step": [], "positions a token": [], "GiB": []}
                    for name in runs}
        for i in tqdm(range(args.repeats + 1), desc=kind, dynamic_ncols=True):
            labeled, unlabeled = records_of(kind, i, own.tokenizer)
            for name, run in runs.items():
                if i == 0:  # to warm up
                    memory = peak_memory(own.device, run, labeled, unlabeled)
                    measured[name]["GiB"] = [memory / 2**30]
                    continue
                positions, seconds = timed(run, labeled, unlabeled)
                if name in PEER_OF:  # ours comes before its peer, and has a position a token
                    tokens = positions
                measured[name]["seconds a step"].append(seconds)
                measured[name]["positions a token"].append(positions / tokens)
        rows += [{"method": name, "source": kind, "target": "", "metric": metric,
                  **mean_and_error(values), "n_test": SIZES[kind]}
                 for name, metrics in measured.items() for metric, values in metrics.items()]
    return rows


def table(rows):
    """Lines of medians, one for each kind of records and method."""
    values = {(r["source"], r["method"], r["metric"]): r["values"] for r in rows}
    lines = [("records", "method", "seconds a step", "ours is faster", "positions a token", "GiB")]
    for kind, method in dict.fromkeys(key[:2] for key in values):
        seconds, peer, positions, memory = (
            values.get((kind, name, metric)) for name, metric in (
                (method, "seconds a step"), (PEER_OF.get(method), "seconds a step"),
                (method, "positions a token"), (method, "GiB")))
        times = statistics.median(b / a for a, b in zip(seconds, peer)) if peer else None
        lines.append((kind, method, f"{statistics.median(seconds):.2f}",
                      f"{times:.1f} times" if times else "",
                      f"{statistics.median(positions):.2f}", f"{memory[0]:.2f}"))
    return lines


def main(argv=None):
    p = run_parser(__doc__, "benchmark", {}, MACHINE | MEMORY)
    p.tables = ()
    p.add_argument("--lengths", nargs="+", choices=list(SIZES), default=list(SIZES), help="(all)")
    p.add_argument("--repeats", type=count, default=5, help="steps of each (%(default)s)")
    args = p.parse_args(argv)
    args.device, args.dtype = pick_machine(args.device, args.dtype)
    make_folder(args.out)
    start, rows = time.time(), compare(args)
    print_columns(table(rows))
    settings = asdict(peers.CONFIG) | {"threads": torch.get_num_threads()} | {
        name: getattr(args, name) for name in ("device", "dtype", "repeats", "compile",
                                               "gradient_checkpointing")}
    write_results(args.out, "benchmark", args.model, settings, rows, time.time() - start)


if __name__ == "__main__":
    with exit_codes():
        main()
