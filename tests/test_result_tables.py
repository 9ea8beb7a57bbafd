"""Each table of experiments/results/README.md is written anew from the JSON files beside it, and
compared line by line."""
import re
from statistics import fmean, median

import pytest
from ablation_tables import ablation, pairs, parts, weights
from cells import judged, line, mean, short, three
from neighbour_tables import neighbours, pairs_to_label, side_by_side
from scaling_table import mixes, sizes
from test_results import RESULTS, holm, less, over, p_value, row, rows


def by_method(file, methods, metric="accuracy"):
    """Rows of the tables that have a method a line."""
    base = row(file, "Src-Pref", metric)
    for name in methods:
        values = row(file, name, metric)
        yield line(name, mean(values), *(judged(less(values, base)) if name == "DIAL" else [""] * 4))


def by_target(file, targets, words, total, published=None):
    """Rows of the tables that have a target a line, and their mean as the last one."""
    base = [row(file, "Src-Pref", target=t) for t in targets]
    dial = [row(file, "DIAL", target=t) for t in targets]
    gains = [less(d, b) for d, b in zip(dial, base)]
    for name, b, d, g, corrected, t in zip(words, base, dial, gains,
                                           holm([p_value(g) for g in gains]), targets):
        beside = [[three(x)] for x in published(t)] if published else [[], []]
        yield line(name, mean(b), *beside[0], mean(d), *beside[1], *judged(g, corrected))
    b, d = over(base), over(dial)
    beside = [[three(x)] for x in published(None)] if published else [[], []]
    gain, n, p, word = judged(less(d, b))
    yield line(total, mean(b), *beside[0], mean(d), *beside[1], gain, n, p, "", word)


def odd_one_out():
    file = "odd_one_out.json"
    pairs = [(r["source"], r["target"]) for r in rows(file)
             if (r["method"], r["metric"]) == ("DIAL", "accuracy")]
    paper = {(r["method"], r["source"], r["target"]): r["paper"] for r in rows(file)
             if r["metric"] == "accuracy"}

    def published(pair):
        return [paper[m, *pair] if pair else fmean(paper[m, *p] for p in pairs)
                for m in ("Src-Pref", "DIAL")]
    names = [f"{a.split(':')[0]} to {b.split(':')[0]}" for a, b in pairs]
    return by_target(file, pairs, names, "mean of the 20", published)


def odd_one_out_new():
    """Without the cue, by target."""
    pairs = list(dict.fromkeys((r["source"], r["target"]) for r in rows("odd_one_out_no_cue.json")
                               if r["method"] == "DIAL"))
    names = [f"{a.split(':')[0]} to {b.split(':')[0]}" for a, b in pairs]
    return by_target("odd_one_out_no_cue.json", pairs, names, f"mean of the {len(pairs)}")


def cue():
    for words, file in (("with fruits", "odd_one_out_cue.json"),
                        ("without", "odd_one_out_no_cue.json")):
        for method in ("Src-Pref", "DIAL"):
            columns = [row(file, method, metric, "fruits:en") for metric in (
                "source_accuracy", "accuracy", "accuracy_odd_of_source", "accuracy_odd_of_others")]
            base = row(file, "Src-Pref", target="fruits:en")
            gain = judged(less(columns[1], base))[:3] if method == "DIAL" else [""] * 3
            yield line(words, method, *map(mean, columns), *gain)


LANGUAGES = [f"desserts:{code}" for code in ("ko", "th", "zh")]


def cross_lingual():
    return by_target("cross_lingual.json", LANGUAGES, ["Korean", "Thai", "Chinese"],
                     "mean of the three")


def noisy():
    """Each method less Src-Pref at either rate."""
    file, rates = "clean_to_noisy.json", {"": "5e-4", ", 2e-4": "2e-4"}
    for name in ("Longest", "Seen words"):
        yield line(name, "", *(mean(row(file, name, m)) for m in ("source_accuracy", "accuracy")),
                   *[""] * 4)
    for end, rate in rates.items():
        for name in ("Src-Pref", "DIAL"):
            source, values = (row(file, name + end, m) for m in ("source_accuracy", "accuracy"))
            gains = [judged(less(values, row(file, "Src-Pref" + other)))[::2] if name == "DIAL"
                     else [""] * 2 for other in rates]
            yield line(name, rate, mean(source), mean(values), *gains[0][:2], *gains[1][:2])


def rlhf():
    metrics = ("area", "true_reward", "held_out", "auc_first", "auc_last", "kl")
    arms = {m: [row("rlhf_shift.json", m, metric) for metric in metrics]
            for m in ("Src-Pref", "Src-Pref, continued", "DIAL")}
    for name, columns in arms.items():
        yield line(name, len(columns[0]), *map(mean, columns))
    for one, other in (("DIAL", "Src-Pref"), ("Src-Pref, continued", "Src-Pref"),
                       ("DIAL", "Src-Pref, continued")):
        gains = [less(a, b) for a, b in zip(arms[one], arms[other])]
        yield line(f"{one} less {other}", len(gains[0]), *(mean(g, "+") for g in gains))
        yield line("p of the row above", len(gains[0]), *(short(p_value(g)) for g in gains))


def speed():
    for kind, words, size in (("lists", "lists", 8), ("dialogues", "pairs of SHP's lengths", 4),
                              ("full", "pairs of 1024 tokens", 2)):
        for method, peer in (("DIAL", "DIAL, authors' recipe"), ("Src-Pref", "Src-Pref, TRL")):
            cells = []
            for file in ("benchmark.json", "benchmark_fp32.json"):
                ours, theirs = (row(file, m, "seconds a step", kind) for m in (method, peer))
                GiB = [median(row(file, m, "GiB", kind).values()) for m in (method, peer)]
                cells += [f"{median(ours.values()):#.3g}", f"{median(theirs.values()):#.3g}",
                          f"{median(theirs[i] / ours[i] for i in ours):.1f}",
                          f"{GiB[0]:.1f}, {GiB[1]:.1f}"]
            positions = median(row("benchmark.json", peer, "positions a token", kind).values())
            batch = f"{size} + {size} {words}" if method == "DIAL" else f"{size} {words}"
            yield line(batch, f"{method}; {peer.split(', ')[1]}", f"{positions:.1f}", *cells)


TABLES = {
    "Without the cue": odd_one_out_new,
    "With the cue": cue,
    "The paper's 20 pairs": odd_one_out,
    "Cross-lingual lists": cross_lingual,
    "The ablation: desserts to fruits": lambda: ablation("ablation_odd_one_out.json"),
    "The ablation: the published settings for longer": lambda: ablation("ablation_long.json"),
    "The ablation: two more pairs of kinds": pairs,
    "The ablation: parts of DIAL": parts,
    "The ablation: English to Thai": lambda: ablation("ablation_thai.json"),
    "The ablation: few-shot on ParaDetox": lambda: ablation("ablation_few_shot.json"),
    "The ablation: weights of the distances": weights,
    "Scaling: the mix": mixes,
    "Scaling: how many target texts": sizes,
    "Few-shot to full: our answers":
        lambda: by_method("few_shot.json", ["Longest", "Seen words", "Src-Pref", "DIAL"]),
    "Few-shot to full: ParaDetox":
        lambda: by_method("few_shot_paradetox.json", ["Longest", "Seen words", "Src-Pref", "DIAL"]),
    "Noisy answers": noisy,
    "Essays": lambda: by_method("simple_to_complex.json", ["Longest", "Seen words", "Src-Pref",
                                                           "DIAL"], "pearson"),
    "SIB-200: English to Korean":
        lambda: by_method("cross_lingual_sib.json", ["Src-Pref", "DIAL"]),
    "RLHF under distribution shift": rlhf,
    "OODPL: a category left out": neighbours,
    "REAL: which pairs to label": pairs_to_label,
    "DIAL, OODPL and REAL side by side": side_by_side,
    "Speed": speed,
}


def table_lines(text):
    """{heading: lines of its table below the rule}, of every heading with a table."""
    found = {}
    for part in re.split(r"^##+ ", text, flags=re.M)[1:]:
        lines = [x for x in part.splitlines() if x.startswith("|")]
        if lines:
            found[part.splitlines()[0]] = lines[2:]
    return found


@pytest.mark.parametrize("heading", TABLES)
def test_a_table_is_that_of_the_files(heading):
    written = table_lines((RESULTS / "README.md").read_text())[heading]
    assert written == list(TABLES[heading]())


def test_every_table_is_checked():
    assert list(table_lines((RESULTS / "README.md").read_text())) == list(TABLES)
