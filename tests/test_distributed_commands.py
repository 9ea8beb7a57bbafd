"""A command in two processes: one table, one set of bars, and the files of one process."""
import itertools
import json
import os
import signal

import pytest
from conftest import FAST, SMALL
from safetensors.torch import load_file
from test_distributed import pair  # noqa: F401  (a fixture)

import cross_lingual
from models import distributed, processes

def kept(out):
    """The numbers of a command's runs: their logs, their metrics, and the saved adapters."""
    found = [json.loads(path.read_text()) for path in sorted((out / "runs").glob("*.json"))]
    numbers = [[step[name] for step in run["log"] for name in sorted(step)] + [
        value for r in run["results"] for value in r["metrics"].values()] for run in found]
    for path in sorted(out.glob("models/*/adapter_model.safetensors")):
        numbers += [load_file(path)[name].flatten().tolist() for name in sorted(load_file(path))]
    return numbers


FLAGS = [*FAST, *SMALL, "--steps", "3", "--save", "merged"]


@pytest.fixture(scope="module")
def one(cache, tmp_path_factory):
    """What a command leaves in one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
        cross_lingual.main([*FLAGS, "--out", str(out := tmp_path_factory.mktemp("one"))])
    return out


def check_same(one, out):
    """The files and the numbers of a command, to rounding."""
    assert {p.relative_to(one) for p in one.rglob("*")} == {p.relative_to(out)
                                                            for p in out.rglob("*")}
    for a, b in zip(kept(one), kept(out), strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)


def killed_in_a_step(flags, n):
    """Run a command whose process 1 is killed after the n-th step that any run makes."""
    model = distributed.RewardModel
    steps, sum_gradients = itertools.count(1), model.sum_gradients

    def kill(trained):
        sum_gradients(trained)
        if next(steps) == n and processes.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    model.sum_gradients = kill  # of this fork
    cross_lingual.main(flags)


def test_a_command_in_two_processes(one, pair, tmp_path, undrawn, capfd):  # noqa: F811
    """It is killed in its second run, and goes on within that. There is one table, one set of bars,
    and the files and the numbers are those of one process, which would go on from there, too."""
    flags, out = [*FLAGS, "--out", str(tmp_path / "two")], tmp_path / "two"
    _, codes = pair(killed_in_a_step, [*flags, "--checkpoint-every", "2"], 6)
    printed, bars = capfd.readouterr()
    assert codes == [2, -9] and not printed
    assert bars.endswith("error: another process was ended\n") and bars.count("rror") == 1
    assert pair(cross_lingual.main, flags)[1] == [0, 0]
    printed, bars = capfd.readouterr()
    assert bars.count("1 of 2 runs are finished in") == bars.count("goes on after step 2") == 1
    assert bars.count("DIAL, seed 0:  67%") == 1 and "Src-Pref, seed" not in bars
    assert printed.count("DIAL over Src-Pref") == bars.count("results and runs") == 1
    check_same(one, out)
    cross_lingual.main(flags)
    assert "2 of 2 runs are finished in" in capfd.readouterr().err


def test_a_command_with_divided_weights(one, pair, tmp_path, undrawn):  # noqa: F811
    """Each run divides weights of its own, and what is saved is whole."""
    out = tmp_path / "two"
    assert pair(cross_lingual.main, [*FLAGS, "--shard", "--gradient-checkpointing", "--out",
                                     str(out)])[1] == [0, 0]
    check_same(one, out)
