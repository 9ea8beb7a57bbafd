"""pair_selection.py and methods/selection.py: pairs by brute force, labels, training, flags."""
import itertools
import json
import math
import re
from argparse import Namespace

import pytest
import torch
from test_meta_reward import toy

import pair_selection
from data import InputError
from methods import selection
from methods.selection import STRATEGIES, Alignment, annotate, select_pairs, select_prompts

TINY = ["--model", "tiny", "--device", "cpu", "--dtype", "float32", "--n-train", "6", "--n-test",
        "3", "--batch-size", "2"]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def cosine(a, b):
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def brute_force(rows, strategy):
    """The pair of one prompt, from lists of floats, by trying all there is."""
    k = len(rows)
    if strategy in ("hard", "easy"):
        sign = -1 if strategy == "hard" else 1
        return min(itertools.combinations(range(k), 2),
                   key=lambda pair: sign * cosine(rows[pair[0]], rows[pair[1]]))
    unit = [[x / math.sqrt(sum(x * x for x in row)) for x in row] for row in rows]

    def members(labels, which):
        own = [i for i in range(k) if labels[i] == which]
        center = [sum(unit[i][d] for i in own) / len(own) for d in range(len(unit[0]))]
        return [(sum((x - c) ** 2 for x, c in zip(unit[i], center)), i) for i in own]

    labelings = [x for x in itertools.product([0, 1], repeat=k) if 0 < sum(x) < k]
    best = min(labelings, key=lambda x: sum(far for w in (0, 1) for far, _ in members(x, w)))
    return tuple(sorted(min((round(far, 6), i) for far, i in members(best, which))[1]
                        for which in (0, 1)))


@pytest.mark.parametrize("strategy", ["hard", "easy", "centroid"])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_pairs_by_brute_force(strategy, k):
    emb = torch.randn(25, k, 4, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    emb = emb * torch.arange(1, 26)[:, None, None]  # the cosine knows no length
    found = select_pairs(emb, strategy).tolist()
    assert found == [list(brute_force(rows, strategy)) for rows in emb.tolist()]


def test_of_three_two_means_joins_the_hard_pair_and_takes_its_first():
    emb = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(0))
    for hard, pair in zip(*(select_pairs(emb, s).tolist() for s in ("hard", "centroid"))):
        (alone,) = {0, 1, 2} - set(hard)
        assert pair == sorted([hard[0], alone])


def test_ties_go_to_the_lower_numbers():
    same = torch.ones(1, 4, 3)
    assert [select_pairs(same, s).tolist() for s in ("hard", "easy")] == [[[0, 1]]] * 2


def test_random_pairs_are_uniform():
    pairs = select_pairs(torch.randn(6000, 3, 2), "random", torch.Generator().manual_seed(0))
    counts = [(pairs == torch.tensor(pair)).all(1).sum() for pair in ((0, 1), (0, 2), (1, 2))]
    assert sum(counts) == 6000 and all(abs(n - 2000) < 150 for n in counts)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_half_of_the_prompts_by_brute_force(k):
    emb = torch.randn(11, k, 3, generator=torch.Generator().manual_seed(k))
    least = [min(cosine(a, b) for a, b in itertools.combinations(rows, 2)) for rows in emb.tolist()]
    by_size = sorted(range(11), key=lambda i: least[i])
    assert select_prompts(emb, "easy").tolist() == sorted(by_size[:5])
    assert select_prompts(emb, "hard").tolist() == sorted(by_size[-5:])
    random = [select_prompts(emb, "random", torch.Generator().manual_seed(i)).tolist()
              for i in range(2)]
    assert random[0] != random[1] and all(x == sorted(set(x)) and len(x) == 5 for x in random)


@pytest.mark.parametrize("select, shape, strategy", [
    (select_pairs, (3, 1, 2), "hard"), (select_pairs, (3, 13, 2), "hard"),
    (select_pairs, (3, 2), "easy"), (select_pairs, (3, 3, 2), "soft"),
    (select_prompts, (3, 1, 2), "hard"), (select_prompts, (3, 2), "easy"),
    (select_prompts, (3, 3, 2), "centroid")])
def test_what_cannot_be_selected(select, shape, strategy):
    with pytest.raises(ValueError, match=r"need \(P, K, D\)"):
        select(torch.zeros(shape), strategy)


@pytest.mark.parametrize("tau, gap", [(0.0, 3.0), (1.0, 1.0), (0.7, -2.0)])
def test_the_annotator_is_right_with_the_probability_of_eq_2(tau, gap):
    scores = torch.tensor([[gap, 0.0]]).expand(20000, 2)
    first = (annotate(scores, tau, torch.Generator().manual_seed(0)) == 0).double().mean().item()
    assert first == pytest.approx(1 / (1 + math.exp(-tau * gap)), abs=0.015)


# ------------------------------------------------------------------ training


def alignment(**changes):
    """On toy texts, whose first response of three is the best; embeddings are unit vectors."""
    args = Namespace(**{"tau": 100.0, "beta": 0.5, "rate": 0.05, "batch_size": 4} | changes)
    train, test = toy(10), toy(6, 1, k=2)
    for texts in (train, test):  # the first token is the best one's
        texts.token = torch.tensor([0 if i % texts.counts[0] == 0 else 1
                                    for i in range(len(texts.token))])
        texts.z = torch.ones(len(texts.z), 1)  # so that what is learned carries over
        texts.layer.z = lambda states: torch.ones(len(states), 1)
        texts.layer.to_output = torch.eye(4)
    scores = torch.tensor([[3.0, 1.0, 2.0]] * 10)
    alone = torch.randn(30, 4, generator=torch.Generator().manual_seed(5))
    return Alignment(args, train, test, alone, scores, 0)


def test_labels():
    """A sure annotator makes no error, and calls the response with the larger score chosen."""
    aligned = alignment()
    for name in STRATEGIES:
        pairs, worth = aligned.label(name)
        scores = aligned.scores.flatten()[pairs]
        assert (scores[:, 0] > scores[:, 1]).all() and worth == {"label_error": 0, "agreement": 1}
        assert (pairs // 3 == torch.arange(10)[:, None]).all()
        own = select_pairs(aligned.alone.view(10, 3, 4), name, torch.Generator().manual_seed(0))
        assert torch.equal((pairs % 3).sort().values, own)
    coin = alignment(tau=1e-9).label("hard")[1]
    assert 0 < coin["label_error"] < 1 and 0 < coin["agreement"] < 1


@pytest.mark.parametrize("loss", ["DPO", "IPO", "SLiC"])
def test_an_epoch_raises_the_margin(loss):
    aligned = alignment()
    metrics, log = aligned.run(loss, "random")
    assert log[0]["margin"] == 0 and log[0]["loss"] == pytest.approx(math.log(2))
    assert metrics["margin"] > 0.02 and metrics["margin"] == log[-1]["margin"]
    assert log[-1]["labels"] == 10 and [r["step"] for r in log] == [0, 3]
    assert log[-1]["alone"] != log[0]["alone"] == pytest.approx(metrics["similarity"])


def test_margin_loss_and_cosines_by_hand(monkeypatch):
    """r = beta log(pi / pi_ref) at the policy that training ends with."""
    aligned, thetas, descend = alignment(), [], selection.descend
    monkeypatch.setattr(selection, "descend", lambda *given: (
        thetas.append(x[0]) or x for x in descend(*given)))
    metrics, log = aligned.run("DPO", "easy")
    now, ref = (aligned.test.log_probs(t).view(6, 2) for t in (thetas[-1], aligned.theta))
    gaps = [0.5 * (now[i, 0] - ref[i, 0] - now[i, 1] + ref[i, 1]).item() for i in range(6)]
    assert metrics["margin"] == pytest.approx(sum(gaps) / 6, rel=1e-4)
    assert metrics["loss"] == pytest.approx(sum(math.log(1 + math.exp(-g)) for g in gaps) / 6)
    for name, states in (("alone", aligned.alone), ("with_prompt", aligned.train.mean)):
        moved = (states + thetas[-1]).tolist()  # z is 1, and O the unit matrix
        cosines = [cosine(moved[a], moved[b]) for a, b in aligned.label("easy")[0].tolist()]
        assert log[-1][name] == pytest.approx(sum(cosines) / 10, rel=1e-4)


def test_labels_saved_by_hand():
    easy, random = ([{"labels": 10 * i, "margin": m} for i, m in enumerate(margins)]
                    for margins in ([0, 1, 3, 5], [0, 1, 2, 2]))
    assert pair_selection.saved(easy, random) == pytest.approx(1 - 20 / 30)
    assert pair_selection.saved(random, easy) == 0


# ------------------------------------------------------------------ the command


def test_the_command(cache, tmp_path, capsys, undrawn):
    flags = [*TINY, "--out", str(tmp_path), "--losses", "DPO", "SLiC", "--seeds", "0"]
    pair_selection.main(flags)
    out = capsys.readouterr().out
    content = json.loads((tmp_path / "results.json").read_text())
    cells = {(r["method"], r["metric"]): r for r in content["rows"]}
    assert {m for m, _ in cells} == {f"{x}, {s}" for x in ("DPO", "SLiC") for s in STRATEGIES}
    assert {k for m, k in cells if m == "SLiC, hard"} == {
        "margin", "loss", "accuracy", "label_error", "agreement", "similarity"}
    assert ("DPO, easy", "labels_saved") in cells
    similarity = {s: cells[f"DPO, {s}", "similarity"]["values"] for s in STRATEGIES}
    assert similarity["hard"] > similarity["random"] > similarity["easy"]
    assert (tmp_path / "pair_selection.png").exists()
    before = {path: path.read_text() for path in (tmp_path / "runs").glob("*.json")}
    assert len(before) == 8
    pair_selection.main(flags)
    assert capsys.readouterr().out == out
    assert before == {path: path.read_text() for path in (tmp_path / "runs").glob("*.json")}


@pytest.mark.parametrize("flags, message", [
    (["--paper"], "--paper: REAL's models and data cannot be run here; add --dry-run"),
    (["--seeds", "1", "1"], "each once"), (["--losses", "DPO", "DPO"], "each once"),
    (["--losses", "PPO"], "--losses: invalid choice"), (["--tau", "0"], "--tau: must be a number"),
    (["--beta", "nan"], "--beta: must be a number"), (["--rate", "-1"], "--rate: must be a numb"),
    (["--set", "x=1"], "unrecognized arguments: --set")])
def test_flags_that_cannot_be(flags, message, tmp_path):
    with pytest.raises(InputError, match=message):
        pair_selection.main(["--model", "tiny", "--out", str(tmp_path / "out"), *flags])


def test_a_dry_run_of_the_paper(capsys):
    """It prints the table of experiments/README.md; what that says of our settings is so."""
    pair_selection.main(["--paper", "--dry-run"])
    first, *lines = capsys.readouterr().out.splitlines()
    assert "cannot be run here" in first and "Pythia 2.8B" in lines[1]
    args, cells = pair_selection.read_flags([]), [re.split("  +", line) for line in lines]
    said = {row[0]: row[-1] for row in cells}
    assert said["pairs to train on"] == str(args.n_train)
    assert said["pairs to test on"].startswith(f"{args.n_test},")
    assert said["beta, rate"].startswith(f"{args.beta}, {args.rate},")
    assert said["training"].endswith(f"batches of {args.batch_size}")
