"""Folders and what is said of them; conversations in cells."""
import csv
import json

import pytest
from test_conversations import (BAD, GOOD, USER, chatml,  # noqa: F401
                                tiny_tokenizer)
from test_records import PAIR, TEXT, load_unlabeled, write

from data import InputError, Preference
from domains.files import read_rows
from domains.records import load_preferences

# ------------------------------------------------------------------ folders


def test_a_folder_says_what_it_read_and_what_it_passed_over(tmp_path, capsys):
    folder = tmp_path / "my_data"
    (folder / "deeper").mkdir(parents=True)
    for name in ("a.jsonl", "D.JSONL", "c.ndjson", "deeper/e.jsonl", "._a.jsonl", "README.md"):
        write(folder / name, TEXT)
    (folder / "b.parquet").write_bytes(b"PAR1")  # damaged, and without datasets not to be read
    assert load_preferences(folder) == [PAIR] * 3
    said = capsys.readouterr().err
    assert said.startswith(f"{folder}: 3 records of 3 files; passed over: ._a.jsonl, README.md, "
                           "b.parquet (") and said.endswith("), deeper/\n")
    assert said.count("\n") == 1
    write(folder / "c.ndjson", TEXT + "\n{")
    with pytest.raises(InputError, match="c.ndjson:2: not valid JSON"):
        load_preferences(folder)
    with pytest.raises(InputError, match="tmp[^ ]*: holds no records; passed over: my_data/"):
        load_preferences(folder.parent)


def test_one_line_for_a_file_and_not_too_many_names(tmp_path, capsys):
    read_rows(write(tmp_path / "a.jsonl", f"{TEXT}\n{TEXT}"))
    assert capsys.readouterr().err == f"{tmp_path}/a.jsonl: 2 records of 1 file\n"
    for i in range(20):
        write(tmp_path / f"{i:02}.txt", "")
    read_rows(tmp_path)
    names = ", ".join(f"{i:02}.txt" for i in range(8))
    assert capsys.readouterr().err == (
        f"{tmp_path}: 2 records of 1 file; passed over: {names} and 12 more\n")


# ------------------------------------------------------------------ conversations in cells


def as_numpy(messages):
    """What numpy makes of an array of dictionaries: no commas between them."""
    return "[" + "\n ".join(map(repr, messages)) + "]"


def table(tmp_path, **columns):
    with open(tmp_path / "a.csv", "w", encoding="utf-8", newline="") as f:
        csv.writer(f).writerows([columns, columns.values()])
    return tmp_path / "a.csv"


@pytest.mark.parametrize("form", [repr, as_numpy, json.dumps])
def test_conversations_in_cells_are_refused(tmp_path, chatml, form):  # noqa: F811
    for columns in ({"chosen": [USER, GOOD], "rejected": [USER, BAD]},
                    {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
                    {"prompt": "Q", "chosen": GOOD, "rejected": BAD},
                    {"chosen": [USER | {"id": 1}], "rejected": [[USER, BAD]]}):
        texts = {name: value if value == "Q" else form(value) for name, value in columns.items()
                 if form != as_numpy or isinstance(value, list)}
        if len(texts) == len(columns):
            with pytest.raises(InputError, match=r"a.csv:2: a conver.*1 of 1 rec.*JSON lines"):
                load_preferences(table(tmp_path, **texts), chatml)
    line = json.dumps({"prompt": "Q", "response": form([USER, GOOD])})
    with pytest.raises(InputError, match="a.jsonl:1: a conversation"):
        load_unlabeled(write(tmp_path / "a.jsonl", line), chatml)


@pytest.mark.parametrize("text", [
    "[{'role': 'user', 'content': 'Q'}, {'role': 'assistant', 'conte...",  # as Excel cuts it
    "[array([{'role': 'user', 'content': 'Q'}], dtype=object)]",
    "[{'id': 7, 'content': 'Q', 'role': 'user'}, {'id': 8, 'role': 'assist",
    "[{'role': 'user', 'content': q} for q in questions]",
    "[{'role': 'content': 'content': " + "\\'" * 99_999])  # in less than hours
def test_few_cells_that_begin_so_are_text_with_a_line(
        tmp_path, chatml, capsys, text):  # noqa: F811
    """They may be code. Nothing in them is executed, since nothing parses them."""
    rows = [{"prompt": "Q", "chosen": text, "rejected": "B"}] + [
        {"prompt": "Q", "chosen": "A", "rejected": "B"}]
    file = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert [row.chosen for row in load_preferences(file, chatml)] == [text, "A"]
    assert "a.jsonl:1: begins like a conversation and is read as text" in capsys.readouterr().err
    with pytest.raises(InputError, match="a.csv:2: a conversation that was written into a text"):
        load_preferences(table(tmp_path, prompt="Q", chosen=text, rejected="B"), chatml)


@pytest.mark.parametrize("text", [
    "sorted(map(str, [3, 0]))", "['3', '0']", "[]", "{}", "[{'a': 1}, {'b': 2}]", '[["a"]]',
    "{'role': 'admin'}", "{'a': 'role: x', 'content': ", "[{'name': 'x', 'role': 'cook'}]",
     '{"role": "admin", "rights": []}', "print([{'role': 'user', 'content': q}])",
    "[ ] { 'role'", "role: user", "print({'role': 'user'})"])
def test_answers_that_are_code_are_text(tmp_path, chatml, text):  # noqa: F811
    file = table(tmp_path, prompt="Q", chosen=text, rejected="x = 1")
    assert load_preferences(file, chatml) == [Preference("Q", text, ("x = 1",))]
