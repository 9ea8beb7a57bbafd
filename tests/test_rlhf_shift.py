"""rlhf_shift.py to the end on the small model; goes on where it stopped; what cannot be used."""
import json
from argparse import Namespace

import pytest
from test_requests import xstest  # noqa: F401  (a fixture)
from test_rlhf import small

import rlhf_shift
from data import InputError
from models import backbones
from rlhf.start import SUPERVISED

RECORD = {"step": 1, "true_reward": 0.5, "held_out": 0.5, "kl": 0.0, "auc": 0.5}
TINY = ["--model", "tiny", "--epochs", "2", "--max-new-tokens", "6", "--arms", "Src-Pref", "DIAL",
        "--set", "lora_layers=1", "critic_steps=1"]


@pytest.fixture(autouse=True)
def few_prompts(monkeypatch, undrawn):
    monkeypatch.setattr(rlhf_shift, "requests", small)
    monkeypatch.setitem(SUPERVISED, "steps", 2)


def run(tmp_path, *flags):
    rlhf_shift.main([*TINY, "--out", str(tmp_path / "out"), *flags])
    return json.loads((tmp_path / "out" / "results.json").read_text())


def stopped(*_):
    raise KeyboardInterrupt


@pytest.fixture
def begun(monkeypatch):
    """What starts and arms were asked for; none is trained."""
    found = []
    monkeypatch.setattr(rlhf_shift, "Start", lambda args, task, seed: (
        found.append((seed, task.train)), Namespace(seed=seed))[1])
    monkeypatch.setattr(rlhf_shift, "run_arm", lambda start, name: (
        found.append((start.seed, name)), [RECORD])[1])
    return found


def test_to_the_end(tmp_path, cache, capsys):
    record = run(tmp_path, "--seeds", "0")
    assert "DIAL less Src-Pref" in capsys.readouterr().out
    assert {row["method"] for row in record["rows"]} == {"Src-Pref", "DIAL"}
    assert (tmp_path / "out" / "rlhf_shift.png").exists()
    config = record["config"]
    assert (config["epochs"], config["steps"]) == (2, None)
    assert (config["device"], config["dtype"]) == backbones.pick_machine()
    assert {(row["metric"], row["n_test"]) for row in record["rows"]} >= {
        ("area", 12), ("true_reward", 12), ("kl", 12), ("held_out", 4)}


def test_it_goes_on_by_arm_and_seed(tmp_path, begun, monkeypatch, capsys):
    """Of a seed the arms have a start together; finished arms of the same settings are kept."""
    run(tmp_path, "--seeds", "4", "--arms", "DIAL")
    record = run(tmp_path, "--seeds", "4", "7")
    assert begun == [(4, small(4).train), (4, "DIAL"), (4, small(4).train), (4, "Src-Pref"),
                     (7, small(7).train), (7, "Src-Pref"), (7, "DIAL")]
    assert "1 of 4 runs are finished in " in capsys.readouterr().err
    areas = [row for row in record["rows"] if row["metric"] == "area"]
    assert [len(row["values"]) for row in areas] == [2, 2]
    for flags, message in ((["--epochs", "3"], "epochs 2, not 3"),
                           (["--ppo", "clip=.1"], "ppo_clip 0.2, not 0.1"),
                           (["--set", "lambda_da=3"], "lambda_da 0.01, not 3.0"),
                           (["--max-new-tokens", "5"], "max_new_tokens 6, not 5")):
        with pytest.raises(InputError, match=f"has {message}: choose another --out, or --overwr"):
            run(tmp_path, "--seeds", "4", *flags)
    assert len(begun) == 7
    monkeypatch.setattr(rlhf_shift, "run_arm", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "--seeds", "4", "8")
    assert "finished runs are kept" in capsys.readouterr().err
    assert len(list((tmp_path / "out" / "runs").glob("*.json"))) == 4
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "--seeds", "4", "--overwrite", "--epochs", "3")
    assert "finished runs are kept" not in capsys.readouterr().err
    assert not list((tmp_path / "out" / "runs").glob("*.json"))


def test_an_arm_that_diverges_is_named(tmp_path, begun, monkeypatch):
    def diverges(*_):
        raise FloatingPointError("PPO, epoch 2, step 3: the loss or its gradient is not finite")

    monkeypatch.setattr(rlhf_shift, "run_arm", diverges)
    with pytest.raises(InputError, match="^Src-Pref, seed 5: PPO, epoch 2, step 3: the loss"):
        run(tmp_path, "--seeds", "5")


def test_a_model_that_cannot_be_loaded_deletes_nothing(tmp_path, begun, monkeypatch):
    start = rlhf_shift.Start
    run(tmp_path, "--seeds", "0")
    monkeypatch.undo()
    assert rlhf_shift.Start is not start
    with pytest.raises(InputError, match="nothing: cannot be loaded"):
        run(tmp_path, "--seeds", "0", "--model", "nothing", "--overwrite")
    assert len(list((tmp_path / "out" / "runs").glob("*.json"))) == 2


def test_how_long_completions_are(tmp_path, monkeypatch):
    """Sixty words of XSTest's, all of them with --paper."""
    asked = []
    monkeypatch.setattr(rlhf_shift, "xstest_requests", lambda folder, seed, n, n_words: (
        asked.append(n_words), small(seed))[1])
    for flags in ([], ["--paper"]):
        rlhf_shift.main(["--xstest", "x", "--dry-run", *flags])
    assert asked == [60] * 3 + [None] * 3


def test_the_part_is_what_is_held_out(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(rlhf_shift, "requests", lambda *a: (asked.append(a), small(*a))[1])
    for flags in (["--part", "validation"], []):
        rlhf_shift.main(["--seeds", "2", "--dry-run", *flags])
    assert asked == [(2, "validation"), (2, "test")]


def test_what_a_run_depends_on():
    """Every flag that changes what is trained is a setting of its runs."""
    chosen = rlhf_shift.run_settings(rlhf_shift.read_flags([]))
    assert (chosen["ppo_passes"], chosen["ppo_learning_rate"], chosen["ppo_kl_weight"],
            chosen["ppo_gae_lambda"], chosen["learning_rate"], chosen["lambda_da"]) == (
                2, 1e-4, 0.05, 0.95, 2e-4, 0.01)  # as experiments/README.md has it
    for flags in (["--model", "tiny"], ["--epochs", "3"], ["--batch-size", "3"],
                  ["--max-new-tokens", "3"], ["--max-length", "99"], ["--xstest", "x"],
                  ["--part", "validation"], ["--set", "lora_rank=2"],
                  ["--ppo", "clip=.5"]):
        assert rlhf_shift.run_settings(rlhf_shift.read_flags(flags)) != chosen, flags
    few = rlhf_shift.read_flags(["--xstest", "x", "--n-train", "9"])
    assert rlhf_shift.run_settings(few)["n_train"] == 9


def test_changed_files_of_xstest_are_not_joined(tmp_path, begun, xstest):  # noqa: F811
    flags = ["--xstest", str(xstest), "--seeds", "0"]
    run(tmp_path, *flags)
    (file,) = xstest.iterdir()
    rows = file.read_bytes()
    file.write_bytes(rows.replace(b"Ask a friend", b"Ask a foe"))
    with pytest.raises(InputError, match="is of other data in the same files: choose another"):
        run(tmp_path, *flags)
    file.write_bytes(rows)
    run(tmp_path, *flags)
    assert len(begun) == 3  # a start and two arms


@pytest.mark.parametrize("flags, message", [
    (["--set", "center_prompts=true"], "a single response"), (["--paper"], "needs --xstest"),
    (["--ppo", "clips=1"], "NAME of"), (["--seeds", "0", "0"], "once"),
    (["--n-train", "9"], "goes with --xstest"),
    (["--xstest", "x", "--part", "validation"], "--part validation does not"),
    (["--ppo", "passes=0"], "passes must be from 1 to 1e.30, not 0"),
    (["--ppo", "learning_rate=1e300"], "learning_rate must be from 0 to 1e.30, not 1e.300"),
    (["--ppo", "clip=nan"], "clip must be from 0"),
    (["--set", "steps=4"], "an epoch says"), (["--set", "lora_modules=q"], "no linear layer 'q'"),
    (["--xstest", ""], "is empty"), (["--arms", "DEAL"], "invalid choice"),
    (["--xstest", "nowhere"], "holds no file")])
def test_what_cannot_be_used(tmp_path, flags, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, *flags)
