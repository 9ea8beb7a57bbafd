"""The paper's numbers against its tables."""
import itertools
from argparse import Namespace

import pytest

from paper import published

# The paper's tables in whole numbers, as they read: Table 5 by subreddit, then language; Table 6 by
# subreddit; Table 7 by split; Table 4 Pearson, Spearman; the last of each is DEAL's own (Tables 2
# to 5 of its paper).
TABLES = {
    ("cross_lingual", 100): {
        "Base LM": [58, 57, 60, 57, 58, 55, 55, 54, 51],
        "Src-Pref": [60, 63, 61, 57, 62, 59, 65, 63, 68],
        "Src-Pref-SFT": [62, 59, 64, 56, 61, 56, 65, 64, 61],
        "Src-Pref-Tgt-NTP": [64, 56, 65, 57, 63, 61, 64, 64, 61],
        "DIAL": [68, 66, 68, 63, 68, 62, 68, 65, 67],
        "Tgt-Pref*": [69, 66, 67, 62, 67, 62, 67, 65, 68],
        "Src-Tgt-Pref*": [69, 72, 70, 63, 67, 64, 70, 67, 69],
        "DEAL": [67.9, 65.6, 67.8, 63.4, 68.1, 62.4, 67.8, 65.3, 66.7]},
    ("clean_to_noisy", 100): {
        "Base LM": [55, 56, 55], "Src-Pref": [71, 63, 67], "Src-Pref-SFT": [71, 61, 64],
        "Src-Pref-Tgt-NTP": [70, 61, 63], "DIAL": [76, 65, 70], "Tgt-Pref*": [77, 67, 74],
        "Src-Tgt-Pref*": [78, 69, 73], "DEAL": [75.5, 64.9, 70.4]},
    ("few_shot", 1000): {
        "Few-shot LM": [599, 643, 646], "Src-Pref": [820, 862, 852],
        "Src-Pref-SFT": [744, 788, 710], "Src-Pref-Tgt-NTP": [759, 721, 721],
        "DIAL": [852, 965, 943], "Tgt-Pref*": [999] * 3, "DEAL": [852, 965, 943]},
    ("simple_to_complex", 1000): {
        "Base LM": [408, 394], "Src-Pref": [516, 508], "Src-Pref-SFT": [567, 562],
        "Src-Pref-Tgt-NTP": [567, 558], "DIAL": [577, 556], "Tgt-Pref*": [857, 855],
        "Src-Tgt-Pref*": [860, 857], "DEAL": [532, 521]}}
ERRORS = {  # of them
    ("cross_lingual", 100): {
        "Src-Pref": [3, 1, 2, 1, 1, 1, 1, 1, 1], "Src-Pref-SFT": [1, 4, 0, 2, 2, 1, 0, 0, 0],
        "Src-Pref-Tgt-NTP": [1, 4, 2, 1, 1, 1, 1, 1, 1], "DIAL": [0, 1, 3, 0, 0, 1, 1, 0, 1],
        "Tgt-Pref*": [1, 1, 1, 1, 0, 1, 0, 1, 1], "Src-Tgt-Pref*": [1, 1, 0, 1, 1, 1, 1, 1, 1],
        "DEAL": [0.5, 0.6, 3.2, 0.3, 0.2, 0.8, 1.1, 0.4, 0.6]},
    ("clean_to_noisy", 100): {
        "Src-Pref": [1, 1, 1], "Src-Pref-SFT": [2, 2, 1], "Src-Pref-Tgt-NTP": [3, 1, 1],
        "DIAL": [1, 1, 1], "Tgt-Pref*": [0, 1, 0], "Src-Tgt-Pref*": [1, 2, 0],
        "DEAL": [1.4, 1.3, 1.2]},
    ("few_shot", 1000): {
        "Src-Pref": [11, 5, 21], "Src-Pref-SFT": [28, 11, 34], "Src-Pref-Tgt-NTP": [20, 13, 37],
        "DIAL": [42, 3, 5], "Tgt-Pref*": [0, 0, 0], "DEAL": [42, 3, 5]},
    ("simple_to_complex", 1000): {
        "Base LM": [3, 3], "Src-Pref": [11, 14], "Src-Pref-SFT": [18, 23],
        "Src-Pref-Tgt-NTP": [20, 25], "DIAL": [11, 11], "Tgt-Pref*": [3, 3],
        "Src-Tgt-Pref*": [1, 1], "DEAL": [5, 7]}}


# Table 8, in thousandths: Src-Pref and DIAL, then their errors.
SOURCE = [363, 400, 234, 477, 261, 254, 649, 91, 398, 251, 285, 405, 174, 708, 202, 247, 304, 183,
          248, 229]
DIAL = [686, 743, 489, 728, 561, 404, 714, 455, 610, 442, 454, 643, 389, 756, 538, 471, 629, 397,
        683, 396]
SOURCE_ERRORS = [90, 107, 57, 45, 60, 101, 16, 17, 35, 8, 56, 71, 29, 12, 41, 92, 18, 12, 29, 16]
DIAL_ERRORS = [35, 28, 37, 13, 47, 19, 2, 38, 18, 37, 37, 5, 19, 10, 61, 40, 33, 27, 68, 64]
FOODS = ("desserts", "fruits", "sauces", "vegetables", "snacks")


@pytest.mark.parametrize("experiment, unit", TABLES)
def test_the_papers_numbers(experiment, unit):
    """In the paper's order: pair by pair, and of a pair metric by metric."""
    numbers = published.published(Namespace(experiment=experiment, paper="folder"))
    cells = {(*pair, metric): None for _, *pair, metric in numbers}
    for method, means in TABLES[experiment, unit].items():
        errors = ERRORS[experiment, unit].get(method, [None] * len(means))
        for cell, n, e in zip(cells, means, errors, strict=True):
            mean, error = numbers.pop((method, *cell))
            assert mean == pytest.approx(n / unit)
            assert error is e is None or error == pytest.approx(e / unit)
            assert numbers.pop((f"{method.rstrip('*')}, best*", *cell)) == (mean, error)
    assert not numbers


@pytest.mark.parametrize("paper, name", [(None, "{}:en"), ("folder", "{}_sub_out_train")])
def test_table_8_line_by_line(paper, name):
    """It stands beside our lists, too, which are made as the paper's are."""
    numbers = published.published(Namespace(experiment="odd_one_out", paper=paper))
    for pair, s, d, x, y in zip(itertools.permutations(map(name.format, FOODS), 2), SOURCE, DIAL,
                                SOURCE_ERRORS, DIAL_ERRORS, strict=True):
        for method, number in (("Src-Pref", (s / 1000, x / 1000)), ("DIAL", (d / 1000, y / 1000)),
                               ("DEAL", (d / 1000, y / 1000))):
            assert numbers.pop((method, *pair, "accuracy")) == number
            assert numbers.pop((f"{method}, best*", *pair, "accuracy")) == number
    assert not numbers


def test_a_number_stands_beside_its_cell():
    """By hand: the last cell of Table 5 and one of its middle, Table 4's two metrics, Table 7."""
    def of(experiment, *key):
        return published.published(Namespace(experiment=experiment, paper="folder"))[key]

    eli5 = "explainlikeimfive"
    assert of("cross_lingual", "Src-Tgt-Pref*", f"{eli5}_english_train", f"{eli5}_zho_Hans_train",
              "accuracy") == (0.69, 0.01)
    assert of("cross_lingual", "DIAL", "askscience_english_train", "askscience_kor_Hang_train",
              "accuracy") == (0.63, 0.0)
    essays = ("short_pref_train", "long_pref_train")
    assert of("simple_to_complex", "DIAL, best*", *essays, "pearson") == (0.577, 0.011)
    assert of("simple_to_complex", "DIAL", *essays, "spearman") == (0.556, 0.011)
    assert of("few_shot", "Few-shot LM", "split_b_sampler", "train", "accuracy") == (0.643, None)
    assert of("few_shot", "Tgt-Pref, best*", "split_c_sampler", "train", "accuracy") == (0.999, 0.0)
    legal = ("legaladvice_formal_train", "legaladvice_english_train", "accuracy")
    assert of("clean_to_noisy", "DEAL", *legal) == (0.755, 0.014)
