"""How a command ends: its exit code, a line for what went wrong, and what outlives a terminal."""
import io
import multiprocessing
import os
import signal
import subprocess
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from data import InputError
from dial import DialConfig
from harness import command
from harness.command import exit_codes
from harness.report import report


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


def test_out_of_memory_is_a_line_with_advice(capsys):
    with pytest.raises(SystemExit) as stop, command.exit_codes():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB.\nmore")
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith(
        "error: CUDA out of memory. Tried 2 GiB. Try a smaller --batch-size or --max-length, or --g")
    with pytest.raises(RuntimeError, match="shapes"), command.exit_codes():
        raise RuntimeError("shapes")


def test_a_flag_takes_each_value_once():
    p = command.Parser(**command.PARSER)
    for name, options in (("--seeds", {"type": int}), ("--lengths", {}), ("--target", {}),
                          ("--set", {"action": "extend"}), ("--none", {"default": "x"})):
        p.add_argument(name, nargs="+", **options)
    for words in ("--seeds 1 01", "--lengths a b a"):
        with pytest.raises(InputError, match=f"{words.split()[0]} takes each once: "):
            p.parse_args(words.split())
    args = p.parse_args("--seeds 1 2 --target a a --set x=1 --set x=1".split())
    assert args.target == ["a", "a"] and args.set == ["x=1"] * 2 and args.none == "x"


def test_sigterm_ends_a_command_as_an_interrupt_does(capsys):
    with pytest.raises(SystemExit) as stop, command.exit_codes():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.code == 130 and capsys.readouterr().err == "stopped\n"


def test_an_interrupt_while_packages_are_imported_is_one_line(tmp_path):
    """A stand-in for torch, which takes seconds to import, sends the signal."""
    (tmp_path / "torch.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    end = subprocess.run([sys.executable, "experiments/few_shot.py"], cwd=ROOT, text=True,
                         capture_output=True, env=os.environ | {"PYTHONPATH": str(tmp_path)},
                         preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL))
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


def test_two_processes_write_the_same_file_at_once(tmp_path):
    """As those do that finish the last two runs of a folder together."""
    code = ("import sys; from pathlib import Path; from harness.tables import write_whole\n"
            "for i in range(150): write_whole(Path('x.json'), sys.argv[1] * 1000)")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "experiments")])}
    both = [subprocess.Popen([sys.executable, "-c", code, mark], cwd=tmp_path, env=env)
            for mark in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    (path,) = tmp_path.iterdir()
    assert path.read_text() in ("a" * 1000, "b" * 1000)


def test_what_is_no_fault_of_the_user_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), command.exit_codes():  # Python's exit code is then 1
        1 / 0
    several = {"cross_lingual", "few_shot", "clean_to_noisy", "simple_to_complex", "odd_one_out"}
    for path in (ROOT / "experiments").glob("*.py"):
        allowed = "several=True" if path.stem in several else ""  # processes, by torchrun
        assert path.read_text(encoding="utf-8").endswith(
            f'if __name__ == "__main__":\n    with exit_codes({allowed}):\n        main()\n')
