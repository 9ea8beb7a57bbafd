"""The generated texts, and the applications that learn from them."""
import dataclasses
import json
import random
from collections import Counter

import pytest
import torch
from conftest import ROOT
from test_scripts import FAST

import baselines
import clean_to_noisy
import data
import embeddings
import essays
import few_shot
import safety
import scaling
import simple_to_complex
from data import InputError, Preference


# ------------------------------------------------------------------ generators


def test_noise_changes_the_writing_and_not_the_length_much():
    text = "Because you are right, people should never go without it. Is it really so? It is!"
    noisy = [data.add_noise(text, random.Random(i)) for i in range(50)]
    assert len(set(noisy)) == 50 and noisy[0] == data.add_noise(text, random.Random(0))
    assert all(0.6 < len(t) / len(text) < 1.2 for t in noisy)
    assert any("cuz" in t.lower() for t in noisy) and any("." not in t for t in noisy)
    assert data.add_noise("It is so.", random.Random(3), rate=0.0).lower().strip(".") == "it is so"


def test_typos_swap_drop_or_double_one_letter():
    rng = random.Random(0)
    for typo in {data._typo("abcdef", rng) for _ in range(200)}:
        moved = sum(a != b for a, b in zip(typo, "abcdef"))
        swapped = sorted(typo) == sorted("abcdef") and moved == 2
        dropped = typo in {"abcdef"[:i] + "abcdef"[i + 1:] for i in range(6)}
        doubled = typo in {"abcdef"[:i + 1] + "abcdef"[i:] for i in range(6)}
        assert swapped or dropped or doubled, typo


def test_graded_text_counts_its_flaws():
    sound, flawed = [f"Sound {i}." for i in range(8)], [f"Flawed {i}." for i in range(4)]
    for flaws in range(5):
        text = data.graded_text(sound, flawed, 6, flaws, random.Random(flaws))
        assert text.count("Flawed") == flaws and text.count("Sound") == 6 - flaws
        assert len(set(text.split(". "))) == 6
    with pytest.raises(InputError, match="5 flawed"):
        data.graded_text(sound, flawed, 6, 5, random.Random(0))


def test_neighbouring_pairs_are_one_level_apart_and_use_every_text():
    texts = [f"{level} {i}" for level, n in ((1, 5), (2, 2), (4, 9)) for i in range(n)]
    scores = [float(text.split()[0]) for text in texts]
    pairs = data.neighbouring_pairs(texts, scores, "Which?", 30, random.Random(0))
    levels = Counter((p.chosen.split()[0], p.rejected[0].split()[0]) for p in pairs)
    assert set(levels) == {("2", "1"), ("4", "2")} and len(pairs) == 30
    assert {t for p in pairs for t in p.responses} == set(texts)
    with pytest.raises(InputError, match="two levels"):
        data.neighbouring_pairs(["a", "b"], [1, 1], "Which?", 3, random.Random(0))


def test_arguments_have_the_flaws_that_their_scores_say():
    """Counted again from the file, sentence by sentence."""
    sentences = essays.read_sentences()
    kind = {text: (topic, kind) for topic, kinds in sentences.items()
            for kind, texts in kinds.items() for text in texts}
    domain = essays.argument_domain("long", n_train=40, n_test=40)
    seen = {"train": set(), "test": set()}
    for part, records in (("train", domain.unlabeled), ("test", domain.test)):
        for record in records:
            topic, text = record.responses[0].split("\n")
            seen[part].add(topic)
            flaws, left = 0, text
            for sentence, (about, what) in kind.items():
                if sentence in left:
                    left = left.replace(sentence, "", 1)
                    flaws += what in ("weak", "vague") or (what == "reason" and about != topic)
            assert not left.strip()  # nothing but sentences of the file
            if part == "test":
                assert domain.scores[domain.test.index(record)] == 6 - flaws
    assert not seen["train"] & seen["test"]


@pytest.mark.parametrize("form", ["clean", "noisy", "short"])
def test_length_tells_nothing_about_generated_arguments(form):
    domain = essays.argument_domain(form, n_train=400, n_test=200)
    longer = [len(p.chosen) > len(p.rejected[0]) for p in domain.labeled + domain.test]
    assert 0.4 < sum(longer) / len(longer) < 0.6


def test_safety_answers():
    rows = safety.read_answers()
    assert len(rows) == 200 == len({r.prompt for r in rows})
    longer = sum(len(r.chosen) > len(r.rejected[0]) for r in rows)
    assert 80 <= longer <= 120
    for split in "AB":
        few, full = safety.few_shot_domains(rows, split)
        assert len(few.labeled) == 10 and set(few.labeled) <= set(full.labeled)
        prompts = [{r.prompt for r in part} for part in (full.unlabeled, full.test)]
        assert not prompts[0] & prompts[1] and len(full.test) == 80
    with pytest.raises(InputError, match="split Z"):
        safety.few_shot_domains(rows, "Z")


# ------------------------------------------------------------------ scripts


@pytest.mark.parametrize("main, flags, metrics", [
    (clean_to_noisy.main, ["--n-train", "12", "--n-test", "6", "--max-length", "2048"],
     {"accuracy"}),
    (simple_to_complex.main, ["--n-train", "12", "--n-test", "6", "--max-length", "4096"],
     {"pearson", "spearman"}),
    (few_shot.main, ["--splits", "A", "C", "--max-length", "2048"], {"accuracy"})])
def test_applications(cache, tmp_path, capsys, monkeypatch, main, flags, metrics):
    monkeypatch.setattr(baselines, "SHOTS", 1)  # ten are thousands of the tiny model's tokens
    methods = ["Src-Pref", "Src-Pref-SFT", "Src-Pref-Tgt-NTP", "DIAL", "DEAL", "Length", "Base LM",
               "Few-shot LM", "Tgt-Pref"]
    main([*FAST, "--seeds", "0", "--steps", "2", *flags, "--methods", *methods,
          "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert {r["metric"] for r in rows} == metrics | {"source_accuracy"}
    assert {r["method"] for r in rows} == {*methods[:-1], "Tgt-Pref*"}
    out = capsys.readouterr().out
    assert "gain of DIAL" in out and "paper" in out


def test_scaling(cache, tmp_path, capsys):
    scaling.main(["--model", "tiny", "--dry-run", "--seeds", "0", "--n-train", "300"])
    planned = capsys.readouterr().out
    assert "50 desserts:en -> 150 fruits:en" in planned and "Src-Tgt-Pref*, seed 0" in planned
    scaling.main([*FAST, "--seeds", "0", "--steps", "2", "--n-train", "100", "--n-test", "8",
                  "--budget", "40", "--out", str(tmp_path)])
    table = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(int(r[2]), int(r[3])) for r in table if r[0] == "a"] == [
        (36, 4), (30, 10), (20, 20), (10, 30), (4, 36)]
    assert [(r[1], r[3]) for r in table if r[0] == "b"] == [
        (m, n) for m in ("DIAL", "Src-Tgt-Pref*") for n in ("30", "100")]
    assert (tmp_path / "scaling.png").exists()


@pytest.mark.parametrize("flags", [["--n-test", "12"], ["--few-shot", "A", "--max-length", "2048"]])
def test_embeddings(cache, tmp_path, capsys, flags):
    embeddings.main([*FAST, "--seeds", "0", "--steps", "4", "--eval-every", "2",
                     "--projection", "pca", *flags, "--out", str(tmp_path)])
    table = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:7]]
    assert table == [[m, s] for m in ("Src-Pref", "DIAL") for s in "024"]
    assert (tmp_path / "embeddings.png").exists()


def test_pca_keeps_the_largest_variances():
    torch.manual_seed(0)
    points = torch.randn(300, 5) * torch.tensor([3.0, 0.1, 2.0, 0.1, 0.1])
    plane = embeddings.pca(points, points)
    variances = torch.linalg.eigvalsh(points.T.cov())[[4, 3]]
    assert torch.allclose(plane.var(dim=0), variances, rtol=1e-4)


def test_the_papers_numbers_go_with_their_splits(cache, tmp_path):
    few_shot.main([*FAST, "--seeds", "0", "--steps", "1", "--splits", "C", "E",
                   "--max-length", "2048", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    paper = {r["target"]: r["paper"] for r in rows
             if r["method"] == "DIAL" and r["metric"] == "accuracy"}
    assert paper == {"all of C": 0.943, "all of E": None}


def test_few_shot_on_a_file_of_one_prompt(cache, tmp_path):
    rows = [Preference("Which is civil?", f"thanks {i}", (f"no {i}",)) for i in range(40)]
    with open(tmp_path / "a.jsonl", "w") as f:
        f.writelines(json.dumps(dataclasses.asdict(r)) + "\n" for r in rows)
    few_shot.main([*FAST, "--seeds", "0", "--steps", "1", "--splits", "A",
                   "--data", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "out")])
    assert (tmp_path / "out" / "results.json").exists()
    with pytest.raises(InputError, match="too few"):
        safety.few_shot_domains(rows[:12], "A")


def test_the_tsv_files_are_whole():
    for name, columns in (("arguments", 3), ("safety", 3), ("foods", 5)):
        text = (ROOT / "experiments" / f"{name}.tsv").read_text(encoding="utf-8")
        for cells in (line.split("\t") for line in text.splitlines()):
            assert len(cells) == columns and all(map(str.strip, cells)), cells
