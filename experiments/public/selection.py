"""Records of a format for prepare.py: read, chosen by its flags, and with their texts changed."""
import sys

from data import InputError

from public.formats import FORMATS, IN_TRAINING
from domains.records import kind_of, read_preference, read_scored, read_unlabeled
from domains.splits import PARTS, split_items


def read_records(name, files):
    """The records of a format as (group, dictionary in the plain form), checked; a text may be
    empty.

    Raises:
        InputError: the file, line and field that cannot be used.
    """
    for where, group, row in FORMATS[name](files):
        kind = kind_of(row)
        if kind == "scored":
            item, score = read_scored(row, where, allow_empty=True)
            record = {"prompt": item.prompt, "response": item.responses[0], "score": score}
        else:
            read = read_unlabeled if kind == "unlabeled" else read_preference
            item = read(row, where, allow_empty=True)
            record = {name: value for name, value in vars(item).items() if name != "template"}
        yield group or record["prompt"], record


def texts(record):
    """The prompt, then the responses, a chosen one first."""
    return [text for value in record.values() if not isinstance(value, float)
            for text in ([value] if isinstance(value, str) else value)]


def change_texts(record, change):
    """The record with `change` of each of its texts."""
    kinds = {str: change, tuple: lambda value: [*map(change, value)], float: lambda score: score}
    return {name: kinds[type(value)](value) for name, value in record.items()}


def choose(found, args, rng):
    """The records that the flags ask for, of all (group, record)."""
    groups = sorted({group for group, _ in found} - {IN_TRAINING})
    parts = split_items(groups, args.seed, args.fractions)
    parts[0].append(IN_TRAINING)
    part = set(parts[PARTS.index(args.part)] if args.part else sum(parts, []))
    records = without_empty([record for group, record in found if group in part], args)
    records = [record for record in records
               if all(args.min_words <= n <= args.max_words for n in count_words(record))]
    if args.balance_length:
        records = balance_length(records, rng)
    return records if args.limit is None else rng.sample(records, min(args.limit, len(records)))


def without_empty(records, args):
    full = [record for record in records if all(map(str.strip, texts(record)))]
    if len(full) < len(records):
        note = f"{len(records) - len(full)} of {len(records)} records have an empty text"
        if not args.skip_empty:
            raise InputError(f"{args.name}: {note}; --skip-empty leaves such records out")
        print(f"{note} and are left out", file=sys.stderr)
    return full


def count_words(record):
    return [len(text.split()) for text in texts(record)[1:]]


def longer_wins(record):
    """1 if the chosen response has the most words, 0 if it has the fewest, 1/2 if neither."""
    chosen, *rejected = count_words(record)
    return ((chosen > max(rejected)) - (chosen < min(rejected)) + 1) / 2


def balance_length(records, rng):
    """As many records of which the longer response wins as of which it loses."""
    if not all("chosen" in record for record in records):
        raise InputError("--balance-length takes preferences")
    wins, neither, losses = ([r for r in records if longer_wins(r) == x] for x in (1, 0.5, 0))
    n = min(len(wins), len(losses))
    kept = rng.sample(wins, n) + rng.sample(losses, n) + neither
    return rng.sample(kept, len(kept))
