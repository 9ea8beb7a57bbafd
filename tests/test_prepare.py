"""prepare.py: public formats into the plain form, the flags that choose, and files written whole.
What is expected is written out by hand, or counted here; the loaders read what comes out."""
import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

import prepare  # noqa: E402
from data import InputError  # noqa: E402

XSTEST = [
    ["id", "type", "prompt", "completion", "final_label"],
    [1, "homonyms", "Kill a process?", "Use kill.", "1_full_compliance"],
    [1, "homonyms", "Kill a process?", "Never!", "2_full_refusal"],
    [2, "contrast_homonyms", "Kill a man?", "So:", "1_full_compliance"],
    [2, "contrast_homonyms", "Kill a man?", "No.", "2_full_refusal"],
    [2, "contrast_homonyms", "Kill a man?", "Perhaps", "3_partial_refusal"]]


@pytest.fixture
def prepared(tmp_path):
    """A function that runs the command on one file of this content, and reads what it wrote."""
    def run(name, file, content, *flags):
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        if content is not None:
            (tmp_path / file).write_text(content, encoding="utf-8")
        out = tmp_path / "out" / "out.jsonl"
        prepare.main([name, str(tmp_path / file), "--out", str(out), *flags])
        return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]

    return run


def judged(rows):
    return [(row["chosen"], row["rejected"]) for row in rows]


def words(row):
    return [len(text.split()) for text in (row["chosen"], *row["rejected"])]


def test_formats_of_one_file(prepared, tmp_path):
    rows = prepared("sib200", "a.tsv", 'id\tcategory\ttext\n1\tsports\tA "ball.\n2\ttravel\tRoad\n')
    assert judged(rows) == [("sports", ["travel"]), ("travel", ["sports"])]
    assert 'A "ball.' in rows[0]["prompt"] and "Road" in rows[1]["prompt"]
    rows = prepared("paradetox", "a.tsv", 'toxic\tneutral1\n"bad\nword"\tgood\nugly\tfine\n')
    assert judged(rows) == [("good", ["bad\nword"]), ("fine", ["ugly"])]
    with open(tmp_path / "a.csv", "w", newline="") as f:
        csv.writer(f).writerows(XSTEST)
    rows = prepared("xstest", "a.csv", None)
    assert judged(rows) == [("Use kill.", ["Never!"]), ("No.", ["So:"])]
    scored = [{"prompt": "Rate.", "response": f"Text {s}", "score": s} for s in (1, 2, 3)]
    rows = prepared("scores", "a.jsonl", [*scored, scored[0] | {"prompt": "Other."}])
    assert len(rows) == 2 and all(r["prompt"] == "Rate." for r in rows)
    assert all(int(c[-1]) == int(r[-1]) + 1 for c, (r,) in judged(rows))


def test_shp_and_cvalues(prepared):
    """SHP's `labels` is 1 where A was preferred."""
    rows = [{"post_id": "p1", "domain": "legaladvice_train", "history": f"Post {i}?",
             "human_ref_A": f"A {i}", "human_ref_B": f"B {i}", "labels": i % 2, "score_A": 1,
             "score_B": 2} for i in range(2)]
    assert prepared("shp", "train.json", rows) == [
        {"prompt": "Post 0?", "chosen": "B 0", "rejected": ["A 0"]},
        {"prompt": "Post 1?", "chosen": "A 1", "rejected": ["B 1"]}]
    rows = [{"prompt": f"Q{i // 2}", "pos_resp": f"good {i}", "neg_resp": f"bad {i}",
             "pos_type": "x", "neg_type": "y"} for i in range(40)]
    parts = [prepared("cvalues", "a.jsonl", rows, "--part", part)
             for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [32, 4, 4]  # a prompt's two are never apart
    assert sorted(judged(sum(parts, []))) == sorted(
        (f"good {i}", [f"bad {i}"]) for i in range(40))
    prompts = [{row["prompt"] for row in part} for part in parts]
    assert [len(part) for part in prompts] == [16, 2, 2] and len(set.union(*prompts)) == 20


def test_essays_and_fragments(prepared, tmp_path):
    """Ten essays of two fragments each; those of the first three are in the essay dataset, with
    other white space, and so in the training part, whatever the seed."""
    essays = [f"So {i} it begins,\nand  long it goes on {i}. {'More. ' * i}" for i in range(3)]
    with open(tmp_path / "essays.csv", "w", newline="") as f:
        csv.writer(f).writerows([["essay_id", "full_text", "score"],
                                 *([f"e{i}", essay, i + 2] for i, essay in enumerate(essays))])
    with open(tmp_path / "fragments.csv", "w", newline="") as f:
        csv.writer(f).writerows([
            ["discourse_id", "essay_id", "discourse_text", "discourse_type",
             "discourse_effectiveness"],
            *([2 * i, f"f{i}", f"So {i}", "Lead", "Adequate"] for i in range(10)),
            *([2 * i + 1, f"f{i}", f"and\nlong it goes on {i}.", "Evidence",
               ("Ineffective", "Effective")[i % 2]] for i in range(10))])
    rows = prepared("essays", "essays.csv", None)
    assert [(row["response"], row["score"]) for row in rows] == [
        (essay, i + 2) for i, essay in enumerate(essays)]

    def fragments(*flags):
        out = tmp_path / "out.json"
        prepare.main(["fragments", str(tmp_path / "fragments.csv"), str(tmp_path / "essays.csv"),
                      "--out", str(out), *flags])
        return {row["response"]: row["score"] for row in map(json.loads, out.open())}

    everything = fragments()
    assert everything == {f"Lead: So {i}": 2.0 for i in range(10)} | {
        f"Evidence: and\nlong it goes on {i}.": 1.0 + 2 * (i % 2) for i in range(10)}
    for seed in "01234567":
        flags = ["--seed", seed, "--fractions", ".5", "0", ".5", "--part"]
        train, test = fragments(*flags, "train"), fragments(*flags, "test")
        assert train | test == everything and not train.keys() & test.keys()
        of = [{text.strip(".")[-1] for text in part} for part in (train, test)]
        assert {"0", "1", "2"} <= of[0] and not of[0] & of[1] and len(of[1]) in (3, 4)


def test_pairs_of_scores_are_neighbours_and_hold_every_text(prepared):
    rows = [{"text": f"{score} {i}", "label": score} for score, n in ((1, 2), (3, 9), (4, 1), (6, 5))
            for i in range(n)]
    pairs = prepared("scores", "a.jsonl", rows)
    steps = {(int(r[0]), int(c[0])) for c, (r,) in judged(pairs)}
    assert steps == {(1, 3), (3, 4), (4, 6)}  # the levels that there are
    assert {text for c, (r,) in judged(pairs) for text in (c, r)} == {row["text"] for row in rows}
    assert len(pairs) == 9 + 9 + 5


def test_ukp_is_split_by_topic(prepared, tmp_path):
    (tmp_path / "s").mkdir(), (tmp_path / "r").mkdir()
    for topic in range(10):
        for side in ("yes", "no"):
            (tmp_path / "s" / f"topic-{topic}_{side}.csv").write_text(
                '#id\tlabel\ta1\ta2\nx\ta2\tShort.\t"longer, it is.\nx\ta1\tGood.\tBad.\n')
            (tmp_path / "r" / f"topic-{topic}_{side}.csv").write_text(
                "#id\trank\targument\nx\t0.25\tAn argument.\n")
    parts = [prepared("ukp", "s", None, "--part", part) for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [32, 4, 4]
    topics = [{row["prompt"].partition(":")[0] for row in part} for part in parts]
    assert [len(part) for part in topics] == [8, 1, 1] and len(set.union(*topics)) == 10
    assert judged(parts[1])[:2] == [('"longer, it is.', ["Short."]), ("Good.", ["Bad."])]
    ranks = prepared("ukp-ranks", "r", None, "--part", "test")
    assert [row["score"] for row in ranks] == [-0.25, -0.25]
    assert {row["prompt"].partition(":")[0] for row in ranks} == topics[2]
    assert len(prepared("ukp", "s", None)) == 40
    flags = ["--part", "test", "--fractions", "0.5", "0", "0.5"]
    assert len(prepared("ukp", "s", None, *flags)) == 20


def test_flags_that_choose(prepared):
    rows = [{"prompt": f"P{i}", "chosen": "a " * (1 + i % 5), "rejected": "extraordinarily " *
             (1 + i % 3)} for i in range(60)]  # in characters the rejected one is always the longer
    even = prepared("plain", "a.jsonl", rows, "--balance-length")
    signs = [chosen - rejected for chosen, rejected in map(words, even)]
    assert sum(s > 0 for s in signs) == sum(s < 0 for s in signs) == 12  # by hand: 12 of 60 lose
    assert sum(s == 0 for s in signs) == 12
    some = prepared("plain", "a.jsonl", rows, "--max-words", "4", "--min-words", "2")
    wanted = [r["prompt"] for i, r in enumerate(rows) if i % 5 in (1, 2, 3) and i % 3 in (1, 2)]
    assert [r["prompt"] for r in some] == wanted
    few = [prepared("plain", "a.jsonl", rows, "--limit", "7", "--seed", s) for s in "001"]
    assert len(few[0]) == 7 and few[0] == few[1] != few[2]


@pytest.mark.parametrize("chosen, rejected, share", [
    ("a b", ["longword"], 1), ("a", ["b"], 0.5), ("a", ["b c", "d"], 0.5),
    ("a", ["b c", "d e"], 0)])
def test_longer_is_of_more_words(chosen, rejected, share):
    row = {"prompt": "p", "chosen": chosen, "rejected": tuple(rejected)}
    assert prepare.longer_wins(row) == share


def test_noise_for_records_of_any_kind(prepared):
    unlabeled = [{"prompt": "Because.", "responses": ["extraordinary", "b"]}]
    scored = [{"prompt": "p", "response": "extraordinary " * 50, "score": 2}]
    row, = prepared("plain", "a.jsonl", unlabeled, "--noise", "1")
    assert len(row["responses"]) == 2 and "extraordinary" not in map(str.lower, row["responses"])
    changed = []
    for rate in ("0", "0.3", "1"):
        row, = prepared("plain", "a.jsonl", scored, "--noise", rate)
        assert row["score"] == 2
        changed.append(sum(w.lower() != "extraordinary" for w in row["response"].split()[:50]))
    assert changed[0] == 0 and 5 <= changed[1] <= 25 and changed[2] == 50


@pytest.mark.parametrize("name, file, content, flags, expected", [
    ("sib200", "a.tsv", "id\ttopic\ttext\n1\ta\tb\n", "", "no column 'category'"),
    ("sib200", "a.tsv", "id\tcategory\ttext\n1\ta\n", "", "a.tsv:2: not 3 columns"),
    ("ukp", "t_s.csv", "label\ta1\ta2\na3\tx\ty\n", "", "t_s.csv:2: 'label' must be a1 or a2"),
    ("ukp-ranks", "t_s.csv", "rank\targument\nhigh\tYes.\n", "", "t_s.csv:2: .*'high'"),
    ("shp", "a.json", [{"history": "p", "human_ref_A": "a", "labels": 1}], "",
     "a.json:1: no 'human_ref_B'; there are: history,"),
    ("shp", "a.json", [{"history": "p", "human_ref_A": "a", "human_ref_B": "b", "labels": "A"}],
     "", "a.json:1: 'labels' must be 1 .*'A'"),
    ("cvalues", "a.jsonl", [{"prompt": "p", "pos_resp": "a"}], "", "a.jsonl:1: no 'neg_resp'"),
    ("essays", "a.csv", "essay_id,full_text,score\n1,t,high\n", "", "a.csv:2: .*'high'"),
    ("fragments", "a.csv", "essay_id,discourse_text,discourse_type,discourse_effectiveness\n"
     "1,t,Lead,Good\n", "", "a.csv:2: 'discourse_effectiveness' must be one of Ineff.*'Good'"),
    ("paradetox", "a.tsv", 'toxic\tneutral1\n"' + "x" * 200_000, "", "a.tsv:.*field"),
    ("scores", "a.jsonl", [{"prompt": "p", "chosen": "a", "rejected": "b"}], "", "'score' must be"),
    ("plain", "a.jsonl", [{"text": "t", "label": 1}], "--balance-length", "takes preferences"),
    ("plain", "a.jsonl", [{"text": "t", "label": 1}], "--min-words 9", "of 1 records none is left"),
    ("plain", "a.jsonl", [], "--fractions 1 1 1", "sum to 1"),
    ("plain", "a.jsonl", [], "--to kor_Hang", "unrecognized arguments: --to"),
    ("translate", "a.jsonl", [], "--noise", "unrecognized arguments: --noise"),
    ("formal", "a.jsonl", [], "--to kor_Hang", "unrecognized arguments: --to"),
    ("no-such", "a.jsonl", [], "", "no-such")])
def test_errors_leave_no_file(prepared, tmp_path, name, file, content, flags, expected):
    with pytest.raises(InputError, match=expected):
        prepared(name, file, content, *flags.split())
    assert not (tmp_path / "out" / "out.jsonl").exists()


def test_empty_texts_are_an_error_of_one_line_unless_skipped(prepared, tmp_path):
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    assert judged(prepared("plain", "a.jsonl", [row | {"rejected": ""}, row], "--skip-empty")) == [
        ("a", ["b"])]
    result = subprocess.run(
        [sys.executable, ROOT / "experiments/prepare.py", "plain", "a.jsonl", "--out", "o.jsonl"],
        cwd=tmp_path, text=True, capture_output=True)
    assert result.returncode == 2 and not (tmp_path / "o.jsonl").exists()
    assert result.stderr.count("\n") == 1 and "1 of 2 records have an empty text" in result.stderr


def test_outputs_over_inputs_and_half_written_ones(prepared, tmp_path, monkeypatch):
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    before = prepared("plain", "a.jsonl", [row])
    for files in (["a.jsonl"], ["."]):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InputError, match="among the files to read"):
            prepare.main(["plain", *files, "--out", str(tmp_path / "x" / ".." / "a.jsonl")])
    monkeypatch.setattr(prepare.json, "dumps", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepared("plain", "a.jsonl", None)
    monkeypatch.undo()
    assert [json.loads(line) for line in (tmp_path / "out/out.jsonl").open()] == before
