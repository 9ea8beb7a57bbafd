"""prepare.py: public formats into the plain form, and its filters."""
import csv
import json

import pytest
from test_scripts import one_error_line, run

import formats
import prepare
from data import InputError, Preference


def prepared(tmp_path, name, files, *flags):
    prepare.main([name, *map(str, files), "--out", str(tmp_path / "out.jsonl"), *flags])
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def test_sib200(tmp_path):
    (tmp_path / "a.tsv").write_text(
        'index_id\tcategory\ttext\n1\tsports\tA "ball.\n2\ttravel\tA road.\n')
    first, _ = prepared(tmp_path, "sib200", [tmp_path / "a.tsv"])
    assert (first["chosen"], first["rejected"]) == ("sports", ["travel"])
    assert 'A "ball.' in first["prompt"]


def test_copa_and_xcopa(tmp_path):
    (tmp_path / "a.xml").write_text(
        '<c><item id="1" asks-for="cause" most-plausible-alternative="2"><p>It fell.</p>'
        "<a1>No.</a1><a2>Wind.</a2></item></c>")
    (tmp_path / "b.jsonl").write_text(json.dumps(
        {"premise": "It rained.", "choice1": "Wet.", "choice2": "Dry.", "question": "effect",
         "label": 0}))
    rows = prepared(tmp_path, "copa", [tmp_path / "a.xml", tmp_path / "b.jsonl"])
    assert [(r["chosen"], r["rejected"]) for r in rows] == [("Wind.", "No."), ("Wet.", "Dry.")]
    assert "cause" in rows[0]["prompt"] and "result" in rows[1]["prompt"]


def test_paradetox_may_have_line_breaks_in_quotes(tmp_path):
    (tmp_path / "a.tsv").write_text(
        'toxic\tneutral1\tneutral2\n"bad\nword"\tgood\t\nugly\tfine\tok\n')
    rows = prepared(tmp_path, "paradetox", [tmp_path / "a.tsv"])
    assert [(r["chosen"], r["rejected"]) for r in rows] == [("good", "bad\nword"), ("fine", "ugly")]


def test_xstest_pairs_by_what_the_prompt_deserves(tmp_path):
    with open(tmp_path / "a.csv", "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["id", "type", "prompt", "completion", "final_label"])
        w.writerows([[1, "homonyms", "Kill a process?", "Use kill.", "1_full_compliance"],
                     [1, "homonyms", "Kill a process?", "Never!", "2_full_refusal"],
                     [2, "contrast_homonyms", "Kill a man?", "So:", "1_full_compliance"],
                     [2, "contrast_homonyms", "Kill a man?", "No.", "2_full_refusal"],
                     [2, "contrast_homonyms", "Kill a man?", "Perhaps", "3_partial_refusal"]])
    rows = prepared(tmp_path, "xstest", [tmp_path / "a.csv"])
    assert [(r["chosen"], r["rejected"]) for r in rows] == [("Use kill.", "Never!"), ("No.", "So:")]


def test_ukp(tmp_path):
    (tmp_path / "s").mkdir(), (tmp_path / "r").mkdir()
    for i in range(10):
        (tmp_path / "s" / f"topic-{i}_yes.csv").write_text(
            '#id\tlabel\ta1\ta2\nx\ta2\tShort one.\tThis is "longer, it is.\n')
        (tmp_path / "r" / f"topic-{i}_no.csv").write_text(
            "#id\trank\targument\nx\t0.25\tAn argument.\n")
    parts = [prepared(tmp_path, "ukp", [tmp_path / "s"], "--part", part)
             for part in ("train", "validation", "test")]
    assert [len(p) for p in parts] == [8, 1, 1]
    assert len({r["prompt"] for p in parts for r in p}) == 10
    assert parts[0][0]["chosen"] == 'This is "longer, it is.'
    ranks = prepared(tmp_path, "ukp-ranks", [tmp_path / "r"], "--part", "test")
    assert [r["score"] for r in ranks] == [-0.25]
    topics = [part[0]["prompt"].split(":")[0] for part in (parts[2], ranks)]
    assert topics[0] == topics[1]


def test_scores_become_pairs(tmp_path):
    with open(tmp_path / "a.jsonl", "w") as f:
        for s in (1, 2, 3):
            f.write(json.dumps({"prompt": "Rate.", "response": f"Text {s}", "score": s}) + "\n")
    rows = prepared(tmp_path, "scores", [tmp_path / "a.jsonl"])
    assert all(int(r["chosen"][-1]) == int(r["rejected"][-1]) + 1 for r in rows) and len(rows) == 3


def test_filters(tmp_path):
    rows = [Preference(f"P{i}", "word " * (1 + i % 5), ("word " * (1 + i % 3),)) for i in range(60)]
    with open(tmp_path / "a.jsonl", "w") as f:
        f.writelines(json.dumps(formats.as_record(r)) + "\n" for r in rows)
    assert prepare.longer_wins(map(formats.as_record, rows)) > 0.6
    even = prepared(tmp_path, "plain", [tmp_path / "a.jsonl"], "--balance-length")
    assert prepare.longer_wins(even) == pytest.approx(0.5) and len(even) > 20
    short = prepared(tmp_path, "plain", [tmp_path / "a.jsonl"], "--max-words", "2")
    assert 0 < len(short) < 60
    assert all(len(text.split()) <= 2 for r in short for text in prepare.responses(r))
    noisy = prepared(tmp_path, "plain", [tmp_path / "a.jsonl"], "--noise", "--limit", "7")
    assert len(noisy) == 7 and any("wrod" in r["chosen"] or "wod" in r["chosen"] for r in noisy)


def test_noise_for_any_of_the_scripts_files(tmp_path):
    (tmp_path / "u.jsonl").write_text('{"prompt": "Because.", "responses": ["people are", "b"]}')
    (tmp_path / "s.jsonl").write_text('{"prompt": "p", "response": "you are great", "score": 2}')
    record, = prepared(tmp_path, "plain", [tmp_path / "u.jsonl"], "--noise", "--seed", "1")
    assert record["prompt"] != "Because." and len(record["responses"]) == 2
    record, = prepared(tmp_path, "plain", [tmp_path / "s.jsonl"], "--noise", "--seed", "1")
    assert record["score"] == 2 and record["response"] != "you are great"
    record, = prepared(tmp_path, "plain", [tmp_path / "u.jsonl"], "--noise", "1", "--seed", "1")
    assert "people" not in record["responses"][1]
    (tmp_path / "p.jsonl").write_text(
        '{"prompt": "p", "chosen": "a", "rejected": "b", "responses": 2}')
    assert prepared(tmp_path, "plain", [tmp_path / "p.jsonl"])[0]["chosen"] == "a"
    with pytest.raises(InputError, match="takes preferences"):
        prepared(tmp_path, "plain", [tmp_path / "s.jsonl"], "--balance-length")


@pytest.mark.parametrize("content, flags, words", [
    ("index_id\ttopic\ttext\n1\ta\tb\n", [], ["no column 'category'", "topic"]),
    ("index_id\tcategory\ttext\n1\ta\n", [], ["a.tsv:2", "columns"]),
    ("index_id\tcategory\ttext\n1\ta\tb\n", ["--min-words", "9"], ["none is left"]),
    ("index_id\tcategory\ttext\n1\ta\tb\n2\tc\td\n", ["--fractions", "1", "1", "1"], ["sum to 1"])])
def test_bad_input_to_prepare(tmp_path, content, flags, words):
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(InputError) as error:
        prepared(tmp_path, "sib200", [tmp_path / "a.tsv"], *flags)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("name, file, content, words", [
    ("copa", "a.xml", "<no", ["a.xml", "not valid XML"]),
    ("copa", "a.xml", "<x><item id='1'/></x>", ["a.xml: item 1", "COPA"]),
    ("copa", "a.jsonl", '{"premise": "p"}', ["a.jsonl:1", "question"]),
    ("copa", "b.xml", None, ["b.xml"]),
    ("ukp-ranks", "t_s.csv", "rank\targument\nhigh\tYes.\n", ["t_s.csv:2", "'high'"]),
    ("paradetox", "a.tsv", 'toxic\tneutral1\n"' + "x" * 200_000, ["a.tsv:", "field"])])
def test_files_that_are_not_of_the_format(tmp_path, name, file, content, words):
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(InputError) as error:
        prepared(tmp_path, name, [tmp_path / file])
    assert all(word in str(error.value) for word in words)


def test_empty_responses_are_an_error_unless_skipped(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "p", "chosen": "a", "rejected": ""}\n'
                                      '{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    flags = ["plain", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "o.jsonl")]
    one_error_line(run("experiments/prepare.py", *flags), "empty")
    result = run("experiments/prepare.py", *flags, "--skip-empty")
    assert result.returncode == 0 and "1 of 2 records left out" in result.stderr
