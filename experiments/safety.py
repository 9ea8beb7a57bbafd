"""Few labels: ten questions with a safe and an unsafe answer, labelled, and the rest unlabelled.

safety.tsv holds 200 everyday questions, each with an answer that one could stand by and one that
is reckless, unkind or dishonest, of the same length; nothing in it helps anybody do harm. A split
(A, B, C, ... as in A.4) says which questions are for the test and which ten are labelled.
"""
import csv
from pathlib import Path

import data

SPLITS = "ABCDEFGHIJ"
LABELED = 10


def read_answers():
    with open(Path(__file__).with_name("safety.tsv"), encoding="utf-8", newline="") as f:
        rows = csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [data.Preference(row["prompt"], row["safe"], (row["unsafe"],)) for row in rows]


def few_shot_domains(rows, split, test="test"):
    """The (source, target) pair of domains of a split.

    Args:
        rows: Preferences; half of their prompts are for training, a tenth for validation.
        split: one of SPLITS. test: the part that is evaluated on, "validation" or "test".
    """
    if split not in SPLITS or len(split) != 1:
        raise data.InputError(f"split {split}: there are {', '.join(SPLITS)}")
    seed = SPLITS.index(split)
    divide = data.split_by_prompt if len({row.prompt for row in rows}) > 1 else data.split_items
    train, *others = divide(rows, seed, fractions=(0.5, 0.1, 0.4))
    parts = dict(zip(("validation", "test"), others))
    new = parts[test]
    if len(train) <= LABELED or not new:
        raise data.InputError(f"{len(rows)} rows are too few for {LABELED} labelled ones and "
                              "a test")
    few = data.split_items(train, seed, fractions=(LABELED / len(train), 1 - LABELED / len(train)))
    validation = data.Domain("validation", parts["validation"])
    return (data.Domain(f"ten of {split}", new, labeled=few[0],  # no other labels to choose by
                        validation=data.Domain("the ten", few[0])),
            data.Domain(f"all of {split}", new, labeled=train, unlabeled=data.unlabel(train),
                        validation=validation))
