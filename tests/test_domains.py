"""Foods, safety answers, and how items are split (arguments: test_arguments.py)."""
import csv
import math
from operator import attrgetter

import pytest
import torch
from conftest import ROOT

import data
from data import InputError, Preference
from domains import safety, splits
from domains.foods import CATEGORIES, LANGUAGES, by_odd_item, food_domain, odd_one_out


def listed(rows):
    """The five names of each list, as the prompt has them, read back."""
    return [row.prompt.split("\n\n")[1].strip().split(", ") for row in rows]


def line_numbers(language):
    """Where each name stands in the file, the same in every language; no name is there twice."""
    rows = [line.split("\t") for line in
            (ROOT / "experiments/domains/foods.tsv").read_text(encoding="utf-8").splitlines()]
    numbers = {row[rows[0].index(language)]: i for i, row in enumerate(rows)}
    assert len(numbers) == len(rows)
    return numbers


# ------------------------------------------------------------------ splits


def test_splits_follow_the_seed_and_share_nothing():
    items = list(range(50))
    parts = splits.split_items(items, 3, (0.6, 0.2, 0.2))
    assert list(map(len, parts)) == [30, 10, 10] and sorted(sum(parts, [])) == items
    assert parts == splits.split_items(items, 3, (0.6, 0.2, 0.2))
    assert parts != splits.split_items(items, 4, (0.6, 0.2, 0.2))
    prompt_of = attrgetter("prompt")
    rows = [Preference(f"prompt {i % 10}", str(i), ("no",)) for i in range(50)]
    parts = splits.split_by(prompt_of, rows, 1, (0.5, 0.1, 0.4))
    assert list(map(len, parts)) == [25, 5, 20]
    prompts = [{row.prompt for row in part} for part in parts]
    assert not prompts[0] & prompts[1] | prompts[0] & prompts[2] | prompts[1] & prompts[2]
    assert parts != splits.split_by(prompt_of, rows, 2, (0.5, 0.1, 0.4))


def test_the_labels_of_an_oracle_are_checked_beside_scores(tiny):
    rows = [Preference("Q", "same", ("same",))] * 4
    domain = splits.Domain("d", labeled=rows, scores=[1.0, 2.0])
    encoded = data.encode(rows, tiny[1], 100)
    with pytest.raises(InputError, match="d, labeled: 4 of 4 records have a rejected response"):
        domain.check("labeled", encoded, tiny[0])
    domain.check("test", encoded, tiny[0])


# ------------------------------------------------------------------ foods


@pytest.mark.parametrize("seed", [0, 5])
def test_no_item_of_a_test_is_in_any_training_list(seed):
    """In any language and any category: items are compared by their line in the file."""
    seen = {"train": set(), "test": set(), "validation": set()}
    numbers = {language: line_numbers(language) for language in LANGUAGES}
    for language in LANGUAGES:
        for category in CATEGORIES:
            for part in ("test", "validation"):
                domain = food_domain(f"{category}:{language}", seed, part, n_train=60, n_test=60)
                for kind, rows in (("train", domain.labeled), (part, domain.test)):
                    for row, names in zip(rows, listed(rows)):
                        seen[kind] |= {numbers[language][name] for name in row.responses}
                        assert sorted(names) == sorted(row.responses)
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["validation"]
    assert not seen["test"] & seen["validation"] and len(seen["test"]) > 80


def test_the_split_of_foods_follows_the_seed():
    def items(seed, **options):
        return {name for names in listed(food_domain("snacks", seed, **options).labeled)
                for name in names}

    assert items(0) == items(0, part="validation") and len(items(0) - items(1)) > 50
    assert food_domain("snacks", 0) == food_domain("snacks", 0, "test", 1000, 200)


def test_a_food_domain():
    domain = food_domain("fruits:ko", n_train=30, n_test=7)
    assert domain.name == "fruits:ko" and len(domain.labeled) == 30 and len(domain.test) == 7
    assert domain.unlabeled == data.unlabel(domain.labeled) and domain.scores is None
    with open(ROOT / "experiments/domains/foods.tsv", encoding="utf-8") as f:
        inside = {r["ko"] for r in csv.DictReader(f, delimiter="\t") if r["category"] == "fruits"}
    assert len(inside) == 100
    assert all(len(r.rejected) == 4 and inside >= set(r.rejected) for r in domain.labeled)
    places = [names.index(row.chosen) for row, names in zip(domain.labeled, listed(domain.labeled))]
    assert set(places) == {0, 1, 2, 3, 4}  # where it stands tells nothing
    lists = {(row.chosen, *sorted(row.rejected)) for row in domain.labeled}
    assert len(lists) == 30


@pytest.mark.parametrize("language", ["en", "ko"])
def test_lists_by_their_odd_item(language):
    """A reward for "not a dessert" is wrong where a dessert is odd, and guesses elsewhere."""
    number = line_numbers(language)
    source = food_domain("desserts", n_train=9, n_test=9)
    target = by_odd_item(food_domain(f"fruits:{language}", n_train=9, n_test=200), source)
    is_dessert = [[number[text] <= 100 for text in row.responses] for row in target.test]
    rewards = [torch.tensor([0.0 if dessert else 1.0 for dessert in row]) for row in is_dessert]
    share = sum(row[0] for row in is_dessert) / 200
    assert 0.15 < share < 0.35 and target.measure(rewards) == pytest.approx({
        "accuracy": 0.2 * (1 - share), "accuracy_odd_of_source": 0,
        "accuracy_odd_of_others": 0.2})
    assert set(target.measure([-r for r in rewards])) == {"accuracy", *target.groups}
    assert by_odd_item(target, source).test is target.test  # encoded once
    alone = by_odd_item(target, food_domain("fruits", n_train=9, n_test=9))  # never odd
    assert alone.measure(rewards).keys() == {"accuracy", "accuracy_odd_of_others"}


def test_lists_without_the_targets_items():
    """No list to train on has one; the test lists and the other odd items are as before."""
    number, made = line_numbers("en"), food_domain("desserts", 1, n_train=200, n_test=9)
    without = food_domain("desserts", 1, n_train=200, n_test=9, without="fruits")
    odd, fewer = ({(number[row.chosen] - 1) // 100 for row in d.labeled} for d in (made, without))
    assert odd == {1, 2, 3, 4} and fewer == {2, 3, 4}  # lines 101 to 200 are fruits
    assert without.test == made.test and without.name == "desserts:en without fruits"


def test_lists_that_cannot_be():
    made = odd_one_out(list("abcde"), ["x", "y"], 10)  # all there are
    assert len({(r.chosen, *sorted(r.rejected)) for r in made}) == 10 == 2 * math.comb(5, 4)
    with pytest.raises(InputError, match="do not make 11 different"):
        odd_one_out(list("abcde"), ["x", "y"], 11)


# ------------------------------------------------------------------ few labels


@pytest.mark.parametrize("part, n", [("test", 60), ("validation", 40)])
def test_ten_are_labelled_and_none_of_them_is_in_the_test(part, n):
    rows, chosen = safety.read_answers(), []
    for seed in (0, 1):
        ten, full = safety.few_shot_domains(rows, seed, part)
        assert len(ten.labeled) == 10 and len(full.unlabeled) == 100 and len(full.test) == n
        assert set(data.unlabel(ten.labeled)) <= set(full.unlabeled)
        assert not {r.prompt for r in full.unlabeled} & {r.prompt for r in full.test}
        assert ten.test == full.test and set(full.labeled) | set(full.test) <= set(rows)
        chosen.append((set(ten.labeled), set(full.test)))
    assert chosen[0][0] != chosen[1][0] and (chosen[0][1] != chosen[1][1]) == (part == "test")
    assert safety.few_shot_domains(rows, 1, part) == (ten, full)


def test_few_labels_of_ones_own():
    one_prompt = [Preference("Which is civil?", f"thanks {i}", ("no",)) for i in range(40)]
    ten, full = safety.few_shot_domains(one_prompt)
    assert len(ten.labeled) == 10 and not set(full.labeled) & set(full.test)
    with pytest.raises(InputError, match="20 rows of 1 prompts are too few"):
        safety.few_shot_domains(one_prompt[:20])


@pytest.mark.parametrize("name, columns", [("safety", 3), ("foods", 5)])
def test_the_tsv_files_are_whole(name, columns):
    text = (ROOT / "experiments/domains" / f"{name}.tsv").read_text(encoding="utf-8")
    lines = [line.split("\t") for line in text.splitlines()]
    assert all(len(cells) == columns and all(map(str.strip, cells)) for cells in lines)
    assert len(lines) == {"safety": 201, "foods": 501}[name]
