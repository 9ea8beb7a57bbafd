"""Runs and what they leave in a folder: plan, --resume, --save. A stand-in trains here."""
import itertools

import pytest
import torch

import cross_lingual
from data import InputError
from domains.splits import Domain
from support import backbones, runs


class StandIn:
    """A trainer that trains nothing, and says what it was asked to do."""

    def __init__(self, args):
        self.done, self.stop, self.unusable, self.failure = [], {}, None, None

    def __call__(self, args):
        return self

    def check(self, jobs):
        if self.unusable:
            raise self.unusable

    def run(self, job, save):
        if (job.method, job.seed) in self.stop:
            raise self.stop[job.method, job.seed]
        self.done.append((job.method, job.seed, [target for _, target in job.names], save))
        return [{"method": job.method, "source": s, "target": t, "n_test": 4, "n_source": 4,
                 "metrics": {"accuracy": job.seed / 10}} for s, t in job.names], [
                     {"step": 1}], self.failure if save else None


@pytest.fixture
def trainer(monkeypatch):
    stand_in = StandIn(None)
    monkeypatch.setattr(runs, "Trainer", stand_in)
    return stand_in


@pytest.fixture
def command(trainer, cache, tmp_path, monkeypatch):
    """Run cross_lingual.py and return what was trained, and the runs that it reports on."""
    reported = []
    monkeypatch.setattr(cross_lingual, "report", lambda args, runs, *_, **__: reported.append(runs))

    def command(*flags):
        trainer.done = []
        cross_lingual.main(["--model", "tiny", "--n-train", "20", "--n-test", "4", "--seeds", "0",
                            "1", "--out", str(tmp_path / "out"), *flags])
        return trainer.done, reported[-1]

    command.folder = tmp_path / "out" / "runs"
    return command


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()
            and path.name != ".lock"}


def test_a_method_is_trained_once_for_what_it_reads():
    """Src-Pref once for all targets, DIAL for each, Tgt-Pref* once for all sources."""
    domains = {name: Domain(name) for name in "abc"}
    pairs = [(domains[s], domains[t]) for s, t in itertools.permutations("abc", 2)]

    class Args:
        seeds, methods = [3, 5], ["Longest", "Src-Pref", "DIAL", "Tgt-Pref*", "Src-Tgt-Pref*"]
    jobs = runs.plan(Args, lambda seed: pairs)
    count = {m: [len(j.pairs) for j in jobs if (j.method, j.seed) == (m, 5)] for m in Args.methods}
    assert count == {"Longest": [6], "Src-Pref": [2] * 3, "DIAL": [1] * 6, "Tgt-Pref*": [2] * 3,
                     "Src-Tgt-Pref*": [1] * 6}
    assert jobs[1].names == [("a", "b"), ("a", "c")] and len(jobs) == 2 * (1 + 3 + 6 + 3 + 6)


def test_resume_does_only_what_is_missing(command):
    done, _ = command()
    assert [d[:2] for d in done] == [(m, s) for s in (0, 1) for m in ("Src-Pref", "DIAL")]
    before = contents(command.folder)
    assert len(before) == 4 and command("--resume")[0] == []
    assert contents(command.folder) == before
    done, reported = command("--resume", "--seeds", "1", "2", "--target", "desserts:th",
                             "desserts:ko")
    both, ko = ["desserts:th", "desserts:ko"], ["desserts:ko"]
    assert done == [("Src-Pref", 1, ko, False), ("DIAL", 1, ko, False),
                    ("Src-Pref", 2, both, False), ("DIAL", 2, ["desserts:th"], False),
                    ("DIAL", 2, ko, False)]
    assert len(reported) == 9  # finished ones too, whatever was asked for
    targets = [run["results"][0]["target"] for run in reported]
    assert targets == sorted(targets, key=both.index)  # in the order asked for, not that of files
    assert {path: contents(command.folder)[path] for path in before} == before


@pytest.mark.parametrize("flags, message", [
    (["--set", "lambda_gp=10"], "lambda_gp 1.0, not 10.0:"), (["--steps", "4"], "steps 40, not 4:"),
    (["--batch-size", "3"], "batch_size 8, not 3:"), (["--n-train", "30"], "n_train 20, not 30:"),
    (["--part", "validation"], "part test, not validation:"),
    (["--model", "x"], "model tiny, not x:"), (["--compile"], "compile False, not True:"),
    (["--max-length", "2000"], "max_length 1024, not 2000:"),
    (["--truncate"], "truncate False, not True:"),
    (["--set", "center_prompts=false"], "center_prompts True, not False:")])
def test_resume_refuses_other_settings(command, flags, message):
    command()
    before = contents(command.folder)
    with pytest.raises(InputError, match=message) as error:
        command("--resume", *flags)
    assert str(command.folder) in str(error.value) and len(str(error.value)) < 300
    assert contents(command.folder) == before


def test_resume_refuses_another_precision(command, monkeypatch):
    monkeypatch.setattr(backbones, "pick_dtype", lambda *_: torch.float32)
    command()
    monkeypatch.setattr(backbones, "pick_dtype", lambda *_: torch.bfloat16)
    with pytest.raises(InputError, match="has dtype float32, not bfloat16"):
        command("--resume")


def test_the_first_run_of_a_method_is_saved(command):
    assert [d[3] for d in command("--save", "--methods", "Longest", "DIAL")[0]] == [
        False, True, False, False]  # nothing of Longest can be
    assert [d[3] for d in command("--save", "--resume", "--seeds", "2", "--methods", "DIAL")[0]
            ] == [False]
    with pytest.raises(InputError, match="--save: the runs of DIAL are finished"):
        command("--save", "merged", "--resume", "--methods", "DIAL")  # adapters were kept
    command("--save", "merged", "--methods", "DIAL")
    assert command("--save", "--resume", "--methods", "DIAL")[0] == []
    command()
    with pytest.raises(InputError, match="--save: the runs of DIAL, Src-Pref are finished"):
        command("--resume", "--save")
    assert [d[3] for d in command("--resume", "--save", "--seeds", "0", "2")[0]] == [True, True]


def test_dry_run_trains_nothing_and_writes_nothing(command, capsys):
    done, reported = command("--dry-run", "--target", "fruits", "sauces", "--steps", "9")
    assert done == reported == [] and not command.folder.parent.exists()
    out = capsys.readouterr().out
    assert "6 runs with 8 + 8 rows a step" in out
    assert "DIAL, seed 1, 9 steps: desserts:en -> sauces:en" in out
