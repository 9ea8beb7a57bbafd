"""Few labels: ten questions with a safe and an unsafe answer, labelled, and the rest unlabelled.

safety.tsv holds 200 everyday questions, each with an answer that one could stand by and one that
is reckless, unkind or dishonest, of about the same length; nothing in it helps anybody do harm. A
fixed fifth of the questions is the search pool (`splits.divide`), the validation part of every
seed.
"""
from pathlib import Path

import data
from data import InputError
from domains.splits import Domain, divide, split_items
from reading.tables import read_table

LABELED = 10


def read_answers():
    return [data.Preference(row["prompt"], row["safe"], (row["unsafe"],))
            for _, row in read_table(Path(__file__).with_name("safety.tsv"))]


def few_shot_domains(rows, seed=0, part="test"):
    """The source, ten labelled rows, and the target, all training rows unlabelled.

    Args:
        rows: Preferences. A fifth of their prompts is the pool and half are for training; where all
            rows have one prompt, of the rows.
        seed: says which (a split, A, B, C, ... in A.4). part: what is evaluated on, "validation"
            (the pool) or "test".
    """
    prompts = {row.prompt for row in rows}
    parts = divide(rows, seed, train=0.5, key=lambda row: (
        row.prompt if len(prompts) > 1 else "\n".join(row.responses)))
    train, test = parts["train"], parts[part]
    if len(train) <= LABELED or not test:
        raise InputError(f"{len(rows)} rows of {len(prompts)} prompts are too few for {LABELED} "
                         "labelled ones in a half of the prompts, a fifth to validate and the rest "
                         "to test")
    share = LABELED / len(train)
    ten, _ = split_items(train, seed, fractions=(share, 1 - share))
    return (Domain("ten", labeled=ten, test=test),
            Domain("all", labeled=train, unlabeled=data.unlabel(train), test=test))
