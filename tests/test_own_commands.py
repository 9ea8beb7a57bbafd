"""The commands on a user's own files, with the tiny model."""
import json

import pytest
from conftest import FAST
from test_commands import rows_of
from test_runs import StandIn

import cross_lingual
import few_shot
from data import InputError
from harness import runs


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
            (["--out", __file__], "test_own_commands.py: cannot be written"),
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
