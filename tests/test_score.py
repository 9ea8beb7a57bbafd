"""score.py: rewards and accuracies of files, by models that were saved here and by others."""
import json
import math

import pytest
import torch
from conftest import FAST, random_classifier
from scipy.stats import pearsonr
from transformers import AutoModel

import cross_lingual
import data
import score
from data import InputError


@pytest.fixture(scope="module")
def trained(cache, tmp_path_factory):
    """(folder of a command, its table's target accuracy, the file that measured it)."""
    folder = tmp_path_factory.mktemp("score")
    rows = [{"prompt": f"Which is {i}?", "chosen": f"number {i}", "rejected": "none of these",
             "subset": "even" if i % 2 == 0 else "odd"} for i in range(30)]
    for name, part in (("train", rows), ("test", rows[:9])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    args = [*FAST[:6], "--steps", "3", "--seeds", "0", "--batch-size", "2", "--save", "merged",
            "--methods", "DIAL", "--out", str(folder / "out")]
    cross_lingual.main([*args, "--source-data", str(folder / "train.jsonl"), "--target-data",
                        str(folder / "train.jsonl"), "--eval-data", str(folder / "test.jsonl")])
    table = json.loads((folder / "out" / "results.json").read_text())["rows"]
    (row,) = (r for r in table if r["metric"] == "accuracy")
    return folder, row["mean"]


@pytest.mark.parametrize("saved", ["DIAL", "DIAL/merged"])
def test_score_gives_the_accuracy_of_the_table(trained, capsys, saved):
    folder, accuracy = trained
    score.main([str(folder / "out/models" / saved), str(folder / "test.jsonl"), "--dtype",
                "float32", "--device", "cpu", "--out", str(folder / "rewards.jsonl")])
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = {line[0]: [cell.strip() for cell in line[1:] if cell.strip()] for line in lines}
    assert cells["all"][0] == f"{accuracy:.3f}" and cells["all"][-1] == "9"
    assert cells["even"][-1] == "5" and cells["odd"][-1] == "4"
    assert cells["all"][2] == "0.000"  # "none of these" has more words than "number 3"
    rewards = [json.loads(line) for line in (folder / "rewards.jsonl").read_text().splitlines()]
    pairs = list(zip(rewards[::2], rewards[1::2]))
    assert sum(a["reward"] > b["reward"] for a, b in pairs) / 9 == pytest.approx(accuracy)
    assert rewards[0]["prompt"] == "Which is 0?" and rewards[1]["response"] == "none of these"


def test_score_prints_rewards_of_texts(trained, capsys):
    folder, _ = trained
    (folder / "texts.jsonl").write_text('{"prompt": "Q", "responses": ["b", "a c"]}\n')
    score.main([str(folder / "out/models/DIAL"), str(folder / "texts.jsonl"), "--device", "cpu"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["response"] for line in lines] == ["a c", "b"]


def test_score_correlates_with_scores(trained, capsys):
    """Of the rewards that --out has."""
    folder, _ = trained
    rows = [{"prompt": "Q", "response": "a" * (i + 1), "score": i * i} for i in range(6)]
    (folder / "scored.jsonl").write_text("\n".join(map(json.dumps, rows)))
    score.main([str(folder / "out/models/DIAL"), str(folder / "scored.jsonl"), "--device", "cpu",
                "--out", str(folder / "rewards.jsonl")])
    found = dict(line.split() for line in capsys.readouterr().out.splitlines())
    rewards = [json.loads(x)["reward"] for x in (folder / "rewards.jsonl").open()]
    assert found["pearson"] == f"{pearsonr(rewards, [i * i for i in range(6)]).statistic:.3f}"


@pytest.mark.parametrize("first", [{"prompt": "Q", "response": "a"}, {"text": "a", "label": 1}])
def test_score_refuses_records_of_two_kinds(trained, first):
    rows = [first, {"prompt": "Q", "chosen": "a", "rejected": "b"}]
    file = trained[0] / "mixed.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match="mixed.jsonl:2: is a preference, unlike the first record"):
        score.main([str(trained[0] / "out/models/DIAL"), str(file), "--device", "cpu"])


def test_score_gives_rewards_where_nothing_can_be_correlated(trained, capsys):
    file = trained[0] / "words.jsonl"
    file.write_text('{"text": "a", "label": "pos"}\n{"text": "b", "label": "neg"}')
    score.main([str(trained[0] / "out/models/DIAL"), str(file), "--device", "cpu"])
    out, err = capsys.readouterr()
    assert [json.loads(x)["response"] for x in out.splitlines()] == ["a", "b"]
    assert "no correlations: " in err and "'label' must be a number" in err


def test_rows_without_a_subset_are_named(trained):
    rows = [data.Preference("Q", "a", ("b",))] * 2
    lines = score.table(rows, ["easy", ""], [torch.tensor([1.0, 0.0])] * 2)
    assert [line[0] for line in lines] == ["subset", "easy", "none", "all"]


def test_rewards_do_not_replace_the_texts(trained):
    file = trained[0] / "test.jsonl"
    before = file.read_text()
    with pytest.raises(InputError, match="is the file to read"):
        score.main([str(trained[0] / "out/models/DIAL"), str(file), "--out", str(file)])
    assert file.read_text() == before


def test_the_interval_is_wilsons():
    """By its formula."""
    rows = [data.Preference("Q", "a", ("b",))] * 10
    rewards = [torch.tensor([1.0, 0.0])] * 7 + [torch.tensor([0.0, 1.0])] * 3
    z, share, n = 1.96, 0.7, 10
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    line = score.table(rows, [""] * 10, rewards)[1]
    assert line == ("all", "0.700", f"{center - half:.3f} to {center + half:.3f}", "0.500", "10")


def test_texts_beyond_the_models_positions(tiny, tmp_path):
    """Also where nothing is labelled: a BERT would end in a traceback."""
    tiny[1].save_pretrained(tmp_path)
    random_classifier("llama", max_position_embeddings=20).save_pretrained(tmp_path)
    (tmp_path / "texts.jsonl").write_text(json.dumps({"prompt": "Q", "responses": ["a" * 30]}))
    with pytest.raises(InputError, match="a text has 33 tokens, the model takes 20"):
        score.main([str(tmp_path), str(tmp_path / "texts.jsonl"), "--device", "cpu"])


@pytest.mark.parametrize("labels, message", [
    (3, "a classifier of 3 labels"), (0, "not a trained reward model: it has no score.weight")])
def test_score_refuses_what_gives_no_reward(tiny, tmp_path, labels, message):
    tiny[1].save_pretrained(tmp_path)
    if labels:
        classifier = random_classifier("llama", labels)
        classifier.save_pretrained(tmp_path)
    else:
        AutoModel.from_config(random_classifier("llama").config).save_pretrained(tmp_path)
    (tmp_path / "x.jsonl").write_text('{"prompt": "Q", "chosen": "a", "rejected": "b"}\n')
    with pytest.raises(InputError, match=message):
        score.main([str(tmp_path), str(tmp_path / "x.jsonl"), "--device", "cpu"])


def test_score_refuses_pairs_that_measure_nothing(trained, capsys):
    folder, _ = trained
    (folder / "same.jsonl").write_text('{"prompt": "Q", "chosen": "a", "rejected": "a"}\n' * 3)
    with pytest.raises(InputError, match="3 of 3 records have a rejected response that is the"):
        score.main([str(folder / "out/models/DIAL"), str(folder / "same.jsonl"), "--device", "cpu"])
