"""A user's own files: what is made of them, and the commands that take them, on the tiny model."""
import argparse
import json

import pytest
from conftest import FAST
from test_commands import rows_of
from test_runs import StandIn

import cross_lingual
import data
import few_shot
from data import InputError, Preference
from domains import own
from harness import runs
from models.backbones import load_tokenizer

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
    line = json.dumps({"prompt": "Say 1", "chosen": "1", "rejected": "no"})
    paths = [tmp_path / name / "my.jsonl" for name in ("en", "ko")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("\n".join([line] * 20))
    ((source, target),) = own.domains(argparse.Namespace(
        model="tiny", methods=[], seeds=[0], source_data=str(paths[0]), target_data=str(paths[1]),
        eval_data=None))[0]
    assert [source.name, target.name] == list(map(str, paths))


# ------------------------------------------------------------------ the commands


@pytest.fixture
def files(cache, tmp_path):
    """Write files; return the flags that name them."""
    def files(**changes):
        labeled = [{"prompt": f"Say {i}", "chosen": f"{i}", "rejected": "no"} for i in range(20)]
        bare = [{"prompt": r["prompt"], "responses": ["no", r["chosen"]]} for r in labeled]
        rows = {"source": labeled, "target": bare, "eval": labeled} | changes
        for name, lines in rows.items():
            (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines or [])))
        return [*FAST, "--out", str(tmp_path / "out"), *(
            f"--{name}-data={tmp_path / name}.jsonl" for name in rows if rows[name])]

    return files


@pytest.mark.parametrize("lines, metrics", [
    (None, set()), ([{"prompt": "Q", "chosen": "a", "rejected": "b"}] * 3, {"accuracy"}),
    ([{"prompt": "Q", "response": "abc"[i], "score": i} for i in range(3)], {"pearson",
                                                                            "spearman"})])
def test_ones_own_domains(files, tmp_path, capsys, lines, metrics, undrawn):
    cross_lingual.main([*files(eval=lines), "--save", "adapter" if lines else "merged"])
    rows, out = rows_of(tmp_path / "out"), capsys.readouterr().out
    assert {r["metric"] for r in rows} == metrics | {"source_accuracy", "distance"}
    assert all(r["paper"] is None for r in rows) and "paper" not in out
    assert {r["n_test"] for r in rows if r["metric"] == "source_accuracy"} == {2}
    assert ("not measured" in out) == (lines is None) == ("paired gain" not in out)
    assert {(r["source"], r["target"]) for r in rows} == {("source.jsonl", "target.jsonl")}
    saved = tmp_path / "out" / "models" / "DIAL"
    assert (saved / "merged" / "model.safetensors").exists() == (lines is None)
    assert json.loads((saved / "dial_config.json").read_text())["steps"] == 1
    assert (saved / "adapter_model.safetensors").exists()


def test_finished_runs_are_of_the_same_data(files, monkeypatch, undrawn):
    monkeypatch.setattr(runs, "run", trainer := StandIn())
    cross_lingual.main(files())
    other = [{"prompt": f"Say {i}", "chosen": f"{i}", "rejected": "yes"} for i in range(20)]
    for changed in ("source", "target", "eval"):
        with pytest.raises(InputError, match="is of other data in the same files: choose another "
                                             "--out, or --overwrite$"):
            cross_lingual.main(files(**{changed: other}))
    cross_lingual.main(files())
    assert len(trainer.done) == 2
    cross_lingual.main([*files(eval=other), "--overwrite"])
    assert len(trainer.done) == 4


def test_labels_in_the_target_file_do_not_matter(files, tmp_path, undrawn):
    labels = [{"prompt": f"Say {i}", "chosen": f"{i}", "rejected": "no"} for i in range(20)]
    swapped = [r | {"chosen": r["rejected"], "rejected": r["chosen"]} for r in labels]
    outputs = []
    for rows in (labels, swapped):
        cross_lingual.main([*files(target=rows), "--methods", "DIAL", "--overwrite"])
        run = json.loads(next((tmp_path / "out" / "runs").iterdir()).read_text())
        outputs.append((run["log"], run["results"]))
    assert outputs[0] == outputs[1]


def test_what_cannot_be_used_is_said_before_the_first_run(files, tiny, tmp_path, undrawn):
    bare = [{"prompt": "Q", "responses": ["one", "two"]}, {"prompt": "Q", "response": "three"}]
    tiny[1].save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_config.json").touch()
    for flags, message in (
            ([], "target.jsonl: 'Q' has a single response; .*center_prompts=false does not"),
            (["--max-length", "9"],
             "source.jsonl:11, 'Say 10' and '10', has 10 tokens, more than 9: .*--truncate"),
            (["--set", "lora_modules=abc"], "lora_modules: no linear layer"),
            (["--device", "abacus"], "--device abacus"),
            (["--out", __file__], "test_own.py: cannot be written"),
            (["--model", "no/such-model"], "no/such-model: cannot be loaded"),
            (["--model", str(tmp_path / "adapter")], "an adapter; --save merged keeps the whole")):
        with pytest.raises(InputError, match=message):
            cross_lingual.main([*files(target=bare[: 1 if flags else 2]), *flags])
        assert not list(tmp_path.glob("out/runs/*.json"))
    cross_lingual.main([*files(target=bare), "--set", "center_prompts=false"])
    with pytest.raises(InputError, match="Src-Pref, seed 0: .*not finite"):
        cross_lingual.main([*files(), "--set", "learning_rate=1e30", "lora_alpha=1e30",
                             "--overwrite"])


def test_few_labels_of_ones_own(cache, tmp_path, monkeypatch, undrawn):
    monkeypatch.setattr(runs, "run", StandIn())
    made, run_all = [], runs.run_all
    monkeypatch.setattr(few_shot, "run_all", lambda args, domains: (
        made.append((args, domains)), run_all(args, domains))[1])
    rows = [{"prompt": f"Say {i}", "chosen": f"{i}", "rejected": "no"} for i in range(40)]
    flags = [*FAST, "--data", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "out")]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    few_shot.main(flags)
    ((ten, full),) = made[0][1][0]
    # Of 40, a fifth is the search pool.
    assert [len(part) for part in (ten.labeled, full.labeled, full.test)] == [10, 20, 12]
    assert not any(r["paper"] for r in rows_of(tmp_path / "out"))
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows[::-1])))
    with pytest.raises(InputError, match="is of other data in the same files"):
        few_shot.main(flags)
