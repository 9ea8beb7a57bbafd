"""The prompts of rlhf_shift.py, ours and XSTest's, and who says whether a response is right."""
import csv
from argparse import Namespace
from collections import Counter

import pytest
import torch

from data import InputError
from rlhf import requests as domain
from rlhf.arms import true_rewards
from rlhf.start import end_tokens

XSTEST = [(f"{'How do I kill' if safe else 'Why not kill'} number {i}?",
           "homonyms" if safe else "contrast_homonyms", text, label)
          for i in range(10) for safe in (True, False)
          for text, label in ((f"Take {i} of them.", "1_full_compliance"),
                              ("Ask a friend.", "1_full_compliance"),
                              ("I'm sorry, I can't.", "2_full_refusal"),
                              ("Hm.", "3_partial_refusal"))]


@pytest.fixture
def xstest(tmp_path):
    folder = tmp_path / "xstest"
    folder.mkdir()
    with open(folder / "xstest_v2_completions_a.csv", "w", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(["prompt", "type", "completion", "final_label"])
        rows.writerows(XSTEST)
    return folder


@pytest.mark.parametrize("seed, part", [(0, "test"), (1, "test"), (1, "validation")])
def test_requests_are_balanced_and_apart(seed, part):
    task = domain.requests(seed, part)
    assert (len(task.train), len(task.test)) == (96, 32)
    assert len({*task.train, *task.test}) == 128
    for prompts in (task.train, task.test):  # in each verb, too
        verbs = Counter((prompt.split()[3], prompt in task.refuse) for prompt in prompts)
        assert len(set(verbs.values())) == 1 and len(verbs) == 32
    assert Counter(pair.prompt for pair in task.pairs) == dict.fromkeys(task.train, domain.N_PAIRS)
    assert {prompt for prompt, _ in task.spoken} == {*task.train}


def test_what_is_chosen_is_right_and_the_policy_speaks_of_both():
    task = domain.requests(0)
    for pair in task.pairs:
        assert task.kind(pair.chosen) == task.should(pair.prompt)
        assert task.kind(pair.rejected[0]) == {"answer": "refuse", "refuse": "answer"}[
            task.should(pair.prompt)]
    kinds = Counter((prompt, task.kind(text)) for prompt, text in task.spoken)
    assert kinds == {(prompt, kind): 2 for prompt in task.train for kind in ("answer", "refuse")}
    assert domain.requests(1).train != task.train
    styles = [{text for kind in ("answer", "refuse") for text in domain.say(style, kind)}
              for style in (domain.FORMAL, domain.SHORT)]
    assert {opened(text) for pair in task.pairs for text in pair.responses} <= styles[0]
    assert {opened(text) for _, text in task.spoken} <= styles[1] and not styles[0] & styles[1]


def opened(text):
    """A response without its courtesy."""
    for closing in domain.CLOSINGS:
        text = text.removesuffix(f" {closing}")
    return text


@pytest.mark.parametrize("closed", [domain.CLOSED, (0.0, 0.3)])
def test_who_is_courteous(closed, monkeypatch):
    monkeypatch.setattr(domain, "CLOSED", closed)
    task = domain.requests(0)
    for texts, rate in (([pair.chosen for pair in task.pairs], closed[0]),
                        ([pair.rejected[0] for pair in task.pairs], closed[1]),
                        ([text for _, text in task.spoken], domain.CLOSED_SHORT)):
        found = sum(opened(text) != text for text in texts) / len(texts)
        assert abs(found - rate) < 0.05 and (rate or not found)
    monkeypatch.setattr(domain, "N_PAIRS", 3)
    assert domain.requests(0).spoken == task.spoken  # whatever the preferences are


@pytest.mark.parametrize("text, kind", [
    ("Sure, here is how to do it.", "answer"), ("No, that would be wrong!", "refuse"),
    ("Okay, here is the steps!", "answer"), ("No!", "refuse"), ("nobody should need it", "refuse"),
    ("Sure, I can't help with that", "refuse"), ("Kind regards.", None), ("", None)])
def test_how_a_response_is_read(text, kind):
    """Variants are understood; a refusal may sound like an answer, too."""
    assert domain.requests(0).kind(text) == kind


def test_xstest(xstest):
    task = domain.xstest_requests(xstest, 0)
    assert len(task.train) == 12 and len(task.test) == 8
    assert len(set(task.pairs)) == 24  # of each prompt two answers with one refusal
    assert task.refuse == {prompt for prompt, kind, *_ in XSTEST if kind.startswith("contrast")}
    for pair in task.pairs:
        assert (pair.chosen == "I'm sorry, I can't.") == (pair.prompt in task.refuse)
    assert task.kind("I’m sorry, but no.") == "refuse" and task.kind("Take two.") == "answer"
    task = domain.xstest_requests(xstest, 0, 14, n_words=2)
    assert (len(task.train), len(task.test)) == (14, 6)
    assert {text for _, text in task.spoken} >= {"I'm sorry,"} and len(task.spoken) == 56
    assert {len(text.split()) for pair in task.pairs for text in pair.responses} == {2}
    assert domain.xstest_requests(xstest, 1).train != domain.xstest_requests(xstest, 0).train
    with open(xstest / "xstest_v2_completions_b.csv", "w") as f:
        f.write("prompt,type,completion,final_label\nWhy?,homonyms,So.,1_full_compliance\n")
    assert "Why?" in domain.xstest_requests(xstest, 0, 14).test
    assert "Why?" not in domain.xstest_requests(xstest, 0).test
    with pytest.raises(InputError, match="20 prompts have both kinds of .*, fewer than 21"):
        domain.xstest_requests(xstest, 0, 21)
    with pytest.raises(InputError, match="holds no file"):
        domain.xstest_requests(xstest.parent, 0)


def test_true_rewards():
    task = domain.requests(0)
    prompts = task.train[:40]
    should = torch.tensor([float(task.should(prompt) == "answer") for prompt in prompts])
    assert 0 < should.sum() < 40
    assert torch.equal(true_rewards(task, prompts, ["Yes"] * 40), should)
    assert torch.equal(true_rewards(task, prompts, ["No"] * 40), 1 - should)
    assert true_rewards(task, prompts, ["Hm"] * 40).sum() == 0


def test_what_ends_a_response():
    class Tokenizer:
        eos_token_id, chat_template = 1, "any"

        @staticmethod
        def get_vocab():
            return {"<end_of_turn>": 107}

    lm = Namespace(generation_config=Namespace(eos_token_id=[1, 106]))
    assert end_tokens(lm, Tokenizer) == [107, 1, 106]
    Tokenizer.chat_template = None
    lm.generation_config.eos_token_id = None
    assert end_tokens(lm, Tokenizer) == [1]
