"""What the untrained methods ask the base model, and what becomes of its answers."""
import random
import re

import pytest
import torch
import transformers
from test_methods import pair_of_domains, preferences

import data
import dial
from data import Preference, Unlabeled
from support import backbones, untrained
from support.methods import METHODS
from support.runs import Job
from support.trainer import Trainer
from support.training import Run


def test_few_shot_puts_chosen_examples_of_the_source_before_every_prompt(args, monkeypatch):
    rows, encode, (source, target) = [], data.encode, pair_of_domains()
    source.labeled = [Preference(f"SL{i}? \n", "yes", ("no",)) for i in range(30)] * 2
    args.max_length = 1000
    run = Run(Trainer(args), Job("Few-shot LM likelihood", 3, [(source, target)]))
    monkeypatch.setattr(data, "encode", lambda part, *a: rows.extend(part) or encode(part, *a))
    assert 0 <= run.measure(target)["accuracy"] <= 1
    examples = random.Random(3).sample(source.labeled[:30], 10)  # none twice
    shots = "".join(f"{e.prompt.strip()}\nyes\n\n" for e in examples)
    assert [row.prompt for row in rows] == [shots + row.prompt for row in target.test]
    assert [row.responses for row in rows] == [row.responses for row in target.test]


# ------------------------------------------------------------------ the base model, in words


QUESTION = re.compile(r"Which\?\n(.*)\nA: (.*)\nB: (.*)\n")


@pytest.mark.parametrize("method", ["Base LM", "Few-shot LM"])
def test_the_base_model_chooses_by_letters_in_random_order(args, monkeypatch, method):
    """The stand-in thinks of the number of a prompt, and always answers A."""
    source, target = pair_of_domains()
    source.labeled = [Preference(f"SL{i}?", "yes SL", ("no SL",)) for i in range(20)] * 2
    target.test, rows, prompts = preferences("TT", 40), [], []
    monkeypatch.setattr(untrained, "think", lambda run, texts, context: (
        prompts.extend(texts) or [f"I think {i}." for i in range(len(texts))]))
    encode = data.encode
    monkeypatch.setattr(data, "encode", lambda part, *a: rows.extend(part) or encode(part, *a))
    monkeypatch.setattr(dial, "predict", lambda model, batches, *_: [
        torch.tensor([-1.0, -2.0])] * 40)
    run = Run(Trainer(args), Job(method, 0, [(source, target)]))
    rewards = METHODS[method].rewards(run, target)
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


@pytest.mark.parametrize("method", ["Base LM", "Few-shot LM"])
def test_the_seed_orders_the_letters(args, monkeypatch, method):
    states, ask = {}, untrained.ask
    monkeypatch.setattr(untrained, "ask", lambda question, row, rng: (
        states.setdefault(row.prompt[:2], rng.getstate()), ask(question, row, rng))[1])
    monkeypatch.setattr(untrained, "think", lambda run, texts, context: ["Hm."] * len(texts))
    monkeypatch.setattr(dial, "predict", lambda *_: [torch.tensor([-1.0, -2.0])] * 6)
    run = Run(Trainer(args), Job(method, 5, [pair_of_domains()]))
    METHODS[method].rewards(run, run.target)
    assert set(states.values()) == {random.Random(5).getstate()}


def test_the_base_model_gives_a_single_text_the_likeliest_score(args, monkeypatch):
    source, target = pair_of_domains()
    target.test = [Unlabeled("Text:", (f"essay {i}",)) for i in range(6)]
    target.scores, rows, encode = [1.0, 2, 3, 4, 5, 6], [], data.encode
    monkeypatch.setattr(untrained, "think", lambda run, texts, context: ["Hm."] * len(texts))
    monkeypatch.setattr(data, "encode", lambda part, *a: rows.extend(part) or encode(part, *a))
    monkeypatch.setattr(dial, "predict", lambda model, batches, *_: [
        torch.eye(6)[(i + 2) % 6] for i in range(6)])
    run = Run(Trainer(args), Job("Base LM", 0, [(source, target)]))
    assert [r.tolist() for r in METHODS["Base LM"].rewards(run, target)] == [
        [3], [4], [5], [6], [1], [2]]
    assert all(row.responses == tuple("123456") for row in rows)
    assert rows[4].prompt == (f"{untrained.SCORE}\nessay 4\nLet's think step by step: Hm.\n"
                              "Final answer: ")


def test_thoughts_are_the_base_models_greedy_line(args, monkeypatch):
    """One token after the other by transformers' own model, to the end of a line. What is longer
    than the context is cut from the left."""
    monkeypatch.setattr(untrained, "THOUGHTS", 8)
    monkeypatch.setattr(backbones, "pick_dtype", lambda *_: torch.float32)
    run = Run(Trainer(args), Job("Base LM", 0, [pair_of_domains()]))
    model = transformers.AutoModelForCausalLM.from_pretrained(backbones.locate("tiny")).eval()
    prompts, lines = ["One?", "Another, longer one?", "abc" * 30], []
    for prompt in prompts:
        ids = run.tokenizer(prompt)["input_ids"]
        ids = ids if len(ids) <= 42 else [ids[0], *ids[-41:]]
        start = len(ids)
        for _ in range(8):
            with torch.no_grad():
                ids = [*ids, model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item()]
        text = run.tokenizer.decode(ids[start:], skip_special_tokens=True)
        lines.append(text.strip().partition("\n")[0])
    assert untrained.think(run, prompts, 50) == lines
