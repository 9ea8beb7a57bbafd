"""Rewards of new text, by a reward model that was saved here or by anybody's.

    python experiments/score.py runs/cross_lingual/models/DIAL my_test.jsonl
    python experiments/score.py runs/cross_lingual/models/DIAL my_texts.jsonl --out rewards.jsonl

MODEL is a folder that --save left, its `merged`, or a sequence classifier with one label, a folder
or a name on the hub. FILE is read as the commands read it (domains/records.py). For preferences it
prints the accuracy with a 95 % interval (Wilson's), and beside it the accuracy of choosing the
longer response, for each `subset` if the file has that column, as RewardBench's has. For prompts
with responses it prints the rewards, a JSON object a line; with --out these go to a file, for
preferences, too.
"""
import json
import math
import sys
from pathlib import Path

import harness  # noqa: F401  (first: it sets the path)
import torch

import data
import dial
from data import InputError
from domains import records
from domains.files import read_rows
from domains.splits import Domain
from harness.command import PARSER, Parser, count, exit_codes
from harness.tables import make_folder, print_columns, write_whole
from models.scorer import load_scorer
from reading.fields import kind_of


def wilson(accuracy, n, z=1.96):
    """The 95 % interval of Wilson's for a share of n."""
    center = (accuracy + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def read(path, tokenizer):
    """(records, subset of each, whether they are preferences)."""
    rows = read_rows(path)
    labeled = kind_of(rows[0][1]) == "preference"
    reader = records.read_preference if labeled else records.read_unlabeled
    found, subsets = zip(*records.each(
        lambda row, *rest: (reader(row, *rest), str(row.get("subset", ""))), rows, tokenizer))
    return found, subsets, labeled


def table(rows, subsets, rewards):
    """A line for each subset, and one for all."""
    lengths = [torch.tensor([float(len(text.split())) for text in row.responses]) for row in rows]
    names = list(dict.fromkeys(subsets))
    lines = [("subset", "accuracy", "95 % interval", "the longer one", "n")]
    for name in [*names, None] if len(names) > 1 else [None]:
        index = [i for i, subset in enumerate(subsets) if name in (None, subset)]
        right, longer = (dial.accuracy([values[i] for i in index]) for values in (rewards, lengths))
        low, high = wilson(right, len(index))
        lines.append((name or "all", f"{right:.3f}", f"{low:.3f} to {high:.3f}", f"{longer:.3f}",
                      str(len(index))))
    return lines


def main(argv=None):
    p = Parser(description=__doc__, **PARSER)
    p.add_argument("model", metavar="MODEL", help="the reward model")
    p.add_argument("file", metavar="FILE", help="preferences, or prompts with responses")
    p.add_argument("--out", type=Path, help="the file for the rewards, a JSON object a line")
    p.add_argument("--max-length", type=count, default=1024, help="in tokens (%(default)s)")
    p.add_argument("--truncate", action="store_true", help="cut longer texts, as in training")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (%(default)s)")
    p.add_argument("--dtype", choices=["auto", "float32", "bfloat16"], default="auto",
                   help="of the model; auto: bfloat16 where it is fast")
    args = p.parse_args(argv)
    scorer, tokenizer = load_scorer(args.model, args.device, args.dtype)
    rows, subsets, labeled = read(args.file, tokenizer)
    encoded = data.encode(rows, tokenizer, args.max_length, args.truncate, args.file)
    if labeled:  # what teaches nothing measures nothing
        n_tokens = len(scorer.classifier.get_input_embeddings().weight)
        Domain(args.file).check("preferences", encoded, n_tokens)
    batches = data.evaluation_batches(encoded, pad_id=tokenizer.pad_token_id, share=False)
    rewards = dial.predict(scorer, batches, args.file, len(encoded))
    lines = [json.dumps({"prompt": row.prompt, "response": response, "reward": reward},
                        ensure_ascii=False) for row, values in zip(rows, rewards)
             for response, reward in zip(row.responses, values.tolist())]
    if args.out:
        make_folder(args.out.parent)
        try:
            write_whole(args.out, "\n".join(lines) + "\n")
        except OSError as error:
            raise InputError(f"--out {args.out}: cannot be written: {error.strerror}") from None
        print(f"{args.out}: {len(lines)} rewards", file=sys.stderr)
    if labeled:
        print_columns(table(rows, subsets, rewards))
    elif not args.out:
        print(*lines, sep="\n")


if __name__ == "__main__":
    with exit_codes():
        main()
