"""What rlhf_shift.py reports: metrics, the table and the curves, by hand."""
import pytest

from harness.report import summarize
from rlhf import report
from rlhf.requests import requests


def test_results_by_hand():
    log = [{"true_reward": t, "held_out": h, "kl": 2.0, "auc": a} for t, h, a in
           ((0.2, 0.1, 0.9), (0.4, 0.2, 0.7), (0.6, 0.3, None), (0.6, 0.4, 0.5), (0.7, 0.5, 0.5),
            (0.5, 0.6, 0.1))]
    metrics = report.results("DIAL", requests(0), log)["metrics"]
    assert metrics == pytest.approx({"area": 0.5, "true_reward": 0.5, "held_out": 0.6, "kl": 2.0,
                                     "auc_first": 0.65, "auc_last": 0.45})


def test_the_table_and_the_curves_by_hand(tmp_path, monkeypatch):
    log = [{"step": e + 1, "true_reward": t, "held_out": h, "kl": 2.0, "auc": 0.5}
           for e, (t, h) in enumerate([(0.2, 0.3), (0.6, 0.9)])]
    runs = [{"method": name, "seed": seed, "log": log,
             "results": [report.results(name, requests(0), log)]}
            for name in ("Src-Pref", "DIAL") for seed in (0, 1)]
    runs[-1]["results"][0]["metrics"]["area"] += 0.2
    lines = report.table(summarize(runs, {}))
    assert dict(zip(lines[0], lines[1])) == {
        "arm": "Src-Pref", "6a, mean of epochs": "0.400 ± 0.000", "6a, last": "0.600 ± 0.000",
        "6b, last": "0.900 ± 0.000", "AUC, first 5": "0.500 ± 0.000",
        "AUC, last 5": "0.500 ± 0.000", "KL, last": "2.000 ± 0.000"}
    assert lines[2][:2] == ["DIAL", "0.500 ± 0.100"] and lines[3][:3] == [
        "DIAL less Src-Pref", "+0.100 ± 0.100", "+0.000 ± 0.000"]
    curves = []
    monkeypatch.setattr(report, "plot_seeds", lambda ax, seeds, name: (
        curves.append(seeds[0]), ax.plot([0], [0], label=name)))
    report.draw(tmp_path / "a.png", runs)
    assert curves[::2] == [{0: 0.2, 1: 0.6}, {1: 0.3, 2: 0.9}, {0: 0.5, 1: 0.5}]  # epochs so far
