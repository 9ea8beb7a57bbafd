"""Commands that are stopped, crash, or meet another: what is finished stays. A stand-in trains."""
import json
from pathlib import Path

import pytest
from test_runs import command, contents, trainer  # noqa: F401  (fixtures)

from data import InputError
from support import folder


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), InputError("no"), RuntimeError("killed"),
                                  FloatingPointError("nan")])
def test_a_command_that_stops_keeps_its_finished_runs(command, trainer, capsys, stop):  # noqa: F811
    trainer.stop["Src-Pref", 1] = stop
    with pytest.raises(type(stop)):
        command()
    assert [path.name[:10] for path in sorted(command.folder.iterdir())] == ["DIAL-0-bb3",
                                                                            "Src-Pref-0"]
    assert isinstance(stop, RuntimeError) or "go on with --resume" in capsys.readouterr().err
    trainer.stop = {}
    done, reported = command("--resume")
    assert [d[:2] for d in done] == [("Src-Pref", 1), ("DIAL", 1)] and len(reported) == 4


def test_a_crash_in_the_middle_of_writing_leaves_no_half_run(command, monkeypatch):  # noqa: F811
    write, calls = Path.write_text, []

    def crash(path, text, **options):
        calls.append(path)
        write(path, text if len(calls) < 3 else text[: len(text) // 2], **options)
        if len(calls) == 3:
            raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", crash)
    with pytest.raises(OSError, match="no space"):
        command()
    monkeypatch.setattr(Path, "write_text", write)
    found = [json.loads(path.read_text()) for path in command.folder.glob("*.json")]  # all whole
    assert sorted((run["method"], run["seed"]) for run in found) == [("DIAL", 0), ("Src-Pref", 0)]
    done, reported = command("--resume")
    assert [d[:2] for d in done] == [("Src-Pref", 1), ("DIAL", 1)] and len(reported) == 4
    assert all(json.loads(path.read_text()) for path in command.folder.glob("*.json"))


@pytest.mark.parametrize("text", ['{"method": "DI', "[]", "{}", "\x80"])
def test_a_corrupt_run_is_named(command, text):  # noqa: F811
    command()
    path = next(command.folder.glob("DIAL-0*"))
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=f"{path.name}: not a run of this program"):
        command("--resume")


def test_a_second_command_on_the_same_folder(command, trainer):  # noqa: F811
    command()
    before = contents(command.folder.parent)
    with folder.locked(command.folder.parent):
        for flags in ([], ["--resume", "--seeds", "2"]):
            with pytest.raises(InputError, match=r"^--out .*out: another command is writing the"):
                command(*flags)
        assert trainer.done == [] and contents(command.folder.parent) == before
    command()  # the lock has gone


def test_earlier_runs_make_way_when_a_command_can_run(command, trainer):  # noqa: F811
    command()
    before = sorted(contents(command.folder).values())
    for flags, unusable in ((["--methods", "Magic"], None), ([], InputError("too long"))):
        trainer.unusable = unusable
        with pytest.raises(InputError):
            command(*flags)
        assert [path.name for path in command.folder.parent.glob("runs*")] == ["runs"]
    trainer.unusable = None
    command("--dry-run")
    assert sorted(contents(command.folder).values()) == before
    command("--steps", "3"), command("--steps", "4")  # in one second
    folders = sorted(command.folder.parent.glob("runs*"))
    assert [path.name for path in folders][0] == "runs" and len(folders) == 3
    assert sorted(contents(folders[1]).values()) == before
    steps = [json.loads(text)["settings"]["steps"] for text in contents(command.folder).values()]
    assert steps == [4] * 4


def test_without_a_finished_run_the_folder_is_as_it_was(command, trainer, capsys):  # noqa: F811
    command()
    (command.folder.parent / "models").mkdir(), (command.folder.parent / "models/x").touch()
    before = contents(command.folder.parent)
    trainer.stop["Src-Pref", 0] = KeyboardInterrupt()
    for flags in ([], ["--save"]):
        with pytest.raises(KeyboardInterrupt):
            command("--steps", "3", *flags)
        assert contents(command.folder.parent) == before
    assert "are kept" not in capsys.readouterr().err
    trainer.stop = {}
    command("--steps", "3")
    assert (command.folder.parent / "models" / "x").exists()  # --model may be one of them
    command("--steps", "3", "--save")
    assert len(list(command.folder.parent.glob("models-*/x"))) == 1


def test_a_run_is_kept_whose_model_is_not(command, trainer):  # noqa: F811
    trainer.failure = OSError("no space left")
    with pytest.raises(InputError, match="--save: the model of Src-Pref was not kept: no space"):
        command("--save")
    trainer.failure = None
    assert [path.name for path in command.folder.iterdir()][0].startswith("Src-Pref-0")
    done, _ = command("--resume", "--save")
    assert [(*d[:2], d[3]) for d in done] == [("DIAL", 0, True), ("Src-Pref", 1, True),
                                             ("DIAL", 1, False)]
