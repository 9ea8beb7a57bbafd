"""Finished runs of other settings are refused, --overwrite deletes them, --save keeps models. A
stand-in trains here."""
import json
import shutil

import pytest
from filelock import FileLock
from test_runs import (TH, command, contents, loaded, names_of,  # noqa: F401  (fixtures)
                       trainer)

from data import InputError
from harness import runs
from models import backbones


@pytest.fixture(scope="module")
def others():
    return [(["--set", "lambda_gp=10"], "lambda_gp 1.0, not 10.0:"),
            (["--steps", "4"], "steps 40, not 4:"),
            (["--batch-size", "3"], "batch_size 8, not 3:"),
            (["--n-train", "30"], "n_train 6, not 30:"),
            (["--n-test", "5"], "n_test 4, not 5:"),
            (["--part", "validation"], "part test, not validation:"),
            (["--model", "x"], "model tiny, not x:"), (["--compile"], "compile False, not True:"),
            (["--max-length", "2000"], "max_length 1024, not 2000:"),
            (["--truncate"], "truncate False, not True:"),
            (["--set", "center_prompts=false"], "center_prompts True, not False:")]


def test_other_settings_are_refused(command, others, monkeypatch, trainer):  # noqa: F811
    monkeypatch.setattr(backbones, "pick_machine", lambda *_: ("cpu", "float32"))
    monkeypatch.setattr(runs, "checksum", lambda name: name)  # there is no model x
    command("--seeds", "0", "--methods", "DIAL")
    (file,), before = contents(command.folder), contents(command.out)
    trainer.done = []

    def refused(flags, message):
        with pytest.raises(InputError) as error:
            command(*flags)
        line = str(error.value)
        assert line.startswith(f"{file} has {message}") and "\n" not in line
        assert line.endswith(": choose another --out, or --overwrite")

    for flags, message in others:
        refused(flags, message)
    monkeypatch.setattr(backbones, "pick_machine", lambda *_: ("cpu", "bfloat16"))
    refused([], "dtype float32, not bfloat16:")
    monkeypatch.setattr(backbones, "pick_machine", lambda *_: ("cuda", "float32"))
    refused([], "device cpu, not cuda:")
    assert contents(command.out) == before and trainer.done == []


def test_overwrite_deletes_an_earlier_commands_runs_and_models(command):  # noqa: F811
    first, _ = command()
    for name in ("models/DIAL/dial_config.json", "models/DIAL/weights", "models/mine.txt",
                 "models/mine/weights", "results.json", "notes", "runs/notes", "runs/notes.txt",
                 "runs/.cache/x", "runs/DIAL-0-1.json.77.part"):
        (command.out / name).parent.mkdir(parents=True, exist_ok=True)
        (command.out / name).touch()
    (command.folder / "x.json").write_text("no run")
    done, reported = command("--overwrite", "--steps", "3")
    assert done == first == names_of(reported)
    kept = {json.loads(path.read_text())["settings"]["steps"]
            for path in command.folder.glob("*.json")}
    assert kept == {3} and not (command.out / "models" / "DIAL").exists()
    assert not (command.out / "results.json").exists()  # it is of the runs that are gone
    kept = {path.name for path in contents(command.out)}
    assert kept >= {"mine.txt", "weights", "notes", "notes.txt", "x"}
    assert not any("part" in name for name in kept)
    assert command("--steps", "3")[0] == []
    assert command("--overwrite", "--steps", "3", "--seeds", "1")[0] == first[2:]
    assert len([*command.folder.glob("*.json")]) == 2  # those of seed 0 have gone


def test_overwrite_deletes_only_where_the_command_can_run(command, trainer):  # noqa: F811
    command()
    (command.out / "models").mkdir()
    (command.out / "models" / "x").touch()
    before = contents(command.out)
    for flags in (["--methods", "Magic"], ["--source", "meat"], ["--max-length", "9"],
                  ["--model", "no/such"], ["--device", "abacus"], ["--set", "clip=no"],
                  ["--target", TH, "desserts:th"]):
        with pytest.raises(InputError):
            command("--overwrite", *flags)
        assert contents(command.out) == before
    command("--overwrite", "--dry-run", "--steps", "3")
    assert contents(command.out) == before
    (command.out / "models").rename(command.out / "other")
    shutil.copytree(backbones.locate("tiny"), command.out / "models" / "DIAL")
    before = contents(command.out)
    with pytest.raises(InputError, match="models/DIAL: this would write over it; choo"):
        command("--overwrite", "--model", str(command.out / "models" / "DIAL"))
    assert contents(command.out) == before
    trainer.stop["Src-Pref", 0] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        command("--overwrite")
    assert not [*command.folder.glob("*.json")]


# ------------------------------------------------------------------ --save


def test_the_first_run_of_a_method_is_saved(command, trainer):  # noqa: F811
    def saved(*flags):
        command(*flags)
        return [save and save.relative_to(command.out).as_posix() for *_, save in trainer.done]

    assert saved("--save", "--methods", "Longest", "DIAL", "Tgt-Pref*") == [
        None, "models/DIAL", "models/Tgt-Pref", None, None, None]  # nothing of Longest can be
    assert saved("--save", "--seeds", "2", "--methods", "DIAL") == [None]
    with pytest.raises(InputError, match=r"--save: the runs of DIAL are finished .*--overwrite$"):
        command("--save", "merged", "--methods", "DIAL")  # adapters were kept
    assert saved("--save", "merged", "--methods", "DIAL", "--seeds", "3") == ["models/DIAL"]
    assert saved("--save", "merged", "--methods", "DIAL") == []
    assert saved("--save", "--methods", "DIAL") == []
    assert saved("--save", "merged", "--methods", "DIAL", "--overwrite") == ["models/DIAL", None]
    assert saved("--save", "--methods", "DIAL", "--seeds", "0") == []


def test_a_kept_model_that_is_not_there_is_missed(command, trainer, capsys):  # noqa: F811
    """Deleted, or another process, without --save, was first to train the run."""
    command("--save", "--methods", "DIAL")
    shutil.rmtree(command.out / "models")
    with pytest.raises(InputError, match="--save: the runs of DIAL are finished and their model w"):
        command("--save", "--methods", "DIAL")

    def other():
        trainer.after = {}
        command("--methods", "DIAL", "--seeds", "3")

    trainer.after = {("Src-Pref", 3): other}
    _, reported = command("--save", "--methods", "Src-Pref", "DIAL", "--seeds", "3")
    assert "--save: the runs of DIAL are finished and their model w" in capsys.readouterr().err
    assert len(reported) == 2  # the table is made all the same


def test_a_checkpoint_that_was_left_beside_a_run_goes(command):  # noqa: F811
    command("--methods", "DIAL")
    path = next(command.folder.glob("*.json")).with_suffix(".checkpoint")
    command("--methods", "DIAL", "--seeds", "3")
    path.touch()
    command("--methods", "DIAL")
    assert not path.exists()


def test_a_model_does_not_replace_its_own_base(command):  # noqa: F811
    base = command.out / "models" / "DIAL" / "merged"
    shutil.copytree(backbones.locate("tiny"), base)
    before = contents(command.out)
    with pytest.raises(InputError, match="merged: this would write over it; choose another --out"):
        command("--save", "--model", str(base))
    assert contents(command.out) == before


def test_it_is_too_late_to_save_where_all_is_finished(command, trainer):  # noqa: F811
    command()
    before = contents(command.out)
    with pytest.raises(InputError, match="--save: the runs of DIAL, Src-Pref are finished"):
        command("--save")
    assert contents(command.out) == before
    command("--save", "--seeds", "0", "2")
    assert [bool(save) for *_, save in trainer.done] == [True, True]


@pytest.mark.parametrize("flags", [[], ["--save"]])
def test_half_a_model_of_a_command_that_was_killed_is_removed(command, flags):  # noqa: F811
    """Unless others are at work there, whose model it may be."""
    command(*flags)
    part = command.out / "models" / "DIAL.part"
    part.mkdir(parents=True)
    (part / "dial_config.json").touch()
    with FileLock(command.folder / "DIAL-7-0.lock"):
        command(*flags)
        assert part.exists()
    command(*flags)
    assert not part.exists()
