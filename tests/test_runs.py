"""What a command trains and reports; it goes on from finished runs. A stand-in trains here."""
import itertools

import pytest

import cross_lingual
from data import InputError
from domains.splits import Domain
from harness import runs
from methods.table import METHODS
from models import backbones

TH, KO = "desserts:th", "desserts:ko"


class StandIn:
    """A `runs.run` that trains nothing, and keeps what it was asked to do."""

    def __init__(self):
        self.done, self.stop, self.after, self.failure = [], {}, {}, None

    def __call__(self, args, backbone, encoded, name, seed, pairs, save=None, **_):
        if (name, seed) in self.stop:
            raise self.stop[name, seed]
        names = [(source.name, target.name) for source, target in pairs]
        self.done.append((name, seed, [target for _, target in names], save))
        self.after.get((name, seed), lambda: None)()
        failure = self.failure if save else None
        if save and not failure:
            save.mkdir(parents=True, exist_ok=True)
            (save / "dial_config.json").touch()
        return {"seconds": 1.0, "failure": failure,
                "saved": args.save if save and not failure else None,
                "log": [{"step": 1, "source_loss": 0.7}],
                "results": [{"method": name, "source": s, "target": t, "n_test": 4, "n_source": 4,
                             "metrics": {"accuracy": seed / 10}} for s, t in names]}


@pytest.fixture
def trainer(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setattr(runs, "run", stand_in)
    return stand_in


@pytest.fixture(scope="session")
def loaded(cache):
    return backbones.load("tiny", "cpu", "float32")


@pytest.fixture
def command(trainer, loaded, tmp_path, monkeypatch):
    """Run cross_lingual.py and return what was trained, (method, seed, targets), and the runs that
    it reports on."""
    reported, load = [], backbones.load
    monkeypatch.setattr(backbones, "load", lambda name, *options: (
        loaded if name == "tiny" else load(name, *options)))
    monkeypatch.setattr(cross_lingual, "report", lambda args, runs, *_, **__: reported.append(runs))

    def command(*flags):
        trainer.done = []
        cross_lingual.main(["--model", "tiny", "--n-train", "6", "--n-test", "4", "--seeds", "0",
                            "1", "--out", str(command.out), *flags])
        return [job[:3] for job in trainer.done], reported[-1]

    command.out, command.folder = tmp_path / "out", tmp_path / "out" / "runs"
    return command


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()
            and path.name != ".lock"}


def names_of(reported):
    return [(run["method"], run["seed"], [r["target"] for r in run["results"]]) for run in reported]


def test_a_method_is_trained_once_for_what_it_reads():
    """Src-Pref once for all targets, DIAL for each, Tgt-Pref* once for all sources."""
    domains = {name: Domain(name) for name in "abc"}
    pairs = [(domains[s], domains[t]) for s, t in itertools.permutations("abc", 2)]
    sizes = {name: [len(group) for group in METHODS[name].groups(pairs)] for name in METHODS}
    assert sizes == {
        "Longest": [6], "Base LM": [6], "Seen words": [2] * 3, "Few-shot LM": [2] * 3,
        "Src-Pref": [2] * 3, "Src-Pref-SFT": [2] * 3, "Src-Pref-Tgt-NTP": [1] * 6,
        "DIAL": [1] * 6, "DEAL": [1] * 6, "Tgt-Pref*": [2] * 3, "Src-Tgt-Pref*": [1] * 6,
        "Mean matching": [1] * 6, "MMD": [1] * 6}
    first = METHODS["Src-Pref"].groups(pairs)[0]
    assert [(s.name, t.name) for s, t in first] == [("a", "b"), ("a", "c")]
    with pytest.raises(InputError, match="twice the same pair of domains"):
        METHODS["DIAL"].groups([*pairs, pairs[0]])


# ------------------------------------------------------------------ going on


def test_the_same_command_goes_on_by_itself(command, capsys):
    done, reported = command()
    assert done == [(m, s, [TH]) for s in (0, 1) for m in ("Src-Pref", "DIAL")]
    assert names_of(reported) == done and "finished" not in capsys.readouterr().err
    before = contents(command.folder)
    assert len(before) == 4 and command() == ([], reported)
    assert f"4 of 4 runs are finished in {command.out}\n" in capsys.readouterr().err
    assert contents(command.folder) == before
    done, _ = command("--seeds", "1", "2", "--methods", "DIAL", "Src-Pref", "Tgt-Pref*")
    assert done == [("Tgt-Pref*", 1, [TH]), ("DIAL", 2, [TH]), ("Src-Pref", 2, [TH]),
                    ("Tgt-Pref*", 2, [TH])]
    assert f"2 of 6 runs are finished in {command.out}\n" in capsys.readouterr().err
    assert {path: contents(command.folder)[path] for path in before} == before


def test_what_was_asked_for_is_reported_in_its_order(command):
    """Whatever order the runs were trained in, and whatever else is in the folder."""
    command("--seeds", "1", "--target", KO)
    done, reported = command("--target", TH, KO)
    assert done == [("Src-Pref", 0, [TH, KO]), ("DIAL", 0, [TH]), ("DIAL", 0, [KO]),
                    ("Src-Pref", 1, [TH]), ("DIAL", 1, [TH])]
    assert names_of(reported) == [
        ("Src-Pref", 0, [TH, KO]), ("DIAL", 0, [TH]), ("DIAL", 0, [KO]),
        ("Src-Pref", 1, [TH]), ("Src-Pref", 1, [KO]), ("DIAL", 1, [TH]), ("DIAL", 1, [KO])]
    done, reported = command("--target", KO, "--seeds", "1", "0", "--methods", "DIAL", "Src-Pref")
    assert done == [] and names_of(reported) == [
        ("DIAL", 1, [KO]), ("Src-Pref", 1, [KO]), ("DIAL", 0, [KO]), ("Src-Pref", 0, [KO])]


def test_flags_that_are_no_settings_go_on(command):
    command()
    flags = ["--gradient-checkpointing", "--checkpoint-every", "3", "--set", "steps=40"]
    assert command(*flags, "--methods", "Src-Pref")[0] == []
    assert command("--steps", "40", "--device", "cpu")[0] == []


def test_dry_run_trains_nothing_and_writes_nothing(command, capsys):
    done, reported = command("--dry-run", "--target", "fruits", "sauces", "--steps", "9",
                             "--methods", "Longest", "Src-Pref", "DIAL")
    assert done == reported == [] and not command.out.exists()
    out = capsys.readouterr().out
    assert "8 runs with 8 + 8 rows a step" in out
    assert "DIAL, seed 1, 9 steps: desserts:en -> sauces:en\n" in out
    assert "Longest, seed 0, no training: desserts:en -> fruits:en, desserts:en -> sauces:en" in out
