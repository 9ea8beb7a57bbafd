"""Flags, --set, --help, presets and exit codes; nothing here trains."""
import importlib
import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from argparse import Namespace
from dataclasses import fields
from pathlib import Path

import pytest
from conftest import ROOT

import clean_to_noisy
import cross_lingual
import embeddings
import few_shot
import odd_one_out
import scaling
import simple_to_complex
from data import InputError
from dial import DialConfig
from harness import command
from harness.command import exit_codes
from harness.flags import RUNS, SAVE
from harness.report import report
from methods.table import METHODS

COMMANDS = ("clean_to_noisy", "cross_lingual", "embeddings", "few_shot", "odd_one_out", "scaling",
            "simple_to_complex")
ALL_LINEAR = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"


def parser_of(name, monkeypatch):
    """The parser that a command makes."""
    made, module = [], importlib.import_module(name)
    monkeypatch.setattr(module, "parse", lambda p, argv: made.append(p) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        module.main([])
    return made[0]


def configured(*flags):
    p = command.run_parser("", "x", {"steps": 7, "lambda_da": 0.5}, RUNS)
    return command.parse(p, list(flags)).config


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_few_flags_and_helps(name, monkeypatch):
    p = parser_of(name, monkeypatch)
    flags = [action for action in p._actions if action.option_strings]
    assert 14 < len(flags) <= 29 + 1  # with --help
    table = dict(re.findall(r"^  (\w+) +(\S+)  ", p.format_help(), re.M))
    for field in fields(DialConfig):
        value = p.get_default("preset").get(field.name, field.default)
        kind = str if field.type is bool else field.type
        assert kind(table[field.name]) == kind(value)
    assert all(action.help for action in flags)


CROSS_LINGUAL = {"steps": 40, "learning_rate": 2e-4, "center_prompts": True}


@pytest.mark.parametrize("name, batch_size, changes", [
    ("cross_lingual", 8, CROSS_LINGUAL),
    ("clean_to_noisy", 4, {"center_prompts": True}), ("few_shot", 8, {"center_prompts": True}),
    ("simple_to_complex", 4, {"learning_rate": 2e-4, "lambda_da": 0.03}),
    ("odd_one_out", 4, {"steps": 160}),
    ("scaling", 4, {"steps": 160}), ("embeddings", 8, CROSS_LINGUAL)])
def test_presets(name, batch_size, changes, monkeypatch):
    laptop = {"steps": 120, "learning_rate": 5e-4, "warmup_steps": 10, "decay": 0.4,
              "lambda_da": 1.0, "critic_learning_rate": 1e-3, "critic_steps": 10,
              "critic_beta1": 0.5, "lora_layers": 6, "lora_modules": ALL_LINEAR,
              "scale_embeddings": True}
    p = parser_of(name, monkeypatch)
    assert p.get_default("preset") == laptop | changes
    assert p.get_default("batch_size") == batch_size and p.get_default("model") == "gemma-3-270m"
    assert "DIAL" in p.get_default("methods")
    assert name == "embeddings" or p.get_default("seeds") == [0, 1, 2]


def test_settings_are_the_preset_then_the_flags():
    config = configured()
    assert (config.steps, config.lambda_da, config.lora_rank) == (7, 0.5, 64)
    assert configured("--steps", "9", "--set", "steps=6").steps == 9
    config = configured("--steps", "9", "--set", "lambda_da=2", "lora_modules=q_proj,o_proj",
                        "--set", "center_prompts=true", "scale_embeddings=False", "lora_layers=3")
    assert (config.steps, config.lambda_da, config.lora_layers) == (9, 2.0, 3)
    assert config.lora_modules == "q_proj,o_proj"
    assert config.center_prompts is True and config.scale_embeddings is False
    assert isinstance(config.lambda_da, float) and isinstance(config.lora_layers, int)


@pytest.mark.parametrize("words, message", [
    ("lambda=1", "NAME=VALUE with a NAME of steps, learning_rate"),
    ("lambda_da", "NAME=VALUE"), ("lambda_da=", "NAME=VALUE"),
    ("lora_rank=1.5", "lora_rank is of type int"), ("lambda_da=much", "lambda_da is of type float"),
    ("center_prompts=1", "center_prompts is of type bool"),
    ("steps=0", "steps must be from 1 .*not 0"), ("learning_rate=nan", "learning_rate must"),
    ("learning_rate=1e300", "learning_rate must be from 0 to 1e.30, not 1e.300"),
    ("critic_learning_rate=1e38", "critic_learning_rate must be from 0 to 1e.30, not 1e.38"),
    ("lambda_gp=-1", "from 0 .*not -1"), ("clip=inf", "clip must be .*not inf"),
    ("critic_beta1=1", "critic_beta1 must be .*not 1"), ("decay=1.5", "decay must be from 0 to 1")])
def test_settings_that_cannot_be(words, message):
    with pytest.raises(InputError, match=f"^--set.*{message}"):
        configured("--set", words)


@pytest.mark.parametrize("main, flags, message", [
    (cross_lingual.main, ["--methods", "Magic"], "--methods: invalid choice: .Magic. .*Src-Tgt-"),
    (cross_lingual.main, ["--dtype", "int4"], "int4.*float32"),
    (cross_lingual.main, ["--steps", "many"], "--steps: must be a whole number above 0, not many"),
    (cross_lingual.main, ["--steps", "0"], "--steps"),
    (cross_lingual.main, ["--n-train", "1000000000"], "--n-train: must be a whole number from 1 t"),
    (cross_lingual.main, ["--seeds", "-1"], "whole number from 0 to .*, not -1"),
    (cross_lingual.main, ["--seeds", str(2**32)], "whole number from 0 to .*, not 4294967296"),
    (cross_lingual.main, ["--seeds", "0", "0"], "--seeds takes each once"),
    (cross_lingual.main, ["--target", "fruits", "fruits"], "--target takes each once"),
    (cross_lingual.main, ["--no-such-flag"], "--no-such-flag.*--help"),
    (cross_lingual.main, ["--step", "3"], "--step"),
    (cross_lingual.main, ["--source", "meat"], "meat.*desserts"),
    (cross_lingual.main, ["--source", "fruits:fr"], "fruits:fr.*en, ko, th, zh"),
    (cross_lingual.main, ["--pairs", "legaladvice-kor_Hang"], "--pairs goes with --paper"),
    (cross_lingual.main, ["--paper", "--dry-run", "--pairs", "legal"],
     "--pairs legal: there are legaladvice-kor_Hang, .*explainlikeimfive-zho_Hans"),
    (cross_lingual.main, ["--paper", "--pairs", "x", "x"], "--pairs takes each once"),
    (cross_lingual.main, ["--paper", "--steps", "5"], "by epochs"),
    (cross_lingual.main, ["--paper", "--set", "clip=1", "steps=5"], "by epochs"),
    (cross_lingual.main, ["--paper", ""], "--paper: the value is empty"),
    (cross_lingual.main, ["--eval-data", ""], "--eval-data: the value is empty"),
    (few_shot.main, ["--data", ""], "--data: the value is empty"),
    (few_shot.main, ["--out", ""], "--out: the value is empty"),
    (few_shot.main, ["--out="], "--out=: the value is empty"),
    (few_shot.main, ["--out", "bad\udcff"], r"'bad\\udcff': control characters, and bytes that"),
    (few_shot.main, ["--out", "\x1b[31mred"], r"'\\x1b\[31mred': control characters, and bytes th"),
    (cross_lingual.main, ["--paper", "nowhere"], "--paper nowhere: no such folder"),
    (cross_lingual.main, ["--paper", "--source-data", "a"], "--source-data does not go with --pap"),
    (cross_lingual.main, ["--source-data", "a", "--target", "fruits"], "--target does not go with"),
    (clean_to_noisy.main, ["--eval-data", "a", "--n-test=2"], "--n-test does not go with --eval-d"),
    (few_shot.main, ["--paper", ".", "--part", "validation"],
     "--part does not go with --paper"),
    (odd_one_out.main, ["--all", "--source", "snacks"], "--all is all pairs"),
    (few_shot.main, ["--data", "a", "--paper"], "--data does not go with --paper"),
    (odd_one_out.main, ["--paper", "--n-train", "9"], "--n-train does not go with --paper"),
    (scaling.main, ["--methods", "DIAL"], "unrecognized arguments: --methods"),
    (scaling.main, ["--save"], "unrecognized arguments: --save"),
    (scaling.main, ["--paper"], "unrecognized arguments: --paper"),
    (embeddings.main, ["--overwrite"], "unrecognized arguments: --overwrite"),
    (cross_lingual.main, ["--resume"], "unrecognized arguments: --resume"),
    (scaling.main, ["--budget", "2000"], "--budget 2000: must be from 10 to the 1000 re"),
    (simple_to_complex.main, ["--source-data", "a"], "--target-data is missing"),
    (simple_to_complex.main, ["--target-data", "a"], "--source-data is missing")])
def test_flags_that_cannot_be(main, flags, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        main(["--model", "tiny", "--out", str(tmp_path / "out"), *flags])
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_all_methods():
    p = command.run_parser("", "few_shot", {"steps": 4}, RUNS | SAVE)
    args = command.parse(p, ["--methods", "all"])
    assert args.methods == list(METHODS)[:11] and "MMD" not in args.methods
    assert args.config.steps == 4
    assert args.compile is args.overwrite is args.given is False and args.save is None
    assert str(args.out) == "runs/few_shot"
    assert command.parse(p, ["--methods", "DIAL", "all"]).methods == args.methods
    assert command.parse(p, ["--save"]).save == "adapter"


@pytest.mark.parametrize("end, code, line", [
    (InputError("no\nway"), 2, "error: no way\n"), (KeyboardInterrupt(), 130, "stopped\n"),
    (FloatingPointError("nan"), 2, "error: nan\n"), (None, None, "")])
def test_exit_codes(end, code, line, capsys):
    def run():
        with command.exit_codes():
            if end:
                raise end

    if code is None:
        run()
    else:
        with pytest.raises(SystemExit) as stop:
            run()
        assert stop.value.code == code
    assert capsys.readouterr().err == line


def test_a_disk_or_terminal_that_is_full_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("os.dup2", lambda *_: None)
    for error, line in ((OSError(28, "No space left on device", "a/b.png"), "a/b.png: No space"),
                        (BrokenPipeError(32, "Broken pipe"), "standard output: Broken pipe")):
        with pytest.raises(SystemExit) as stop, command.exit_codes():
            raise error
        assert stop.value.code == 1 and capsys.readouterr().err.startswith(f"error: {line}")


def test_sigterm_ends_a_command_as_an_interrupt_does(capsys):
    with pytest.raises(SystemExit) as stop, command.exit_codes():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.code == 130 and capsys.readouterr().err == "stopped\n"


def test_an_interrupt_while_packages_are_imported_is_one_line(tmp_path):
    """A stand-in for torch, which takes seconds to import, sends the signal."""
    (tmp_path / "torch.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    end = subprocess.run([sys.executable, "experiments/few_shot.py"], cwd=ROOT, text=True,
                         capture_output=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert end.stderr == "stopped\n" and end.returncode == -signal.SIGINT


@pytest.mark.parametrize("where", ["a closed pipe", "/dev/full", "ASCII"])
def test_results_and_figure_outlive_the_terminal(where, tmp_path, undrawn):
    """A closed pipe and a full disk in place of the terminal cost the printed table alone."""
    reader, closed = os.pipe()
    os.close(reader)
    stdout = {"a closed pipe": closed, "/dev/full": os.open("/dev/full", os.O_WRONLY),
              "ASCII": os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)}[where]
    stderr = os.open(tmp_path / "err", os.O_WRONLY | os.O_CREAT)
    process = multiprocessing.get_context("fork").Process(
        target=report_to, args=(stdout, stderr, tmp_path))
    process.start()
    process.join()
    said = (tmp_path / "err").read_text()
    assert (tmp_path / "results.json").exists() and (tmp_path / "training.png").exists()
    if where == "ASCII":
        assert process.exitcode == 0 and r"0.500 \xb1 0.100" in (tmp_path / "out").read_text()
    else:
        assert process.exitcode == 1 and said.count("rror") == 1 and "Traceback" not in said
        assert said.splitlines()[-1].startswith("error: standard output: ")


def report_to(stdout, stderr, out):
    """A process with a terminal that knows ASCII alone, and what Python does at its end."""
    os.dup2(stdout, 1), os.dup2(stderr, 2)
    sys.stdout, sys.stderr = (io.TextIOWrapper(open(fd, "wb", closefd=False), encoding="ascii")
                              for fd in (1, 2))
    try:
        with exit_codes():
            report_runs(out)
    finally:
        sys.stdout.flush()


def report_runs(out):
    """What a command does at its end, with two runs."""
    args = Namespace(out=Path(out), paper=None, experiment="x", methods=["DIAL"], model="tiny",
                     config=DialConfig(), batch_size=8, training=None)
    runs = [{"method": "DIAL", "seed": seed, "seconds": 1.0, "log": [{"step": 1, "source_loss": 1}],
             "settings": {"device": "cpu", "dtype": "float32"},
             "results": [{"method": "DIAL", "source": "s", "target": "t", "n_test": 4,
                          "n_source": 4, "metrics": {"accuracy": 0.4 + seed / 5}}]}
            for seed in (0, 1)]
    report(args, runs, "Trial")


def test_what_is_no_fault_of_the_user_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), command.exit_codes():  # Python's exit code is then 1
        1 / 0
    several = {"cross_lingual", "few_shot", "clean_to_noisy", "simple_to_complex", "odd_one_out"}
    for path in (ROOT / "experiments").glob("*.py"):
        allowed = "several=True" if path.stem in several else ""  # processes, by torchrun
        assert path.read_text(encoding="utf-8").endswith(
            f'if __name__ == "__main__":\n    with exit_codes({allowed}):\n        main()\n')
