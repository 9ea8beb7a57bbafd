"""What is made of a user's own files: which domains, and what is said of them."""
import argparse
import json

import pytest

import data
from data import InputError, Preference
from domains import own

ROWS = [Preference(f"Say {i}", f"{i}", ("no",)) for i in range(40)]


@pytest.fixture
def given(cache, tmp_path):
    """`own.domains` of files: of `rows` the source, the target, labelled, and the evaluation."""
    def given(methods=("Src-Pref", "DIAL"), leave_out=(), **rows):
        args = argparse.Namespace(model="tiny", methods=methods, seeds=[0, 1])
        for name in ("source", "target", "eval"):
            lines = rows.get(name) or [{"prompt": r.prompt, "chosen": r.chosen,
                                        "rejected": list(r.rejected)} for r in ROWS]
            (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
            path = None if name in leave_out else str(tmp_path / f"{name}.jsonl")
            setattr(args, f"{name}_data", path)
        return own.domains(args)

    return given


def test_the_tenth_of_the_source_that_is_kept_follows_the_seed(given):
    domains = given()
    ((source, target),) = domains[0]
    assert (len(source.labeled), len(source.test)) == (36, 4)
    assert sorted([*source.labeled, *source.test], key=ROWS.index) == ROWS
    assert domains.keys() == {0, 1} and domains == given() and domains[0][0] != domains[1][0]
    assert source.name == "source.jsonl" and target.name == "target.jsonl"
    assert target.test == ROWS and target.scores is None
    assert target is domains[1][0][1]  # read and made tokens of once


def test_target_labels_are_dropped_but_for_oracles(given):
    ((_, target),) = given()[0]
    assert target.unlabeled == data.unlabel(ROWS) and not target.labeled
    ((_, target),) = given(methods=("DIAL", "Tgt-Pref*"))[0]
    assert target.labeled == ROWS
    bare = [{"prompt": "Q", "responses": ["a", "b"]}] * 5
    with pytest.raises(InputError, match=r"target.jsonl:1: .*Tgt-Pref\* and Src-Tgt-Pref\* learn "):
        given(methods=("DIAL", "Tgt-Pref*", "Src-Tgt-Pref*"), target=bare)
    assert given(target=bare)[0][0][1].unlabeled[0].responses == ("a", "b")


def test_what_to_measure_with_is_optional_and_may_have_scores(given):
    ((_, target),) = given(leave_out=["eval"])[0]
    assert not target.test and target.scores is None
    rows = [{"prompt": "Q", "response": f"a{i}", "score": i / 2} for i in range(4)]
    ((_, target),) = given(eval=rows)[0]
    assert target.scores == [0, 0.5, 1, 1.5]
    assert [r.responses for r in target.test] == [("a0",), ("a1",), ("a2",), ("a3",)]


def test_scored_texts_that_do_not_count_are_said(given, capsys):
    rows = [{"prompt": f"Q{i // 2}", "response": f"a{i}", "score": i * (i < 6)} for i in range(8)]
    given(eval=rows)
    assert "prompts: 2 of 8 texts do not count" in capsys.readouterr().err
    given(eval=rows[:6])
    assert "do not count" not in capsys.readouterr().err


def test_equal_rows_are_not_in_both_parts(given):
    """Also where there is one prompt alone."""
    rows = [{"prompt": "Q", "chosen": f"{i % 20}", "rejected": "no"} for i in range(60)]
    ((source, _),) = given(source=rows)[0]
    train, test = ({row.chosen for row in part} for part in (source.labeled, source.test))
    assert (len(train), len(test)) == (18, 2) and not train & test
    with pytest.raises(InputError, match="40 rows are too few"):
        given(source=rows[:1] * 40)


def test_a_chat_template_on_one_side_alone_is_said(given, monkeypatch, capsys):
    tokenizer = own.load_tokenizer("tiny")
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}"
    monkeypatch.setattr(own, "load_tokenizer", lambda name: tokenizer)
    plain = [{"prompt": f"Say {i}", "chosen": f"{i}", "rejected": "no"} for i in range(20)]
    chat = [r | {"prompt": [{"role": "user", "content": r["prompt"]}]} for r in plain]
    for source, target, said in ((chat, plain, 1), (plain, chat, 1), (plain, plain, 0),
                                 (chat, chat, 0)):
        given(source=source, target=target, eval=target)
        lines = capsys.readouterr().err.splitlines()
        assert [line.partition(": ")[2] for line in lines[:3]] == ["20 records of 1 file"] * 3
        assert len(lines) == 3 + said
        assert lines[-1].startswith("some of the files hold conv") == bool(said)


def test_files_that_will_not_do(given):
    for name in ("source", "target"):
        with pytest.raises(InputError, match=f"--{name}-data is missing"):
            given(leave_out=[name])
    with pytest.raises(InputError, match="source.jsonl: 3 rows are too few"):
        given(source=[{"prompt": "Q", "chosen": "a", "rejected": "b"}] * 3)
    one_prompt = [{"prompt": "Q", "chosen": f"{i}", "rejected": "b"} for i in range(20)]
    ((source, _),) = given(source=one_prompt)[0]
    assert (len(source.labeled), len(source.test)) == (18, 2)


def test_files_of_one_name_are_told_apart(given, tmp_path):
    paths = [tmp_path / name / "my.jsonl" for name in ("en", "ko")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("\n".join(json.dumps(
            {"prompt": "Say", "chosen": str(i), "rejected": "no"}) for i in range(20)))
    ((source, target),) = own.domains(argparse.Namespace(
        model="tiny", methods=[], seeds=[0], source_data=str(paths[0]), target_data=str(paths[1]),
        eval_data=None))[0]
    assert [source.name, target.name] == list(map(str, paths))
