"""The paired t-test of a gain, Holm's correction over a table's targets, and what they say."""
import json
from statistics import fmean

import pytest
from scipy import stats
from test_report import args_of, runs_of, pictures  # noqa: F401  (a fixture)

from harness import report, tables


def gains_of(**targets):
    """Runs of Src-Pref at .5 and of DIAL at so much more, a seed each, by target."""
    seeds = range(len(next(iter(targets.values()))))
    return runs_of({("Src-Pref", seed): dict.fromkeys(targets, 0.5) for seed in seeds} | {
        ("DIAL", seed): {t: 0.5 + gains[seed] for t, gains in targets.items()} for seed in seeds})


def test_p_is_that_of_a_two_sided_paired_t_test():
    """By hand: gains 1, 2, 3 have t = 2 / (1 / sqrt 3) with two degrees of freedom, where the
    distribution function is 1/2 + t / (2 sqrt(2 + t^2)), so p = 1 - sqrt(6/7)."""
    assert tables.paired([1.0, 2.0, 3.0])["p"] == pytest.approx(1 - (6 / 7) ** 0.5)
    assert tables.paired([-3.0, -2.0, -1.0])["p"] == pytest.approx(1 - (6 / 7) ** 0.5)
    ours, base = [0.61, 0.55, 0.7, 0.42, 0.66], [0.5, 0.57, 0.61, 0.4, 0.52]
    row = tables.paired([a - b for a, b in zip(ours, base)])
    assert row["p"] == pytest.approx(stats.ttest_rel(ours, base).pvalue)
    assert row["p"] < stats.ttest_ind(ours, base).pvalue / 3  # what pairing is for
    assert tables.paired([0.1])["p"] is tables.paired([0.0, 0.0])["p"] is None


def test_gains_that_differ_by_rounding_alone_have_no_p():
    gains = [a + 0.1 - a for a in (0.1, 0.2, 0.3, 0.7, 0.9)]
    assert len(set(gains)) > 1
    row = tables.paired(gains)
    assert (row["se"], row["p"]) == (0, None) and not tables.established(row, row["p"])


def test_holms_correction():
    """By hand, in the order of the p values: .01 x 3, then .02 x 2, then .04, none below the one
    before; and against an independent statement of it, from the closed testing of Bonferroni."""
    assert tables.holm([0.02, 0.04, 0.01]) == pytest.approx([0.04, 0.04, 0.03])
    assert tables.holm([0.6, 0.5]) == [1.0, 1.0] and tables.holm([0.3]) == [0.3]
    ps = [0.011, 0.4, 0.02, 0.013, 0.011]

    def rejected(level):  # step down until one is not small enough
        order, out = sorted(range(len(ps)), key=ps.__getitem__), set()
        for k, i in enumerate(order):
            if ps[i] > level / (len(ps) - k):
                break
            out.add(i)
        return out

    corrected = tables.holm(ps)
    for level in (0.01, 0.05, 0.0521, 0.054, 0.0561, 0.07, 0.3, 0.5):
        assert {i for i, p in enumerate(corrected) if p <= level} == rejected(level)


@pytest.mark.parametrize("values, words", [
    ([0.1, 0.2, 0.1, 0.2, 0.1], ["+0.140 ± 0.024 (p = 0.0046), 5 of 5 seeds up; established"]),
    ([0.1, 0.2, 0.1, 0.2], [  # p = .014, but too few seeds
        "(p = 0.014), 4 of 4 seeds up; too few seeds to say, 5 are needed"]),
    ([0.5, -0.1, 0.3, 0.0, 0.1], ["+0.160 ± 0.108 (p = 0.21), 3 of 5 seeds up; no gain found"]),
    ([0.1, 0.3, 0.0, 0.2, 0.03], ["(p = 0.086)", "no gain found"]),  # 2.3 standard errors
    ([-0.1, -0.2, -0.1, -0.2, -0.1], ["-0.140 ± 0.024 (p = 0.0046), 0 of 5", "no gain found"]),
    ([0.1], ["accuracy: +0.100, 1 of 1", "too few seeds"]),
    ([0.2] * 5, ["+0.200 ± 0.000, 5 of 5 seeds up; the gains are all the same: no test"]),
    ([0.2] * 4, ["4 of 4 seeds up; too few seeds to say"]),
    ([0.0] * 5, ["accuracy: +0.000 ± 0.000, 0 of 5", "no gain found"])])
def test_established_is_p_below_a_twentieth_over_five_seeds_and_a_gain_above_0(values, words):
    row = tables.paired(values) | {"metric": "accuracy", "paper": None}
    line = report.gain_line(row)
    assert all(word in line for word in words) and "in the paper" not in line
    assert line.endswith("; established") == (words[0].endswith("; established"))
    line = report.gain_line(row | {"metric": "pearson", "paper": 0.04})
    assert "in pearson" in line and "; in the paper +0.040; " in line


STEADY, LOSS = [0.1, 0.2, 0.1, 0.2, 0.1], [-0.1, -0.2, -0.1, -0.2, -0.1]  # p = .0046
WEAK = [0.1, 0.3, 0.02, 0.2, 0.05]  # p = .060
FAIR = [0.1, 0.3, 0.05, 0.2, 0.1]  # p = .028, twice as much among two


@pytest.mark.parametrize("targets, found", [
    ({"t": STEADY, "u": FAIR}, ["s -> t (p = 0.0093), s -> u (p = 0.028)"]),
    ({"t": WEAK, "u": STEADY}, ["s -> u (p = 0.0093)\n"]),
    ({"t": FAIR, "u": WEAK}, ["none\n"]),  # .028 is not below .05 twice
    ({"t": LOSS, "u": STEADY}, ["of 2 targets, after Holm's correction: s -> u (p = 0.0093)\n"]),
    ({"t": STEADY[:4], "u": STEADY[:4]}, ["none\n"]), ({"t": STEADY}, [])])
def test_of_several_targets_holm_says_which_are_established(targets, found, tmp_path, capsys,
                                                            pictures):  # noqa: F811
    report.report(args_of(tmp_path), gains_of(**targets), "Trial")
    out = capsys.readouterr().out
    assert out.count("established by itself in accuracy, of ") == len(found)
    assert all(words in out for words in found)
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    gains = [r["gain"] for r in rows if (r["method"], r["metric"]) == ("DIAL", "accuracy")]
    ps = [stats.ttest_1samp(values, 0).pvalue for values in targets.values()]
    assert [g["p"] for g in gains] == pytest.approx(ps)
    assert [g["p_holm"] for g in gains] == pytest.approx(tables.holm(ps))
    (row,) = [r for r in rows if r["method"] == "DIAL less Src-Pref"]
    mean = [fmean(values) for values in zip(*targets.values())]
    assert row["values"] == pytest.approx(mean) and row["se"] == pytest.approx(
        stats.sem(mean), abs=1e-9)
    if row["se"] > 1e-9:
        assert row["p"] == pytest.approx(stats.ttest_1samp(mean, 0).pvalue)


def test_what_only_one_seed_has_says_no_p(tmp_path, capsys, pictures):  # noqa: F811
    report.report(args_of(tmp_path), gains_of(t=[0.1], u=[0.2]), "Trial")
    out = capsys.readouterr().out
    assert "p =" not in out and "too few seeds to say" in out and "correction: none" in out
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [r["gain"]["p"] for r in rows if r.get("gain")] == [None] * 4
