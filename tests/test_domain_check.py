"""Records that a model cannot take, or that teach nothing, are refused before anything is trained."""
import copy

import pytest
from conftest import random_classifier

import data
from data import InputError, Preference, Unlabeled
from domains.splits import Domain
from models.backbones import load


def test_tokens_beyond_the_embeddings(tiny, tmp_path, capsys):
    """Those of texts, and the padding token; others may lie there, as Gemma 3's image token."""
    tokenizer = copy.deepcopy(tiny[1])
    tokenizer.add_tokens([f"word{i}" for i in range(60)])  # the model knows 300
    tokenizer.save_pretrained(tmp_path)
    random_classifier("llama").save_pretrained(tmp_path)
    classifier, tokenizer, _ = load(str(tmp_path), "cpu", "float32")
    rows = [Preference("word5", "a", ("b",)), Preference("word59", "a", ("b",))]
    for n in (1, 2):
        encoded, domain = data.encode(rows[:n], tokenizer, 99), Domain("mine", rows[:n])
        if n == 1:
            domain.check("labeled", encoded, classifier)
    with pytest.raises(InputError, match="mine, labeled: .* beyond the model's 300 embeddings"):
        domain.check("labeled", encoded, classifier)
    tokenizer.add_special_tokens({"pad_token": "<padding>"})
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="its padding token has no embedding"):
        load(str(tmp_path), "cpu", "float32")


def test_a_text_beyond_the_models_positions(tiny):
    """A Llama would train on it without a word, and a BERT end in a traceback."""
    classifier, rows = random_classifier("llama"), [Unlabeled("p" * 20, ("a" * 4,))]
    classifier.config.max_position_embeddings = 26  # BOS, a line break
    encoded = data.encode(rows, tiny[1], 99)
    Domain("mine").check("unlabeled", encoded, classifier)
    classifier.config.max_position_embeddings = 25
    with pytest.raises(InputError, match="mine, unlabeled: a text has 26 tokens, the model takes "
                                         "25: pass --max-length 25 --truncate"):
        Domain("mine").check("unlabeled", encoded, classifier)
    Domain("mine").check("test", [], classifier)
    classifier.config.rope_parameters = {"rope_type": "yarn", "factor": 4.0}  # it takes longer ones
    Domain("mine").check("unlabeled", encoded, classifier)


def test_pairs_that_teach_nothing(tiny, capsys):
    """Equal responses, also after cutting, and pairs in both orders: a line, an error if most."""
    rows = [Preference(f"{i}?", "same", ("same",)) for i in range(2)]
    rows += [Preference(f"{i}?", "yes", ("no",)) for i in range(2, 6)]
    both = [Preference("p", "a", ("b",)), Preference("p", "b", ("a",))]

    def check(rows, length=99, part="labeled", scores=None):
        encoded = data.encode(rows, tiny[1], length, truncate=True)
        Domain("mine", scores=scores).check(part, encoded, tiny[0])
        return capsys.readouterr().err

    assert "mine, labeled: 2 of 6 records have a rejected response that is" in check(rows)
    assert "2 of 6 pairs stand there in both orders" in check(rows[2:] + both)
    assert check(rows[2:]) == check(rows[:2], part="unlabeled") == ""
    assert check(rows[:2], part="test", scores=[1.0, 2.0]) == ""
    for nothing in (rows[:3], both + rows[2:3]):
        with pytest.raises(InputError, match="nothing can be learned"):
            check(nothing)
    start = "x" * 40
    with pytest.raises(InputError, match="1 of 1 records have a rejected response that is the"):
        check([Preference("p", start + "good", (start + "bad",))], 30)
