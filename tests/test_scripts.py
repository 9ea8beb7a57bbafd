"""The scripts as a user runs them, on the tiny model: outputs, exit codes, one-line errors."""
import json
import os
import subprocess
import sys

import pytest
import torch
import transformers
from conftest import ROOT, random_classifier

import backbones
import cross_lingual
from data import InputError, pack
from dial import DialConfig, RewardModel
from frozen import remember_frozen_layers

FAST = ["--model", "tiny", "--steps", "3", "--batch-size", "2", "--seeds", "0", "1",
        "--max-length", "1024"]


def run(script, *flags, cwd=ROOT, timeout=300):
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, ROOT / script, *map(str, flags)], cwd=cwd,
                          env=environment, text=True, capture_output=True, timeout=timeout)


def one_error_line(result, *words):
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert lines[-1].startswith("error: ") and "Traceback" not in result.stderr
    assert all(word in lines[-1] for word in words), lines[-1]


@pytest.fixture(scope="module")
def odd_one_out(cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("odd")
    flags = [*FAST, "--out", out, "--n-train", "20", "--n-test", "10", "--eval-every", "2",
             "--methods", "Src-Pref", "DIAL", "Tgt-Pref", "--save"]
    return out, flags, run("experiments/odd_one_out.py", *flags)


def test_outputs(odd_one_out):
    out, _, result = odd_one_out
    assert result.returncode == 0, result.stderr
    table = result.stdout.splitlines()
    assert "target accuracy" in table[0]
    assert [line.split()[0] for line in table[1:4]] == ["Src-Pref", "DIAL", "Tgt-Pref*"]
    results = json.loads((out / "results.json").read_text())
    assert results["experiment"] == "odd_one_out" and results["model"] == "tiny"
    assert results["seconds"] > 0
    rows = {(r["method"], r["metric"]): r for r in results["rows"]}
    row = rows["DIAL", "accuracy"]
    values = row["values"]
    assert len(values) == 2 and row["mean"] == pytest.approx(sum(values) / 2)
    assert row["se"] == pytest.approx(abs(values[0] - values[1]) / 2)  # stdev / sqrt(2), by hand
    assert row["n_test"] == 10
    assert row["paper"] == 0.686 and rows["Src-Pref", "accuracy"]["paper"] == 0.363
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert len(log) == 3 * 2 * 3 and all("slope" in r for r in log if r["method"] == "DIAL")
    ends = [r["target_accuracy"] for r in log if r["method"] == "DIAL" and r["step"] == 3]
    assert ends == values  # the figure ends where the table is
    assert (out / "training.png").read_bytes()[:4] == b"\x89PNG"
    assert (out / "models" / "DIAL" / "adapter_model.safetensors").exists()


def test_resume_keeps_finished_runs_and_does_the_rest(odd_one_out):
    out, flags, first = odd_one_out
    lines = (out / "runs.jsonl").read_text().splitlines()
    (out / "runs.jsonl").write_text("\n".join(lines[:4]) + "\n")  # as if stopped after four of six
    again = run("experiments/odd_one_out.py", *flags, "--resume")
    assert again.returncode == 0 and again.stdout == first.stdout
    assert "2/2" in again.stderr and "6/6" not in again.stderr


def test_resume_with_more_pairs_adds_only_what_is_missing(cache, tmp_path, capsys):
    flags = [*FAST, "--n-train", "20", "--n-test", "10", "--out", str(tmp_path)]
    cross_lingual.main([*flags, "--target", "desserts:ko"])
    cross_lingual.main([*flags, "--target", "desserts:ko", "desserts:th", "--resume"])
    cross_lingual.main([*flags, "--target", "desserts:zh", "--methods", "DIAL", "--resume"])
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert all(len(r["values"]) == 2 for r in rows)
    assert {(r["method"], r["target"]) for r in rows} == {
        ("Src-Pref", "desserts:ko"), ("Src-Pref", "desserts:th"), ("DIAL", "desserts:ko"),
        ("DIAL", "desserts:th"), ("DIAL", "desserts:zh")}


def test_finished_runs_are_never_lost(cache, tmp_path):
    flags = [*FAST, "--n-train", "20", "--n-test", "10", "--methods", "Src-Pref",
             "--out", str(tmp_path)]
    cross_lingual.main(flags)
    runs = (tmp_path / "runs.jsonl").read_text()
    with pytest.raises(InputError, match="lambda_gp 1.0, not 10.0"):
        cross_lingual.main([*flags, "--resume", "--lambda-gp", "10"])
    assert (tmp_path / "runs.jsonl").read_text() == runs
    first, second = (json.loads(line) for line in runs.splitlines())
    del first["settings"]["choose"]  # as if written before there was such a flag
    with open(tmp_path / "runs.jsonl", "w") as f:
        f.write(json.dumps(first) + "\n" + json.dumps(second)[:50])  # as if killed while writing
    cross_lingual.main([*flags, "--resume"])
    again = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [r["seed"] for r in again] == [0, 1] and again[1]["metrics"] == second["metrics"]
    for bad in (["--max-length", "5"], ["--lora-modules", "x"], ["--lora-modules", "x"]):
        with pytest.raises(InputError):  # a command that comes to nothing costs nothing
            cross_lingual.main([*flags, *bad])
    kept = [(tmp_path / f"{name}runs.jsonl") for name in ("", "previous_")]
    assert sum(len(path.read_text().splitlines()) for path in kept) == 2
    cross_lingual.main([*flags, "--seeds", "2"])  # without --resume, they make way
    assert len((tmp_path / "previous_runs.jsonl").read_text().splitlines()) == 2


def test_a_model_is_saved_with_the_runs_that_it_is_of(cache, tmp_path):
    flags = [*FAST, "--n-train", "20", "--n-test", "10", "--seeds", "0", "--out", str(tmp_path)]
    both, saved = ["--methods", "Src-Pref", "DIAL"], tmp_path / "models" / "DIAL"
    cross_lingual.main([*flags, *both, "--save"])
    assert json.loads((saved / "dial_config.json").read_text())["steps"] == 3
    cross_lingual.main([*flags, "--methods", "Src-Pref", "--save", "--steps", "2"])
    cross_lingual.main([*flags, *both, "--save", "--steps", "2", "--resume"])
    assert json.loads((saved / "dial_config.json").read_text())["steps"] == 2  # not the old one
    cross_lingual.main([*flags, *both])
    with pytest.raises(InputError, match="DIAL, Src-Pref are finished"):
        cross_lingual.main([*flags, *both, "--resume", "--save"])


def test_what_cannot_be_used_is_said_before_the_first_run(cache, tmp_path, files):
    folder, flags = files
    target = folder / "single.jsonl"
    target.write_text(json.dumps({"prompt": "Q", "responses": ["one"]}) + "\n")
    with pytest.raises(InputError, match="single response"):
        cross_lingual.main([*FAST, flags[0], f"--target-data={target}", flags[2],
                            "--center-prompts", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()  # Src-Pref was not trained in vain


def test_files_of_one_name_are_two_domains(cache, files):
    folder, flags = files
    (folder / "other").mkdir()
    target = folder / "other" / "source.jsonl"
    (folder / "target.jsonl").rename(target)
    cross_lingual.main([*FAST, flags[0], f"--target-data={target}", flags[2],
                        "--out", str(folder / "out")])
    rows = json.loads((folder / "out" / "results.json").read_text())["rows"]
    assert all(r["source"] != r["target"] for r in rows)


def test_all_pairs_share_the_source_runs(cache, tmp_path):
    result = run("experiments/odd_one_out.py", *FAST, "--all", "--dry-run", "--out", tmp_path / "x")
    assert result.returncode == 0, result.stderr
    assert "50 runs" in result.stdout  # 2 seeds: 5 Src-Pref + 20 DIAL
    assert not (tmp_path / "x").exists()


def test_cross_lingual_default_lists(cache, tmp_path, capsys):
    cross_lingual.main([*FAST, "--out", str(tmp_path), "--steps", "2"])
    assert "in the paper +0.040" in capsys.readouterr().out


@pytest.fixture
def files(tmp_path):
    rows = [{"prompt": f"Say {i}", "chosen": f"{i}", "rejected": "no"} for i in range(20)]
    for name in ("source", "eval"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with open(tmp_path / "target.jsonl", "w") as f:
        for r in rows:
            f.write(json.dumps({"prompt": r["prompt"], "responses": ["no", r["chosen"]]}) + "\n")
    return tmp_path, [f"--{n}-data={tmp_path / n}.jsonl" for n in ("source", "target", "eval")]


def test_own_domains(cache, files):
    folder, flags = files
    result = run("experiments/cross_lingual.py", *FAST, *flags, "--out", folder / "out")
    assert result.returncode == 0, result.stderr
    assert "target.jsonl" in result.stdout


def test_labels_in_the_target_file_do_not_matter(cache, files):
    folder, flags = files
    rows = [json.loads(line) for line in (folder / "eval.jsonl").read_text().splitlines()]
    outputs = []
    for swap in (False, True):
        with open(folder / "target.jsonl", "w") as f:
            for r in rows:
                a, b = (r["rejected"], r["chosen"]) if swap else (r["chosen"], r["rejected"])
                f.write(json.dumps({"prompt": r["prompt"], "chosen": a, "rejected": b}) + "\n")
        cross_lingual.main([*FAST, *flags, "--out", str(folder / "out")])
        outputs.append((folder / "out" / "log.jsonl").read_text())
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("flags, words", [
    (["--methods", "Magic"], ["Magic", "Src-Pref"]),
    (["--model", "no/such-model"], ["no/such-model"]),
    (["--dtype", "int4"], ["int4", "float32"]),
    (["--device", "abacus"], ["abacus"]),
    (["--steps", "many"], ["--steps", "many"]),
    (["--steps", "0"], ["steps", "0"]),
    (["--learning-rate", "nan"], ["learning_rate"]),
    (["--no-such-flag"], ["--no-such-flag"]),
    (["--source", "meat"], ["meat", "desserts"]),
    (["--merge"], ["--save"]),
    (["--lora-modules", "abc"], ["lora_modules", "abc", "q_proj"]),
    (["--max-length", "20"], ["row 1", "more than 20", "--truncate"]),
    (["--source-data", "missing.jsonl"], ["--target-data"]),
    (["--validation-data", "missing.jsonl"], ["--source-data"]),
    (["--paper-data", "folder"], ["--paper-data", "--paper"]),
    (["--seeds", "0", "0"], ["--seeds takes each once"]),
    (["--seeds", "-1"], ["whole number", "-1"]),
    (["--epochs", "nan"], ["--epochs", "nan"]),
    (["--learning-rate", "1e38", "--steps", "1"], ["seed 0", "not finite"]),
    (["--out", __file__], ["test_scripts.py", "cannot be made"]),
])
def test_bad_flags(cache, tmp_path, flags, words):
    with pytest.raises(InputError) as error:  # in this process: the import of torch takes seconds
        cross_lingual.main([*FAST, "--out", str(tmp_path), *flags])
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


@pytest.mark.parametrize("method", ["Base LM", "Src-Pref-SFT", "Src-Pref-Tgt-NTP"])
def test_a_backbone_without_tied_embeddings(tiny, tmp_path, monkeypatch, method):
    tiny[0].config.tie_word_embeddings = False
    monkeypatch.setattr(backbones, "load", lambda *_: tiny)
    with pytest.raises(InputError, match="tied embeddings"):
        cross_lingual.main([*FAST, "--out", str(tmp_path), "--methods", method])


def test_backbones_that_will_not_do(tiny, tmp_path, monkeypatch):
    classifier, tokenizer = tiny
    tokenizer.save_pretrained(tmp_path / "opt")
    transformers.OPTForCausalLM(transformers.OPTConfig(
        vocab_size=len(tokenizer), hidden_size=32, ffn_dim=32, num_hidden_layers=8,
        num_attention_heads=2, word_embed_proj_dim=32)).save_pretrained(tmp_path / "opt")
    with pytest.raises(InputError, match="--lora-layers 0 does not"):
        cross_lingual.main([*FAST, "--model", str(tmp_path / "opt"), "--lora-layers", "6",
                            "--out", str(tmp_path)])
    tokenizer.save_pretrained(tmp_path / "images")
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 1, "image_size": 28, "patch_size": 14}
    config = transformers.Gemma3Config(text_config=classifier.config.to_dict(),
                                       vision_config=vision, mm_tokens_per_image=4)
    transformers.Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path / "images")
    with pytest.raises(InputError, match="text and images"):
        cross_lingual.main([*FAST, "--model", str(tmp_path / "images"), "--out", str(tmp_path)])


def test_an_oracle_says_that_it_needs_labels(cache, files):
    folder, flags = files
    with pytest.raises(InputError, match=r"target.jsonl:1: .* Tgt-Pref\* learn from target labels"):
        cross_lingual.main([*FAST, *flags, "--methods", "Tgt-Pref", "--out", str(folder / "out")])


def test_bad_flags_end_in_one_line_and_exit_code_2(cache, tmp_path):
    result = run("experiments/cross_lingual.py", "--methods", "Magic", "--out", tmp_path)
    one_error_line(result, "Magic", "Src-Pref")


def test_bad_files(cache, files):
    folder, flags = files
    (folder / "target.jsonl").write_text('{"prompt": "Q", "responses": ["a", ""]}\n')
    one_error_line(run("experiments/cross_lingual.py", *FAST, *flags), "target.jsonl:1", "empty")


def test_scripts_run_from_anywhere_and_the_demonstration_shows_the_point(cache, tmp_path):
    result = run("dial.py", cwd=tmp_path)
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()}
    assert float(rows["DIAL"][2]) > float(rows["Src-Pref"][2]) + 0.2
    assert run("experiments/odd_one_out.py", "--help", cwd=tmp_path).returncode == 0


def test_remembered_layers_change_nothing():
    encoded = [([2, *range(10 + i, 20 + 2 * i)], [[40 + i, 50], [60 + i]]) for i in range(4)]
    outputs = []
    for remember in (False, True):
        classifier = random_classifier("gemma3")
        if remember:
            remember_frozen_layers(classifier.base_model, 1, 0)
        torch.manual_seed(0)
        model = RewardModel(classifier, DialConfig(lora_rank=4, lora_layers=1))
        for rows in (encoded[:3], encoded, encoded[::-1]):  # new, some new, all known
            for share in (True, False):
                emb = model.embed(pack(rows, share=share))
                model.zero_grad()
                emb.square().sum().backward()
                grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
                outputs.append((emb.detach(), grads))
    for (a, grads_a), (b, grads_b) in zip(outputs[:6], outputs[6:], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        assert len(grads_a) == len(grads_b) > 0
        for x, y in zip(grads_a, grads_b):
            torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-4)
