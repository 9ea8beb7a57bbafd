"""Make files in the plain form (domains/records.py) from public data, or from your own.

    python experiments/prepare.py sib200 sib200/eng_Latn/train.tsv --out english.jsonl
    python experiments/prepare.py plain harmless.jsonl --max-words 45 --out short.jsonl
    python experiments/prepare.py translate my.jsonl --to kor_Hang --out korean.jsonl
    python experiments/prepare.py formal my.jsonl --out formal.jsonl

--help lists the NAMEs, `NAME --help` the flags of one. Every record is checked, the flags choose
some of them, translate and formal change their texts, and --out is written as a whole or not at
all. translate and formal keep what they have done in a file beside it, such as korean.done; if you
stop them, the same command goes on from there. A word ends at white space, so words in Chinese or
Thai are not counted. The licence of a data set says what you may use it for.
"""
import json
import random
import sys
from pathlib import Path

import harness  # noqa: F401  (first: it sets the path)
from data import InputError
from domains.records import each
from public.formats import FORMATS
from public.selection import change_texts, choose, read_record, texts
from domains.splits import PARTS
from harness.command import PARSER, Parser, count, exit_codes, whole
from harness.tables import make_folder, write_whole
from public.rewriting import REWRITERS, rewrite, rewriting_flags


def parse(argv):
    """The flags, checked."""
    parser = Parser(description=__doc__, **PARSER)
    names = parser.add_subparsers(dest="name", metavar="NAME", required=True, prog=parser.prog)
    for name, function in (FORMATS | REWRITERS).items():
        p = names.add_parser(name, description=function.__doc__, help=function.__doc__, **PARSER)
        if name in REWRITERS:
            rewriting_flags(p, name)
        common_flags(p.add_argument)
    args = parser.parse_args(argv)
    if args.out.suffix not in (".jsonl", ".json"):  # an object a line in both
        raise InputError(f"--out {args.out}: the name must end in .jsonl or .json")
    if {args.out.resolve(), args.out.resolve().parent} & {file.resolve() for file in args.files}:
        raise InputError(f"--out {args.out}: is among the files to read")
    return args


def common_flags(add):
    add("files", nargs="+", type=Path, metavar="FILE", help="files; of plain also folders")
    add("--out", type=Path, required=True, help="the file to write, .jsonl or .json")
    add("--part", choices=PARTS, help="80, 10 or 10 %% of the prompts (paradetox: toxic texts)")
    add("--min-words", type=whole, default=0, metavar="N", help="in every response")
    add("--max-words", type=whole, default=10**6, metavar="N", help="in every response")
    add("--limit", type=count, metavar="N", help="so many records at random")
    add("--seed", type=int, default=0, help="of --part and --limit (%(default)s)")


def main(argv=None):
    args = parse(argv)
    read = FORMATS["plain" if args.name in REWRITERS else args.name]
    records = choose(each(read_record, list(read(args.files))), args, random.Random(args.seed))
    make_folder(args.out.parent)
    if args.name in REWRITERS:
        new = rewrite([text for record in records for text in texts(record)], args)
        records = each(read_record, [(f"{args.out}: record {i}", change_texts(record, new))
                                     for i, record in enumerate(records, 1)])
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    write_whole(args.out, "".join(lines))
    print(f"{args.out}: {len(records)} records", file=sys.stderr)


if __name__ == "__main__":
    with exit_codes():
        main()
