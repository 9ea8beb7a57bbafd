"""How several processes end: none waits for another, and one line says why. The processes are
forks, as in test_distributed.py; torchrun itself is started once."""
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace

import pytest
import torch
import torch.distributed as dist
from conftest import FAST, ROOT, SMALL
from test_distributed import pair  # noqa: F401  (a fixture)

import cross_lingual
from data import InputError
from harness.checkpoint import Checkpoint
from methods.table import METHODS
from models import processes


def only_one(end):
    """All processes wait for each other, until one of them has `end`."""
    while True:
        dist.all_reduce(torch.ones(1))
        if processes.rank() == 1:
            end()


def bad():
    raise InputError("no such text")


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def broken():
    return 1 / 0


@pytest.mark.parametrize("end, line", [(bad, "error: no such text\n"),
                                       (killed, "error: another process was ended\n"),
                                       (broken, "ZeroDivisionError: division by zero\n")])
def test_none_waits_for_one_that_has_ended(pair, capfd, end, line):  # noqa: F811
    _, codes = pair(only_one, end)
    lines = capfd.readouterr().err
    assert lines.endswith(line) and lines.count("\nTrace") == (end is broken)
    assert sorted(codes) == {bad: [2, 2], killed: [-9, 2]}.get(end, [1, 2])


@pytest.fixture
def met():
    """A barrier of two processes and the test: past it, both have joined one another."""
    return multiprocessing.get_context("fork").Barrier(3, timeout=60)


def test_an_interrupt(pair, capfd, met):  # noqa: F811
    def at_work():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background: none
        met.wait()
        only_one(lambda: None)

    def interrupt(children):
        met.wait()
        time.sleep(0.1)
        for process in children:
            os.kill(process.pid, signal.SIGINT)

    _, codes = pair(at_work, meanwhile=interrupt)
    assert capfd.readouterr().err == "stopped\n" and 130 in codes and 0 not in codes


def test_torchrun_ends_one_that_waits(pair, met):  # noqa: F811
    def late():
        met.wait()
        if processes.rank() == 0:
            time.sleep(60)
        dist.all_reduce(torch.ones(1))

    def terminate(children):
        met.wait()
        time.sleep(0.1)
        children[1].terminate()
        children[1].join(5)
        children[0].terminate()

    assert pair(late, meanwhile=terminate)[1] == [-signal.SIGTERM] * 2


def test_process_0_alone_writes_checkpoints(monkeypatch, tmp_path):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "told", lambda decide: decide())
    Checkpoint(tmp_path / "a", 1, "").keep([{}], None, None)
    assert not list(tmp_path.iterdir())


REFUSED = {
    "error: --set nonsense=1: ": ["--set", "nonsense=1"],
    "error: Src-Pref: 1 records a step for 2 processes": ["--batch-size", "1"],
    "error: Base LM takes one process: start it without torchrun": ["--methods", "Base LM"],
    "error: Src-Pref, seed 0: step 2: source_loss is not finite": [
        "--steps", "2", "--set", "learning_rate=1e30"],
}


@pytest.mark.parametrize("line", REFUSED)
def test_one_line_for_what_all_refuse(pair, capfd, tmp_path, line):  # noqa: F811
    _, codes = pair(cross_lingual.main, [*FAST, *SMALL, *REFUSED[line], "--out", str(tmp_path)])
    lines = capfd.readouterr().err
    print(lines)
    assert codes == [2, 2] and lines.count(line) == lines.count("rror") == 1


def test_a_command_for_one_process(pair, capfd):  # noqa: F811
    _, codes = pair(bad, several=False)
    assert codes == [2, 2]
    assert capfd.readouterr().err == (
        "error: this command takes one process: start it without torchrun\n")


@pytest.mark.parametrize("changes, line", [
    ({"shard": True, "compile": True}, "--shard does not go with --compile"),
    ({"device": "mps"}, "--device mps: several processes take cpu or cuda"),
    ({"device": "cuda"}, "2 processes on a machine with 1 CUDA devices"),
    ({"training": {"DIAL": Namespace(batch_size=2), "others": Namespace(batch_size=1)}},
     "Src-Pref: 1 records a step for 2 processes; raise --batch-size")])
def test_what_several_processes_cannot_do(args, monkeypatch, changes, line):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    args.methods = ["DIAL", "Src-Pref", "Longest"]
    processes.check(args, METHODS)
    with pytest.raises(InputError, match=f"^{line}$"):
        processes.check(Namespace(**vars(args) | changes), METHODS)


def test_weights_are_divided_among_several(cache, tmp_path):
    with pytest.raises(InputError, match="--shard takes several processes: torchrun --nproc_per_n"):
        cross_lingual.main([*FAST, *SMALL, "--shard", "--out", str(tmp_path)])


def test_an_environment_that_is_not_torchruns(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="^WORLD_SIZE is set, but not by torchrun: .*RANK"):
        with processes.together(True):
            pass


@pytest.mark.slow
def test_torchrun(tmp_path):
    """It ends at an interrupt, in seconds, and all that it started."""
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
         str(ROOT / "experiments" / "cross_lingual.py"), *FAST, *SMALL, "--steps", "100000",
         "--out", str(tmp_path)], stderr=subprocess.PIPE, text=True, bufsize=1)
    lines = iter(process.stderr.readline, "")
    assert any("Src-Pref, seed 0" in line for line in lines)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert rest.count("stopped\n") == 1 and "Error" not in rest.partition("stopped")[0]
