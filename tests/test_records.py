"""Records from files in every form."""
import csv
import gzip
import json

import huggingface_hub
import pytest

from data import InputError, Preference, Unlabeled, unlabel
from domains.files import checksum, read_rows
from domains.records import each, load_preferences, load_test, read_unlabeled

PAIR = Preference("Q?", "good", ("bad",))
TEXT = '{"prompt": "Q?", "chosen": "good", "rejected": "bad"}'
HUB = "hub:owner/name/a.jsonl"


def write(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    return path


def load_unlabeled(path, tokenizer=None):
    return each(read_unlabeled, read_rows(path), tokenizer)


@pytest.mark.parametrize("name, text, expected", [
    ("a.jsonl", f"{TEXT}\r\n\r\n", PAIR),
    ("a.json", f"\n[{TEXT}]", PAIR),
    ("a.json", f"{TEXT}\n", PAIR),  # SHP: JSON lines
    ("a.jsonl", '{"prompt": "Q?", "response_chosen": "good", "response_rejected": "bad"}', PAIR),
    ("a.jsonl", '{"prompt": "Q?", "chosen": "good", "rejected": ["bad", "worse"]}',
     Preference("Q?", "good", ("bad", "worse"))),
    ("a.jsonl", '{"prompt": "Q?", "correct": "a", "wrong_b": "c", "wrong_a": "b"}',
     Preference("Q?", "a", ("b", "c"))),
    ("a.csv", 'prompt,chosen,rejected,id\n"Q, or?","good\nindeed",bad,7\n',
     Preference("Q, or?", "good\nindeed", ("bad",))),
    ("a.tsv", "\ufeffprompt\tchosen\trejected\nQ?\tgood\tbad\n", PAIR),
    ("a.jsonl", '{"chosen": "\\n\\nHuman: Hi\\n\\nAssistant: Hello you", '
                '"rejected": "\\n\\nHuman: Hi\\n\\nAssistant: Help"}',
     Preference("\n\nHuman: Hi\n\nAssistant: ", "Hello you", ("Help",))),
    ("a.jsonl", '{"chosen": "\u554f\uff1aQ\uff1f\u7b54\uff1a\u6211\uff0c\u597d", '
                '"rejected": "\u554f\uff1aQ\uff1f\u7b54\uff1a\u6211\uff0c\u574f"}',  # no blanks
     Preference("\u554f\uff1aQ\uff1f\u7b54\uff1a", "\u6211\uff0c\u597d", ("\u6211\uff0c\u574f",))),
    ("a.jsonl", '{"chosen": "\u6211\uff0c\u597d", "rejected": "\u6211\uff0c\u574f"}',
     Preference("\u6211\uff0c", "\u597d", ("\u574f",))),
    ("A.JSONL", TEXT, PAIR), ("a.ndjson", TEXT, PAIR),
    ("a.csv", "\ufeffprompt;chosen;rejected\r\nQ?;good;bad\r\n", PAIR),
    ("a.csv", "prompt\tchosen\trejected\nQ?\tgood\tbad\n", PAIR),
    ("a.TSV", "prompt,chosen,rejected\nQ?,good,bad\n", PAIR),
    ("a.csv", "prompt|chosen|rejected\nQ?|good|bad\n", PAIR),
])
def test_forms_of_preferences(tmp_path, name, text, expected):
    file = write(tmp_path / name, text)
    assert load_preferences(file) == [expected] and load_test(file) == ([expected], None)
    assert load_unlabeled(file) == unlabel([expected])


def test_the_checksum_is_of_each_file():
    """Records that move from one file into the next are other data."""
    a, b, c = [("x:1", "a")], [("x:2", "b")], [("y:1", "c")]
    assert checksum(a + b, c) == checksum(a + [("z:2", "b")], c) != checksum(a, b + c)


def test_gzip_folders_and_order(tmp_path):
    with gzip.open(tmp_path / "b.csv.gz", "wt") as f:
        f.write("prompt,chosen,rejected\n2,x,y\n")
    write(tmp_path / "a.jsonl", json.dumps({"prompt": "1", "chosen": "x", "rejected": "y"}))
    write(tmp_path / "README.md", "not data")
    assert [row.prompt for row in load_preferences(tmp_path)] == ["1", "2"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="none: holds no records"):
        load_preferences(tmp_path / "none")


def test_unlabeled_forms_keep_no_order(tmp_path):
    lines = ['{"prompt": "Q?", "responses": ["b", "a"]}', '{"prompt": "Q?", "response": "a"}',
             '{"prompt": "Q?", "chosen": "b", "rejected": ["a", "c"]}']
    rows = load_unlabeled(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert [row.responses for row in rows] == [("a", "b"), ("a",), ("a", "b", "c")]
    assert unlabel([Preference("Q?", "b", ("a",))]) == unlabel([Preference("Q?", "a", ("b",))])


def test_scored_texts(tmp_path):
    file = write(tmp_path / "a.jsonl", '{"prompt": "p", "response": "r", "score": 2}')
    with pytest.raises(InputError, match="a.jsonl:1 and all others: the score is 2: there"):
        load_test(file)
    write(file, '{"prompt": "p", "response": "r", "score": 2}\n'
                '{"prompt": "p", "text": "s", "label": " -1.5e1"}')
    assert load_test(file) == ([Unlabeled("p", ("r",)), Unlabeled("p", ("s",))], [2.0, -15.0])
    write(file, '{"prompt": "p", "response": "r"}\n{"prompt": "p", "response": "r", "score": 1}')
    with pytest.raises(InputError, match="a.jsonl:2: has a score, unlike the first record"):
        load_test(file)
    write(file, '{"text": "r", "label": 3}\n{"prompt": "p", "chosen": "r", "rejected": "s"}')
    with pytest.raises(InputError, match="a.jsonl:2: has no score, unlike the first record"):
        load_test(file)
    write(file, '{"text": "r", "label": 3}\n{"text": "s", "label": "none"}')
    assert load_unlabeled(file) == [Unlabeled("Text:", ("r",)), Unlabeled("Text:", ("s",))]
    for score in ('"x"', "null", "NaN", "1e999", "[1]", "1" + "0" * 400, "true", '"1_000"', '"inf"',
                  '"\u0661"', '"\uff11"', '"1,5"', f'"{"1" * 9999}x"'):
        write(file, '{"text": "r", "label": 3}\n{"text": "r", "label": %s}' % score)
        with pytest.raises(InputError, match="a.jsonl:2: 'label' must be a number, not"):
            load_test(file)


def test_a_table_ends_its_lines_where_csv_does(tmp_path):
    """The independent reader and writer: the csv module, with line ends that are of Unicode's."""
    rows = [{"prompt": "Q\u2028R\x0bS", "chosen": "a\nb\x85", "rejected": "c\x0cd"}]
    with open(tmp_path / "a.csv", "w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader(), writer.writerows(rows)
    assert load_preferences(tmp_path / "a.csv") == [
        Preference("Q\u2028R\x0bS", "a\nb\x85", ("c\x0cd",))]


def test_text_with_a_byte_order_mark(tmp_path):
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "a.jsonl").write_bytes(f"{TEXT}\r\n".encode(encoding))
        with gzip.open(tmp_path / "a.CSV.GZ", "wb") as f:
            f.write("prompt;chosen;rejected\nQ?;good;bad".encode(encoding))
        assert load_preferences(tmp_path / "a.jsonl") == [PAIR]
        assert load_preferences(tmp_path / "a.CSV.GZ") == [PAIR]


def test_dialogues_with_and_without_a_prompt_are_one_text(tmp_path):
    start = "\n\nHuman: Hi\n\nAssistant:"
    texts = [{row.prompt + row.joint(text) + text for text in row.responses}
             for row in (load_preferences(write(tmp_path / "a.jsonl", json.dumps(record)))[0]
                         for record in ({"chosen": f"{start} a", "rejected": f"{start} b"},
                                        {"prompt": start, "chosen": " a", "rejected": " b"}))]
    assert texts[0] == texts[1] == {f"{start} a", f"{start} b"}


def test_code_that_is_a_list_is_text(tmp_path, capsys):
    table = "prompt,chosen,rejected\nSort,\"sorted('ab')\",\"['a', 'b']\"\n"
    assert load_preferences(write(tmp_path / "a.csv", table)) == [
        Preference("Sort", "sorted('ab')", ("['a', 'b']",))]
    assert "a.csv:2: 'rejected' looks like a list and is read as one" in capsys.readouterr().err


def test_a_file_of_the_hub(monkeypatch, tmp_path):
    file = write(tmp_path / "a.jsonl", TEXT)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **options: str(file))
    assert load_preferences(HUB) == [PAIR]
    with pytest.raises(InputError, match="named hub:owner/name, .* or hub:owner/name/file"):
        load_preferences("hub:short")


def test_a_column_correct_means_chosen_beside_wrong_ones_only(tmp_path):
    file = tmp_path / "a.jsonl"
    for text, expected in (
            ('{"prompt": "p", "chosen": "a", "rejected": "b", "correct": "yes"}', ("a", ("b",))),
            ('{"prompt": "p", "response_chosen": "a", "response_rejected": "b", "correct": true}',
             ("a", ("b",))),
            ('{"prompt": "p", "chosen": "a", "wrong_a": "b", "wrong_b": "c"}', ("a", ("b", "c"))),
            ('{"prompt": "p", "correct": "a", "wrong_a": "b", "text": "t", "label": "l"}',
             ("a", ("b",)))):
        assert load_test(write(file, text)) == ([Preference("p", *expected)], None)
        assert load_unlabeled(file) == [Unlabeled("p", [expected[0], *expected[1]])]
    write(file, '{"prompt": "p", "responses": ["a", "b"], "correct": 1}')
    assert load_unlabeled(file) == [Unlabeled("p", ("a", "b"))]
    with pytest.raises(InputError, match="a.jsonl:1: no column 'responses'; there are: 'prompt'"):
        load_unlabeled(write(file, '{"prompt": "p", "completions": ["a", "b"]}'))


def test_tables_as_spreadsheets_and_programs_write_them(tmp_path):
    """Blank columns at the end, cells that are JSON in both responses, cells of any length."""
    long = "x" * 200_000
    table = f'prompt,chosen,rejected,,\nQ,"[""a""]","[""b""]",,\nQ,{long},b,,\n'
    assert load_preferences(write(tmp_path / "a.csv", table)) == [
        Preference("Q", '["a"]', ('["b"]',)), Preference("Q", long, ("b",))]
