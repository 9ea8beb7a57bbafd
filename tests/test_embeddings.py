"""embeddings.py: what is drawn, and the numbers beside it, by hand."""
from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from conftest import FAST, load, pair_of_domains

import data
import dial
import embeddings
from domains.splits import Domain
from harness import figures, runs


def test_embeddings(cache, tmp_path, capsys, undrawn, monkeypatch):
    made, food_domain = [], embeddings.food_domain
    monkeypatch.setattr(embeddings, "food_domain", lambda name, seed, n_test: (
        made.append((name, seed, n_test)), food_domain(name, seed, n_train=9, n_test=n_test))[1])
    flags = [flag for flag in FAST if flag not in ("--seeds", "0")]
    embeddings.main([*flags, "--steps", "2", "--n-test", "6", "--seed", "3",
                     "--device", "auto", "--out", str(tmp_path)])
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in out[1:7]] == [
        [m, s] for m in ("Src-Pref", "DIAL") for s in "012"]
    assert out[7] == str(tmp_path / "embeddings.png") and (tmp_path / "embeddings.png").exists()
    assert made == [("desserts:en", 3, 6), ("desserts:th", 3, 6)]


def test_the_picture(tmp_path):
    emb = torch.randn(2, 2, 5)
    looks = {name: [(1, emb, emb, 0.5)] for name in ("Src-Pref", "DIAL")}
    figures.plot_embeddings(looks, embeddings.pca, "Trial", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_pca_keeps_the_largest_variances():
    torch.manual_seed(0)
    points = torch.randn(300, 5) * torch.tensor([3.0, 0.1, 2.0, 0.1, 0.1])
    variances = torch.linalg.eigvalsh(points.T.cov())[[4, 3]]
    assert torch.allclose(embeddings.pca(points).var(dim=0), variances, rtol=1e-4)


@pytest.mark.parametrize("center", [True, False])
def test_embeddings_are_those_of_the_model_and_centred_if_the_critics_are(args, center):
    args.config = replace(args.config, center_prompts=center)
    backbone, rows = load(args), pair_of_domains()[1].test
    with runs.new_model(args, backbone, args.config, 0) as (model, _):
        batches = list(data.evaluation_batches(data.encode(rows, backbone.tokenizer, 200),
                                               tokens=60, **backbone.pack_options))
        emb = embeddings.embed(model.train(), batches, args.config)  # (6, 2, D)
        rewards = dial.predict(model, batches)
        rewards = [rewards[i] for batch in batches for i in batch["index"]]
        own = model.reward_head(emb).squeeze(-1).detach()
    assert len(batches) > 1 and model.training
    torch.testing.assert_close(own[:, 0] - own[:, 1], torch.stack([r[0] - r[1] for r in rewards]))
    assert (emb.sum(dim=1).abs().max() < 1e-4) == center


def test_looks_measure_the_target(args, monkeypatch):
    """Before training and after each step."""
    pair, backbone, args.seed = pair_of_domains(), load(args), 0
    monkeypatch.setattr(Domain, "measure", lambda domain, rewards: {
        "accuracy": 0.25 if domain is pair[1] else 0.75})
    encoded = runs.encode_all(args, backbone, [("Src-Pref", 0, [pair])])
    looks = embeddings.looks_of(args, backbone, encoded, "Src-Pref", pair)
    assert [(step, s.shape[0], t.shape[0], a) for step, s, t, a in looks] == [
        (step, 4, 6, 0.25) for step in range(4)]
    moves = [t for _, _, t, _ in looks]
    assert not any(torch.equal(a, b) for a, b in zip(moves, moves[1:]))


def test_a_look_is_of_the_model_that_a_run_trains(args, trained):
    """The same seed and batches as without looks, to the last bit."""
    pair, backbone, args.seed = pair_of_domains(), load(args), 3
    encoded = runs.encode_all(args, backbone, [("DIAL", 3, [pair])])
    runs.run(args, backbone, encoded, "DIAL", 3, [pair])
    embeddings.looks_of(args, backbone, encoded, "DIAL", pair)
    assert all(torch.equal(a, b) for a, b in zip(*trained, strict=True))


def test_each_group_has_its_own_points():
    drawn = {}
    ax = Namespace(set=lambda **k: None, scatter=lambda x, y, label, **k: drawn.update(
        {label: torch.stack([x, y], dim=1)}))
    source, target = torch.randn(3, 2, 2), torch.randn(4, 2, 2)
    figures.scatter(ax, source, target, lambda points: points)
    for name, emb in (("source", source), ("target", target)):
        for k, kind in enumerate(("chosen", "rejected")):
            assert torch.equal(drawn[f"{name}, {kind}"], emb[:, k])
