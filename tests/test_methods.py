"""What each method reads, seen from inside a run, on texts that say where they are from."""
import dataclasses
import itertools
import random
import re
from collections import Counter

import pytest
import torch
import transformers

import data
import dial
from data import Preference, Unlabeled
from domains.splits import Domain
from support import backbones, untrained
from support.language import tokens_to_predict
from support.methods import METHODS
from support.runs import Job
from support.trainer import Trainer
from support.training import Run

# What two records a step of each part make: labelled and unlabelled. SL, ST: the source's labelled
# and test texts; TL, TU, TT: the target's labelled, unlabelled and test texts.
READS = {
    "Src-Pref": ({"SL": 2}, {}),
    "Src-Pref-SFT": ({"SL": 2}, {}),
    "Src-Pref-Tgt-NTP": ({"SL": 2}, {"TU": 2}),
    "Self-training": ({"SL": 2}, {"TU": 2}),
    "Entropy": ({"SL": 2}, {"TU": 2}),
    "DIAL": ({"SL": 2}, {"TU": 2}),
    "DEAL": ({"SL": 2}, {"TU": 2}),
    "DEAL from Src-Pref": ({"SL": 2}, {"TU": 2}),
    "Tgt-Pref*": ({"TL": 2}, {}),
    "Src-Tgt-Pref*": ({"SL": 2, "TL": 2}, {}),
}
MARK = re.compile("SL|ST|TL|TU|TT")


def preferences(mark, n):
    return [Preference(f"{mark}{i}?", f"yes {mark}", (f"no {mark}",)) for i in range(n)]


def pair_of_domains():
    unlabeled = [Unlabeled(f"TU{i}?", ("yes TU", "no TU")) for i in range(4)]
    return (Domain("source", preferences("SL", 5), (), preferences("ST", 4)),
            Domain("target", preferences("TL", 7), unlabeled, preferences("TT", 6)))


def train(args, method, source, target):
    run = Run(Trainer(args), Job(method, 0, [(source, target)]))
    return run, run.train(look=lambda step: None)


def weights(run):
    return [p.detach().clone() for m in (run.model, run.critic) for p in m.parameters()
            if p.requires_grad]


def test_the_table_of_reads_is_whole():
    assert READS.keys() == {name for name, method in METHODS.items() if method.step}
    starred = {name for name, method in METHODS.items() if "target" in method.labels}
    assert starred == {name for name in METHODS if name.endswith("*")}


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("method", READS)
def test_what_a_method_reads(args, monkeypatch, method, share):
    labeled, unlabeled = READS[method]
    embedded, steps, embed = set(), [], dial.RewardModel.embed
    monkeypatch.setattr(backbones, "SHARE_ROWS", ("gemma3_text",) if share else ())

    def spy_embed(model, batch, *hidden):
        for row in batch["input_ids"]:
            embedded.update(MARK.findall(tokenizer.decode(row)))
        return embed(model, batch, *hidden)

    def spy_step(model, critic, optimizer, critic_optimizer, batch, *rest):
        tokens = tokens_to_predict(batch)
        texts = [tokenizer.decode(tokens["token"][tokens["response"] == n])
                 for n in range(len(batch["last_row"]))]
        marks = [MARK.search(text)[0] for text in texts]
        starts = [0, *itertools.accumulate(batch["counts"])]
        first, n_labeled = [marks[i] for i in starts[:-1]], starts.index(batch["n_source"])
        assert batch["n_source_records"] == n_labeled
        assert (Counter(first[:n_labeled]), Counter(first[n_labeled:])) == (labeled, unlabeled)
        assert [texts[i] for i in batch["chosen"]] == [f"yes {mark}" for mark in first[:n_labeled]]
        assert [texts[i] for i in batch["rejected"]] == [f"no {mark}" for mark in first[:n_labeled]]
        steps.append(texts)
        return step(model, critic, optimizer, critic_optimizer, batch, *rest)

    step = METHODS[method].step
    monkeypatch.setitem(METHODS, method, dataclasses.replace(METHODS[method], step=spy_step))
    trainer = Trainer(args)
    tokenizer = trainer.tokenizer
    monkeypatch.setattr(dial.RewardModel, "embed", spy_embed)
    run = Run(trainer, Job(method, 0, [pair_of_domains()]))
    run.train(look=lambda step: None)
    assert len(steps) == 3 and embedded == {*labeled, *unlabeled}


@pytest.mark.parametrize("method", ["Src-Pref-Tgt-NTP", "DIAL", "DEAL"])
def test_target_labels_cannot_matter(args, method):
    """Swap what is chosen and rejected in all of the target: not a bit of the training changes."""
    outcomes = []
    for swap in (False, True):
        source, target = pair_of_domains()
        target.labeled, target.test = (
            [Preference(r.prompt, *((r.rejected[0], (r.chosen,)) if swap
                                    else (r.chosen, r.rejected))) for r in rows]
            for rows in (target.labeled, target.test))
        target.unlabeled = data.unlabel(target.labeled)
        run, log = train(args, method, source, target)
        outcomes.append((log, weights(run)))
    assert outcomes[0][0] == outcomes[1][0]
    assert all(torch.equal(a, b) for a, b in zip(outcomes[0][1], outcomes[1][1], strict=True))


def test_what_a_run_is_measured_on(args, monkeypatch):
    """The source accuracy on the source's test texts, then the target's on its own."""
    seen, predict = [], dial.predict
    monkeypatch.setattr(dial, "predict", lambda model, batches, title: seen.append(
        {mark for batch in batches for row in batch["input_ids"]
         for mark in MARK.findall(run.tokenizer.decode(row))}) or predict(model, batches, title))
    run = Run(Trainer(args), Job("Src-Pref", 0, [pair_of_domains()]))
    run.results([], run.job.pairs)
    assert seen == [{"ST"}, {"TT"}]


def test_an_oracle_sees_the_sources_records_in_the_same_order(args, monkeypatch):
    orders = {}
    for method in ("Src-Pref", "Src-Tgt-Pref*"):
        trainer, orders[method] = Trainer(args), []

        def step(model, critic, optimizer, critic_optimizer, batch, config):
            texts = [trainer.tokenizer.decode(batch["input_ids"][0, batch["columns"][n]])
                     for n in range(batch["n_source"])]
            orders[method].append([text for text in texts if "SL" in text])
            return {"source_loss": torch.zeros(())}

        monkeypatch.setitem(METHODS, method, dataclasses.replace(METHODS[method], step=step))
        Run(trainer, Job(method, 0, [pair_of_domains()])).train(look=lambda step: None)
    assert orders["Src-Pref"] == orders["Src-Tgt-Pref*"] and len(orders["Src-Pref"]) == 3


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
    monkeypatch.setattr(dial, "predict", lambda model, batches, title: [
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
    monkeypatch.setattr(dial, "predict", lambda model, batches, title: [
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
