"""--paper: settings and file names against the paper's, and runs to the end on small files."""
import importlib
import json

import pytest
import torch
import transformers
from conftest import random_classifier

import data
from dial import DialConfig, RewardModel
from support import backbones, cli, memory, paper

# Sections A.2 to A.6, with A.1's learning rate and weight decay where they name no other.
SECTIONS = {  # epochs, rows of each domain, longest text, learning rate, weight decay, pairs
    "cross_lingual": (3, 4, 1024, 5e-5, 0.0, 9),
    "clean_to_noisy": (3, 4, 1024, 5e-5, 0.01, 3),
    "few_shot": (2, 8, 768, 1e-5, 0.0, 3),
    "simple_to_complex": (10, 4, 1024, 5e-5, 0.0, 1),
    "odd_one_out": (5, 8, 1024, 5e-5, 0.0, 20),
}
FILES = {  # how many files, and the test and validation file of the last target
    "cross_lingual": (33, "explainlikeimfive_zho_Hans_test.json",
                      "explainlikeimfive_zho_Hans_val.json"),
    "clean_to_noisy": (15, "explainlikeimfive_english_test.json",
                       "explainlikeimfive_english_val.json"),
    "few_shot": (6, "test.json", "val.json"),
    "simple_to_complex": (5, "long_val.json", "long_pref_val.json"),
    "odd_one_out": (15, "vegetables_sub_out_test.json", "vegetables_sub_out_val.json"),
}


@pytest.fixture(scope="module")
def model(cache, tmp_path_factory):
    """A small random Gemma in a folder, with a tokenizer that knows bytes."""
    folder = tmp_path_factory.mktemp("gemma")
    random_classifier("gemma").save_pretrained(folder)
    backbones.load_tokenizer("tiny").save_pretrained(folder)
    return str(folder)


@pytest.fixture
def folder(tmp_path, capsys):
    """A function that writes all files of an experiment, with the authors' names and columns."""
    def folder(experiment, name):
        importlib.import_module(experiment).main(["--paper", "--dry-run"])
        listed = capsys.readouterr().out.partition("files:\n")[2].split()
        for file in [line.rpartition("/")[2] for line in listed]:
            rows = [{"prompt": f"{file} {i}", "response_chosen": f"yes {i}",
                     "response_rejected": "no"}
                    for i in range(6)]
            if experiment == "odd_one_out":
                rows = [{"prompt": f"{file} {i}", "correct": "a",
                         **{f"wrong_{k}": k for k in "bcde"}}
                        for i in range(6)]
            elif file == "long_val.json":
                rows = [{"text": f"{file} {'x' * i}", "label": i} for i in range(6)]
            (tmp_path / file).write_text(json.dumps(rows))
        return ["--paper", "--paper-data", str(tmp_path), "--model", name, "--seeds", "0",
                "--device", "cpu", "--dtype", "float32", "--out", str(tmp_path / "out")]

    return folder


@pytest.mark.parametrize("experiment", SECTIONS)
def test_settings_and_files(experiment, monkeypatch, capsys):
    main, made = importlib.import_module(experiment), []
    monkeypatch.setattr(main, "plan", lambda args, domains: made.append((args, domains(0))) or [])
    main.main(["--paper", "--dry-run"])
    ((args, pairs),) = made
    config = args.config
    assert (args.epochs, args.batch_size, args.max_length, config.learning_rate,
            config.weight_decay, len(pairs)) == SECTIONS[experiment]
    assert args.start_epochs == (1 if experiment == "simple_to_complex" else 0)
    assert (args.model, args.seeds, args.eval_every) == ("google/gemma-2b", [0, 1, 2], 1000)
    assert (config.lora_rank, config.lora_alpha, config.lambda_da, config.lambda_gp) == (
        64, 64, 0.01, 1)
    assert (config.critic_steps, config.critic_learning_rate, config.critic_weight_decay) == (
        3, 1e-4, 1e-3)
    assert not config.scale_embeddings and not config.center_prompts and not config.lora_layers
    listed = capsys.readouterr().out.partition("files:\n")[2].split()
    count, *names = FILES[experiment]
    assert len(listed) == count and all(f.startswith("hub:david9dragon9/") for f in listed)
    assert set(names) <= {file.rpartition("/")[2] for file in listed}


def files_of(rows):
    """The files that rows of `folder` come from, by their first word."""
    return {(r.prompt if r.prompt != "Text:" else r.responses[0]).split()[0] for r in rows}


@pytest.mark.parametrize("experiment", SECTIONS)
def test_paper_runs_to_the_end(experiment, folder, model, tmp_path, monkeypatch, capsys):
    flags = folder(experiment, model)
    chosen = paper.EXPERIMENTS[experiment]
    monkeypatch.setitem(chosen, "pairs", chosen["pairs"][:2])  # enough here
    names = ["Src-Pref", "DIAL", "DEAL", "Tgt-Pref*"]
    main, made = importlib.import_module(experiment), []
    plan = main.plan
    monkeypatch.setattr(main, "plan", lambda args, domains: made.extend(domains(0))
                        or plan(args, domains))
    main.main([*flags, "--methods", *names])
    for (source, target), ((train, test), (target_train, target_test)) in zip(
            made, chosen["pairs"], strict=True):
        assert files_of(source.labeled) == {train.rpartition("/")[2]}
        assert files_of(source.test) == {test}
        assert files_of(target.unlabeled) == files_of(target.labeled) == {target_train}
        assert files_of(target.test) == {target_test}
        assert files_of(target.validation.test) == {target_train.replace("train", "val")}
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = [r for r in results["rows"] if r["metric"] in ("accuracy", "pearson")]
    assert {r["method"] for r in rows} == {*names, "DIAL less Src-Pref", "Src-Pref, best*",
                                           "DIAL, best*", "DEAL, best*", "Tgt-Pref, best*"}
    averaged = experiment in ("cross_lingual", "clean_to_noisy")  # not of a single pair
    assert all(bool(r["paper"]) != averaged for r in rows if r["method"] in ("DIAL", "Src-Pref"))
    assert results["config"]["steps"] is None
    epochs, batch_size, *_ = SECTIONS[experiment]
    run = json.loads(next((tmp_path / "out" / "runs").glob("DIAL-*")).read_text())
    assert run["log"][-1]["step"] == len(run["log"]) == {
        4: {3: 5, 10: 15}, 8: {2: 2, 5: 4}}[batch_size][epochs]  # of six rows, rounded up
    assert "target_validation" in run["log"][-1]
    capsys.readouterr()
    main.main([*flags, "--dry-run"])
    assert f"DIAL, seed 0, {epochs} epochs: " in (out := capsys.readouterr().out)
    assert "memory: at most about" in out and f"{batch_size} + {batch_size} rows" in out


def test_memory_counts_weights_and_lora():
    """Against counting on the real module; the rest of the estimate is the activations': see
    test_memory_of_activations."""
    config = random_classifier("gemma").base_model.config
    args = cli.parse(cli.run_flags("", "x", {"steps": 1}), ["--batch-size=1", "--max-length=1"])
    bodies = 2 * sum(p.numel() for p in transformers.AutoModel.from_config(config).parameters())
    lora = 3 * 64 * ((32 + 32) + (32 + 16))  # rank 64, three layers of q and v
    activations = 4 * 3 * 2 * (23 * 32 + 3 * 48)
    assert memory.memory(config, args) == bodies + 16 * lora + activations


@pytest.mark.parametrize("kind", ["gemma", "gemma3_text"])
def test_memory_of_activations(kind):
    """Against the tensors that autograd keeps in bf16, in a shape of Gemma's proportions."""
    classifier = random_classifier(kind, hidden_size=256, intermediate_size=1024, head_dim=64)
    model = RewardModel(classifier.bfloat16(), DialConfig(lora_rank=4)).train()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    batch = data.pack([data.Encoded(1, [[2] + [3 + i] * 63]) for i in range(4)])

    def kept():
        storages = {}

        def pack(tensor):
            storages[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model.embed(batch)
        size = sum(t.untyped_storage().nbytes() for place, t in storages.items()
                   if place not in weights)
        return size / batch["input_ids"].numel()

    everything = memory.activations(classifier.config, 3, False)
    assert kept() < everything < 1.8 * kept()
    model.transformer.activation_checkpointing_enable({"use_reentrant": False})
    inputs = memory.activations(classifier.config, 3, True) - everything / 3
    assert inputs < kept() < 2 * inputs < everything / 10  # and what comes after the layers
