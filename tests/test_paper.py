"""--paper: settings and file names against the paper's, and runs to the end on small files."""
import importlib
import itertools
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT, random_classifier

import few_shot
from domains.splits import Domain
from support import backbones, cli, paper, paper_files, untrained
from support.training import training_of

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
# Of small files with six rows each (few-shot's ten are six here, twice): DIAL's steps, those that
# end an epoch, and the number of the first cell of the paper's table.
SMALL = {
    "cross_lingual": (5, [2, 4, 5], (0.68, 0.00)), "clean_to_noisy": (5, [2, 4, 5], (0.76, 0.01)),
    "few_shot": (3, [2, 3], (0.852, 0.042)),
    "simple_to_complex": (15, [2, 3, 5, 6, 8, 9, 11, 12, 14, 15], (0.577, 0.011)),
    "odd_one_out": (4, [1, 2, 3, 4], (0.686, 0.035)),
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
    def folder(experiment, name, n=6, long=1100):
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
        return ["--paper", str(tmp_path), "--model", name, "--seeds", "0",
                "--device", "cpu", "--dtype", "float32", "--out", str(tmp_path / "out")]

    return folder


@pytest.mark.parametrize("experiment", SECTIONS)
def test_settings_and_files(experiment, monkeypatch, capsys):
    main, made = importlib.import_module(experiment), []
    monkeypatch.setattr(main, "plan", lambda args, domains: made.append((args, domains(0))) or [])
    main.main(["--paper", "--dry-run"])
    ((args, pairs),) = made
    max_length, n_pairs, n_source, n_target, lines = SECTIONS[experiment]
    assert (args.max_length, len(pairs)) == (max_length, n_pairs)
    source = Domain("s", labeled=range(n_source), unlabeled=range(n_source))
    target = Domain("t", labeled=range(n_target), unlabeled=range(n_target))
    for name in TRAINED:
        config, batch_size, epochs = training_of(args, name, source, target)
        assert (batch_size, config.learning_rate, config.weight_decay, epochs, config.steps
                ) == lines.get(name, lines["others"]), name
        assert (config.lora_rank, config.lora_alpha, config.lambda_da, config.lambda_gp) == (
            64, 64, 0.01, 1)  # A.1
        assert (config.critic_steps, config.critic_learning_rate, config.critic_weight_decay) == (
            3, 1e-4, 1e-3)
        assert not config.scale_embeddings and not config.center_prompts and not config.lora_layers
    assert (args.model, args.seeds) == ("google/gemma-2b", [0, 1, 2])
    assert args.eval_every == (0 if experiment == "odd_one_out" else 1000)  # A.6
    assert args.repeat == (1000 if experiment == "few_shot" else 0)  # A.4
    listed = capsys.readouterr().out.partition("files:\n")[2].split()
    count, *names = FILES[experiment]
    assert len(listed) == count and all(f.startswith("hub:david9dragon9/") for f in listed)
    assert set(names) <= {file.rpartition("/")[2] for file in listed}


def test_what_is_set_by_hand_holds_for_all_methods(monkeypatch):
    made = []
    monkeypatch.setattr(few_shot, "plan", lambda args, domains: made.append(args) or [])
    few_shot.main(["--paper", "--dry-run", "--batch-size", "2", "--set", "weight_decay=0.5",
                   "lambda_da=3"])
    domain = Domain("d", labeled=range(10), unlabeled=range(10))
    for name, epochs, rate in (("Src-Pref", 50, 5e-5), ("DIAL", 2, 1e-5)):
        config, batch_size, _ = training_of(made[0], name, domain, domain)
        assert (batch_size, config.weight_decay, config.lambda_da) == (2, 0.5, 3)
        assert (config.learning_rate, config.steps) == (rate, epochs * 5)


def test_the_ten_are_repeated_a_thousand_times(folder):
    """A.4; also where the file holds them repeated already."""
    flags = folder("few_shot", "tiny")
    args = cli.parse(cli.run_flags("", "few_shot", {"steps": 1}), [*flags, "--pairs", "b"])
    ((source, target),) = paper_files.domains(args)
    path = Path(args.paper, "split_b_sampler.json")
    path.write_text(json.dumps(json.loads(path.read_text()) * 3))
    ((again, _),) = paper_files.domains(args)
    assert again.labeled == source.labeled
    assert Counter(source.labeled) == dict.fromkeys(source.labeled, 1000)
    assert len(source.labeled) == 6000 and len(target.labeled) == len(target.unlabeled) == 6


def files_of(rows):
    """The files that rows of `folder` come from, by their first word."""
    return {(r.prompt if r.prompt != "Text:" else r.responses[0]).split()[0] for r in rows}


@pytest.mark.parametrize("experiment", SECTIONS)
def test_paper_runs_to_the_end(experiment, folder, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(paper.EXPERIMENTS["few_shot"], "repeat", 2)
    monkeypatch.setattr(untrained, "THOUGHTS", 2)
    pairs = dict(list(paper.EXPERIMENTS[experiment]["pairs"].items())[:2])
    flags = [*folder(experiment, model), "--pairs", *pairs]
    names = ["Base LM", "Src-Pref", "DIAL", "DEAL", "Tgt-Pref*"]
    main, made = importlib.import_module(experiment), []
    plan = main.plan
    monkeypatch.setattr(main, "plan", lambda args, domains: made.extend(domains(0))
                        or plan(args, domains))
    main.main([*flags, "--methods", *names])
    assert " records are longer than " in capsys.readouterr().err
    for (source, target), ((train, test), (target_train, target_test)) in zip(
            made, pairs.values(), strict=True):
        assert files_of(source.labeled) == {train.rpartition("/")[2]}
        assert files_of(source.test) == {test}
        assert files_of(target.unlabeled) == files_of(target.labeled) == {target_train}
        assert files_of(target.test) == {target_test}
        assert files_of(target.validation.test) == {target_train.replace("train", "val")}
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = [r for r in results["rows"] if r["metric"] in ("accuracy", "pearson")]
    assert {r["method"] for r in rows} == {*names, "DIAL less Src-Pref", "Src-Pref, best*",
                                           "DIAL, best*", "DEAL, best*", "Tgt-Pref, best*"}
    steps, ends, number = SMALL[experiment]
    first = [r for r in rows if (r["source"], r["target"]) == (made[0][0].name, made[0][1].name)]
    assert [(r["paper"], r["paper_se"]) for r in first
            if r["method"] in ("DIAL", "DIAL, best*")] == [number] * 2
    assert results["config"]["steps"] is results["config"]["learning_rate"] is None
    run = json.loads(next((tmp_path / "out" / "runs").glob("DIAL-*")).read_text())
    assert run["log"][-1]["step"] == len(run["log"]) == steps
    assert [r["step"] for r in run["log"] if "target_validation" in r] == ends
    main.main([*flags, "--dry-run"])
    _, _, _, _, lines = SECTIONS[experiment]
    batch_size, rate, decay, epochs, _ = lines.get("DIAL", lines["others"])
    out = capsys.readouterr().out
    assert f"DIAL, seed 0, {epochs} epochs: " in out and "memory: about" in out
    assert ["DIAL", str(epochs), "larger", str(batch_size), f"{rate:g}", f"{decay:g}"] in [
        line.split() for line in out.splitlines()]


def test_the_documents_table_is_the_dry_runs(capsys):
    """experiments/README.md, "What `--paper` trains", without its last column, the paper's words."""
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
