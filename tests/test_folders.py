"""Folders and what is said of them; conversations in cells."""
import ast
import csv
import json

import pytest
from test_conversations import (BAD, GOOD, USER, chatml, texts,  # noqa: F401
                                tiny_tokenizer, written)
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


QUOTED = {"role": "assistant", "content": "It's \"so\"}\n {'role': [} {\\n\u2028 [1] [2]"}


@pytest.mark.parametrize("form", [repr, as_numpy, json.dumps])
def test_conversations_in_cells(tmp_path, chatml, form):  # noqa: F811
    expected = [written(chatml, USER, message) for message in (QUOTED, BAD)]
    for columns in ({"chosen": [USER, QUOTED], "rejected": [USER, BAD]},
                    {"prompt": [USER], "chosen": [QUOTED], "rejected": [BAD]}):
        file = table(tmp_path, **{name: form(value) for name, value in columns.items()})
        assert texts(load_preferences(file, chatml)[0]) == expected
    file = table(tmp_path, prompt="Q", chosen=form([QUOTED]), rejected=form([BAD]))
    assert texts(load_preferences(file, chatml)[0]) == expected
    file = table(tmp_path, messages=form([USER, QUOTED]))
    assert texts(load_unlabeled(file, chatml)[0]) == expected[:1]
    line = json.dumps({"chosen": form([USER, QUOTED]), "rejected": form([USER, BAD])})
    assert texts(load_preferences(write(tmp_path / "a.jsonl", line), chatml)[0]) == expected
    line = json.dumps({"prompt": form([USER]), "responses": [form([QUOTED]), form([BAD])]})
    assert sorted(expected) == texts(load_unlabeled(write(tmp_path / "a.jsonl", line), chatml)[0])


def test_messages_with_other_fields_in_cells(tmp_path, chatml):  # noqa: F811
    first = {"name": "me"} | USER
    file = table(tmp_path, chosen=repr([first, GOOD]), rejected=as_numpy([first, BAD]))
    expected = [written(chatml, USER, message) for message in (GOOD, BAD)]
    assert texts(load_preferences(file, chatml)[0]) == expected
    for others in ([{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}],
                   [USER, {"role": "assistant"}]):
        file = table(tmp_path, chosen=repr(others), rejected=repr(others))
        with pytest.raises(InputError, match="a.csv:2: 'chosen': a message has 'role' and 'cont"):
            load_preferences(file, chatml)


def test_messages_that_stand_alone_in_a_cell(tmp_path, chatml):  # noqa: F811
    file = table(tmp_path, prompt="Q", chosen=repr(GOOD), rejected=json.dumps(BAD))
    expected = [written(chatml, USER, message) for message in (GOOD, BAD)]
    assert texts(load_preferences(file, chatml)[0]) == expected


@pytest.mark.parametrize("text", [
    "sorted(map(str, [3, 0]))", "['3', '0']", "[]", "{}", "[{'a': 1}, {'b': 2}]", '[["a"]]',
    "{'role': 'admin'}", "{'a': 'role: x', 'content': ", "[{'name': 'x', 'role': 'cook'}]",
     '{"role": "admin", "rights": []}', "[{'role': 'admin', 'content': 1}][0]",
    "[{'role': 'user', 'content': q} for q in questions]", "{'role': role, 'content': \"\\d\"}",
    "[ ] { 'role'", "role: user", "print({'role': 'user'})"])
def test_answers_that_are_code_are_text(tmp_path, chatml, text):  # noqa: F811
    file = table(tmp_path, prompt="Q", chosen=text, rejected="x = 1")
    assert load_preferences(file, chatml) == [Preference("Q", text, ("x = 1",))]


@pytest.mark.parametrize("text", [
    "[{'role': 'user', 'content': 'Q'}, {'role': 'assistant', 'conte...",  # as Excel cuts it
    "[array([{'role': 'user', 'content': 'Q'}], dtype=object)]",
    "[{'role': 'user', 'content': 'Q'} ... {'role': 'assistant', 'content': 'A'}]",
    "[{'id': 7, 'role': 'user', 'content': 'Q'}, {'id': 8, 'role': 'assist",
    "[{'role': 'content': " + "\\'" * 99_999,  # in less than hours
    '[{"role": "user", "content": "Q"}, {"role": }]'])
def test_cells_that_cannot_be_read_as_the_conversation_they_begin(
        tmp_path, chatml, text):  # noqa: F811
    file = table(tmp_path, chosen=text, rejected=text + " ")
    with pytest.raises(InputError, match="a.csv:2: 'chosen' begins like a .*JSON lines") as error:
        load_preferences(file, chatml)
    assert "\n" not in str(error.value)


def test_a_conversation_beside_text_is_refused(tmp_path, chatml):  # noqa: F811
    for chosen, rejected in ((repr([USER, GOOD]), "B"), ("A", repr([USER, BAD]))):
        with pytest.raises(InputError, match="a.csv:2: chosen and rejected: some are conv"):
            load_preferences(table(tmp_path, prompt="Q", chosen=chosen, rejected=rejected), chatml)


def test_nothing_in_a_cell_is_executed(tmp_path, chatml, monkeypatch):  # noqa: F811
    monkeypatch.setattr("builtins.eval", lambda *_: 1 / 0)
    code = f"[{{'role': 'user', 'content': open({str(tmp_path / 'x')!r}, 'w').name}}]"
    ast.parse(code)
    load_preferences(table(tmp_path, prompt="Q", chosen=code, rejected="no"), chatml)
    assert not (tmp_path / "x").exists()
