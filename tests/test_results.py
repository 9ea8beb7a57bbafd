"""The numbers that the documents state are those of the JSON files beside the results.

In sentences a mean ± standard error, and a gain's n and p, must occur in the files; of README's
table every cell. test_result_tables.py writes the tables of experiments/results/README.md anew.
"""
import json
import re
from statistics import fmean, stdev

import pytest
from conftest import ROOT
from scipy.stats import ttest_1samp

RESULTS = ROOT / "experiments" / "results"
DOCUMENTS = ["README.md", "experiments/README.md", "experiments/results/README.md",
             "experiments/results/tried.md", "toy/README.md"]
NUMBER = re.compile(r"(-?\d*\.\d{3}) ± (\d*\.\d{3})")
GAIN = re.compile(r"([+-]\.\d{3}) ± (\.\d{3}) \(n = (\d+), p = (\.\d+)")
P = re.compile(r"\bp = (\.\d+)")


# --- what the files hold -------------------------------------------------------------------------
def rows(file):
    return json.loads((RESULTS / file).read_text())["rows"]


def row(file, method, metric="accuracy", target=None):
    """{seed: value} of the one row that matches; of the benchmark, a round for a seed."""
    found = [r for r in rows(file) if (r["method"], r["metric"]) == (method, metric)
             and target in (None, r["source"], r["target"], (r["source"], r["target"]))]
    assert len(found) == 1, (file, method, metric, target, len(found))
    values = found[0]["values"]
    return dict(zip(found[0].get("seeds") or range(len(values)), values))


def less(values, base):
    """Paired differences, over the seeds that both have."""
    return [values[seed] - base[seed] for seed in values if seed in base]


def over(targets):
    """For each seed the mean over targets."""
    return {seed: fmean(t[seed] for t in targets) for seed in targets[0]}


def error(values):
    return stdev(values) / len(values) ** 0.5


def p_value(values):
    return ttest_1samp(list(values), 0).pvalue


def holm(ps):
    """Holm's correction: the k-th smallest of m is multiplied by m - k + 1, and none is below an
    earlier one."""
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = corrected[i] = max(largest, min(1.0, ps[i] * (len(ps) - rank)))
    return corrected


# --- numbers in sentences ------------------------------------------------------------------------
def measured():
    """Lists of values that a document may state, each with whether it is a gain: the rows, the
    differences to other methods of their file, and the means of both over the targets of a file."""
    for path in sorted(RESULTS.glob("*.json")):
        by_key, by_method = {}, {}
        for r in rows(path.name):
            values = dict(zip(r.get("seeds") or range(len(r["values"])), r["values"]))
            yield r["values"], " less " in r["method"]
            yield (r.get("gain") or {"values": []})["values"], True
            by_key.setdefault((r["source"], r["target"], r["metric"]), {})[r["method"]] = values
            if r["metric"] == "accuracy" and " less " not in r["method"]:
                by_method.setdefault(r["method"], []).append(values)
        for methods in by_key.values():
            for name in [m for m in methods if m.split(",")[0] in ("DIAL", "DEAL")]:
                for base in methods.keys() - {name}:
                    yield less(methods[name], methods[base]), True
        means = {method: over(targets) for method, targets in by_method.items()
                 if len({tuple(t) for t in targets}) == 1}
        yield from ((list(values.values()), False) for values in means.values())
        if means.keys() >= {"DIAL", "Src-Pref"}:
            yield less(means["DIAL"], means["Src-Pref"]), True


@pytest.fixture(scope="module")
def pool():
    """(mean, standard error, n, p or None where it is no gain)."""
    return [(fmean(v), error(v), len(v), p_value(v) if gain and stdev(v) else None)
            for v, gain in measured() if len(v) > 1]


def wrong_numbers(text, pool):
    """What a text states and no file holds: mean ± standard error, a gain's n and p, a p alone."""
    text = " ".join(text.split())

    def alike(m, s, a, b):
        return max(abs(float(m) - a), abs(float(s) - b)) < 6e-4
    wrong = [(m, s) for m, s in NUMBER.findall(text)
             if not any(alike(m, s, a, b) for a, b, _, _ in pool)]
    wrong += [(m, s, n, p) for m, s, n, p in GAIN.findall(text)
              if not any(alike(m, s, a, b) and int(n) == k and near(p, q)
                         for a, b, k, q in pool if q is not None)]
    return wrong + [p for p in P.findall(text)
                    if not any(near(p, q) for *_, q in pool if q is not None)]


def near(stated, p):
    """Whether p rounds to what is stated, in as many decimals."""
    return abs(float(stated) - p) <= 0.5001 * 10.0 ** -(len(stated) - 1)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_numbers_are_those_of_the_files(pool, document):
    prose = "\n".join(x for x in (ROOT / document).read_text().splitlines()
                      if not (document.endswith("results/README.md") and x.startswith("|")))
    assert not wrong_numbers(prose, pool)


@pytest.mark.parametrize("text", ["Src-Pref .987 ± .123", "+.046 ± .015 (n = 5, p = .031)",
                                  "+.046 ± .015 (n = 6, p = .013)", "with p = .0173."])
def test_a_wrong_number_is_seen(pool, text):
    assert wrong_numbers(text, pool)


def test_a_right_number_is_let_through(pool):
    assert not wrong_numbers("+.036 ± .024 (n = 6,\np = .20), on Korean p = .95", pool)


def test_holm():
    """By hand: .01 x 3, .04 x 2, and .05, which may not be below .08."""
    assert holm([0.04, 0.01, 0.05]) == pytest.approx([0.08, 0.03, 0.08])


def readme_rows():
    """The rows of README's table: (task, Src-Pref, DIAL, mean, error, n, p, verdict)."""
    for x in (ROOT / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in x.strip("|").split("|")]
        if len(cells) == 7 and "±" in cells[3]:
            yield (*cells[:3], *cells[3].split(" ± "), *cells[4:])


def wrong_cells(task, base, ours, mean, error, n, p, verdict, pool):
    """Whether no two means of the files and their gain are those of a row, or its verdict is not
    that of its p."""
    p, *corrected = re.findall(r"\d*\.?\d+(?:e-\d+)?", p)
    gains = [a for a, b, k, q in pool if q is not None and k == int(n)
             and max(abs(float(mean) - a), abs(float(error) - b)) < 6e-4
             and (abs(float(p) - q) < q / 10 if "e" in p else near(p, q))]
    bases, means = ([a for a, *_ in pool if abs(float(value) - a) < 6e-4] for value in (base, ours))
    exact = any(abs(b - a - gain) < 1e-9 for a in bases for b in means for gain in gains)
    judged = max(map(float, [p, *corrected])) < 0.05 and int(n) >= 5 and float(mean) > 0
    return not exact or judged != verdict.startswith("yes")


def test_the_table_of_the_readme(pool):
    table = list(readme_rows())
    assert len(table) == 9
    assert [row[0] for row in table if wrong_cells(*row, pool)] == []


def test_the_rows_of_the_readme_together():
    """What it says of Holm's method over all of its rows."""
    table = list(readme_rows())
    corrected = holm([float(row[6].split(",")[0]) for row in table])
    lost = [(row[0], f"{p:.2f}"[1:]) for row, p in zip(table, corrected)
            if row[7].startswith("yes") and p >= 0.05]
    assert lost == [("few-shot (ten labels), safe answers", ".12")]
    assert "safe answers would not be established either (p = .12)" in " ".join(
        (ROOT / "README.md").read_text().split())


@pytest.mark.parametrize("place, value", [(1, ".678"), (2, ".717"), (3, "+.037"), (4, ".028"),
                                          (5, "5"), (6, ".19"), (7, "yes")])
def test_a_wrong_cell_is_seen(pool, place, value):
    row = list(next(row for row in readme_rows() if row[0].endswith("three languages")))
    row[place] = value
    assert wrong_cells(*row, pool)


# --- the files -----------------------------------------------------------------------------------
def test_files_are_as_the_contract_says():
    for path in RESULTS.glob("*.json"):
        record = json.loads(path.read_text())
        assert {"experiment", "command", "model", "config", "seconds", "versions",
                "rows"} <= record.keys(), path
        for r in record["rows"]:
            assert r["mean"] == pytest.approx(fmean(r["values"]), abs=1e-9), path


def test_every_file_has_a_document():
    text = "".join((ROOT / d).read_text() for d in DOCUMENTS)
    assert not [p.name for p in RESULTS.glob("*.*") if p.suffix in (".json", ".png", ".gif")
                and not re.search(rf"(?<!\w){re.escape(p.name)}", text)]
