"""The commands as a user runs them, on the tiny model: each to its end, and exit codes."""
import json
import os
import runpy
import signal
import sys

import pytest
import transformers
from conftest import FAST, ROOT, SMALL
from test_runs import StandIn

import clean_to_noisy
import cross_lingual
import dial
import few_shot
import odd_one_out
import scaling
import simple_to_complex
from data import InputError
from domains.foods import read_foods
from harness import runs
from methods import untrained
from methods.table import ALL, METHODS

SHORT = ["--max-length", "150", "--truncate"]


def rows_of(out):
    return json.loads((out / "results.json").read_text())["rows"]


# ------------------------------------------------------------------ each command


@pytest.mark.parametrize("main, flags, metrics, paper", [
    (cross_lingual.main, [*SMALL, "--methods", "all"], ["accuracy"], None),
    (clean_to_noisy.main, SMALL, ["accuracy"], None),
    (simple_to_complex.main, SMALL, ["pearson", "spearman"], None),
    (few_shot.main, ["--part", "validation"], ["accuracy"], None),
    (odd_one_out.main, SMALL, ["accuracy"], 0.686)])
def test_a_command_ends_in_a_table(main, flags, metrics, paper, cache, tmp_path, capsys,
                                   monkeypatch, undrawn):
    """The paper's number stands where our data are like the paper's."""
    monkeypatch.setattr(untrained, "SHOTS", 1)  # ten are thousands of the tiny model's tokens
    monkeypatch.setattr(untrained, "THOUGHTS", 2)
    main([*FAST, *SHORT, *flags, "--out", str(tmp_path)])
    rows = {(r["method"], r["metric"]): r for r in rows_of(tmp_path)}
    assert rows["DIAL", metrics[0]]["paper"] == paper
    odd = {f"accuracy_odd_of_{whose}" for whose in ("source", "others")} if paper else set()
    assert {m for _, m in rows} == {*metrics, "source_accuracy", "distance"} | odd
    if "all" in flags:
        assert {method for method, _ in rows} - {"DIAL less Src-Pref"} == ALL.keys()
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("method") and "gain" in out[0] and ("paper" in out[0]) == bool(paper)
    assert [line for line in out if line.startswith("DIAL ")]
    assert [line.split()[7][:-1] for line in out if "paired gain" in line] == metrics
    log = json.loads(next((tmp_path / "runs").glob("DIAL-0-*.json")).read_text())["log"]
    assert [r["step"] for r in log] == [1] and all("slope" in r for r in log)
    assert (tmp_path / "training.png").exists()


@pytest.fixture
def scale(cache, tmp_path, capsys, undrawn, monkeypatch):
    """Run scaling.py with a stand-in that trains nothing; return the lines of its table, and of
    each run (method, labelled source, labelled target, unlabelled target). No source list may hold
    an item of the target."""
    sizes = []

    class Sizes(StandIn):
        def __call__(self, args, backbone, encoded, name, seed, pairs, save=None, **_):
            source, target = pairs[-1]
            kind = target.name.split()[-1].partition(":")[0]
            items = {row["en"] for row in read_foods() if row["category"] == kind}
            assert not items & {row.chosen for row in source.labeled}
            sizes.append((name, *map(len, (source.labeled, target.labeled, target.unlabeled))))
            return super().__call__(args, backbone, encoded, name, seed, pairs, save)

    monkeypatch.setattr(runs, "run", Sizes())

    def scale(*flags):
        sizes.clear()
        scaling.main([*FAST, "--n-train", "20", "--n-test", "2", "--budget", "10", "--out",
                      str(tmp_path), *flags])
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        return lines[1:], list(sizes)

    return scale


def test_scaling(scale, tmp_path):
    mixes = [(9, 1), (8, 2), (5, 5), (2, 8), (1, 9)]
    table, sizes = scale()
    assert sizes == [("DIAL", n, m, m) for n, m in mixes] + [
        (method, 20, n, n) for method, ns in (("Src-Pref", (20,)), ("DIAL", (1, 2, 6, 20)),
                                              ("Src-Tgt-Pref*", (1, 2, 6, 20))) for n in ns]
    source = "desserts:en without fruits".split()
    assert [(r[:7]) for r in table[:5]] == [["a", "DIAL", str(n), *source, str(m)]
                                            for n, m in mixes]
    assert [(r[1], r[5]) for r in table[5:]] == [
        (m, n) for m in ("Src-Pref", "DIAL", "Src-Tgt-Pref*") for n in ("1", "2", "6", "20")]
    assert [r[-1] == "+0.000" for r in table] == [False] * 9 + [True] * 8  # gains on Src-Pref
    assert len(rows_of(tmp_path)) == 17 and (tmp_path / "scaling.png").exists()
    assert scale() == (table, [])
    # another target's runs are not reported, and stay; --overwrite deletes no part of its own
    assert all("sauces:en" in line for line in scale("--target", "sauces")[0])
    assert scale() == (table, []) and len(list((tmp_path / "runs").iterdir())) == 28
    assert scale("--overwrite") == (table, sizes)
    assert len(list((tmp_path / "runs").iterdir())) == 14


def test_scaling_draws_what_another_process_finishes_meanwhile(scale, tmp_path, monkeypatch):
    real, waits = scaling.part, [([], [])]
    monkeypatch.setattr(scaling, "part", lambda *a: waits.pop() if waits else real(*a))
    scale()
    assert len(rows_of(tmp_path)) == 17 and (tmp_path / "scaling.png").exists()


def test_a_dry_run_of_scaling(scale, tmp_path):
    lines, sizes = scale("--dry-run")
    assert sizes == [] and not list(tmp_path.iterdir())
    assert ("Src-Tgt-Pref*, seed 0, 1 steps: desserts:en without fruits -> 6 fruits:en".split()
            in lines)


def test_backbones_that_will_not_do(tiny, tmp_path):
    classifier, tokenizer = tiny
    tokenizer.save_pretrained(tmp_path / "opt")
    transformers.OPTForCausalLM(transformers.OPTConfig(
        vocab_size=len(tokenizer), hidden_size=32, ffn_dim=32, num_hidden_layers=8,
        num_attention_heads=2, word_embed_proj_dim=32)).save_pretrained(tmp_path / "opt")
    flags = [*FAST, *SMALL, "--out", str(tmp_path / "out"), "--model"]
    with pytest.raises(InputError, match="no linear layer 'down_proj', there are fc1, fc2"):
        odd_one_out.main([*flags, str(tmp_path / "opt")])
    classifier.config.tie_word_embeddings = False
    classifier.save_pretrained(tmp_path / "untied"), tokenizer.save_pretrained(tmp_path / "untied")
    with pytest.raises(InputError, match="Base LM predicts tokens, .*tied embeddings"):
        odd_one_out.main([*flags, str(tmp_path / "untied"), "--methods", "Base LM"])


# ------------------------------------------------------------------ exit codes


def as_a_user(monkeypatch, *flags):
    """Run cross_lingual.py as `python experiments/cross_lingual.py` does; return the exit code."""
    monkeypatch.setattr(sys, "argv", ["cross_lingual.py", *flags])
    try:
        runpy.run_path(str(ROOT / "experiments/cross_lingual.py"), run_name="__main__")
    except SystemExit as end:
        return end.code
    return 0


def test_a_command_killed_by_hand_goes_on_from_its_finished_runs(cache, tmp_path, monkeypatch,
                                                                 capsys, undrawn):
    """By a real signal, in the middle of the second run's second step."""
    flags = [*FAST, *SMALL, "--steps", "2", "--methods", "DIAL", "--out", str(tmp_path),
             "--seeds", "0", "1"]
    step, calls = dial.dial_step, []

    def killed(*args):
        calls.append(args)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*args)

    monkeypatch.setitem(METHODS, "DIAL", METHODS["DIAL"].__class__(
        step=killed, reads_target=True, critic=True))
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background: none
    try:
        assert as_a_user(monkeypatch, *flags) == 130
    finally:
        signal.signal(signal.SIGINT, handler)
    assert capsys.readouterr().err.endswith("\nstopped\n") and len(calls) == 4
    before = {path: path.read_text() for path in (tmp_path / "runs").glob("*.json")}
    assert [json.loads(text)["seed"] for text in before.values()] == [0]
    assert as_a_user(monkeypatch, *flags) == 0 and len(calls) == 6
    assert {path: path.read_text() for path in before} == before
    assert len(list((tmp_path / "runs").glob("*.json"))) == 2
    assert [r["seeds"] for r in rows_of(tmp_path)] == [[0, 1]] * 3


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert as_a_user(monkeypatch, "--methods", "Magic") == 2
    output, errors = capsys.readouterr()
    assert not output and errors.count("\n") == 1
    assert errors.startswith("error: argument --methods: ") and not list(tmp_path.iterdir())
