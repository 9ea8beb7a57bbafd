"""Make files in the plain form (domains/records.py) from public data, or from your own.

    python experiments/prepare.py sib200 sib200/eng_Latn/train.tsv --out english.jsonl
    python experiments/prepare.py ukp UKPConvArg1Strict-CSV --max-words 45 --out short.jsonl
    python experiments/prepare.py plain my.jsonl --noise --out noisy.jsonl
    python experiments/prepare.py translate my.jsonl --to kor_Hang --out korean.jsonl
    python experiments/prepare.py formal my.jsonl --out formal.jsonl

--help lists the NAMEs, `NAME --help` the flags of one. Every record is checked, the flags choose
some of them and change their texts (--noise, translate, formal), and --out is written as a whole or
not at all. translate and formal keep what they have done in a file beside it, such as korean.done;
if you stop them, the same command goes on from there. A word ends at white space, so words in
Chinese or Thai are not counted. The licence of a data set says what you may use it for.
"""
import json
import random
import sys
from pathlib import Path
from statistics import fmean

import harness  # noqa: F401  (first: it sets the path)
from data import InputError
from domains.noise import NOISE, add_noise
from public.formats import FORMATS
from public.selection import (change_texts, choose, count_words, longer_wins, read_records,
                               texts, without_empty)
from domains.splits import PARTS
from harness.command import PARSER, Parser, count, exit_codes, probability, whole
from harness.tables import make_folder, write_whole
from public.rewriting import REWRITERS, rewrite, rewriting_flags


def parse(argv):
    """The flags, checked."""
    parser = Parser(description=__doc__, **PARSER)
    names = parser.add_subparsers(dest="name", metavar="NAME", required=True, prog=parser.prog)
    for name, function in (FORMATS | REWRITERS).items():
        p = names.add_parser(name, description=function.__doc__, help=function.__doc__, **PARSER)
        rewriting_flags(p, name) if name in REWRITERS else p.add_argument(
            "--noise", nargs="?", type=probability, const=NOISE, metavar="RATE",
            help=f"write as in a hurry, with a typo in so many of the words ({NOISE})")
        common_flags(p.add_argument)
    args = parser.parse_args(argv)
    if args.out.suffix not in (".jsonl", ".json"):  # an object a line in both
        raise InputError(f"--out {args.out}: the name must end in .jsonl or .json")
    if {args.out.resolve(), args.out.resolve().parent} & {file.resolve() for file in args.files}:
        raise InputError(f"--out {args.out}: is among the files to read")
    if abs(sum(args.fractions) - 1) > 1e-6:
        raise InputError(f"--fractions {args.fractions}: must sum to 1")
    if not args.part and args.fractions != p.get_default("fractions"):
        raise InputError("--fractions goes with --part")
    return args


def common_flags(add):
    add("files", nargs="+", type=Path, metavar="FILE",
        help="files; of ukp, plain and scores also folders")
    add("--out", type=Path, required=True, help="the file to write, .jsonl or .json")
    add("--part", choices=PARTS, help="this part only of a split by prompt, topic (ukp) or essay")
    add("--fractions", nargs=3, type=probability, default=[0.8, 0.1, 0.1], metavar="SHARE",
        help="of train, validation and test in that split (.8 .1 .1)")
    add("--skip-empty", action="store_true", help="leave out records with an empty text")
    add("--min-words", type=whole, default=0, metavar="N", help="in every response")
    add("--max-words", type=whole, default=10**6, metavar="N", help="in every response")
    add("--balance-length", action="store_true",
        help="the chosen response has the most words as often as the fewest")
    add("--limit", type=count, metavar="N", help="so many records at random")
    add("--seed", type=int, default=0,
        help="of what is random, but for the pairs of scores (%(default)s)")


def write(records, out):
    try:
        write_whole(out, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records))
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror}") from None


def main(argv=None):
    args = parse(argv)
    rng = random.Random(args.seed)
    found = list(read_records("plain" if args.name in REWRITERS else args.name, args.files))
    records = choose(found, args, rng)
    make_folder(args.out.parent)
    if args.name in REWRITERS:
        new = rewrite([text for record in records for text in texts(record)], args)
        records = [change_texts(record, new.get) for record in records]
    elif args.noise is not None:
        records = [change_texts(r, lambda text: add_noise(text, rng, args.noise)) for r in records]
    records = without_empty(records, args)
    if not records:
        raise InputError(f"{args.name}: of {len(found)} records none is left")
    write(records, args.out)
    words = fmean(n for record in records for n in count_words(record))
    pairs = [longer_wins(record) for record in records if "chosen" in record]
    note = f", the longer one wins in {fmean(pairs):.3f}" if pairs else ""
    print(f"{args.out}: {len(records)} records, {words:.0f} words a response{note}",
          file=sys.stderr)


if __name__ == "__main__":
    with exit_codes():
        main()
