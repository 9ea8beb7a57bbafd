"""Odd-one-out lists of foods as domains named category[:language]: desserts, desserts:ko, ...

foods.tsv holds 100 names in each of five categories, in English, Korean, Thai and Chinese, a row
an item. `all` is the five categories mixed. Test lists are made of items that no training list in
any language contains (`split="items"`), or, as in the paper, of the same items in new lists
(`split="lists"`). The instruction stays in English; the names change language.
"""
import csv
import zlib
from pathlib import Path

import data

CATEGORIES = ("desserts", "fruits", "sauces", "vegetables", "snacks")  # in the order of Table 8
LANGUAGES = ("en", "ko", "th", "zh")
PARTS = ("train", "validation", "test")


def read_foods(language):
    """The names in one language by category, in the order of the file."""
    with open(Path(__file__).with_name("foods.tsv"), encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f, delimiter="\t"))
    return {c: [row[language] for row in rows if row["category"] == c] for c in CATEGORIES}


def food_domain(name, split="items", test="test", n_train=1000, n_test=200):
    """Make a domain.

    Args:
        name: category[:language].
        split: "items" or "lists", see above.
        test: the part that is evaluated on, "validation" or "test".
        n_train, n_test: lists to train on, labelled or not, and to evaluate on.
    Raises:
        InputError: no such category or language.
    """
    category, _, language = name.partition(":")
    language = language or "en"
    if category not in (*CATEGORIES, "all") or language not in LANGUAGES:
        raise data.InputError(
            f"domain {name}: it must be category[:language], with a category of "
            f"{', '.join(CATEGORIES)}, all and a language of {', '.join(LANGUAGES)}")
    foods = read_foods(language)
    # Rows are split alike in every language, so that what is new in one is new in all.
    parts = {c: dict(zip(PARTS, data.split_items(foods[c], seed=zlib.crc32(c.encode()))))
             for c in CATEGORIES}

    def lists(part, n):
        names = {c: parts[c][part] if split == "items" else foods[c] for c in CATEGORIES}
        chosen, made = CATEGORIES if category == "all" else (category,), []
        for i, c in enumerate(chosen):
            others = [item for other in CATEGORIES if other != c for item in names[other]]
            share = n // len(chosen) + (i < n % len(chosen))
            seed = zlib.crc32(f"{c}:{language}:{part}".encode())
            made += data.odd_one_out(names[c], others, share, seed)
        return made

    train = lists("train", n_train)
    return data.Domain(f"{category}:{language}", lists(test, n_test), labeled=train,
                       unlabeled=data.unlabel(train),
                       validation=data.Domain("validation", lists("validation", n_test)))
