"""Foods, safety answers, one's own files, and how items are split (arguments: test_arguments.py)."""
import argparse
import json
import math

import pytest
from conftest import ROOT

import data
from data import InputError, Preference
from domains import foods, own, safety, splits
from domains.foods import CATEGORIES, LANGUAGES, food_domain, odd_one_out

ROWS = [Preference(f"Say {i}", f"{i}", ("no",)) for i in range(40)]


def listed(rows):
    """The five names of each list, as the prompt has them, read back."""
    return [row.prompt.split("\n\n")[1].strip().split(", ") for row in rows]


def line_numbers(language):
    """Where each name stands in the file: the same in every language."""
    rows = [line.split("\t") for line in
            (ROOT / "experiments/domains/foods.tsv").read_text(encoding="utf-8").splitlines()]
    return {(row[0], row[rows[0].index(language)]): i for i, row in enumerate(rows)}


# ------------------------------------------------------------------ splits


def test_splits_follow_the_seed_and_share_nothing():
    items = list(range(50))
    parts = splits.split_items(items, 3)
    assert list(map(len, parts)) == [30, 10, 10] and sorted(sum(parts, [])) == items
    assert parts == splits.split_items(items, 3) != splits.split_items(items, 4)
    rows = [Preference(f"prompt {i % 10}", str(i), ("no",)) for i in range(50)]
    parts = splits.split_by_prompt(rows, 1, (0.5, 0.1, 0.4))
    assert list(map(len, parts)) == [25, 5, 20]
    prompts = [{row.prompt for row in part} for part in parts]
    assert not prompts[0] & prompts[1] | prompts[0] & prompts[2] | prompts[1] & prompts[2]
    assert parts != splits.split_by_prompt(rows, 2, (0.5, 0.1, 0.4))


# ------------------------------------------------------------------ foods


@pytest.mark.parametrize("seed", [0, 5])
def test_no_item_of_a_test_is_in_any_training_list(seed):
    """In any language and any category: items are compared by their line in the file."""
    seen = {"train": set(), "test": set(), "validation": set()}
    numbers = {language: line_numbers(language) for language in LANGUAGES}
    for language in LANGUAGES:
        by_name = {}
        for (_, name), i in numbers[language].items():
            by_name.setdefault(name, set()).add(i)
        for category in CATEGORIES:
            for part in ("test", "validation"):
                domain = food_domain(f"{category}:{language}", seed, part, n_train=60, n_test=60)
                for kind, rows in (("train", domain.labeled), (part, domain.test)):
                    for row, names in zip(rows, listed(rows)):
                        same = [numbers[language][category, n] for n in row.rejected]
                        seen[kind] |= {*same, *by_name[row.chosen] - set(same)} if len(
                            by_name[row.chosen]) == 1 else set(same)
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
    assert len(food_domain("all", n_train=33, n_test=7).labeled) == 33
    inside = set(foods.read_foods("ko")["fruits"])
    assert all(len(r.rejected) == 4 and inside >= set(r.rejected) for r in domain.labeled)
    places = [names.index(row.chosen) for row, names in zip(domain.labeled, listed(domain.labeled))]
    assert set(places) == {0, 1, 2, 3, 4}  # where it stands tells nothing
    lists = {(row.chosen, *sorted(row.rejected)) for row in domain.labeled}
    assert len(lists) == 30


def test_lists_that_cannot_be():
    made = odd_one_out(list("abcde"), ["x", "y"], 10)  # all there are
    assert len({(r.chosen, *sorted(r.rejected)) for r in made}) == 10 == 2 * math.comb(5, 4)
    for items, others, n, words in (("abcde", ["x", "y"], 11, "do not make 11 different"),
                                    ("abc", ["x"], 1, "takes 4 items and 1 other"),
                                    ("abcd", [], 1, "there are 4 and 0")):
        with pytest.raises(InputError, match=words):
            odd_one_out(list(items), others, n)


# ------------------------------------------------------------------ few labels


@pytest.mark.parametrize("part, n", [("test", 80), ("validation", 20)])
def test_ten_are_labelled_and_none_of_them_is_in_the_test(part, n):
    rows, chosen = safety.read_answers(), []
    for seed in (0, 1):
        ten, full = safety.few_shot_domains(rows, seed, part)
        assert len(ten.labeled) == 10 and len(full.unlabeled) == 100 and len(full.test) == n
        assert set(data.unlabel(ten.labeled)) <= set(full.unlabeled)
        assert not {r.prompt for r in full.unlabeled} & {r.prompt for r in full.test}
        assert ten.test == full.test and set(full.labeled) | set(full.test) <= set(rows)
        chosen.append((set(ten.labeled), set(full.test)))
    assert chosen[0][0] != chosen[1][0] and chosen[0][1] != chosen[1][1]
    assert safety.few_shot_domains(rows, 1, part) == (ten, full)


def test_few_labels_of_ones_own():
    one_prompt = [Preference("Which is civil?", f"thanks {i}", ("no",)) for i in range(40)]
    ten, full = safety.few_shot_domains(one_prompt)
    assert len(ten.labeled) == 10 and not set(full.labeled) & set(full.test)
    with pytest.raises(InputError, match="20 rows are too few for 10 labelled ones and a test"):
        safety.few_shot_domains(one_prompt[:20])


@pytest.mark.parametrize("name, columns", [("safety", 3), ("foods", 5)])
def test_the_tsv_files_are_whole(name, columns):
    text = (ROOT / "experiments/domains" / f"{name}.tsv").read_text(encoding="utf-8")
    lines = [line.split("\t") for line in text.splitlines()]
    assert all(len(cells) == columns and all(map(str.strip, cells)) for cells in lines)
    assert len(lines) == {"safety": 201, "foods": 501}[name]


# ------------------------------------------------------------------ one's own files


@pytest.fixture
def given(cache, tmp_path):
    """`given_domains` of files: of `rows` the source, the target, labelled, and the evaluation."""
    def given(methods=("Src-Pref", "DIAL"), leave_out=(), **rows):
        args = argparse.Namespace(paper=False, model="tiny", methods=methods)
        for name in ("source", "target", "eval"):
            lines = rows.get(name) or [{"prompt": r.prompt, "chosen": r.chosen,
                                        "rejected": list(r.rejected)} for r in ROWS]
            (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
            path = None if name in leave_out else str(tmp_path / f"{name}.jsonl")
            setattr(args, f"{name}_data", path)
        return own.given_domains(args)

    return given


def test_the_tenth_of_the_source_that_is_kept_follows_the_seed(given):
    domains = given()
    ((source, target),) = domains(0)
    assert (len(source.labeled), len(source.test)) == (36, 4)
    assert sorted([*source.labeled, *source.test], key=ROWS.index) == ROWS
    assert domains(0) == domains(0) and domains(0)[0][0] != domains(1)[0][0]
    assert source.name == "source.jsonl" and target.name == "target.jsonl"
    assert target.test == ROWS and target.scores is None


def test_target_labels_are_dropped_but_for_oracles(given):
    ((_, target),) = given()(0)
    assert target.unlabeled == data.unlabel(ROWS) and not target.labeled
    ((_, target),) = given(methods=("DIAL", "Tgt-Pref*"))(0)
    assert target.labeled == ROWS
    bare = [{"prompt": "Q", "responses": ["a", "b"]}] * 5
    with pytest.raises(InputError, match=r"target.jsonl:1: .*Tgt-Pref\* and Src-Tgt-Pref\* learn "):
        given(methods=("DIAL", "Tgt-Pref*", "Src-Tgt-Pref*"), target=bare)
    assert given(target=bare)(0)[0][1].unlabeled[0].responses == ("a", "b")


def test_what_to_measure_with_is_optional_and_may_have_scores(given):
    ((_, target),) = given(leave_out=["eval"])(0)
    assert not target.test and target.scores is None
    rows = [{"prompt": "Q", "response": f"a{i}", "score": i / 2} for i in range(4)]
    ((_, target),) = given(eval=rows)(0)
    assert target.scores == [0, 0.5, 1, 1.5] and target.metric == "pearson"
    assert [r.responses for r in target.test] == [("a0",), ("a1",), ("a2",), ("a3",)]


def test_files_that_will_not_do(given):
    for name in ("source", "target"):
        with pytest.raises(InputError, match=f"--{name}-data is missing"):
            given(leave_out=[name])
    assert given(leave_out=["source", "target", "eval"]) is None
    with pytest.raises(InputError, match="source.jsonl: too few rows"):
        given(source=[{"prompt": "Q", "chosen": "a", "rejected": "b"}] * 3)(0)
    one_prompt = [{"prompt": "Q", "chosen": f"{i}", "rejected": "b"} for i in range(20)]
    ((source, _),) = given(source=one_prompt)(0)
    assert (len(source.labeled), len(source.test)) == (18, 2)
