"""What each method reads, seen from inside a run, on texts that say where they are from."""
import dataclasses
import itertools
import re
from collections import Counter

import pytest
import torch
from conftest import load, pair_of_domains, run_once

import data
import dial
from data import Preference
from harness import runs
from methods.table import METHODS
from models import backbones
from models.language import tokens_to_predict

MATCHING = ("Mean matching", "MMD")
# What two records a step of each part make: labelled and unlabelled (conftest.pair_of_domains).
READS = {
    "Src-Pref": ({"SL": 2}, {}),
    "Src-Pref-SFT": ({"SL": 2}, {}),
    "Src-Pref-Tgt-NTP": ({"SL": 2}, {"TU": 2}),
    "DIAL": ({"SL": 2}, {"TU": 2}),
    "DEAL": ({"SL": 2}, {"TU": 2}),
    "Tgt-Pref*": ({"TL": 2}, {}),
    "Src-Tgt-Pref*": ({"SL": 2, "TL": 2}, {}),
} | dict.fromkeys(MATCHING, ({"SL": 2}, {"TU": 2}))
MARK = re.compile("SL|ST|TL|TU|TT")


def unmeasured(monkeypatch):
    """Runs train, and measure nothing."""
    monkeypatch.setattr(runs, "results_of", lambda *_: [])


def test_the_table_of_reads_is_whole():
    assert READS.keys() == {name for name, method in METHODS.items() if method.step}
    assert all(bool(method.step) != bool(method.rewards) for method in METHODS.values())
    starred = {name for name, method in METHODS.items() if "target" in method.labels}
    assert starred == {name for name in METHODS if name.endswith("*")}


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("method", READS)
def test_what_a_method_reads(args, monkeypatch, method, share):
    labeled, unlabeled = READS[method]
    embedded, steps, embed = set(), [], dial.RewardModel.embed
    monkeypatch.setattr(backbones, "SHARE_ROWS", ("gemma3_text",) if share else ())
    unmeasured(monkeypatch)
    args.config = dataclasses.replace(args.config, steps=2, lora_layers=1, critic_steps=1)

    def spy_embed(model, batch, *hidden):
        for row in batch["input_ids"]:
            embedded.update(MARK.findall(tokenizer.decode(row)))
        return embed(model, batch, *hidden)

    def spy_step(model, critic, optimizer, critic_optimizer, batch, *rest):
        assert ("blocks" in batch) is share
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

    step, backbone = METHODS[method].step, load(args)
    tokenizer = backbone.tokenizer
    monkeypatch.setitem(METHODS, method, dataclasses.replace(METHODS[method], step=spy_step))
    monkeypatch.setattr(dial.RewardModel, "embed", spy_embed)
    run_once(args, method, pair_of_domains(), backbone=backbone)
    assert len(steps) == 2 and embedded == {*labeled, *unlabeled}


@pytest.mark.parametrize("method", ["Src-Pref-Tgt-NTP", "DIAL", "DEAL", *MATCHING])
def test_target_labels_cannot_matter(args, trained, method):
    """Swap what is chosen and rejected in all of the target: not a bit of the training changes."""
    logs, args.config = [], dataclasses.replace(args.config, steps=2)
    for swap in (False, True):
        source, target = pair_of_domains()
        target.labeled, target.test = (
            [Preference(r.prompt, *((r.rejected[0], (r.chosen,)) if swap
                                    else (r.chosen, r.rejected))) for r in rows]
            for rows in (target.labeled, target.test))
        target.unlabeled = data.unlabel(target.labeled)
        logs.append(run_once(args, method, (source, target))["log"])
    assert logs[0] == logs[1]
    assert all(torch.equal(a, b) for a, b in zip(*trained, strict=True))


@pytest.mark.parametrize("method", ["DIAL", "Tgt-Pref*"])
def test_what_a_run_is_measured_on(args, monkeypatch, trained, method):
    """The source accuracy on the source's test texts, then the target's on its own, both with the
    model as it was trained."""
    measured, predict, backbone = [], dial.predict, load(args)
    args.config = dataclasses.replace(args.config, steps=1, lora_layers=1)

    def spy(model, batches, *rest):
        batches = list(batches)
        measured.append({mark for batch in batches for row in batch["input_ids"]
                         for mark in MARK.findall(backbone.tokenizer.decode(row))})
        now = [p for p in model.parameters() if p.requires_grad]
        assert all(torch.equal(a, b) for a, b in zip(now, trained[0]))
        return predict(model, batches, *rest)

    monkeypatch.setattr(dial, "predict", spy)
    run_once(args, method, pair_of_domains(), backbone=backbone)
    assert measured == [{"ST"}, {"TT"}]


def test_an_oracle_sees_the_sources_records_in_the_same_order(args, monkeypatch):
    """And a method that reads the target, too."""
    orders, backbone = {}, load(args)
    unmeasured(monkeypatch)
    for method in ("Src-Pref", "Src-Tgt-Pref*", "DIAL"):
        orders[method] = []

        def step(model, critic, optimizer, critic_optimizer, batch, config):
            texts = [backbone.tokenizer.decode(batch["input_ids"][0, batch["columns"][n]])
                     for n in range(batch["n_source"])]
            orders[method].append([text for text in texts if "SL" in text])
            return {"source_loss": torch.zeros(())}

        monkeypatch.setitem(METHODS, method, dataclasses.replace(METHODS[method], step=step))
        run_once(args, method, pair_of_domains(), backbone=backbone)
    assert orders["Src-Pref"] == orders["Src-Tgt-Pref*"] == orders["DIAL"]
    assert len(orders["Src-Pref"]) == 3 and len(orders["Src-Pref"][0]) == 4


def test_a_seed_has_its_own_weights_and_its_own_order(args, monkeypatch):
    """Of model and critic alike; and methods of one seed begin with the same."""
    seeds, begun, real, train = [], [], data.training_batches, dial.train
    monkeypatch.setattr(data, "training_batches",
                        lambda *a, **k: seeds.append(a[4]) or real(*a, **k))
    unmeasured(monkeypatch)
    monkeypatch.setattr(dial, "train", lambda model, critic, *rest, **_: (begun.append(
        torch.cat([p.detach().flatten() for m in (model, critic) for p in m.parameters()
                   if p.requires_grad])), train(model, critic, *rest))[1])
    backbone = load(args)
    for name, seed in (("Src-Pref", 0), ("Src-Pref", 1), ("DIAL", 1)):
        run_once(args, name, pair_of_domains(), seed=seed, backbone=backbone)
    assert seeds == [0, 1, 1] and torch.equal(*begun[1:])
    assert (begun[0] != begun[1]).float().mean() > 0.4  # all but LoRA's B, and the critic's biases
    critic = sum(p.numel() for p in dial.Critic(32).parameters())
    assert not torch.equal(begun[0][-critic:], begun[1][-critic:])
