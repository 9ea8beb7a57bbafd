"""Commands that are stopped, or crash: what is finished stays. A stand-in trains."""
import errno
import json
import math
import os
from pathlib import Path

import pytest
from test_runs import (command, contents, loaded, names_of,  # noqa: F401  (fixtures)
                       trainer)

from data import InputError


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), InputError("no"), RuntimeError("killed"),
                                  FloatingPointError("nan")])
def test_a_command_that_stops_keeps_its_finished_runs(command, trainer, capsys, stop):  # noqa: F811
    trainer.stop["Src-Pref", 1] = stop
    with pytest.raises((type(stop), InputError)):  # a loss that is not finite gets one line
        command()
    assert [path.name[:10] for path in sorted(command.folder.glob("*.json"))] == ["DIAL-0-bb3",
                                                                            "Src-Pref-0"]
    assert (f"finished runs are kept in {command.out}: the same command, without "
            "--overwrite, goes on from there\n"
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
    assert "the same command, without --overwrite, goes on from" in capsys.readouterr().err
    trainer.stop = {}
    assert [job[:2] for job in command()[0]] == [("Src-Pref", 1), ("DIAL", 1)]


def test_a_command_without_a_finished_run_says_nothing(command, trainer, capsys):  # noqa: F811
    trainer.stop["Src-Pref", 0] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        command()
    assert "kept" not in capsys.readouterr().err
    assert not [*command.folder.glob("*.json")]


@pytest.mark.parametrize("where", ["write", "fsync", "rename"])
@pytest.mark.parametrize("nth", [1, 2, 4, 5])
def test_a_full_disk_at_any_file(command, monkeypatch, where, nth):  # noqa: F811
    """One line names the file, what is finished stays, and the same command goes on."""
    calls = []

    def fails(function):
        def call(*args, **options):
            calls.append(args)
            if len(calls) == nth:
                raise OSError(errno.ENOSPC, "No space left on device")
            return function(*args, **options)
        return call

    with monkeypatch.context() as patch:
        owner, name = {"write": (Path, "write_bytes"), "fsync": (os, "fsync"),
                       "rename": (Path, "replace")}[where]
        patch.setattr(owner, name, fails(getattr(owner, name)))
        with pytest.raises(InputError, match=r"\.json: cannot be written: No space left on device"):
            command()
    assert not [*command.out.rglob("*.part*")]
    before = [json.loads(path.read_text()) for path in command.folder.glob("*.json")]  # all whole
    done, reported = command()
    assert len(done) + len(before) == len(reported) == 4


EDITS = {  # what to do to the dictionary of a run
    "no method": lambda run: run.pop("method"), "no seed": lambda run: run.pop("seed"),
    "no settings": lambda run: run.pop("settings"), "no saved": lambda run: run.pop("saved"),
    "no seconds": lambda run: run.pop("seconds"), "no log": lambda run: run.pop("log"),
    "no results": lambda run: run.update(results=[]),
    "results null": lambda run: run.update(results=None),
    "a result of text": lambda run: run.update(results=["x"]),
    "no metrics": lambda run: run["results"][0].pop("metrics"),
    "no n_test": lambda run: run["results"][0].pop("n_test"),
    "no target": lambda run: run["results"][0].pop("target"),
    "a target that is a number": lambda run: run["results"][0].update(target=3),
    "text for a number": lambda run: run["results"][0]["metrics"].update(accuracy="0.5"),
    "NaN for a number": lambda run: run["results"][0]["metrics"].update(accuracy=math.nan),
    "null for a number": lambda run: run["results"][0]["metrics"].update(accuracy=None),
    "a list for a number": lambda run: run.update(seconds=[1]),
    "settings of text": lambda run: run.update(settings="x"),
    "a log of numbers": lambda run: run.update(log=[1]),
    "a log without steps": lambda run: run["log"][0].pop("step"),
    "another number": lambda run: run["results"][0]["metrics"].update(accuracy=0.125),
    "another method in a result": lambda run: run["results"][0].update(method="DEAL"),
    "no loss": lambda run: run["log"][0].pop("source_loss"),
    "infinity in the log": lambda run: run["log"][0].update(source_loss=math.inf)}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_run_is_named(command, edit):  # noqa: F811
    command("--seeds", "0", "--methods", "DIAL")
    (path,) = command.folder.glob("DIAL-0*")
    run = json.loads(path.read_text())
    EDITS[edit](run)
    path.write_text(json.dumps(run))
    before = contents(command.out)
    with pytest.raises(InputError, match=f"{path.name}: not a run of this program"):
        command()
    assert contents(command.out) == before


def test_a_corrupt_run_is_named(command):  # noqa: F811
    command("--seeds", "0", "--methods", "DIAL")
    (path,) = command.folder.glob("DIAL-0*")
    for text in ('{"method": "DI', "", "[]", "{}", '{"settings": 1}', "\x80"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match=f"{path.name}: not a run of this program"):
            command()
        assert path.read_text(encoding="latin-1") == text
    path.unlink()
    for make in (path.mkdir, lambda: (path.rmdir(), path.symlink_to("nowhere"))):
        make()
        with pytest.raises(InputError, match=f"{path.name}: not a run of this program"):
            command()


def test_a_run_is_kept_whose_model_is_not(command, trainer):  # noqa: F811
    trainer.failure = "no space left"
    for _ in range(2):  # with --save it is trained again
        with pytest.raises(InputError, match="--save: Src-Pref's model was not kept: no space left; the"):
            command("--save")
        (path,) = command.folder.glob("*.json")
        assert path.name[:10] == "Src-Pref-0"
    trainer.done.clear()
    command()  # and without it counts as it is
    assert [job[:2] for job in trainer.done] == [("DIAL", 0), ("Src-Pref", 1), ("DIAL", 1)]
    trainer.failure = None
    trainer.done.clear()
    command("--save", "--methods", "Src-Pref")
    assert [(*job[:2], bool(job[3])) for job in trainer.done] == [("Src-Pref", 0, True)]
    assert json.loads(path.read_text())["saved"] == "adapter"
