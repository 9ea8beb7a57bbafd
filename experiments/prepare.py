"""Turn public data sets, and one's own scores, into the plain form that the scripts read.

    python experiments/prepare.py sib200 sib200/eng_Latn/train.tsv --out english.jsonl
    python experiments/prepare.py ukp UKPConvArg1Strict-CSV --max-words 45 --part train \\
        --out short.jsonl
    python experiments/prepare.py ukp-ranks UKPConvArg1-Ranking-CSV --min-words 60 --part test \\
        --out long_scored.jsonl
    python experiments/prepare.py plain my.jsonl --noise --out noisy.jsonl

    NAME        files                                       a record
    sib200      SIB-200, .tsv                               a text; its topic beats the other topics
    copa        COPA, .xml, or XCOPA, .jsonl                a premise; the likelier cause or effect
    paradetox   ParaDetox, .tsv                             the civil wording beats the toxic one
    xstest      XSTest, completions of several models       answer safe questions, refuse the others
    ukp         UKPConvArg1Strict, folder of .csv           the more convincing of two arguments
    ukp-ranks   UKPConvArg1-Ranking, folder of .csv         an argument with its rank as a score
    scores      {"prompt", "response", "score"} of one's own: pairs of neighbouring scores (A.5)
    plain       whatever the scripts read already (HH-RLHF too; no conversations), to be filtered

Every record is checked as the scripts would check it. Which data may be used for what is for their
licences to say.
"""
import argparse
import json
import random
import statistics
import sys
from pathlib import Path

import support  # noqa: F401  (first: it sets the path)
import data
from data import InputError
from domains.noise import NOISE, add_noise
from domains.public import FORMATS
from domains.splits import split_items
from support.cli import Parser, command_line, count, make_folder, probability

PARTS = {"all": None, "train": 0, "validation": 1, "test": 2}


def responses(record):
    """The texts that are judged, the chosen one first."""
    if "chosen" not in record:
        return record["responses"] if "responses" in record else [record["response"]]
    rejected = record["rejected"]
    return [record["chosen"], *(rejected if isinstance(rejected, list) else [rejected])]


def texts(record):
    return [record["prompt"], *responses(record)]


def balance_length(records, rng):
    """As many pairs in which the chosen response is the longer as such in which it is shorter."""
    longer, shorter, same = [], [], []
    for record in records:
        chosen, *rejected = map(len, responses(record))
        kind = longer if chosen > max(rejected) else shorter if chosen < min(rejected) else same
        kind.append(record)
    n = min(len(longer), len(shorter))
    kept = rng.sample(longer, n) + rng.sample(shorter, n) + same
    return rng.sample(kept, len(kept))


def in_a_hurry(record, rng, rate):
    """The record with `add_noise` in all its texts."""
    def noisy(value):
        if isinstance(value, list):
            return [noisy(v) for v in value]
        return add_noise(value, rng, rate) if isinstance(value, str) else value

    return {name: noisy(value) for name, value in record.items()}


def longer_wins(records):
    """How often the longest response is the chosen one; ties count a share."""
    wins = []
    for record in records:
        lengths = [len(text) for text in responses(record)]
        wins.append((lengths[0] == max(lengths)) / lengths.count(max(lengths)))
    return statistics.fmean(wins)


def parse(argv):
    """The flags, checked."""
    p = Parser(__doc__)
    p.add_argument("name", choices=FORMATS, metavar="NAME", help=", ".join(FORMATS))
    p.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files, or folders (ukp)")
    p.add_argument("--out", type=Path, required=True, help="the file to write, .jsonl")
    p.add_argument("--part", choices=PARTS, default="all",
                   help="this part only of a split by prompt, for ukp by topic (all)")
    p.add_argument("--fractions", nargs=3, type=float, default=[0.8, 0.1, 0.1],
                   metavar=("TRAIN", "VALIDATION", "TEST"), help="of that split (.8 .1 .1)")
    p.add_argument("--skip-empty", action="store_true",
                   help="leave out preferences with an empty text, and say how many")
    p.add_argument("--min-words", type=int, default=1, help="in every response (1)")
    p.add_argument("--max-words", type=int, default=10**6, help="in every response (any)")
    p.add_argument("--balance-length", action="store_true",
                   help="the chosen response the longer one as often as the shorter one")
    p.add_argument("--noise", nargs="?", type=probability, const=NOISE, metavar="RATE",
                   help="write all texts as in a hurry, with a typo in so many of the words "
                        f"({NOISE})")
    p.add_argument("--limit", type=count, help="so many records at random")
    p.add_argument("--seed", type=int, default=0, help="of what the flags choose or change (0)")
    args = p.parse_args(argv)
    if args.out.suffix != ".jsonl":
        raise InputError(f"--out {args.out}: the name must end in .jsonl")
    if abs(sum(args.fractions) - 1) > 1e-6 or min(args.fractions) < 0:
        raise InputError(f"--fractions {args.fractions}: must be at least 0 and sum to 1")
    return args


def without_empty(found, args):
    """Those of the (group, record) whose texts all say something."""
    full = [(group, record) for group, record in found if all(map(str.strip, texts(record)))]
    if len(full) < len(found):
        count = f"{len(found) - len(full)} of {len(found)} records"
        if not args.skip_empty:
            raise InputError(f"{args.name}: {count} have an empty text; --skip-empty leaves such "
                             "records out")
        print(f"{count} left out: an empty text", file=sys.stderr)
    return full


def select(found, args, rng):
    """The records that the flags ask for, of all (group, record)."""
    if args.part != "all":
        groups = sorted({group for group, _ in found})
        part = set(split_items(groups, args.seed, args.fractions)[PARTS[args.part]])
        found = [(group, record) for group, record in found if group in part]
    records = [record for _, record in found
               if all(args.min_words <= len(text.split()) <= args.max_words
                      for text in responses(record))]
    if args.balance_length and records and "chosen" not in records[0]:
        raise InputError("--balance-length takes preferences")
    if args.balance_length:
        records = balance_length(records, rng)
    if args.limit is not None:
        records = rng.sample(records, min(args.limit, len(records)))
    if args.noise is None:
        return records
    return [in_a_hurry(record, rng, args.noise) for record in records]


def main(argv=None):
    args = parse(argv)
    found = list(FORMATS[args.name](args.files))
    records = select(without_empty(found, args), args, random.Random(args.seed))
    if not records:
        raise InputError(f"{args.name}: of {len(found)} records none is left by the flags that "
                         "choose among them")
    make_folder(args.out.parent)
    with open(args.out, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    labeled = "chosen" in records[0]
    load = data.load_test if "score" in records[0] else data.load_unlabeled
    load(args.out)  # what is wrong with any record is said now
    words = statistics.fmean(len(t.split()) for r in records for t in responses(r))
    note = f"; the longer response wins in {longer_wins(records):.3f}" if labeled else ""
    print(f"{args.out}: {len(records)} records, {words:.0f} words a response{note}",
          file=sys.stderr)


if __name__ == "__main__":
    command_line(main)
