"""The tables of scaling.py's results, for test_result_tables.py."""
from cells import judged, line, mean
from test_results import holm, less, p_value, row, rows

FILE = "scaling.json"


def pairs(n_methods):
    """The pairs of domains that so many methods were trained on."""
    found = {}
    for r in rows(FILE):
        if r["metric"] == "accuracy":
            found.setdefault((r["source"], r["target"]), []).append(r["method"])
    return [pair for pair, methods in found.items() if len(methods) == n_methods]


def mixes():
    """DIAL, by the numbers of source and target lists."""
    for pair in pairs(1):
        yield line(*(name.split()[0] for name in pair), *(
            mean(row(FILE, "DIAL", metric, pair)) for metric in ("source_accuracy", "accuracy")))


def sizes():
    """By the number of target lists; DIAL's gain is on Src-Pref."""
    found = [(pair[1].split()[0], *(row(FILE, method, target=pair) for method in (
        "Src-Pref", "DIAL", "Src-Tgt-Pref*"))) for pair in pairs(3)]
    corrected = holm([p_value(less(dial, base)) for _, base, dial, _ in found])
    for (n, base, dial, oracle), p in zip(found, corrected):
        yield line(n, mean(oracle), mean(dial), *judged(less(dial, base), p))
