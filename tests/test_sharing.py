"""Processes that share a folder: each takes a run that nobody has taken. A stand-in trains."""
import pytest
from filelock import FileLock
from test_runs import command, contents, loaded, trainer  # noqa: F401  (fixtures)

from data import InputError


@pytest.fixture
def elsewhere(command):  # noqa: F811
    """A run that another process has taken: DIAL with seed 0, of the same command."""
    command("--seeds", "0", "--methods", "DIAL")
    (path,) = command.folder.glob("DIAL-0*.json")
    kept = path.read_text()
    path.unlink()
    with FileLock(path.with_suffix(".lock")) as lock:
        yield path, kept, lock


def test_processes_share_the_runs(command, trainer, elsewhere, capsys):  # noqa: F811
    """What another process has taken is left to it, and only the last one reports."""
    done, reported = command()
    assert [job[:2] for job in done] == [("Src-Pref", 0), ("Src-Pref", 1), ("DIAL", 1)]
    assert reported == []
    assert ("1 runs are with other processes, whose last one makes the table\n"
            in capsys.readouterr().err)
    path, kept, _ = elsewhere
    path.write_text(kept)  # the other has finished its run
    done, reported = command()
    assert done == [] and [(run["method"], run["seed"]) for run in reported] == [
        ("Src-Pref", 0), ("DIAL", 0), ("Src-Pref", 1), ("DIAL", 1)]


def test_a_process_that_is_killed_gives_its_run_back(command, trainer, elsewhere):  # noqa: F811
    *_, lock = elsewhere
    trainer.after["Src-Pref", 1] = lock.release  # the other one is killed meanwhile
    done, reported = command()
    assert [job[:2] for job in done] == [("Src-Pref", 0), ("Src-Pref", 1), ("DIAL", 1), ("DIAL", 0)]
    assert len(reported) == 4 and not [*command.folder.glob("*.lock")]


def test_a_run_that_another_finished_meanwhile_is_not_repeated(command, trainer,  # noqa: F811
                                                               elsewhere):
    path, kept, lock = elsewhere
    trainer.after["Src-Pref", 1] = lambda: (path.write_text(kept), lock.release())
    done, reported = command()
    assert [job[:2] for job in done] == [("Src-Pref", 0), ("Src-Pref", 1), ("DIAL", 1)]
    assert len(reported) == 4 and not [*command.folder.glob("*.lock")]


def test_another_command_does_not_join(command, trainer, elsewhere):  # noqa: F811
    """Other settings, and --overwrite, are refused while a process is at work there."""
    before, trainer.done = contents(command.out), []
    with pytest.raises(InputError, match="settings.json has steps 40, not 3: choose another --out"):
        command("--steps", "3")
    with pytest.raises(InputError, match=r"^--out .*out: another command is writing there$"):
        command("--overwrite")
    assert trainer.done == [] and contents(command.out) == before
    elsewhere[2].release()
    assert len(command("--steps", "3")[0]) == 4  # nothing finished is there, and nobody at work


def test_a_lock_that_was_left_behind_is_free(command):  # noqa: F811
    command("--seeds", "0", "--methods", "DIAL")
    (path,) = command.folder.glob("DIAL-0*.json")
    path.rename(path.with_suffix(".lock"))
    done, reported = command()
    assert len(done) == len(reported) == 4 and not [*command.folder.glob("*.lock")]
