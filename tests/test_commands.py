"""The commands as a user runs them, on the tiny model: each to its end, and exit codes."""
import json
import os
import runpy
import signal
import subprocess
import sys
import time

import pytest
import transformers
from conftest import ROOT

import clean_to_noisy
import cross_lingual
import few_shot
import odd_one_out
import scaling
import simple_to_complex
from data import InputError
from support import untrained

FAST = ["--model", "tiny", "--device", "cpu", "--dtype", "float32", "--steps", "1",
        "--batch-size", "2", "--seeds", "0", "--max-length", "4096"]
SMALL = ["--n-train", "8", "--n-test", "4"]  # the tiny model's tokens are bytes: texts are long


def rows_of(out):
    return json.loads((out / "results.json").read_text())["rows"]


# ------------------------------------------------------------------ each command


@pytest.mark.parametrize("main, flags, metrics, paper", [
    (cross_lingual.main, SMALL, ["accuracy"], 0.661),
    (clean_to_noisy.main, SMALL, ["accuracy"], 0.703),
    (simple_to_complex.main, SMALL, ["pearson", "spearman"], 0.577),
    (few_shot.main, ["--part", "validation"], ["accuracy"], 0.920),
    (odd_one_out.main, SMALL, ["accuracy"], 0.686)])
def test_a_command_ends_in_a_table(main, flags, metrics, paper, cache, tmp_path, capsys):
    main([*FAST, *flags, "--out", str(tmp_path)])
    rows = {(r["method"], r["metric"]): r for r in rows_of(tmp_path)}
    assert rows["DIAL", metrics[0]]["paper"] == pytest.approx(paper, abs=0.0005)
    assert {m for _, m in rows} == {*metrics, "source_accuracy", "distance"}
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("method") and "gain" in out[0]
    assert [line for line in out if line.startswith("DIAL ")]
    assert [line.split()[7][:-1] for line in out if "paired gain" in line] == metrics
    log = json.loads(next((tmp_path / "runs").glob("DIAL-0-*.json")).read_text())["log"]
    assert [r["step"] for r in log] == [1] and all("slope" in r for r in log)


def test_all_methods(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(untrained, "SHOTS", 1)  # ten are thousands of the tiny model's tokens
    cross_lingual.main([*FAST, *SMALL, "--methods", "all", "--out", str(tmp_path)])
    assert {r["method"] for r in rows_of(tmp_path)} - {"DIAL less Src-Pref"} == {
        "Longest", "Seen words", "Base LM", "Few-shot LM", "Base LM likelihood",
        "Few-shot LM likelihood", "Src-Pref", "Src-Pref-SFT", "Src-Pref-Tgt-NTP", "DIAL", "DEAL",
        "Tgt-Pref*", "Src-Tgt-Pref*"}


def test_scaling(cache, tmp_path, capsys):
    flags = [*FAST, "--n-train", "100", "--n-test", "4", "--budget", "40",
             "--out", str(tmp_path)]
    scaling.main([*flags, "--dry-run"])
    assert "Src-Tgt-Pref*, seed 0, 1 steps: desserts:en -> 30 fruits:en" in capsys.readouterr().out
    for target in (["--target", "sauces"], ["--resume"]):  # the second finds the first's runs
        scaling.main([*flags, *target])
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    mixes = [(int(r[2]), int(r[4])) for r in table if r[0] == "a" and r[5] == "fruits:en"]
    assert mixes == [(36, 4), (30, 10), (20, 20), (10, 30), (4, 36)]
    assert [(r[1], r[3]) for r in table if r[0] == "b" and r[4] == "fruits:en"] == [
        (m, n) for m in ("DIAL", "Src-Tgt-Pref*") for n in ("3", "10", "30", "100")]
    assert len(rows_of(tmp_path)) == 13 and (tmp_path / "scaling.png").exists()


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


def test_a_command_killed_by_hand_goes_on_from_its_finished_runs(cache, tmp_path):
    flags = [*FAST, *SMALL, "--steps", "12", "--methods", "DIAL", "--out", str(tmp_path / "out"),
             "--seeds"]
    process = subprocess.Popen([sys.executable, ROOT / "experiments/cross_lingual.py", *flags,
                                *map(str, range(100))],  # minutes: it cannot end by itself
                               cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               # a suite run in the background would hand on that it is ignored
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while process.poll() is None and not list(tmp_path.glob("out/runs/*.json")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    lines = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 130 and lines[-1] == "stopped", lines[-5:]
    before = {path: path.read_text() for path in tmp_path.glob("out/runs/*.json")}
    assert 1 <= len(before) < 100 and all(map(json.loads, before.values()))
    cross_lingual.main([*flags, *map(str, range(len(before) + 1)), "--resume"])
    assert {path: path.read_text() for path in before} == before
    assert len(list(tmp_path.glob("out/runs/*.json"))) == len(before) + 1


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cross_lingual.py", "--methods", "Magic"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(ROOT / "experiments/cross_lingual.py", run_name="__main__")
    output, errors = capsys.readouterr()
    assert end.value.code == 2 and not output and errors.count("\n") == 1
    assert errors.startswith("error: argument --methods: ") and not list(tmp_path.iterdir())
