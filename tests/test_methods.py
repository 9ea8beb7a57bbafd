"""What each method reads, seen from inside a run, on texts that say where they are from."""
import dataclasses
import itertools
import re
from collections import Counter

import pytest
import torch

import data
import dial
from data import Preference, Unlabeled
from domains.splits import Domain
from support import backbones
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
    "DIAL": ({"SL": 2}, {"TU": 2}),
    "DEAL": ({"SL": 2}, {"TU": 2}),
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
    return run, run.train(evaluate=lambda step: None)


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
    run.train(evaluate=lambda step: None)
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

    def watched(model, batches, *args):
        batches = list(batches)
        seen.append({mark for batch in batches for row in batch["input_ids"]
                     for mark in MARK.findall(run.tokenizer.decode(row))})
        return predict(model, batches, *args)

    monkeypatch.setattr(dial, "predict", watched)
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
        Run(trainer, Job(method, 0, [pair_of_domains()])).train(evaluate=lambda step: None)
    assert orders["Src-Pref"] == orders["Src-Tgt-Pref*"] and len(orders["Src-Pref"]) == 3
