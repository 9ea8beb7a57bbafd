"""Data that cannot be used: one line that names file, line and remedy."""
import gzip
import os

import huggingface_hub
import pytest
from huggingface_hub import errors
from test_records import HUB, TEXT, load_unlabeled, write

from data import InputError, Preference
from domains.records import load_preferences
from domains.splits import Domain
from methods import untrained
from reading.tables import read_table


BAD = [
    ("a.jsonl", TEXT + "\n{oops", "a.jsonl:2: not valid JSON"),
    ("a.json", f"[{TEXT},]", "a.json: not valid JSON"),
    ("a.json", f"[{TEXT}, 3]", "a.json: record 2: expected an object with named fields, found int"),
    ("a.jsonl", '"Q"\n', "a.jsonl:1: expected an object"),
    ("a.jsonl", TEXT + '\n{"prompt": ' + "[" * 100_000, "a.jsonl:2: not valid JSON"),
    ("a.jsonl", TEXT + '\n{"prompt": ' + "9" * 5000 + "}", "a.jsonl:2: not valid JSON"),
    ("a.jsonl", TEXT.replace("bad", "\\ud83d"), "a.jsonl:1: 'rejected' holds half a character"),
    ("a.jsonl", TEXT + '\n{"prompt": "Q", "chosen": "a", "chosen": "b", "rejected": "c"}',
     "a.jsonl:2: not valid JSON: twice the key 'chosen'"),
    ("a.json", '[{"prompt": [{"role": "user", "role": "system", "content": "Q"}]}]',
     "a.json: not valid JSON: twice the key 'role'"),
    ("a.jsonl", '{"prompt": "Q", "chosen": "a"}',
     "a.jsonl:1: no column 'rejected'; there are: 'prompt', 'chosen'"),
    ("a.jsonl", '{"prompt": "Q", "chosen": " ", "rejected": "b"}', "a.jsonl:1: 'chosen' is empty"),
    ("a.jsonl", '{"prompt": "Q", "chosen": "a", "rejected": ["b", ""]}',
     "a.jsonl:1: 'rejected' is empty"),
    ("a.jsonl", '{"prompt": "Q", "chosen": "a", "rejected": []}', "a.jsonl:1: 'rejected' is empty"),
    ("a.jsonl", '{"prompt": "Q", "chosen": 3, "rejected": "b"}',
     "a.jsonl:1: 'chosen' must be text, not int"),
    ("a.jsonl", '{"prompt": "Q", "chosen": "a", "rejected": {"b": 1}}',
     "a.jsonl:1: 'rejected' must be text, not dict"),
    ("a.jsonl", '{"prompt": null, "chosen": "a", "rejected": "b"}',
     "a.jsonl:1: 'prompt' is empty: every record has an empty text"),
    ("a.jsonl", '{"chosen": "no", "rejected": "common start"}', "a.jsonl:1: no column 'prompt'"),
    ("a.jsonl", '{"Question": "Q", "chosen": "It is so", "rejected": "It is no"}',
     "a.jsonl:1: no column 'prompt'; there are: 'Question', 'chosen'"),
    ("a.csv", "prompt, chosen,rejected\nQ,a,b\n", "a.csv:2: no column 'chosen'; there are: "
     "'prompt', ' chosen'"),
    ("a.csv", "prompt,chosen,rejected,rejected\nQ,a,b,c\n", "a.csv:1: twice the column 'rejected'"),
    ("a.jsonl", '{"chosen": "a b", "rejected": "a "}',
     "a.jsonl:1: an answer is empty, after what chosen and rejected share, 'a ': every "),
    ("a.jsonl", '{"chosen": "H: Q? A: yes", "rejected": "H: Q? A:"}', "a.jsonl:1: an answer is em"),
    ("a.jsonl", '{"chosen": "\u82f9\u679c", "rejected": "\u82f9\u6c34"}', "a.jsonl:1: no column"),
    ("a.csv", "sep=;\nprompt;chosen;rejected\nQ;a;b\n",
     "a.csv:2: 3 cells, where the first line names 2 columns: 'sep=', ''"),
    ("a.csv", "\r\n\nprompt;chosen\nQ;a\n", "a.csv:4: no column 'rejected'"),
    ("a.csv", "prompt;chosen;rejected\nQ;a\n", "a.csv:2: 2 cells"),
    ("a.csv", "p\0r\0o\0m\0", "a.csv: cannot be read as UTF-8 text, for it holds zero bytes: save"),
    ("a.csv", "prompt,chosen,rejected\nQ,a\n", "a.csv:2: 2 cells"),
    ("a.csv", "prompt,chosen,rejected\nQ,a,b\nQ,a,b,c\n", "a.csv:3: 4 cells"),
    ("a.csv", "prompt,chosen\nQ,a\n",
     "a.csv:2: no column 'rejected'; there are: 'prompt', 'chosen'"),
    ("a.csv", 'prompt,chosen,rejected\nQ,"a,b\n', "a.csv:2: unexpected end of data"),
    ("a.csv", '\n\nprompt,chosen,rejected\n\nQ,"a\nb",c\n\nQ,a\n', "a.csv:8: 2 cells, where"),
    ("a.csv", '\nprompt,chosen\n\n"Q\n1",a\n', "a.csv:4: no column 'rejected'"),  # where it begins
    ("a.jsonl", f"\n{TEXT}\n\n{{bad", "a.jsonl:4: not valid JSON"),
    ("a.jsonl", "\n", "a.jsonl: holds no records"),
    ("a.csv", "prompt,chosen,rejected\n", "a.csv: holds no records"),
    ("a.jsonl", '{"chosen": [{"role": "user"}], "rejected": null}',
     "a.jsonl:1: a conversation needs a tokenizer with a chat template"),
    ("a.txt", "hello", "a.txt: the name must end in .json, .jsonl, .ndjson, .csv, .tsv, .parquet, "
     ".arrow (JSON and"),
]


@pytest.mark.parametrize("name, text, message", BAD, ids=[message[:40] for *_, message in BAD])
def test_bad_files_name_place_and_remedy(tmp_path, name, text, message):
    with pytest.raises(InputError) as error:
        load_preferences(write(tmp_path / name, text))
    assert f"{tmp_path}/{message}" in str(error.value) and "\n" not in str(error.value)


def test_unlabeled_lists_take_json(tmp_path):
    for text in ('{"prompt": "Q", "responses": "a"}', '{"prompt": "Q", "responses": []}'):
        with pytest.raises(InputError, match="a.jsonl:1: 'responses' must be a list"):
            load_unlabeled(write(tmp_path / "a.jsonl", text))


def test_not_text_and_not_there(tmp_path):
    damaged = bytearray(gzip.compress(b"x" * 9000))
    damaged[12:20] = b"\xff" * 8
    for name, content, message in (("a.jsonl", b"\xff\xfe\x00", "UTF-8"),
                                   ("a.csv", b"a,b\n\xe9,\x93", "UTF-8 text, for line 2 .*iconv"),
                                   ("b.jsonl.gz", b"not gzip", "cannot be read"),
                                   ("d.jsonl.gz", damaged, "cannot be read"),
                                   ("e.jsonl.gz", gzip.compress(b"{}")[:-9], "cannot be read")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}.*{message}"):
            load_preferences(tmp_path / name)
    for name in ("c.jsonl", "c" * 5000):
        with pytest.raises(InputError, match="no such file"):
            load_preferences(tmp_path / name)


@pytest.mark.parametrize("error, message", [
    (errors.LocalEntryNotFoundError("no network\nat all"), "cannot be read: no network"),
    (errors.OfflineModeIsEnabled("offline"), "cannot be read: offline"),
    (errors.EntryNotFoundError("404"), "no such file; owner/name holds b.jsonl, c.csv"),
])
def test_the_hub_says_what_is_wrong(monkeypatch, error, message):
    def fail(name, file, repo_type):
        assert (name, file, repo_type) == ("owner/name", "a.jsonl", "dataset")
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files",
                        lambda self, name, repo_type: ["b.jsonl", "c.csv"])
    with pytest.raises(InputError) as found:
        load_preferences(HUB)
    assert str(found.value) == f"{HUB}: {message}"


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path, capsys):
    for name in ("a.jsonl", "b.csv"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match=f"{name}: no such file or folder"):
            load_preferences(tmp_path / name)
        with pytest.raises(InputError, match=f"{name}: no such file"):
            read_table(tmp_path / name)
    write(tmp_path / "c.jsonl", TEXT)
    assert len(load_preferences(tmp_path)) == 1
    assert "; passed over: a.jsonl, b.csv\n" in capsys.readouterr().err


PAIR, HEAD = Preference("Q?", "good", ("bad",)), "prompt,chosen,rejected\n"
SAID = [  # a file with PAIR in it, and what is said of the rest of it
    *(("a.jsonl", f'{TEXT}\n{{"prompt": "Q", "chosen": "{text}", "rejected": "b"}}',
       "a.jsonl:2: 'chosen' is empty: a record with an empty text is left out (1 of 2 records)")
      for text in ("", " \\u3000", "\\u0000\\u0000", "\\u200b\\u200d\\ufeff", "\\u2060\\u00ad")),
    ("a.jsonl", TEXT + '\n{"chosen": "It is a", "rejected": "It is b"}',
     "a.jsonl:2: 'prompt' is empty: a record with an empty text is left out (1 of 2 records)"),
    ("a.csv", HEAD + 'Q?,good,bad\n1,"a,b\n2,c,d\n3,e",f\n',
     "a.csv:3: a quoted cell goes on for lines that look like rows of their own: is a quotation "
     "mark missing? (1 of 2 records)"),
    ("a.csv", HEAD + 'Q?,good,bad\n"1, or",a,"b\n2,c,d\n"\n', "a.csv:3: a quoted cell goes on"),
    ("a.csv", HEAD + 'Q?,good,bad\n1,"a, b\nc",d\n2,"e\n\nf",g\n', ""),
]


@pytest.mark.parametrize("name, text, said", SAID)
def test_what_is_read_otherwise_than_it_seems_is_said(tmp_path, capsys, name, text, said):
    rows = load_preferences(write(tmp_path / name, text))
    assert rows[0] == PAIR and len(rows) == (1 if "left out" in said else 2 if said else 3)
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith(f"{tmp_path}/{said}") for line in lines)
    assert len(lines) == 1 + bool(said)


def test_special_tokens_in_a_text_are_said(tiny, tmp_path, capsys):
    text = TEXT + '\n{"prompt": "Q", "chosen": "a<pad>b", "rejected": "c"}\n{"prompt": "Q<eos>", ' \
                  '"chosen": "a", "rejected": "c"}\n{"prompt": "<bos>Q", "chosen": "a", ' \
                  '"rejected": "c"}'
    assert len(load_preferences(write(tmp_path / "a.jsonl", text), tiny[1])) == 4
    assert ("a.jsonl:2: holds <eos> or <pad>, which the tokenizer does not read as text (2 of 4 "
            "records)\n") in capsys.readouterr().err


def test_more_responses_than_letters():
    many = Domain("mine", test=[Preference("Q?", "a", tuple(map(str, range(26))))])
    with pytest.raises(InputError, match="mine: 27 responses to a prompt; there is a letter for"):
        untrained.base_lm(many, 0, None, None, None, {})
