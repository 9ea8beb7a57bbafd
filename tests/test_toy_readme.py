"""The tables in toy/README.md are what the quick toys print.

Rounding differs between CPUs, and training makes the difference grow. Other instruction sets, and
initial weights changed by 1e-6 of their size, moved the accuracies by .001 and W / slope by .01.
Numbers of trained models may therefore differ by .015 or .5 percent, whichever is more. bound.py
trains nothing; its numbers may differ by .0002.
"""
import re

import pytest
from conftest import ROOT

import bound
import critics
import gaussians

README = (ROOT / "toy" / "README.md").read_text()
TRAINED = {"abs": 0.015, "rel": 0.005}  # numbers of trained models
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")


def stated(script):
    """The table that follows the command of a script in the README: its lines, the head first."""
    _, after = README.split(f"\n    python toy/{script} ")
    return [line.strip() for line in after.split("\n\n")[1].splitlines()]


def printed(main, capsys):
    main()
    return [line.strip() for line in capsys.readouterr().out.splitlines()]


def compare(expected, actual, **tolerance):
    """Assert that two tables have the same words, and numbers that are close to one another."""
    assert len(expected) == len(actual)
    for a, b in zip(expected, actual):
        assert NUMBER.sub("#", a).split() == NUMBER.sub("#", b).split()
        assert [float(x) for x in NUMBER.findall(a)] == pytest.approx(
            [float(x) for x in NUMBER.findall(b)], **tolerance)


def test_bound(capsys):
    compare(stated("bound.py"), printed(bound.main, capsys), abs=2e-4, rel=0)


@pytest.mark.slow
def test_gaussians(capsys):
    compare(stated("gaussians.py"), printed(gaussians.main, capsys), **TRAINED)


@pytest.mark.slow
def test_critics(capsys):
    compare(stated("critics.py"), printed(critics.main, capsys), **TRAINED)


def test_every_exact_distance_of_the_critics_table(monkeypatch, capsys):
    """The column W1 of all rows, without training."""
    monkeypatch.setattr(critics, "estimate_distance", lambda *_: (1.0, 1.0))
    tables = stated("critics.py"), printed(critics.main, capsys)
    compare(*([" ".join(row.split()[:2]) for row in table] for table in tables), abs=0.011, rel=0)


@pytest.mark.parametrize("right, wrong", [
    ("0.869", "0.849"), ("1.32", "1.35"), ("DIAL", "Dial"), ("0.02", "")])
def test_a_wrong_table_is_seen(right, wrong):
    table = stated("gaussians.py")
    compare(table, table, **TRAINED)
    with pytest.raises(AssertionError):
        compare(table, [line.replace(right, wrong) for line in table], **TRAINED)
