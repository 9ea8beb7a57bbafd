"""prepare.py: the flags that choose and change records, what cannot be used, and files written
whole."""
import json

import pytest

import prepare
from data import InputError


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


def test_flags_that_choose(prepared):
    rows = [{"prompt": f"P{i}", "chosen": "a " * (1 + i % 5), "rejected": "extraordinarily " *
             (1 + i % 3)} for i in range(60)]
    some = prepared("plain", "a.jsonl", rows, "--max-words", "4", "--min-words", "2")
    wanted = [r["prompt"] for i, r in enumerate(rows) if i % 5 in (1, 2, 3) and i % 3 in (1, 2)]
    assert [r["prompt"] for r in some] == wanted
    few = [prepared("plain", "a.jsonl", rows, "--limit", "7", "--seed", s) for s in "001"]
    assert len(few[0]) == 7 and few[0] == few[1] != few[2]
    parts = [prepared("plain", "a.jsonl", rows, "--part", "test", "--seed", s) for s in "001"]
    assert len(parts[0]) == 6 and parts[0] == parts[1] != parts[2]


def test_a_file_of_one_prompt_is_divided_by_its_texts(prepared):
    rows = [{"prompt": "Q", "chosen": str(i % 40), "rejected": "no"} for i in range(50)]
    train, test = (prepared("plain", "a.jsonl", rows, "--part", part) for part in ("train", "test"))
    assert (len({r["chosen"] for r in train}), len({r["chosen"] for r in test})) == (32, 4)
    assert not {r["chosen"] for r in train} & {r["chosen"] for r in test}


def test_records_of_every_kind(prepared):
    rows = [{"prompt": "p", "responses": ["a", "b"]},
            {"prompt": "p", "response": "c", "score": 2.0},
            {"prompt": "p", "chosen": "d", "rejected": ["e", "f"]}]
    assert prepared("plain", "a.jsonl", rows) == rows


@pytest.mark.parametrize("name, file, content, flags, expected", [
    ("sib200", "a.tsv", "id\ttopic\ttext\n1\ta\tb\n", "", "no column 'category'"),
    ("sib200", "a.tsv", "id\tcategory\ttext\n1\ta\n", "", "a.tsv:2: 2 cells"),
    ("sib200", "a.tsv", "id\tcategory\ttext\n", "", "a.tsv: holds no records"),
    ("shp", "a.json", [{"history": "p", "human_ref_A": "a", "labels": 1}], "",
     "a.json:1: no column 'human_ref_B'; there are: 'history',"),
    ("shp", "a.json", [{"history": "p", "human_ref_A": "a", "human_ref_B": "b", "labels": "A"}],
     "", "a.json:1: 'labels' must be 1 .*'A'"),
    ("paradetox", "a.tsv", 'toxic\tneutral1\n"' + "x" * 200_000, "", "a.tsv:.*end of data"),
    ("plain", "a.jsonl", [{"text": "t", "label": 1}], "--min-words 9", "of 1 records none is left"),
    ("plain", "a.jsonl", [], "--to kor_Hang", "unrecognized arguments: --to"),
    ("formal", "a.jsonl", [], "--to kor_Hang", "unrecognized arguments: --to"),
    ("no-such", "a.jsonl", [], "", "no-such")])
def test_errors_leave_no_file(prepared, tmp_path, name, file, content, flags, expected):
    with pytest.raises(InputError, match=expected):
        prepared(name, file, content, *flags.split())
    assert not (tmp_path / "out" / "out.jsonl").exists()


def test_records_with_an_empty_text_are_left_out(prepared, capsys):
    """Of every kind; no prompt, as HH-RLHF."""
    start, whole = "\n\nHuman: Hi\n\nAssistant:", {"chosen": " a", "rejected": " b"}
    hh = [{name: start + text for name, text in row.items()} for row in (
        {"chosen": " x", "rejected": ""}, {"chosen": "", "rejected": ""},
        {"chosen": " x", "rejected": " "}, whole)]
    assert prepared("plain", "a.jsonl", hh) == [
        {"prompt": start + " ", "chosen": "a", "rejected": ["b"]}]
    said = capsys.readouterr().err
    assert "a.jsonl:1: an answer is empty" in said and "left out (3 of 4 records)" in said
    for row, empty in (({"prompt": "p", "responses": ["a", "b"]}, {"responses": ["a", ""]}),
                       ({"prompt": "p", "response": "a", "score": 2.0}, {"response": None}),
                       ({"prompt": "p", "chosen": "a", "rejected": ["b"]}, {"prompt": " "})):
        assert prepared("plain", "a.jsonl", [row | empty, row]) == [row]


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
