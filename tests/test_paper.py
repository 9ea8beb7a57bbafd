"""--paper: settings and file names against the paper's, and runs to the end on small files."""
import importlib
import itertools
import json
import re
from collections import Counter

import pytest
from conftest import ROOT, random_classifier

from domains.splits import Domain
from methods import untrained
from models import backbones
from paper import settings

# Of each experiment: the longest text (A.4: 768), its pairs, the rows of a source and a target that
# 3.1, 3.3, 3.4 and A.6 name; of each method, of A.2 to A.6: records of each domain a step, learning
# rate, weight decay, epochs, steps.
SECTIONS = {
    "cross_lingual": (1024, 9, 20_000, 20_000, {
        "Src-Pref": (8, 5e-5, 0.0, 3, 7500), "others": (4, 5e-5, 0.0, 3, 15_000)}),
    "clean_to_noisy": (1024, 3, 20_000, 20_000, {
        "Src-Pref": (8, 5e-5, 0.0, 3, 7500), "others": (4, 5e-5, 0.0, 3, 15_000),
        "DIAL": (4, 5e-5, 0.01, 3, 15_000), "DEAL": (4, 5e-5, 0.01, 3, 15_000)}),
    "few_shot": (768, 3, 10_000, 130_000, {
        "Src-Pref": (16, 5e-5, 0.0, 50, 31_250), "others": (8, 5e-5, 0.0, 2, 32_500),
        "DIAL": (8, 1e-5, 0.0, 2, 32_500), "DEAL": (8, 1e-5, 0.0, 2, 32_500)}),
    "simple_to_complex": (1024, 1, 20_000, 15_000, {
        "Src-Pref": (32, 5e-5, 0.0, 10, 6250), "others": (4, 5e-5, 0.0, 10, 50_000),
        "DEAL": (4, 5e-5, 0.0, 2, 10_000), "Tgt-Pref*": (8, 5e-5, 0.0, 2, 3750)}),
    "odd_one_out": (1024, 20, 1000, 1000, {
        "Src-Pref": (16, 5e-5, 0.0, 5, 313), "others": (8, 5e-5, 0.0, 5, 625)}),
}
TRAINED = ("Src-Pref", "Src-Pref-SFT", "Src-Pref-Tgt-NTP", "DIAL", "DEAL", "Tgt-Pref*",
           "Src-Tgt-Pref*")
# Of small files with four rows each (few-shot's ten are four here, twice; of essays two pairs are
# four texts): DIAL's steps, those that end an epoch, and the first number of the paper's table.
SMALL = {
    "cross_lingual": (3, [1, 2, 3], (0.68, 0.00)), "clean_to_noisy": (3, [1, 2, 3], (0.76, 0.01)),
    "few_shot": (2, [1, 2], (0.852, 0.042)),
    "simple_to_complex": (10, [*range(1, 11)], (0.577, 0.011)),
    "odd_one_out": (3, [1, 2, 3], (0.686, 0.035)),
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
    def folder(experiment, name, n=4, long=100):
        importlib.import_module(experiment).main(["--paper", "--dry-run"])
        listed = capsys.readouterr().out.partition("files:\n")[2].split()
        for file in [line.rpartition("/")[2] for line in listed]:
            rows = [{"prompt": f"{file} {i}", "response_chosen": f"yes {i}",
                     "response_rejected": "no" if i else "y" * long}  # longer than the context
                    for i in range(n)]
            if experiment == "odd_one_out":
                rows = [{"prompt": f"{file} {i}", "correct": "a" if i else "a" * long,
                         **{f"wrong_{k}": k for k in "bcde"}}
                        for i in range(n)]
            elif file == "long_val.json":
                rows = [{"text": f"{file} {'x' * (i or long)}", "label": i} for i in range(n)]
            (tmp_path / file).write_text(json.dumps(rows))
        return ["--paper", str(tmp_path), "--model", name, "--seeds", "0", "--device", "cpu",
                "--dtype", "float32", "--out", str(tmp_path / "out")]

    return folder


def watch(monkeypatch, experiment):
    """A command, and a list that gets the (flags, domains) of its runs."""
    main, made = importlib.import_module(experiment), []
    run_all = main.run_all
    monkeypatch.setattr(main, "run_all", lambda args, domains: (
        made.append((args, domains)), run_all(args, domains))[1])
    return main.main, made


@pytest.mark.parametrize("experiment", SECTIONS)
def test_settings_and_files(experiment, monkeypatch, capsys):
    main, made = watch(monkeypatch, experiment)
    main(["--paper", "--dry-run"])
    ((args, domains),) = made
    max_length, n_pairs, n_source, n_target, lines = SECTIONS[experiment]
    assert args.max_length == max_length and list(domains) == args.seeds == [0, 1, 2]
    assert [len(pairs) for pairs in domains.values()] == [n_pairs] * 3
    source = Domain("s", labeled=range(n_source), unlabeled=range(n_source))
    target = Domain("t", labeled=range(n_target), unlabeled=range(n_target))
    if experiment == "simple_to_complex":  # pairs to learn from for an oracle, texts for others
        target.unlabeled = range(17_000)
    for name in TRAINED:
        config, batch_size, epochs = settings.training_of(args, name, source, target)
        assert (batch_size, config.learning_rate, config.weight_decay, epochs, config.steps
                ) == lines.get(name, lines["others"]), name
        assert (config.lora_rank, config.lora_alpha, config.lambda_da, config.lambda_gp) == (
            64, 64, 0.01, 1)  # A.1
        assert (config.critic_steps, config.critic_learning_rate, config.critic_weight_decay) == (
            3, 1e-4, 1e-3)
        assert not config.scale_embeddings and not config.center_prompts and not config.lora_layers
    assert (args.model, args.truncate) == ("google/gemma-2b", True)
    assert args.eval_every == (0 if experiment == "odd_one_out" else 1000)  # A.6
    assert args.repeat == (1000 if experiment == "few_shot" else 0)  # A.4
    out = capsys.readouterr().out
    batch_size, rate, decay, epochs, _ = lines.get("DIAL", lines["others"])
    assert f"DIAL, seed 0, {epochs} epochs: " in out
    assert ["DIAL", str(epochs), "larger", str(batch_size), f"{rate:g}", f"{decay:g}"] in [
        line.split() for line in out.splitlines()]
    listed = out.partition("files:\n")[2].split()
    count, *names = FILES[experiment]
    assert len(listed) == count and all(f.startswith("hub:david9dragon9/") for f in listed)
    assert set(names) <= {file.rpartition("/")[2] for file in listed}


def test_what_is_set_by_hand_holds_for_all_methods(monkeypatch):
    main, made = watch(monkeypatch, "few_shot")
    main(["--paper", "--dry-run", "--batch-size", "2", "--set", "weight_decay=0.5", "lambda_da=3"])
    domain = Domain("d", labeled=range(10), unlabeled=range(10))
    for name, epochs, rate in (("Src-Pref", 50, 5e-5), ("DIAL", 2, 1e-5)):
        config, batch_size, _ = settings.training_of(made[0][0], name, domain, domain)
        assert (batch_size, config.weight_decay, config.lambda_da) == (2, 0.5, 3)
        assert (config.learning_rate, config.steps) == (rate, epochs * 5)


@pytest.mark.parametrize("experiment", SECTIONS)
def test_paper_runs_to_the_end(experiment, folder, model, tmp_path, monkeypatch, capsys, undrawn):
    """Of cross-lingual transfer two targets of a source, which Src-Pref is trained once for."""
    monkeypatch.setitem(settings.EXPERIMENTS["few_shot"], "repeat", 2)
    monkeypatch.setattr(untrained, "THOUGHTS", 2)
    n_pairs, n = 2 if experiment == "cross_lingual" else 1, 2 if "simple" in experiment else 4
    pairs = list(settings.EXPERIMENTS[experiment]["pairs"])[:n_pairs]
    names = ["Base LM", "Src-Pref", "DIAL", "Tgt-Pref*"]
    importlib.import_module(experiment).main([
        *folder(experiment, model, n), "--max-length", "60", "--pairs", *pairs,
        "--methods", *names])
    assert " records are longer than 60 tokens" in capsys.readouterr().err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = [r for r in results["rows"] if r["metric"] in ("accuracy", "pearson")]
    assert {r["method"] for r in rows} == {*names, "DIAL less Src-Pref", "Src-Pref, best*",
                                           "DIAL, best*", "Tgt-Pref, best*"}
    steps, ends, number = SMALL[experiment]
    assert [(r["paper"], r["paper_se"]) for r in rows
            if r["method"] in ("DIAL", "DIAL, best*")][:2] == [number] * 2
    assert results["config"]["steps"] is results["config"]["learning_rate"] is None
    runs = [json.loads(path.read_text()) for path in (tmp_path / "out" / "runs").glob("*.json")]
    by_method = Counter(run["method"] for run in runs)
    assert by_method == {"Base LM": 1, "Src-Pref": 1, "DIAL": n_pairs, "Tgt-Pref*": n_pairs}
    log = next(run["log"] for run in runs if run["method"] == "DIAL")
    assert log[-1]["step"] == len(log) == steps
    assert [r["step"] for r in log if any(" of " in key for key in r)] == ends


def test_the_documents_table_is_the_dry_runs(capsys):
    """"What `--paper` trains" in experiments/README.md, less its last column, the paper's words."""
    text = (ROOT / "experiments" / "README.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")[:7]]
            for line in text.partition("## What `--paper` trains")[2].splitlines()
            if line.startswith("|")]
    printed, head = [], rows[0][1:]
    for experiment in SECTIONS:
        importlib.import_module(experiment).main(["--paper", "--dry-run", "--methods", "all"])
        lines = [re.split(" {2,}", line) for line in capsys.readouterr().out.splitlines()]
        table = lines[lines.index(head) + 1:]
        lines = list(itertools.takewhile(lambda line: len(line) == len(head), table))
        printed += [[experiment if i == 0 else "", *line] for i, line in enumerate(lines)]
    assert printed == rows[2:]
