"""--paper: the authors' files from a local folder, and what --dry-run says."""
import importlib
import json
from pathlib import Path

import pytest
import torch
import transformers
from conftest import random_classifier

import common
import data
import memory
import paper
import trainer

METHODS = ["Src-Pref", "DIAL", "Tgt-Pref"]


@pytest.fixture
def folder(tmp_path):
    """All files of all experiments, with the authors' columns and six rows each."""
    for experiment, chosen in paper.EXPERIMENTS.items():
        (tmp_path / experiment).mkdir()
        for name in {name for pair in chosen["pairs"] for names in pair for name in names}:
            if experiment == "odd_one_out":
                rows = [{"prompt": f"List {i}", "correct": "a", **{f"wrong_{k}": k for k in "abcd"}}
                        for i in range(6)]
            elif name == "long_val.json":
                rows = [{"text": f"An essay {'x' * i}", "label": i} for i in range(6)]
            else:
                rows = [{"prompt": f"Question {i}", "response_chosen": f"yes {i}",
                         "response_rejected": "no"} for i in range(6)]
            (tmp_path / experiment / paper.base(name)).write_text(json.dumps(rows))
    return tmp_path


@pytest.mark.parametrize("experiment", paper.EXPERIMENTS)
def test_paper_runs_to_the_end(cache, folder, tmp_path, capsys, monkeypatch, experiment):
    chosen = paper.EXPERIMENTS[experiment]
    monkeypatch.setitem(chosen, "pairs", chosen["pairs"][:3])  # enough here
    main = importlib.import_module(experiment).main
    flags = ["--paper", "--paper-data", str(folder / experiment), "--model", "tiny",
             "--epochs", "1", "--methods", *METHODS, "--seeds", "0", "--out", str(tmp_path / "out")]
    main(flags)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    config, rows = results["config"], results["rows"]
    assert config["lora_rank"] == 64 and config["lambda_da"] == 0.01
    assert not config["scale_embeddings"]
    assert config["learning_rate"] == (1e-5 if experiment == "few_shot" else 5e-5)
    assert {r["method"] for r in rows} == {"Src-Pref", "DIAL", "Tgt-Pref*"}
    assert any(r["paper"] for r in rows)
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    batch = config["batch_size"]
    assert max(r["step"] for r in log) == -(-6 // batch) and config["epochs"] == 1  # of six rows
    with pytest.raises(SystemExit) as end:
        main([*flags, "--dry-run"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "memory: about" in out and "2 steps" in out or batch == 8


def test_dry_run_names_the_files_without_fetching(capsys):
    with pytest.raises(SystemExit) as end:
        importlib.import_module("cross_lingual").main(["--paper", "--dry-run"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "google/gemma-2b" in out and "legaladvice_kor_Hang_train.json" in out and "4 + 4" in out


@pytest.mark.parametrize("script, flags, words", [
    ("scaling", ["--paper"], "not for scaling"),
    ("embeddings", ["--methods", "Base LM"], "Base LM"),
    ("cross_lingual", ["--paper", "--steps", "5"], "--epochs"),
    ("clean_to_noisy", ["--noise", "2"], "from 0 to 1"),
    ("clean_to_noisy", ["--noise", "nan"], "from 0 to 1"),
    ("clean_to_noisy", ["--source-data", "a", "--noise=.2"], "--noise .* go with --source-data"),
    ("cross_lingual", ["--paper", "--source-data", "a"], "--source-data does not go with --paper"),
    ("few_shot", ["--paper", "--splits", "B"], "--splits: not with --paper"),
    ("scaling", ["--methods", "DIAL"], "--methods: not for scaling"),
    ("embeddings", ["--seeds", "0", "1"], "takes one"),
    ("odd_one_out", ["--paper", "--n-train", "9"], "--n-train .* go with --paper")])
def test_flags_that_cannot_be(script, flags, words):
    with pytest.raises(data.InputError, match=words):
        importlib.import_module(script).main(flags)


def test_a_folder_that_is_not_there():
    with pytest.raises(data.InputError, match="no such folder"):
        importlib.import_module("cross_lingual").main(["--paper", "--paper-data", "nowhere"])


def test_memory_counts_weights_and_lora(config):
    """Against counting on the real module; the rest of the estimate is the activations'."""
    classifier = random_classifier("gemma")
    args = common.parser("", "x", {}).parse_args(["--batch-size", "1", "--max-length", "1"])
    model_config = classifier.base_model.config
    body = transformers.AutoModel.from_config(model_config)
    bodies = 2 * sum(p.numel() for p in body.parameters())
    lora = 3 * args.lora_rank * ((32 + 32) + (32 + 16))  # three layers of q and v
    activations = 4 * 3 * 2 * (10 * 32 + 3 * 48)
    assert memory.memory(model_config, args) == bodies + 16 * lora + activations
    assert torch.get_default_device().type == "cpu"


def test_deal_starts_from_an_epoch_of_src_pref():
    p = common.parser("", "simple_to_complex", {})
    args = p.parse_args(["--paper", "--paper-data", str(Path(__file__).parent)])
    found = [trainer.source_steps(args, 1000, method) for method in ("DEAL", "DIAL")]
    assert found == [250, 0]  # 4 rows a step
    assert trainer.source_steps(p.parse_args(["--source-steps", "7"]), 1000, "DEAL") == 7
