"""odd_one_out.py's sources without the cue, of several categories, and half labelled."""
import pytest
import torch

import odd_one_out
from data import InputError
from domains.foods import CATEGORIES, read_foods
from methods import frozen
from models import backbones

CATEGORY = {row[language]: row["category"] for row in read_foods() for language in ("en", "ko")}


@pytest.fixture
def pairs(cache, monkeypatch):
    """A function of flags, which gives seed 0's pairs of domains."""
    def made(*flags):
        seen = []
        monkeypatch.setattr(odd_one_out, "run_all", lambda args, d: seen.append(d[0]) or [])
        odd_one_out.main(["--model", "tiny", "--seeds", "0", "--n-train", "40",
                          "--n-test", "20", *flags])
        return seen[0]
    return made


def odd(rows):
    return {CATEGORY[row.chosen] for row in rows}


def test_no_source_list_has_an_item_of_the_target(pairs):
    (with_cue, fruits), = pairs()
    first, second = pairs("--no-cue", "--target", "fruits", "snacks:ko")
    assert "fruits" in odd(with_cue.labeled)
    for (source, target), own in ((first, "fruits"), (second, "snacks")):
        assert odd(source.labeled) == set(CATEGORIES) - {"desserts", own}
        assert len(source.labeled) == 40 and source.test == with_cue.test
        assert "desserts" in odd(target.labeled) and target.groups
    assert first[1] == fruits and first[0].name != second[0].name  # trained on each


@pytest.mark.parametrize("name, read", [("fruits:en", "sauces"), ("snacks:ko", "vegetables")])
def test_other_texts_than_the_targets_are_read(pairs, name, read):
    """Lists of another category, none with an item of the target, which is still measured on."""
    (source, own), = pairs("--no-cue", "--target", name)
    (same, target), = pairs("--no-cue", "--target", name, "--read", read)
    category, language = name.split(":")
    assert (same, target.test, target.groups) == (source, own.test, own.groups)
    assert target.name == f"{name}, reading {read}:{language} without {category}"
    lists = [[CATEGORY[item] for item in row.responses] for row in target.unlabeled]
    assert len(lists) == 40 and all(of.count(read) == 4 for of in lists)
    assert set().union(*lists) == set(CATEGORIES) - {category}


def test_a_source_for_each_target(pairs):
    flags = "--source", "snacks", "fruits", "--target", "sauces", "snacks"
    assert [(s.name, t.name) for s, t in pairs(*flags)] == [
        ("snacks:en", "sauces:en"), ("fruits:en", "snacks:en")]
    with pytest.raises(InputError, match="2 sources and 3 targets"):
        pairs(*flags, "fruits")


def test_two_sources_of_one_target(pairs):
    made = pairs("--source", "fruits", "snacks", "--target", "sauces", "sauces")
    assert [(s.name, t.name) for s, t in made] == [("fruits:en", "sauces:en"),
                                                   ("snacks:en", "sauces:en")]


def test_others_are_all_but_the_target(pairs):
    (source, target), = pairs("--source", "others", "--target", "snacks:ko")
    kinds = [CATEGORY[row.rejected[0]] for row in source.labeled]
    assert [kinds.count(c) for c in CATEGORIES] == [40, 40, 40, 40, 0]
    assert "snacks" not in odd(source.labeled) and len(source.test) == 20
    assert {CATEGORY[row.rejected[0]] for row in source.test} == set(CATEGORIES) - {"snacks"}
    assert (source.name, target.name) == ("others:ko without snacks", "snacks:ko")


def test_half_of_the_lists_are_labelled(pairs, monkeypatch):
    """Those whose least similar items are most similar are hard, the others easy."""
    emb = dict(zip(CATEGORY, torch.randn(len(CATEGORY), 3, generator=torch.manual_seed(0))))
    monkeypatch.setattr(frozen, "alone", lambda _, texts: torch.stack([emb[t] for t in texts]))
    loads, load = [], backbones.load
    monkeypatch.setattr(backbones, "load", lambda *args: loads.append(args) or load(*args))
    (full, target), = pairs("--n-train", "80")
    least = {row.prompt: min(torch.cosine_similarity(emb[a], emb[b], dim=0).item()
                             for a in row.responses for b in row.responses) for row in full.labeled}
    in_order = sorted(least, key=least.get)
    for name, expected in (("easy", in_order[:40]), ("hard", in_order[40:])):
        (source, target), = pairs("--label", name)
        assert {row.prompt for row in source.labeled} == set(expected)
        assert len(target.unlabeled) == 40
    pairs("--label", "easy", "--target", "fruits", "sauces")
    assert len(loads) == 3  # once a command
    (source, _), = pairs("--label", "easy", "--dry-run")  # any half will do
    assert len(source.labeled) == 40 and len(loads) == 3
