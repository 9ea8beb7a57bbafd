"""Records of a format for prepare.py: read, chosen by its flags, and with their texts changed."""
from data import InputError
from domains.records import kind_of, read_preference, read_scored, read_unlabeled
from domains.splits import PARTS, split_by

FRACTIONS = (0.8, 0.1, 0.1)  # of train, validation and test


def read_record(row, where, tokenizer=None):
    """A row as a dictionary in the plain form. Raises InputError for what cannot be used."""
    kind = kind_of(row)
    if kind == "scored":
        read, score = read_scored(row, where)
        return {"prompt": read.prompt, "response": read.responses[0], "score": score}
    read = (read_unlabeled if kind == "unlabeled" else read_preference)(row, where)
    return {name: value for name, value in vars(read).items()
            if name in ("prompt", "chosen", "rejected", "responses")}


def texts(record):
    """The prompt, then the responses, a chosen one first."""
    return [text for value in record.values() if not isinstance(value, float)
            for text in ([value] if isinstance(value, str) else value)]


def whole_text(record):
    return "\n".join(texts(record))


def choose(found, args, rng):
    """The records that the flags ask for."""
    def group(record):  # what --part keeps together
        return record["rejected" if args.name == "paradetox" else "prompt"]

    if len(set(map(group, found))) == 1:  # one prompt is divided by its texts
        group = whole_text
    parts = dict(zip(PARTS, split_by(group, found, args.seed, FRACTIONS)))
    records = [record for record in parts.get(args.part, found) if all(
        args.min_words <= len(text.split()) <= args.max_words for text in texts(record)[1:])]
    if not records:
        raise InputError(f"{args.name}: of {len(found)} records none is left")
    return records if args.limit is None else rng.sample(records, min(args.limit, len(records)))


def change_texts(record, new):
    """The record with each of its texts replaced by that of the dictionary `new`."""
    return {name: value if isinstance(value, float) else new[value] if isinstance(value, str)
            else [new[text] for text in value] for name, value in record.items()}
