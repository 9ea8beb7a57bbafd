"""Cross-lingual transfer (section 3.1): preferences labelled in one language, carried to another without labels.

    python experiments/cross_lingual.py                                    # English -> Korean, minutes on a laptop
    python experiments/cross_lingual.py --target desserts:th               # en, ko, th, zh; see foods.py
    python experiments/cross_lingual.py --source-data en.jsonl --target-data ko.jsonl --eval-data ko_test.jsonl

The default trains on odd-one-out lists of desserts in English, with the same lists' kind in Korean unlabelled. With one's own
files (see data.py for their columns): the source has preferences; the target may have labels, which training never reads
unless an oracle method is asked for; the evaluation data, of the target domain, have preferences.
"""
import time
from pathlib import Path

from common import Domain, command_line, parser, run  # first: puts the modules below on the path
import data
from foods import food_domain
from odd_one_out import LAPTOP
from report import plot_training, print_table, summarize, write_results

PAPER = (0.621, 0.661)  # abstract: Src-Pref -> DIAL, the average over three subreddits and three languages of SHP


def own_domains(args):
    """The two domains of --source-data, --target-data and --eval-data."""
    missing = [name for name in ("source_data", "target_data", "eval_data") if not getattr(args, name)]
    if missing:
        raise data.InputError(f"own data take three files: --{missing[0].replace('_', '-')} is missing")
    source = data.load_preferences(args.source_data)
    train, _, held_out = data.split_by_prompt(source)
    oracle = any(name.endswith("*") or name.startswith("Tgt") for name in args.methods)
    return (Domain(Path(args.source_data).name, labeled=train, unlabeled=[], test=held_out),
            Domain(Path(args.target_data).name, unlabeled=data.load_unlabeled(args.target_data),
                   labeled=data.load_preferences(args.target_data) if oracle else [],
                   test=data.load_preferences(args.eval_data)))


def main(argv=None):
    p = parser(__doc__, "cross_lingual", LAPTOP | {"eval_every": 20})
    p.add_argument("--source", default="desserts:en", help="labelled domain, category:language (%(default)s)")
    p.add_argument("--target", default="desserts:ko", help="unlabelled domain (%(default)s)")
    for name, text in (("source", "labelled preferences"), ("target", "texts, labelled or not"), ("eval", "labelled preferences")):
        p.add_argument(f"--{name}-data", help=f"{text}: a file, a folder or hub:owner/name/file, instead of the lists of foods")
    args = p.parse_args(argv)
    start = time.time()
    if args.source_data or args.target_data or args.eval_data:
        source, target = own_domains(args)
    else:
        source, target = food_domain(args.source), food_domain(args.target)
    runs, log = run(args, [(source, target)])
    rows = summarize(runs, {})
    print_table(rows)
    means = {row["method"]: row["mean"] for row in rows if row["metric"] == "accuracy"}
    if {"Src-Pref", "DIAL"} <= means.keys():
        print(f"gain of DIAL over Src-Pref: {means['DIAL'] - means['Src-Pref']:+.3f}; in the paper {PAPER[1] - PAPER[0]:+.3f} "
              f"({PAPER[0]} -> {PAPER[1]}, SHP with Gemma-2b, average of nine)")
    write_results(args, "cross_lingual", rows, time.time() - start)
    plot_training(log, args.out / "training.png", f"{source.name} to {target.name}")


if __name__ == "__main__":
    command_line(main)
