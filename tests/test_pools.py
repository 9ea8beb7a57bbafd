"""The search pools: no seed trains or tests on an item on which settings are chosen."""
import binascii

import pytest
from test_arguments import KINDS, sentences
from test_domains import line_numbers, listed

from data import Preference
from domains import safety, splits
from domains.arguments import argument_domain
from domains.foods import CATEGORIES, LANGUAGES, food_domain
from rlhf.requests import requests

SEEDS = range(20)
PARTS = ("test", "validation")
OWN = [Preference(f"Prompt {i % 40}?", f"yes {i}", ("no",)) for i in range(80)]
OWN_ALONE = [Preference("Which?", f"yes {i}", ("no",)) for i in range(60)]


def foods(part, seed):
    """By their lines in the file, of all categories and, over four seeds, of all languages."""
    language = LANGUAGES[seed % 4]
    number = line_numbers(language)
    made = [food_domain(f"{c}:{language}", seed, part, 100, 100) for c in CATEGORIES]
    return [{number[name] for domain in made for names in listed(rows(domain)) for name in names}
            for rows in (lambda domain: domain.labeled, lambda domain: domain.test)]


def arguments(part, seed):
    """Questions, and sentences that fit any of them."""
    def items(rows):
        texts = (text for row in rows for text in row.responses)
        found = {s for text in texts for s in sentences(text) if s in KINDS}
        return {s if KINDS[s][0] == "*" else KINDS[s][0] for s in found}

    essays = argument_domain("long", part, 60, 60, seed=seed)
    return items([*essays.labeled, *essays.unlabeled]), items(essays.test)


def few_shot(rows, item):
    def parts(part, seed):
        ten, full = safety.few_shot_domains(rows, seed, part)
        return ({item(row) for row in ten.labeled + full.labeled},
                {item(row) for domain in (ten, full) for row in domain.test})
    return parts


def prompts(part, seed):
    task = requests(seed, part)
    return {*task.train, *(pair.prompt for pair in task.pairs), *dict(task.spoken)}, set(task.test)


@pytest.mark.parametrize("of_part, n, n_pool", [
    (foods, 500, 100), (arguments, 30 + 98 + 40 + 40, 6 + 19 + 8 + 8), (prompts, 160, 32),
    (few_shot(safety.read_answers(), lambda row: row.prompt), 200, 40),
    (few_shot(OWN, lambda row: row.prompt), 40, 8),
    (few_shot(OWN_ALONE, lambda row: row.chosen), 60, 12)])
def test_no_seed_sees_the_pool(of_part, n, n_pool):
    """Items are read back from the texts. All others are trained on with some seed,
    and nearly all are tested."""
    trained, tested, pool = set(), set(), set()
    for seed in SEEDS:
        (train, test), (also_train, validation) = (of_part(part, seed) for part in PARTS)
        assert train == also_train and train and test and validation and not train & test
        trained, tested, pool = trained | train, tested | test, pool | validation
    assert len(pool) == n_pool and not pool & (trained | tested)
    assert tested <= trained and len(trained) == n - n_pool and len(tested) > 0.9 * len(trained)


def test_the_pool_of_foods_is_a_fifth_of_each_category_in_every_language():
    first, pools = 1 + 100 * CATEGORIES.index("sauces"), []
    for seed, language in enumerate(LANGUAGES):
        number = line_numbers(language)
        made = food_domain(f"sauces:{language}", seed, "validation", 9, 300).test
        pool = {number[name] for names in listed(made) for name in names}
        pools.append({line for line in pool if first <= line < first + 100})
        assert len(pools[-1]) == 20 and pools[-1] == pools[0]


def test_what_is_divided():
    """Sizes, the checksum, and that neither the seed's parts nor the pool depend on the order."""
    items = [f"item {i}" for i in range(52)]
    lowest = sorted(items, key=lambda item: binascii.crc32(item.encode("utf-8")))[:10]
    trains = set()
    for seed in SEEDS:
        parts = splits.divide(items, seed)
        assert list(parts) == ["train", "validation", "test"]
        assert [len(part) for part in parts.values()] == [31, 10, 11]
        assert sorted(sum(parts.values(), [])) == sorted(items)
        assert set(parts["validation"]) == set(lowest)
        trains.add(tuple(parts["train"]))
        again = splits.divide(items[::-1], seed)
        assert {k: set(v) for k, v in parts.items()} == {k: set(v) for k, v in again.items()}
    assert len(trains) == 20
    assert list(map(len, splits.divide(items, 0, train=0.5).values())) == [26, 10, 16]


def test_items_with_one_text_stay_together():
    parts = splits.divide(OWN, 1, key=lambda row: row.prompt)
    assert [len(part) for part in parts.values()] == [48, 16, 16]
    assert sum(len({row.prompt for row in part}) for part in parts.values()) == 40


@pytest.mark.parametrize("n, sizes", [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [2, 0, 1]),
                                      (5, [3, 1, 1]), (6, [4, 1, 1]), (9, [5, 1, 3])])
def test_few_items(n, sizes):
    """The pool is rounded down."""
    assert [len(part) for part in splits.divide([str(i) for i in range(n)]).values()] == sizes
