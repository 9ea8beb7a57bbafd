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
import csv
import json
import random
import statistics
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from common import Parser, chance, command_line  # first: puts the project on the path
import data
from data import InputError
from essays import NOISE

PARTS = {"all": None, "train": 0, "validation": 1, "test": 2}


# ------------------------------------------------------------------ formats: files -> records


def table(path, delimiter, *columns, quotes=False):
    """The rows of a file with a header line, each as (where it stands, dictionary).

    Args:
        columns: that must be there. quotes: a field in quotation marks may hold line breaks.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as f:
            quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
            rows = csv.DictReader(f, delimiter=delimiter, quoting=quoting)
            if missing := [c for c in columns if c not in (rows.fieldnames or ())]:
                raise InputError(f"{path}: no column '{missing[0]}'; there are: "
                                 f"{', '.join(rows.fieldnames or ['none'])}")
            found = [(f"{path}:{rows.line_num}", row) for row in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    for where, row in found:
        if any(row[c] is None for c in columns):
            raise InputError(f"{where}: not as many columns as in the first line")
    return found


def sib200(files):
    rows = [row for file in files for _, row in table(file, "\t", "category", "text")]
    topics = sorted({row["category"] for row in rows})
    for row in rows:
        yield row["text"], {"prompt": f"{row['text']}\nThe topic of this text is:",
                            "chosen": row["category"],
                            "rejected": [t for t in topics if t != row["category"]]}


def copa(files):
    asks = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}
    for file in files:
        if file.suffix == ".xml":
            items = [{"premise": item.findtext("p"), "choice1": item.findtext("a1"),
                      "choice2": item.findtext("a2"), "question": item.get("asks-for"),
                      "label": int(item.get("most-plausible-alternative")) - 1}
                     for item in ElementTree.parse(file).getroot().iter("item")]
        else:
            items = [row for _, row in data.read_rows(file)]
        for item in items:
            choices = [item["choice1"], item["choice2"]]
            yield item["premise"], {"prompt": f"{item['premise']}\n{asks[item['question']]}",
                                    "chosen": choices[item["label"]],
                                    "rejected": choices[1 - item["label"]]}


def paradetox(files):
    for file in files:
        for _, row in table(file, "\t", "toxic", "neutral1", quotes=True):
            yield row["toxic"], {"prompt": "Which of these comments is civil?",
                                 "chosen": row["neutral1"], "rejected": row["toxic"]}


def xstest(files):
    """Each prompt's full compliances against its full refusals, over all models' completions."""
    answers = {}
    for file in files:
        for _, row in table(file, ",", "prompt", "completion", "type", "final_label",
                            quotes=True):
            kinds = answers.setdefault((row["prompt"], row["type"].startswith("contrast")), {})
            if row["completion"].strip():
                kinds.setdefault(row["final_label"], []).append(row["completion"].strip())
    for (prompt, unsafe), kinds in answers.items():
        comply, refuse = (kinds.get(k, []) for k in ("1_full_compliance", "2_full_refusal"))
        for yes, no in zip(comply, refuse):
            chosen, rejected = (no, yes) if unsafe else (yes, no)
            yield prompt, {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def ukp_files(folders):
    """The files of a folder as (topic, prompt, path): topic_side.csv."""
    for folder in folders:
        for file in sorted(folder.glob("*.csv")) if folder.is_dir() else [folder]:
            topic, _, side = file.stem.partition("_")
            topic, side = (part.replace("-", " ").strip() for part in (topic, side))
            yield topic, f"{topic}: {side}. How convincing is this?", file


def ukp(folders):
    for topic, prompt, file in ukp_files(folders):
        for where, row in table(file, "\t", "label", "a1", "a2"):
            if row["label"] not in ("a1", "a2"):
                raise InputError(f"{where}: 'label' must be a1 or a2, not {row['label']!r}")
            other = "a2" if row["label"] == "a1" else "a1"
            yield topic, {"prompt": prompt, "chosen": row[row["label"]], "rejected": row[other]}


def ukp_ranks(folders):
    for topic, prompt, file in ukp_files(folders):
        for _, row in table(file, "\t", "rank", "argument"):
            yield topic, {"prompt": prompt, "response": row["argument"],
                          "score": -float(row["rank"])}


def scores(files):
    """Neighbouring levels, as many pairs as texts; a prompt of one level makes none."""
    for file in files:
        rows, values = data.load_scored(file)
        by_prompt = {}
        for row, score in zip(rows, values):
            by_prompt.setdefault(row.prompt, []).append((row.responses[0], score))
        for prompt, found in by_prompt.items():
            texts, levels = zip(*found)
            if len(set(levels)) < 2:
                print(f"{file}: all texts of one score, no pairs: {prompt[:60]!r}", file=sys.stderr)
                continue
            for pair in data.neighbouring_pairs(texts, levels, prompt, len(texts),
                                                random.Random(0)):
                yield prompt, as_record(pair)


def plain(files):
    for file in files:
        for where, row in data.read_rows(file):
            kind = data.kind_of(row)
            if kind == "scored":
                found, score = data.read_scored(row, where)
                record = {"prompt": found.prompt, "response": found.responses[0], "score": score}
            elif kind == "unlabeled":
                found = data.read_unlabeled(row, where)
                record = {"prompt": found.prompt, "responses": list(found.responses)}
            else:
                found = data.read_preference(row, where, allow_empty=True)
                record = as_record(found)
            yield found.prompt, record


def as_record(row):
    rejected = row.rejected[0] if len(row.rejected) == 1 else list(row.rejected)
    return {"prompt": row.prompt, "chosen": row.chosen, "rejected": rejected}


FORMATS = {"sib200": sib200, "copa": copa, "paradetox": paradetox, "xstest": xstest, "ukp": ukp,
           "ukp-ranks": ukp_ranks, "scores": scores, "plain": plain}


# ------------------------------------------------------------------ what is done to any of them


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
    """The record with `data.add_noise` in all its texts."""
    def noisy(value):
        if isinstance(value, list):
            return [noisy(v) for v in value]
        return data.add_noise(value, rng, rate) if isinstance(value, str) else value

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
    p = Parser(description=__doc__, allow_abbrev=False,
               formatter_class=argparse.RawDescriptionHelpFormatter)
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
    p.add_argument("--noise", nargs="?", type=chance, const=NOISE, metavar="RATE",
                   help="write all texts as in a hurry, with a typo in so many of the words "
                        f"({NOISE})")
    p.add_argument("--limit", type=int, help="so many records at random")
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
        part = set(data.split_items(groups, args.seed, args.fractions)[PARTS[args.part]])
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
        raise InputError(f"{args.name}: of {len(found)} records none is left")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with open(args.out, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    labeled = "chosen" in records[0]
    load = data.load_scored if "score" in records[0] else data.load_unlabeled
    load(args.out)  # what is wrong with any record is said now
    words = statistics.fmean(len(t.split()) for r in records for t in responses(r))
    note = f"; the longer response wins in {longer_wins(records):.3f}" if labeled else ""
    print(f"{args.out}: {len(records)} records, {words:.0f} words a response{note}",
          file=sys.stderr)


if __name__ == "__main__":
    command_line(main)
