"""toy/lesson.py, and the notebook beside it: the same cells, and what the text claims is so.

The lesson runs here with fewer steps. The numbers in the documents are the notebook's
(test_toy_readme.py).
"""
import base64
import copy
import json
import re
import struct
from dataclasses import replace
from functools import partial

import pytest
import torch
from conftest import ROOT
from matplotlib import pyplot

import two_moons
from bound import preference_error, wasserstein_1
from dial import accuracy, dial_step

SCRIPT, NOTEBOOK = ROOT / "toy" / "lesson.py", ROOT / "toy" / "lesson.ipynb"


def script_cells():
    """The cells of the script, (type, text) each."""
    for cell in re.split(r"(?m)^# %%", SCRIPT.read_text(encoding="utf-8"))[1:]:
        head, text = cell.split("\n", 1)
        if head == " [markdown]":
            yield "markdown", re.sub(r"(?m)^# ?", "", text).strip()
        else:
            yield "code", text.strip()


CODE = [text for kind, text in script_cells() if kind == "code"]


def test_the_notebook_is_the_lesson():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [(cell["cell_type"], "".join(cell["source"]).strip())
            for cell in cells] == list(script_cells())
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "display_data"}
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    pictures = [output["data"]["image/png"] for output in outputs if "data" in output]
    assert len(pictures) == 6
    for picture in pictures:  # the width is in the header of a PNG
        (width,) = struct.unpack(">I", base64.b64decode(picture)[16:20])
        assert 400 < width < 1200  # wider ones are shrunk to be shown, and their words with them
    assert NOTEBOOK.stat().st_size < 1.5e6


@pytest.fixture(scope="module")
def lesson(cache, tmp_path_factory):
    """The names of the lesson after a short run: steps of a larger size, and fewer of them. Only
    pictures b and f are drawn, with a plane's contours and with arrows; test_toys.py draws moons.
    The files of the others are empty."""
    folder, patch = tmp_path_factory.mktemp("lesson"), pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setenv("MPLBACKEND", "Agg")
    patch.setattr("matplotlib.pyplot.savefig", lambda path, **how: (
        pyplot.gcf().savefig(path, **how) if path.stem[-1] in "bf" else path.touch()))
    patch.setattr(two_moons, "SETTINGS", replace(two_moons.SETTINGS, steps=60, learning_rate=0.01))
    patch.setattr(two_moons, "on_grid", partial(two_moons.on_grid, n=20))
    short = CODE[0].replace("steps=300, learning_rate=3e-3", "steps=60, learning_rate=1e-2")
    assert short != CODE[0]
    names = {"__name__": "lesson"}
    for text in (short, *CODE[1:]):
        exec(text, names)
        if "dial_step(" in text:
            names["after"] = names["model"]  # the last cell has another model
    names["folder"] = folder
    yield names
    patch.undo()


def test_pictures_are_written(lesson):
    assert {path.name for path in (lesson["folder"] / "runs" / "lesson").iterdir()} == {
        f"lesson_{letter}.png" for letter in "abcdef"}
    for letter in "bf":
        picture = lesson["folder"] / "runs" / "lesson" / f"lesson_{letter}.png"
        assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_style_tells_more_in_the_source_and_nothing_in_the_target(lesson):
    torch.manual_seed(0)
    for shortcut, low, high in ((True, 0.95, 1.0), (False, 0.48, 0.52)):
        pairs = lesson["sample"](20_000, shortcut)  # (N, 2, 2), the better first
        content, style = (accuracy(pairs[..., k]) for k in (0, 1))
        assert content == pytest.approx(0.879, abs=0.01) and low < style < high


def test_b_src_pref_leans_on_the_shortcut(lesson):
    model, source, target = (lesson[name] for name in ("before", "source", "target"))
    content, style = model.slopes(target)
    assert style > 2 * content > 0
    assert accuracy(model(source)) > 0.95 and accuracy(model(target)) < 0.7


def test_slopes_by_finite_differences(lesson):
    model, points = lesson["after"], torch.randn(50, 2)
    for k, slope in enumerate(model.slopes(points)):
        step = 1e-3 * torch.eye(2)[k]
        change = (model(points + step) - model(points - step)).mean() / 2e-3
        assert change.item() == pytest.approx(slope, rel=0.02, abs=0.02)


def test_c_the_smaller_lambda_gp_the_steeper_is_the_critic(lesson):
    exact = wasserstein_1(lesson["x"], lesson["y"])
    slopes = [lesson["slopes"][lambda_gp].item() for lambda_gp in (1, 10, 100)]
    assert slopes == pytest.approx([1 + exact / (2 * x) for x in (1, 10, 100)], rel=0.15)
    assert slopes[0] > slopes[1] > slopes[2] and lesson["exact"] == exact


def test_d_the_lines_of_the_cell_are_those_of_dial_step(lesson):
    (text,) = (text for text in CODE if "penalty, slope = " in text)
    by_hand, called = ({**lesson, "model": copy.deepcopy(lesson["before"])} for _ in range(2))
    torch.manual_seed(0)
    exec(text, by_hand)
    torch.manual_seed(0)
    exec(text.split("emb = ")[0], called)
    dial_step(*(called[name] for name in ("model", "critic", "optimizer", "critic_optimizer",
                                          "batch", "SETTINGS")))
    for name in ("model", "critic"):
        assert all(map(torch.equal, by_hand[name].parameters(), called[name].parameters()))


def test_d_dial_leans_on_content_and_pays_in_the_source(lesson):
    before, model, source, target = (lesson[k] for k in ("before", "after", "source", "target"))
    content, style = model.slopes(target)
    assert content > 2 * abs(style)
    assert accuracy(model(target)) > accuracy(before(target)) + 0.15
    assert accuracy(model(source)) < accuracy(before(source)) - 0.01


def test_e_uneven_labels_help_and_labels_in_the_middle_harm(lesson):
    runs = lesson["runs"]
    assert runs["uneven", "DIAL"]["accuracy"] > runs["uneven", "Src-Pref"]["accuracy"] + 0.1
    assert runs["middle", "DIAL"]["accuracy"] < runs["middle", "Src-Pref"]["accuracy"] - 0.03
    assert runs["uneven", "Src-Pref"]["share"] < 0.35  # too few
    assert abs(runs["uneven", "DIAL"]["share"] - 0.5) < 0.1
    assert abs(runs["middle", "Src-Pref"]["share"] - 0.5) < 0.05  # half already


def test_f_the_theorem_fails_with_the_same_responses(lesson):
    rewards, pairs = lesson["rewards"], lesson["domains"]
    assert sorted(pairs["source"].flatten()) == sorted(pairs["target"].flatten())
    for better, worse in torch.cat([*pairs.values()]).tolist():
        assert better < worse  # a is truly best, then b, c, d
    errors = [preference_error(*rewards[pairs[name]].T).item() for name in ("source", "target")]
    assert errors == pytest.approx([0.2689, 0.7311], abs=1e-4)
    assert list(lesson["errors"].values()) == errors
