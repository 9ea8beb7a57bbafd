"""Make files in the plain form (domains/records.py) from public data, or from your own.

    python experiments/prepare.py sib200 sib200/eng_Latn/train.tsv --out english.jsonl
    python experiments/prepare.py ukp UKPConvArg1Strict-CSV --max-words 45 --out short.jsonl

--help lists the NAMEs, `NAME --help` the flags. Every record is checked, the flags choose some of
them, and --out is written as a whole or not at all. A word ends at white space, so words in Chinese
or Thai are not counted. The licence of a data set says what you may use it for.
"""
import json
import random
import sys
from pathlib import Path

import harness  # noqa: F401  (first: it sets the path)
from data import InputError
from domains.records import each, kind_of, read_preference, read_scored, read_unlabeled
from domains.splits import PARTS, split_items
from harness.command import PARSER, Parser, count, exit_codes, whole
from harness.tables import make_folder, write_whole
from public.formats import FORMATS, GROUPS

FRACTIONS = (0.8, 0.1, 0.1)  # of train, validation and test


def parse(argv):
    """The flags, checked."""
    parser = Parser(description=__doc__, **PARSER)
    names = parser.add_subparsers(dest="name", metavar="NAME", required=True, prog=parser.prog)
    for name, read in FORMATS.items():
        add = names.add_parser(name, description=read.__doc__, help=read.__doc__,
                               **PARSER).add_argument
        add("files", nargs="+", type=Path, metavar="FILE", help="of ukp and plain also folders")
        add("--out", type=Path, required=True, help="the file to write, .jsonl or .json")
        add("--part", choices=PARTS,
            help="eight tenths, one or one of the prompts (of ukp, the topics)")
        add("--min-words", type=whole, default=0, metavar="N", help="in every response")
        add("--max-words", type=whole, default=10**6, metavar="N", help="in every response")
        add("--limit", type=count, metavar="N", help="so many records at random")
        add("--seed", type=int, default=0, help="of --part and --limit (%(default)s)")
    args = parser.parse_args(argv)
    if args.out.suffix not in (".jsonl", ".json"):  # an object a line in both
        raise InputError(f"--out {args.out}: the name must end in .jsonl or .json")
    if {args.out.resolve(), args.out.resolve().parent} & {file.resolve() for file in args.files}:
        raise InputError(f"--out {args.out}: is among the files to read")
    return args


def read_record(row, where, tokenizer=None):
    """A row as a dictionary in the plain form. Raises InputError for what cannot be used."""
    kind = kind_of(row)
    if kind == "scored":
        read, score = read_scored(row, where)
        return {"prompt": read.prompt, "response": read.responses[0], "score": score}
    read = (read_unlabeled if kind == "unlabeled" else read_preference)(row, where)
    return {name: value for name, value in vars(read).items()
            if name in ("prompt", "chosen", "rejected", "responses")}


def n_words(record):
    """The numbers of words of the responses."""
    return [len(text.split()) for name, value in record.items() if name not in ("prompt", "score")
            for text in ([value] if isinstance(value, str) else value)]


def choose(found, args):
    """The records that the flags ask for."""
    group = GROUPS[args.name]
    groups = sorted(set(map(group, found)))
    parts = dict(zip(PARTS, map(set, split_items(groups, args.seed, FRACTIONS))))
    records = [record for record in found if not args.part or group(record) in parts[args.part]]
    records = [record for record in records
               if all(args.min_words <= n <= args.max_words for n in n_words(record))]
    if not records:
        raise InputError(f"{args.name}: of {len(found)} records none is left")
    limit = min(args.limit or len(records), len(records))
    return random.Random(args.seed).sample(records, limit) if args.limit else records


def main(argv=None):
    args = parse(argv)
    records = choose(each(read_record, list(FORMATS[args.name](args.files))), args)
    make_folder(args.out.parent)
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    write_whole(args.out, "".join(lines))
    print(f"{args.out}: {len(records)} records", file=sys.stderr)


if __name__ == "__main__":
    with exit_codes():
        main()
