"""What the untrained methods ask the base model, and what becomes of its answers."""
import random
import re
from argparse import Namespace

import pytest
import torch
import transformers
from conftest import load, pair_of_domains, preferences

import data
import dial
from data import Preference, Unlabeled
from harness import runs
from methods import untrained
from methods.table import METHODS
from models import backbones

QUESTION = re.compile(r"Which\?\n(.*)\nA: (.*)\nB: (.*)\n")


@pytest.fixture
def rewards_of(args):
    """The rewards of a target's test by a method, asked with the base model."""
    def rewards_of(method, source, target, seed=0):
        backbone = load(args)
        with runs.new_model(args, backbone, args.config, seed) as (model, _):
            return METHODS[method].rewards(
                target, source=source, seed=seed, args=args, model=model, backbone=backbone)

    return rewards_of


def thinks(monkeypatch, line):
    """The base model's thoughts are `line`, with the number of its prompt; returns the prompts."""
    prompts = []
    monkeypatch.setattr(untrained, "think", lambda args, texts, context: (
        prompts.extend(texts), [line.format(i) for i in range(len(texts))])[1])
    return prompts


# ------------------------------------------------------------------ without a model


def test_the_longest_response_has_the_most_words():
    target = pair_of_domains()[1]
    target.test = [Preference("Q", "a b c", ("looooooooooong", "a b"))]
    assert METHODS["Longest"].rewards(target, seed=0)[0].tolist() == [3, 1, 2]
    # Chinese and Thai write no spaces between words: there a character counts.
    target.test = [Preference("Q", "\u8fd9\u4e0d\u662f\u3002",
                              ("\u8fd9 GPT-4\u3002", "\u0e44\u0e21\u0e48"))]
    assert METHODS["Longest"].rewards(target, seed=0)[0].tolist() == [3, 2, 3]


def test_words_count_by_how_often_they_were_chosen_in_the_source():
    source, target = pair_of_domains()
    source.labeled = [Preference("Q", "Good GOOD", ("bad good",)),
                      Preference("Q", "good", ("bad",))]
    target.labeled = [Preference("Q", "bad", ("good",))] * 9  # not read
    target.test = [Preference("Q", "good Good", ("bad", "new"))]
    good, bad = torch.tensor([4 / 2, 1 / 3]).log()  # (chosen + 1) / (rejected + 1)
    chinese = pair_of_domains()[1]
    chinese.test = [Preference("Q", "\u597d\u7684\u3002", ("\u574f\u7684\u3002",))]
    source.labeled.append(Preference("Q", "\u597d", ("\u574f",)))
    (rewards,) = METHODS["Seen words"].rewards(chinese, source=source)
    torch.testing.assert_close(rewards, torch.tensor([2.0, 0.5]).log())
    torch.testing.assert_close(METHODS["Seen words"].rewards(target, source=source)[0],
                               torch.stack([2 * good, bad, torch.tensor(0.0)]))


# ------------------------------------------------------------------ the base model, in words


@pytest.mark.parametrize("method", ["Base LM", "Few-shot LM"])
def test_the_base_model_chooses_by_letters_in_random_order(rewards_of, monkeypatch, method):
    """The stand-in thinks of the number of a prompt, and always answers A."""
    source, target = pair_of_domains()
    source.labeled = [Preference(f"SL{i}?", "yes SL", ("no SL",)) for i in range(20)] * 2
    target.test, rows = preferences("TT", 40), []
    prompts = thinks(monkeypatch, "I think {}.")
    encode = data.encode
    monkeypatch.setattr(data, "encode", lambda part, *a: rows.extend(part) or encode(part, *a))
    monkeypatch.setattr(dial, "predict", lambda *_: [torch.tensor([-1.0, -2.0])] * 40)
    rewards = rewards_of(method, source, target)
    for i, (row, prompt, reward) in enumerate(zip(rows, prompts, rewards, strict=True)):
        assert row.prompt == f"{prompt} I think {i}.\nFinal answer: "
        assert row.responses == ("A", "B")
        *shots, (asked, a, b) = QUESTION.findall(prompt)
        assert asked == f"TT{i}?" and {a, b} == {"yes TT", "no TT"}
        assert reward.tolist() == ([-1, -2] if a == "yes TT" else [-2, -1])
        assert len({text for text, *_ in shots}) == (10 if method == "Few-shot LM" else 0)
        answers = re.findall("Final answer: (.)\n\n", prompt)
        assert answers == ["A" if a == "yes SL" else "B" for _, a, _ in shots]
        assert prompt.endswith("\nLet's think step by step:")
    first = [QUESTION.findall(prompt)[-1][1] for prompt in prompts]
    assert 10 < first.count("yes TT") < 30 and (not shots or len(set(answers)) == 2)


def test_the_examples_are_ten_different_ones_of_the_source_and_follow_the_seed(monkeypatch):
    source, target = pair_of_domains()
    source.labeled = [Preference(f"SL{i}?", "yes", ("no",)) for i in range(30)] * 2
    monkeypatch.setattr(untrained, "base_lm", lambda domain, shots, **_: [
        int(i) for i in re.findall(r"SL(\d+)\?", shots)])

    def examples(seed):
        return METHODS["Few-shot LM"].rewards(
            target, source=source, seed=seed, args=Namespace(question="Which?"))

    assert examples(3) == random.Random(3).sample(range(30), 10)  # none twice
    assert examples(3) != examples(4)
    source.labeled = source.labeled[:3]
    assert sorted(examples(3)) == [0, 1, 2]


@pytest.mark.parametrize("method", ["Base LM", "Few-shot LM"])
def test_the_seed_orders_the_letters(rewards_of, monkeypatch, method):
    states, ask = {}, untrained.ask
    monkeypatch.setattr(untrained, "ask", lambda question, row, rng: (
        states.setdefault(row.prompt[:2], rng.getstate()), ask(question, row, rng))[1])
    thinks(monkeypatch, "Hm.")
    monkeypatch.setattr(dial, "predict", lambda *_: [torch.tensor([-1.0, -2.0])] * 6)
    rewards_of(method, *pair_of_domains(), seed=5)
    expected = random.Random(5)
    assert states["TT"] == expected.getstate()
    if method == "Few-shot LM":  # its examples are drawn first
        expected.sample(range(5), 5)
        assert states["SL"] == expected.getstate()


def test_letters_go_back_to_their_responses(rewards_of, monkeypatch):
    source, target = pair_of_domains()
    target.test = [Preference("Q", "a", ("b", "c"))]
    monkeypatch.setattr(untrained, "ask", lambda *_: ("Q", [2, 0, 1]))  # A is the third's letter
    thinks(monkeypatch, "Hm.")
    monkeypatch.setattr(dial, "predict", lambda *_: [torch.tensor([-1.0, -2.0, -3.0])])
    assert rewards_of("Base LM", source, target)[0].tolist() == [-2, -3, -1]


def test_there_is_a_letter_for_26_responses(rewards_of, monkeypatch):
    source, target = pair_of_domains()
    thinks(monkeypatch, "Hm.")
    monkeypatch.setattr(dial, "predict", lambda *_: [torch.arange(26.0)])
    target.test = [Preference("Q", "0", tuple(map(str, range(1, 26))))]
    assert sorted(rewards_of("Base LM", source, target)[0].tolist()) == list(range(26))
    target.test = [Preference("Q", "0", tuple(map(str, range(1, 27))))]
    with pytest.raises(data.InputError, match="target: 27 responses to a prompt; .* for 26"):
        rewards_of("Base LM", source, target)
    source.labeled, target.test = target.test, source.labeled
    with pytest.raises(data.InputError, match="source: 27 responses to a prompt; .* for 26"):
        rewards_of("Few-shot LM", source, target)


def test_the_base_model_gives_a_single_text_the_likeliest_score(rewards_of, monkeypatch):
    source, target = pair_of_domains()
    target.test = [Unlabeled("Text:", (f"essay {i}",)) for i in range(6)]
    target.scores, rows, encode = [1.0, 2, 3, 4, 5, 6], [], data.encode
    thinks(monkeypatch, "Hm.")
    monkeypatch.setattr(data, "encode", lambda part, *a: rows.extend(part) or encode(part, *a))
    monkeypatch.setattr(dial, "predict", lambda *_: [torch.eye(6)[(i + 2) % 6] for i in range(6)])
    assert [r.tolist() for r in rewards_of("Base LM", source, target)] == [
        [3], [4], [5], [6], [1], [2]]
    assert all(row.responses == tuple("123456") for row in rows)
    assert rows[4].prompt == (f"{untrained.SCORE}\nessay 4\nLet's think step by step: Hm.\n"
                              "Final answer: ")


def test_thoughts_are_the_base_models_greedy_line(args, monkeypatch):
    """One token after the other by transformers' own model, to the end of a line. What is longer
    than the context is cut from the left."""
    monkeypatch.setattr(untrained, "THOUGHTS", 8)
    backbone = load(args)
    tokenizer = backbone.tokenizer
    model = transformers.AutoModelForCausalLM.from_pretrained(backbones.locate("tiny")).eval()
    prompts, lines = ["One?", "Another, longer one?", "abc" * 30], []
    for prompt in prompts:
        ids = tokenizer(prompt)["input_ids"]
        ids = ids if len(ids) <= 42 else [ids[0], *ids[-41:]]
        start = len(ids)
        for _ in range(8):
            with torch.no_grad():
                ids = [*ids, model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item()]
        text = tokenizer.decode(ids[start:], skip_special_tokens=True)
        lines.append(text.strip().partition("\n")[0])
    assert untrained.think(args, prompts, 50) == lines
