"""benchmark.py: the peers compute what ours computes, and what it reports is counted right."""
import json
import time
from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from test_batches import random_encoded, record, texts_of

import benchmark
import dial
from speed import meter, peers

OWN = peers.CONFIG
CONFIG = dial.DialConfig(lora_rank=4, lora_alpha=4, lambda_da=0.0, center_prompts=True, clip=0.0)


@pytest.fixture(scope="module")
def options(cache, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "CONFIG", CONFIG)
        yield Namespace(model="tiny", device="cpu", dtype="float32", gradient_checkpointing=False,
                        compile=False, out=tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def ours(options):
    """Our learner, which no step moves."""
    return learner_of(options, "blocks")


def lists(seed):
    """Five records of three responses, of the tiny model's tokens."""
    return [record([2] + [3 + i % 250 for i in texts[0][1:n]],
                   *([3 + i % 250 for i in text[n:]] for text in texts))
            for n, texts in random_encoded(seed)]


def trained(learner):
    """The gradients that the last step has left, by name."""
    return {n: p.grad for n, p in learner.model.named_parameters() if p.grad is not None}


def learner_of(options, attention):
    """All the same, their LoRA not 0; no step moves them."""
    torch.manual_seed(0)
    learner = peers.Learner(options, attention)
    for name, p in learner.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    for optimizer in learner.optimizers:
        optimizer.param_groups[0]["lr"] = 0.0
    return learner


def test_the_authors_recipe_has_our_gradients_for_more_positions(options, ours):
    """Without a domain loss (the critics see other random mixes), on lists of three."""
    labeled, unlabeled = lists(1), lists(2)
    padded = learner_of(options, "sdpa")
    tokens = peers.ours(ours, dial.dial_step)(labeled, unlabeled)
    positions = peers.padded_dial(padded)(labeled, unlabeled)
    a, b = trained(ours), trained(padded)
    assert len(a) > 10 and a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(b[name], a[name], rtol=1e-3, atol=1e-5)
    texts = texts_of(labeled + unlabeled)
    assert tokens == len({tuple(t[:i]) for t in texts for i in range(1, len(t) + 1)})
    assert positions == sum(5 * max(len(r.texts[k]) for r in rows)
                            for rows in (labeled, unlabeled) for k in range(3))


def test_src_pref_is_the_labelled_half(ours):
    records = lists(1)
    assert (peers.ours(ours, dial.preference_step)(records, lists(2))
            == peers.ours(ours, dial.preference_step)(records, None))


def test_trl_takes_a_step_where_it_is_installed(options):
    """A list of three is two pairs, all padded to one length."""
    pytest.importorskip("trl")
    records = lists(1)
    longest = max(map(len, texts_of(records)))
    assert peers.trl_preference(options)(records, None) == 20 * longest


def test_memory_and_time_of_a_call():
    def run(n):
        time.sleep(0.1)
        return torch.ones(n, dtype=torch.uint8).max().item()

    value, seconds = meter.timed(run, 2**27)
    assert value == 1 and 0.1 < seconds < 60
    memory = meter.peak_memory(torch.device("cpu"), run, 2**27)
    assert memory == 0 or 0.9 * 2**27 < memory < 2 * 2**27


def test_it_runs_and_leaves_its_table(cache, tmp_path, capsys, monkeypatch):
    """With a critic that takes one step of its ten."""
    monkeypatch.setattr(peers, "CONFIG", replace(OWN, critic_steps=1))
    monkeypatch.setattr(benchmark, "SIZES", dict.fromkeys(benchmark.SIZES, 2))
    benchmark.main(["--model", "tiny", "--repeats", "1", "--out",
                    str(tmp_path), "--lengths", "lists", "dialogues"])
    record = json.loads((tmp_path / "results.json").read_text())
    rows = {(r["source"], r["method"], r["metric"]): r["mean"] for r in record["rows"]}
    assert {m for _, m, _ in rows} >= {"DIAL", "DIAL, authors' recipe", "Src-Pref"}
    positions = [rows["lists", name, "positions a token"]
                 for name in ("DIAL", "DIAL, authors' recipe")]
    assert positions[0] == 1 < 5 < positions[1]
    assert rows["dialogues", "DIAL", "seconds a step"] > 0 and record["config"]["device"] != "auto"
    assert "times" in capsys.readouterr().out


def test_random_records_have_the_lengths_that_are_said():
    lengths = [len(text) for record in meter.random_records(2, 0, full=True)
               for text in record.texts]
    assert lengths == [1024] * 4
    records = meter.random_records(2000, 0)
    prompts = [record.n_prompt for record in records]
    assert max(len(text) for record in records for text in record.texts) <= 1024
    assert sum(prompts) / 2000 == pytest.approx(150, rel=0.1) and len(set(prompts)) > 100
