"""Few labels: ten questions with a safe and an unsafe answer, labelled, and the rest unlabelled.

safety.tsv holds 200 everyday questions, each with an answer that one could stand by and one that
is reckless, unkind or dishonest, of the same length; nothing in it helps anybody do harm.
"""
from pathlib import Path

import data
from data import InputError

from domains.splits import Domain, split_by_prompt, split_items
from reading.tables import read_table

LABELED = 10


def read_answers():
    return [data.Preference(row["prompt"], row["safe"], (row["unsafe"],))
            for _, row in read_table(Path(__file__).with_name("safety.tsv"))]


def few_shot_domains(rows, seed=0, part="test"):
    """The source, ten labelled rows, and the target, all training rows unlabelled.

    Args:
        rows: Preferences; half of their prompts are for training, a tenth for validation.
        seed: says which (a split, A, B, C, ... in A.4). part: what is evaluated on, "validation"
            or "test".
    """
    divide = split_by_prompt if len({row.prompt for row in rows}) > 1 else split_items
    train, validation, test = divide(rows, seed, fractions=(0.5, 0.1, 0.4))
    test = {"validation": validation, "test": test}[part]
    if len(train) <= LABELED or not test:
        n = len({row.prompt for row in rows})
        raise InputError(f"{len(rows)} rows of {n} prompts are too few for {LABELED} labelled ones "
                         "in a half of the prompts, a tenth to validate and the rest to test")
    share = LABELED / len(train)
    ten, _ = split_items(train, seed, fractions=(share, 1 - share))
    return (Domain("ten", labeled=ten, test=test),
            Domain("all", labeled=train, unlabeled=data.unlabel(train), test=test))
