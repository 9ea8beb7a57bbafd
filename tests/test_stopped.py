"""Commands that are stopped, crash, or meet another: what is finished stays. A stand-in trains."""
import json
from pathlib import Path

import pytest
from filelock import FileLock
from test_runs import (command, contents, loaded, names_of,  # noqa: F401  (fixtures)
                       trainer)

from data import InputError


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), InputError("no"), RuntimeError("killed"),
                                  FloatingPointError("nan")])
def test_a_command_that_stops_keeps_its_finished_runs(command, trainer, capsys, stop):  # noqa: F811
    trainer.stop["Src-Pref", 1] = stop
    with pytest.raises(type(stop)):
        command()
    assert [path.name[:10] for path in sorted(command.folder.iterdir())] == ["DIAL-0-bb3",
                                                                            "Src-Pref-0"]
    assert (f"finished runs are kept in {command.out}: the same command goes on from there\n"
            in capsys.readouterr().err)
    trainer.stop = {}
    done, reported = command()
    assert [job[:2] for job in done] == [("Src-Pref", 1), ("DIAL", 1)]
    assert f"2 of 4 runs are finished in {command.out}\n" in capsys.readouterr().err
    assert names_of(reported) == [(m, s, ["desserts:th"]) for s in (0, 1)
                                  for m in ("Src-Pref", "DIAL")]


def test_what_goes_on_after_overwrite_is_said(command, trainer, capsys):  # noqa: F811
    command()
    trainer.stop["Src-Pref", 1] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        command("--overwrite")
    assert "the same command without --overwrite goes on from" in capsys.readouterr().err
    trainer.stop = {}
    assert [job[:2] for job in command()[0]] == [("Src-Pref", 1), ("DIAL", 1)]


def test_a_command_without_a_finished_run_says_nothing(command, trainer, capsys):  # noqa: F811
    trainer.stop["Src-Pref", 0] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        command()
    assert "kept" not in capsys.readouterr().err and contents(command.out) == {}


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
    done, reported = command()
    assert [job[:2] for job in done] == [("Src-Pref", 1), ("DIAL", 1)] and len(reported) == 4
    assert all(json.loads(path.read_text()) for path in command.folder.glob("*.json"))


def test_a_corrupt_run_is_named(command):  # noqa: F811
    command("--seeds", "0", "--methods", "DIAL")
    (path,) = command.folder.glob("DIAL-0*")
    for text in ('{"method": "DI', "[]", "{}", '{"settings": 1}', "\x80"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match=f"{path.name}: not a run of this program"):
            command()
        assert path.read_text(encoding="latin-1") == text


def test_a_second_command_on_the_same_folder(command, trainer):  # noqa: F811
    command()
    before, trainer.done = contents(command.out), []
    with FileLock(command.out / ".lock"):
        for flags in ([], ["--overwrite"], ["--seeds", "2"]):
            with pytest.raises(InputError, match=r"^--out .*out: another command is writing the"):
                command(*flags)
        assert trainer.done == [] and contents(command.out) == before
    assert command()[0] == []  # the lock has gone


def test_a_run_is_kept_whose_model_is_not(command, trainer):  # noqa: F811
    trainer.failure = "no space left"
    with pytest.raises(InputError, match="--save: the model of Src-Pref was not kept: no space"):
        command("--save")
    trainer.failure = None
    assert [path.name[:10] for path in command.folder.iterdir()] == ["Src-Pref-0"]
    command("--save")
    assert [(*job[:2], bool(job[3])) for job in trainer.done] == [
        ("DIAL", 0, True), ("Src-Pref", 1, True), ("DIAL", 1, False)]
