"""embeddings.py: what is drawn, and the numbers beside it, by hand."""
from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from test_commands import FAST
from test_methods import pair_of_domains

import embeddings
from support import figures
from support.runs import Job
from support.trainer import Trainer
from support.training import Run


def test_embeddings(cache, tmp_path, capsys):
    embeddings.main([*FAST, "--steps", "2", "--n-test", "6", "--out", str(tmp_path)])
    table = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:7]]
    assert table == [[m, s] for m in ("Src-Pref", "DIAL") for s in "012"]
    assert (tmp_path / "embeddings.png").read_bytes()[:4] == b"\x89PNG"


def test_pca_keeps_the_largest_variances():
    torch.manual_seed(0)
    points = torch.randn(300, 5) * torch.tensor([3.0, 0.1, 2.0, 0.1, 0.1])
    variances = torch.linalg.eigvalsh(points.T.cov())[[4, 3]]
    assert torch.allclose(embeddings.pca(points).var(dim=0), variances, rtol=1e-4)


@pytest.mark.parametrize("center", [True, False])
def test_embeddings_are_those_of_the_model_and_centred_if_the_critics_are(args, center):
    args.config = replace(args.config, center_prompts=center)
    pair = pair_of_domains()
    run = Run(Trainer(args), Job("DIAL", 0, [pair]))
    emb = embeddings.embed(run, pair[1])  # (6, 2, D): of each record both responses
    rewards = run.model.reward_head(emb).squeeze(-1).detach()
    margins = torch.stack([r[0] - r[1] for r in embeddings.dial.predict(
        run.model, run.batches(run.encode(pair[1], "test")))])
    torch.testing.assert_close(rewards[:, 0] - rewards[:, 1], margins)
    assert (emb.sum(dim=1).abs().max() < 1e-4) == center


def test_looks_measure_the_target(args, monkeypatch):
    source, target = pair_of_domains()
    monkeypatch.setattr(Run, "measure", lambda run, domain: {
        "accuracy": 0.25 if domain is target else 0.75})
    looks = embeddings.looks_of(Trainer(args), Job("Src-Pref", 0, [(source, target)]))
    assert [(step, s.shape[0], t.shape[0], a) for step, s, t, a in looks] == [
        (step, 4, 6, 0.25) for step in range(4)]


def test_the_gap_by_hand():
    source = torch.tensor([[[3.0, 4.0], [0.0, 5.0]]] * 2)  # all of norm 5, as the target's
    target = torch.tensor([[[3.0, -4.0], [5.0, 0.0]]] * 3)
    assert embeddings.gap(source, target) == pytest.approx((8 + 50**0.5) / 2 / 5)


def test_some_records_are_drawn_at_random():
    domain = replace(pair_of_domains()[1], test=list(range(99)))
    drawn = embeddings.some(domain, 9, 0).test
    assert len(drawn) == 9 and drawn != list(range(9))
    assert embeddings.some(domain, 9, 1).test != drawn == embeddings.some(domain, 9, 0).test
    assert len(embeddings.some(domain, 200, 0).test) == 99


def test_each_group_has_its_own_points():
    drawn = {}
    ax = Namespace(set=lambda **k: None, scatter=lambda x, y, label, **k: drawn.update(
        {label: torch.stack([x, y], dim=1)}))
    source, target = torch.randn(3, 2, 2), torch.randn(4, 2, 2)
    figures.scatter(ax, source, target, lambda points: points)
    for name, emb in (("source", source), ("target", target)):
        for k, kind in enumerate(("chosen", "rejected")):
            assert torch.equal(drawn[f"{name}, {kind}"], emb[:, k])
