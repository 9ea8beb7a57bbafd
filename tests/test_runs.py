"""What a command trains and reports: it goes on from finished runs, refuses those of other
settings, deletes them with --overwrite. A stand-in trains here."""
import itertools
import json
import shutil

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
        self.done, self.stop, self.failure = [], {}, None

    def __call__(self, args, backbone, encoded, name, seed, pairs, save=None):
        if (name, seed) in self.stop:
            raise self.stop[name, seed]
        names = [(source.name, target.name) for source, target in pairs]
        self.done.append((name, seed, [target for _, target in names], save))
        failure = self.failure if save else None
        return {"method": name, "seed": seed, "seconds": 1.0, "failure": failure,
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
        "DIAL": [1] * 6, "DEAL": [1] * 6, "Tgt-Pref*": [2] * 3, "Src-Tgt-Pref*": [1] * 6}
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
    assert command("--checkpoint", "--methods", "Src-Pref", "--set", "steps=40")[0] == []
    assert command("--steps", "40", "--device", "cpu")[0] == []


# ------------------------------------------------------------------ other settings


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


def test_other_settings_are_refused(command, others, monkeypatch, trainer):
    monkeypatch.setattr(backbones, "pick_machine", lambda *_: ("cpu", "float32"))
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


def test_overwrite_deletes_an_earlier_commands_runs_and_models(command):
    first, _ = command()
    (command.out / "models" / "DIAL").mkdir(parents=True)
    for name in ("models/DIAL/weights", "results.json", "notes"):
        (command.out / name).touch()
    (command.folder / "x.json").write_text("no run")
    done, reported = command("--overwrite", "--steps", "3")
    assert done == first == names_of(reported)
    kept = {json.loads(text)["settings"]["steps"] for text in contents(command.folder).values()}
    assert kept == {3} and not (command.out / "models").exists()
    assert {path.name for path in command.out.iterdir()} == {"runs", "results.json", "notes",
                                                             ".lock"}
    assert command("--steps", "3")[0] == []
    assert command("--overwrite", "--steps", "3", "--seeds", "1")[0] == first[2:]
    assert len(contents(command.folder)) == 2  # those of seed 0 have gone


def test_overwrite_deletes_only_where_the_command_can_run(command, trainer, monkeypatch):
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
    with pytest.raises(InputError, match="models/DIAL: --overwrite would delete it"):
        command("--overwrite", "--model", str(command.out / "models" / "DIAL"))
    assert contents(command.out) == before
    trainer.stop["Src-Pref", 0] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        command("--overwrite")
    assert [path.name for path in contents(command.out)] == ["x"]


def test_dry_run_trains_nothing_and_writes_nothing(command, capsys):
    done, reported = command("--dry-run", "--target", "fruits", "sauces", "--steps", "9",
                             "--methods", "Longest", "Src-Pref", "DIAL")
    assert done == reported == [] and not command.out.exists()
    out = capsys.readouterr().out
    assert "8 runs with 8 + 8 rows a step" in out
    assert "DIAL, seed 1, 9 steps: desserts:en -> sauces:en\n" in out
    assert "Longest, seed 0, no training: desserts:en -> fruits:en, desserts:en -> sauces:en" in out


# ------------------------------------------------------------------ --save


def test_the_first_run_of_a_method_is_saved(command, trainer):
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


def test_it_is_too_late_to_save_where_all_is_finished(command, trainer):
    command()
    before = contents(command.out)
    with pytest.raises(InputError, match="--save: the runs of DIAL, Src-Pref are finished"):
        command("--save")
    assert contents(command.out) == before
    command("--save", "--seeds", "0", "2")
    assert [bool(save) for *_, save in trainer.done] == [True, True]
