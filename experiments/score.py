"""Rewards of new text, by a reward model that was saved here or by anybody's.

    python experiments/score.py runs/cross_lingual/models/DIAL my_test.jsonl
    python experiments/score.py runs/cross_lingual/models/DIAL my_texts.jsonl --out rewards.jsonl

MODEL is a folder that --save left, its `merged`, or a sequence classifier with one label, a folder
or a name on the hub. FILE is read as the commands read it (domains/records.py). For preferences it
prints the accuracy with a 95 % interval (Wilson's), and beside it the accuracy of choosing the
longer response, for each `subset` if the file has that column, as RewardBench's has. For texts with
scores it prints the correlations. For prompts with responses it prints the rewards, a JSON object a
line. With --out the rewards go to a file, of all three kinds.
"""
import json
import sys
from pathlib import Path

import harness  # noqa: F401  (first: it sets the path)
import data
import dial
from data import InputError
from domains import records
from domains.correlation import say_counted
from domains.files import read_rows
from domains.splits import Domain
from harness.command import PARSER, Parser, count, exit_codes
from harness.flags import MACHINE
from harness.tables import make_folder, print_columns, write_whole
from methods.untrained import longest
from models.saving import load_scorer
from reading.fields import kind_of, with_our_names


def read(path, tokenizer):
    """(a domain with the records, the subset of each, their kind)."""
    rows = read_rows(path)
    kind = kind_of(rows[0][1])
    for where, row in rows:
        if kind != "preference" and "chosen" in with_our_names(row):
            raise InputError(f"{where}: is a preference, unlike the first record")
    if kind == "scored":
        try:
            domain = Domain(path, None, None, *records.to_measure(rows, tokenizer))
            say_counted(path, domain)
            return domain, None, kind
        except InputError as error:
            print(f"no correlations: {error}", file=sys.stderr)
            kind = "unlabeled"
    reader = records.read_preference if kind == "preference" else records.read_unlabeled
    found, subsets = zip(*records.each(
        lambda row, *rest: (reader(row, *rest), str(row.get("subset", ""))), rows, tokenizer))
    return Domain(path, test=found), subsets, kind


def table(rows, subsets, rewards):
    """A line for each subset, and one for all."""
    from scipy.stats import binomtest  # it takes a second
    lengths, names = longest(Domain("", test=rows)), list(dict.fromkeys(subsets))
    lines = [("subset", "accuracy", "95 % interval", "the longer one", "n")]
    for name in [*names, None] if len(names) > 1 else [None]:
        index = [i for i, subset in enumerate(subsets) if name in (None, subset)]
        right, longer = (dial.accuracy([values[i] for i in index]) for values in (rewards, lengths))
        low, high = binomtest(round(right * len(index)), len(index)).proportion_ci(method="wilson")
        lines.append(("all" if name is None else name or "none", f"{right:.3f}",
                      f"{low:.3f} to {high:.3f}", f"{longer:.3f}", str(len(index))))
    return lines


def main(argv=None):
    p = Parser(description=__doc__, **PARSER)
    p.add_argument("model", metavar="MODEL", help="the reward model")
    p.add_argument("file", metavar="FILE", help="preferences, texts with scores, or prompts with "
                   "responses")
    p.add_argument("--out", type=Path, help="the file for the rewards, a JSON object a line")
    p.add_argument("--max-length", type=count, default=1024, help="in tokens (%(default)s)")
    p.add_argument("--truncate", action="store_true", help="cut longer texts, as in training")
    for flag in ("--device", "--dtype"):
        p.add_argument(flag, **MACHINE[flag])
    args = p.parse_args(argv)
    if args.out and args.out.resolve() == Path(args.file).resolve():
        raise InputError(f"--out {args.out}: is the file to read")
    scorer, tokenizer = load_scorer(args.model, args.device, args.dtype)
    domain, subsets, kind = read(args.file, tokenizer)
    encoded = data.encode(domain.test, tokenizer, args.max_length, args.truncate, args.file)
    # what teaches nothing measures nothing
    domain.check("unlabeled" if kind == "unlabeled" else "test", encoded, scorer.classifier)
    batches = data.evaluation_batches(encoded, pad_id=tokenizer.pad_token_id, share=False)
    rewards = dial.predict(scorer, batches, args.file, len(encoded))
    lines = [json.dumps({"prompt": row.prompt, "response": response, "reward": reward},
                        ensure_ascii=False) for row, values in zip(domain.test, rewards)
             for response, reward in zip(row.responses, values.tolist())]
    if args.out:
        make_folder(args.out.parent)
        write_whole(args.out, "\n".join(lines) + "\n")
        print(f"{args.out}: {len(lines)} rewards", file=sys.stderr)
    if kind == "preference":
        print_columns(table(domain.test, subsets, rewards))
    elif kind == "scored":
        print_columns([(name, f"{value:.3f}") for name, value in domain.measure(rewards).items()])
    elif not args.out:
        print(*lines, sep="\n")


if __name__ == "__main__":
    with exit_codes():
        main()
