"""prepare.py: the flags that choose and change records, what cannot be used, and files written
whole."""
import json

import pytest

import prepare
from data import InputError
from harness.command import exit_codes
from public.selection import longer_wins


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


def test_flags_that_choose(prepared):
    rows = [{"prompt": f"P{i}", "chosen": "a " * (1 + i % 5), "rejected": "extraordinarily " *
             (1 + i % 3)} for i in range(60)]  # in characters the rejected one is always the longer
    even = prepared("plain", "a.jsonl", rows, "--balance-length")
    signs = [chosen - rejected for chosen, rejected in map(words, even)]
    assert sum(s > 0 for s in signs) == sum(s < 0 for s in signs) == 12  # by hand: 12 of 60 lose
    assert sum(s == 0 for s in signs) == 12
    assert signs != sorted(signs, key=lambda s: (s == 0, s < 0))  # mixed, so that --limit may cut
    some = prepared("plain", "a.jsonl", rows, "--max-words", "4", "--min-words", "2")
    wanted = [r["prompt"] for i, r in enumerate(rows) if i % 5 in (1, 2, 3) and i % 3 in (1, 2)]
    assert [r["prompt"] for r in some] == wanted
    few = [prepared("plain", "a.jsonl", rows, "--limit", "7", "--seed", s) for s in "001"]
    assert len(few[0]) == 7 and few[0] == few[1] != few[2]
    parts = [prepared("plain", "a.jsonl", rows, "--part", "test", "--seed", s) for s in "001"]
    assert len(parts[0]) == 6 and parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize("chosen, rejected, share", [
    ("a b", ["longword"], 1), ("a", ["b"], 0.5), ("a", ["b c", "d"], 0.5),
    ("a", ["b c", "d e"], 0)])
def test_longer_is_of_more_words(chosen, rejected, share):
    row = {"prompt": "p", "chosen": chosen, "rejected": tuple(rejected)}
    assert longer_wins(row) == share


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
    ("paradetox", "a.tsv", 'toxic\tneutral1\n"' + "x" * 200_000, "", "a.tsv:.*end of data"),
    ("scores", "a.jsonl", [{"prompt": "p", "chosen": "a", "rejected": "b"}], "", "'score' must be"),
    ("plain", "a.jsonl", [{"text": "t", "label": 1}], "--balance-length", "takes preferences"),
    ("plain", "a.jsonl", [{"text": "t", "label": 1}], "--min-words 9", "of 1 records none is left"),
    ("plain", "a.jsonl", [], "--fractions 1 1 1", "sum to 1"),
    ("plain", "a.jsonl", [], "--fractions .5 .3 .2", "--fractions goes with --part"),
    ("plain", "a.jsonl", [], "--to kor_Hang", "unrecognized arguments: --to"),
    ("translate", "a.jsonl", [], "--noise", "unrecognized arguments: --noise"),
    ("formal", "a.jsonl", [], "--to kor_Hang", "unrecognized arguments: --to"),
    ("no-such", "a.jsonl", [], "", "no-such")])
def test_errors_leave_no_file(prepared, tmp_path, name, file, content, flags, expected):
    with pytest.raises(InputError, match=expected):
        prepared(name, file, content, *flags.split())
    assert not (tmp_path / "out" / "out.jsonl").exists()


def test_empty_texts_are_an_error_of_one_line_unless_skipped(prepared, tmp_path, capsys):
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    assert judged(prepared("plain", "a.jsonl", [row | {"rejected": ""}, row], "--skip-empty")) == [
        ("a", ["b"])]
    (tmp_path / "out" / "out.jsonl").unlink()
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop, exit_codes():
        prepared("plain", "a.jsonl", None)
    assert stop.value.code == 2 and not (tmp_path / "out" / "out.jsonl").exists()
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and "a.jsonl: 2 records of 1 file\n" in said
    assert "error: plain: 1 of 2 records have an empty text; --skip-empty leaves" in said


def test_every_empty_text_can_be_left_out(prepared):
    """The rows that the loaders refuse with this remedy, of every kind; no prompt, as HH-RLHF."""
    start, whole = "\n\nHuman: Hi\n\nAssistant:", {"chosen": " a", "rejected": " b"}
    hh = [{name: start + text for name, text in row.items()} for row in (
        {"chosen": " x", "rejected": ""}, {"chosen": "", "rejected": ""},
        {"chosen": " x", "rejected": " "}, whole)]
    hh += [{"chosen": "", "rejected": start + " b"}, {"chosen": None, "rejected": start}]
    assert prepared("plain", "a.jsonl", hh, "--skip-empty") == [
        {"prompt": start + " ", "chosen": "a", "rejected": ["b"]}]
    for row, empty in (({"prompt": "p", "responses": ["a", "b"]}, {"responses": ["a", ""]}),
                       ({"prompt": "p", "response": "a", "score": 2.0}, {"response": ""}),
                       ({"prompt": "p", "chosen": "a", "rejected": ["b"]}, {"prompt": " "})):
        assert prepared("plain", "a.jsonl", [row | empty, row], "--skip-empty") == [row]


def test_a_folder_where_a_format_takes_files(tmp_path):
    (tmp_path / "xstest").mkdir()
    with pytest.raises(InputError, match="xstest: a folder; here its files are named one by one"):
        prepare.main(["xstest", str(tmp_path / "xstest"), "--out", str(tmp_path / "a.jsonl")])


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
