"""pair_selection.py, and the training in methods/selection.py: labels, an epoch, flags."""
import json
import math
import re
from argparse import Namespace

import pytest
import torch
from test_meta import toy
from test_selection import cosine

import pair_selection
from data import InputError
from methods import selection
from methods.selection import STRATEGIES, Alignment, select_pairs

TINY = ["--model", "tiny", "--device", "cpu", "--dtype", "float32", "--n-train", "6", "--n-test",
        "3", "--batch-size", "2"]


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


def test_an_epoch_raises_the_margin():
    aligned = alignment()
    metrics, log = aligned.run("random")
    assert log[0]["margin"] == 0 and log[0]["loss"] == pytest.approx(math.log(2))
    assert metrics["margin"] > 0.02 and metrics["margin"] == log[-1]["margin"]
    assert log[-1]["labels"] == 10 and [r["step"] for r in log] == [0, 3]
    assert log[-1]["alone"] != log[0]["alone"] == pytest.approx(metrics["similarity"])


def test_margin_loss_and_cosines_by_hand(monkeypatch):
    """r = beta log(pi / pi_ref) at the policy that training ends with."""
    aligned, thetas, iterates = alignment(), [], selection.iterates
    monkeypatch.setattr(selection, "iterates", lambda *given: (
        thetas.append(x[0]) or x for x in iterates(*given)))
    metrics, log = aligned.run("easy")
    assert log[0]["accuracy"] == 0.5  # all are ties
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
    flags = [*TINY, "--out", str(tmp_path), "--seeds", "0"]
    pair_selection.main(flags)
    out = capsys.readouterr().out
    content = json.loads((tmp_path / "results.json").read_text())
    cells = {(r["method"], r["metric"]): r for r in content["rows"]}
    assert {m for m, _ in cells} == set(STRATEGIES)
    assert {k for m, k in cells if m == "hard"} == {
        "margin", "loss", "accuracy", "label_error", "agreement", "similarity"}
    assert ("easy", "labels_saved") in cells
    similarity = {s: cells[s, "similarity"]["values"] for s in STRATEGIES}
    assert similarity["hard"] > similarity["random"] > similarity["easy"]
    assert (tmp_path / "pair_selection.png").exists()
    before = {path: path.read_text() for path in (tmp_path / "runs").glob("*.json")}
    assert len(before) == 4
    pair_selection.main(flags)
    assert capsys.readouterr().out == out
    assert before == {path: path.read_text() for path in (tmp_path / "runs").glob("*.json")}


@pytest.mark.parametrize("flags, message", [
    (["--paper"], "--paper: REAL's models and data cannot be run here; add --dry-run"),
    (["--seeds", "1", "1"], "each once"), (["--tau", "0"], "--tau: must be a number"),
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
