"""Odd-one-out lists of foods as domains named category[:language]: desserts, desserts:ko, ...

foods.tsv holds 100 names in each of five categories, in English, Korean, Thai and Chinese, a row
an item. Test lists are made of items that no training list in any language contains. A fixed fifth
of the items of each category is the search pool (`splits.divide`): validation lists are made of it,
and no other list is. The instruction stays in English; the names change language.
"""
import csv
import random
import zlib
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import data
from data import InputError, Preference
from domains.splits import Domain, divide

CATEGORIES = ("desserts", "fruits", "sauces", "vegetables", "snacks")  # in the order of Table 8
LANGUAGES = ("en", "ko", "th", "zh")
INSTRUCTION = ("Identify the item that does not fit. Only output the name of the item as written "
               "and nothing else.")  # A.6


def read_foods():
    table = Path(__file__).with_name("foods.tsv").read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(table, delimiter="\t"))


def food_domain(name, seed=0, part="test", n_train=1000, n_test=200, without=None):
    """Make a domain.

    Args:
        name: category[:language]. seed: of the split of the items, and of the lists.
        part: what is evaluated on, "validation" (lists of the pool) or "test".
        n_train, n_test: lists to train on, labelled or not, and to evaluate on.
        without: a category that is the odd item of no list to train on.
    Raises:
        InputError: no such category or language.
    """
    category, _, language = name.partition(":")
    language = language or "en"
    if category not in CATEGORIES or language not in LANGUAGES:
        raise InputError(
            f"domain {name}: it must be category[:language], with a category of "
            f"{', '.join(CATEGORIES)} and a language of {', '.join(LANGUAGES)}")
    rows = read_foods()
    # Rows are divided alike in every language, so that what is new in one is new in all.
    parts = {c: divide([row for row in rows if row["category"] == c],
                       zlib.crc32(f"{c}:{seed}".encode()), key=itemgetter("en"))
             for c in CATEGORIES}
    train, test = (
        odd_one_out([row[language] for row in parts[category][name]],
                    [row[language] for c in CATEGORIES if c != category
                     and (name, c) != ("train", without) for row in parts[c][name]],
                    n, zlib.crc32(f"{category}:{language}:{name}:{seed}".encode()))
        for name, n in (("train", n_train), (part, n_test)))
    return Domain(f"{category}:{language}" + (f" without {without}" if without else ""),
                  labeled=train, unlabeled=data.unlabel(train), test=test)


def joined(domains):
    """One source domain of the lists of several, as many test lists as one of them has; of one
    domain, itself."""
    if len(domains) == 1:
        return domains[0]
    name = domains[0].name.replace(domains[0].name.partition(":")[0], "others", 1)
    return Domain(name, labeled=[row for domain in domains for row in domain.labeled], test=[
        row for domain in domains for row in domain.test[: len(domain.test) // len(domains)]])


def odd_one_out(items, others, n, seed=0):
    """Lists of four items of a category and one other, which is the right answer (A.6).

    Args:
        items, others: names in the category, and outside it.
        n: how many lists; no two have the same items.
    Returns:
        n Preferences, with four rejected responses each.
    Raises:
        InputError: not as many lists as asked for.
    """
    rng, made, lists = random.Random(seed), set(), []
    for _ in range(20 * n):
        if len(lists) == n:
            break
        same, odd = rng.sample(items, 4), rng.choice(others)
        if (key := (odd, *sorted(same))) not in made:
            made.add(key)
            listed = rng.sample([odd, *same], 5)
            prompt = f"{INSTRUCTION}\n\n{', '.join(listed)}\n"
            lists.append(Preference(prompt, odd, tuple(i for i in listed if i != odd)))
    if len(lists) < n:
        raise InputError(f"{len(items)} items and {len(others)} others do not make {n} different "
                         "lists")
    return lists


def by_odd_item(target, source):
    """The target, to be measured also on its lists whose odd item is of the source's category, and
    on the others: a reward for "not of the source's category" avoids the right item of the first.
    """
    category = source.name.partition(":")[0]
    names = {name for row in read_foods() if row["category"] == category for name in row.values()}
    inside = [row.chosen in names for row in target.test]
    return replace(target, groups={"accuracy_odd_of_source": inside,
                                   "accuracy_odd_of_others": [not own for own in inside]})
