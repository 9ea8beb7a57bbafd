"""The tables of OODPL and REAL, and of both beside DIAL, for test_result_tables.py."""
import itertools
from statistics import fmean

import pytest
from cells import judged, line, mean, short, three
from domains.foods import CATEGORIES
from test_results import less, over, p_value, row

# OODPL's Table 3: win rates by GPT-4's judgement, mean of six held-out splits of SHP; "BT + fit"
# stands for its PPO (te). REAL's Table 1: margins of Phi-1.5.
WIN_RATES = {"SFT": 0.551, "DPO": 0.566, "HPL": 0.542, "BT + fit": 0.603, "OODPL": 0.669}
MARGINS = {"hard": 0.78, "random": 1.18, "easy": 1.22, "centroid": 1.41}


def neighbours():
    """The share of pairs by method, and the mean over categories against the best baseline."""
    file = "meta_reward.json"
    base = row(file, "BT + fit", "pairs", "mean")
    for method in WIN_RATES:
        each = [row(file, method, "pairs", c) for c in CATEGORIES]
        all_of_them = row(file, method, "pairs", "mean")
        assert all_of_them == pytest.approx(over(each))
        gain = judged(less(all_of_them, base))[:3] if method != "BT + fit" else [""] * 3
        yield line(method, *(three(fmean(x.values())) for x in each), mean(all_of_them), *gain,
                   three(WIN_RATES[method]))


def side_by_side():
    """All on the same labels and test lists of fruits, each against Src-Pref."""
    base = row("others.json", "Src-Pref")
    for name, file, method in (
            ("Src-Pref", "others.json", "Src-Pref"), ("DIAL", "others.json", "DIAL"),
            ("REAL + DIAL", "others_easy.json", "DIAL"),
            ("BT + fit", "others_meta_reward.json", "BT + fit"),
            ("OODPL", "others_meta_reward.json", "OODPL")):
        values = row(file, method, target="fruits" if "meta" in file else None)
        source = mean(row(file, method, "source_accuracy")) if "meta" not in file else ""
        gain = judged(less(values, base))[:3] if name != "Src-Pref" else [""] * 3
        yield line(name, source, mean(values), *gain)


def pairs_to_label():
    """By strategy, and each less the one before."""
    file, metrics = "pair_selection.json", ("margin", "loss", "label_error", "agreement",
                                            "similarity")
    columns = {s: [row(file, s, m) for m in metrics] for s in MARGINS}
    for name, cells in columns.items():
        yield line(name, *map(mean, cells), f"{MARGINS[name]:.2f}")
    for low, high in itertools.pairwise(MARGINS):
        gains = [less(a, b) for a, b in zip(columns[high], columns[low])]
        yield line(f"{high} less {low}", *(mean(g, "+") for g in gains),
                   f"{MARGINS[high] - MARGINS[low]:+.2f}")
        yield line("p of the row above", *(short(p_value(g)) for g in gains), "")
