"""The picture of a training: which numbers are drawn, and how a long curve is thinned."""
import pytest

from harness import figures
from harness.figures import thinned


def test_what_training_png_shows(tmp_path, monkeypatch):
    log = [{"step": s, "source_loss": s / 10, "distance": 6.0 * s, "slope": 2.0, "domain_loss": 9.0}
           for s in range(1, 121)]
    runs = [{"method": "DIAL", "log": log}, {"method": "Longest", "log": []}]
    drawn = []
    monkeypatch.setattr(figures, "plot_seeds", lambda ax, curves, method: (
        drawn.append((method, *curves)), ax.plot([0], [0], label=method)))
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
    figures.plot_training(runs, tmp_path / "a.png", "Trial")
    steps = range(3, 121, 3)  # forty means of three steps
    assert drawn == [("DIAL", pytest.approx({s: (s - 1) * k for s in steps})) for k in (0.1, 3.0)
                     ] + [("DIAL", pytest.approx(dict.fromkeys(steps, 2.0)))]


def test_a_curve_is_thinned_to_means_by_hand():
    assert thinned({2: 1.0, 4: 3.0, 5: 5.0, 6: 5.0, 9: 1.0}, 3) == {4: 2.0, 6: 5.0, 9: 1.0}
    assert thinned({1: 0.5, 3: 0.2}) == {1: 0.5, 3: 0.2} and thinned({}) == {}
