"""The tables of the ablations, for test_result_tables.py."""
from cells import judged, line, mean, three
from test_results import less, over, row, rows


def ablation(file):
    """Each row against Src-Pref at the same settings, where that was run, and against DIAL."""
    methods = list(dict.fromkeys(r["method"] for r in rows(file)))
    for method in methods:
        source, values = (row(file, method, m) for m in ("source_accuracy", "accuracy"))
        assert len(values) == 5
        cells = [mean(source), mean(values)]
        published = "".join(method.partition(", as published")[1:])
        for base in (f"Src-Pref{published}", "DIAL"):
            gain, _, p, _ = (judged(less(values, row(file, base)))
                             if base != method and base in methods else [""] * 4)
            cells += gain, p
        yield line(method, *cells)


def pairs():
    """Two pairs of kinds, and the mean of both by seed."""
    file = "ablation_pairs.json"
    names = list(dict.fromkeys(r["method"] for r in rows(file)))
    targets = list(dict.fromkeys((r["source"], r["target"]) for r in rows(file)))
    found = {(name, target): [row(file, name, m, target) for m in ("source_accuracy", "accuracy")]
             for name in names for target in targets}
    for name in names:
        found[name, None] = [over([found[name, t][i] for t in targets]) for i in range(2)]
    for target in [*targets, None]:
        words = " to ".join(x.split(":")[0] for x in target) if target else "mean of the two"
        for name in names:
            source, values = found[name, target]
            assert len(values) == 5
            cells = [mean(source), mean(values)]
            for base in ("Src-Pref", "DIAL"):
                gain, _, p, _ = (judged(less(values, found[base, target][1])) if base != name
                                 else [""] * 4)
                cells += gain, p
            yield line(words, name, *cells)


def parts():
    """And a row of other texts than the target's, whose file has no other method."""
    yield from ablation("ablation_parts.json")
    source, values = (row("odd_one_out_read.json", "DIAL", m)
                      for m in ("source_accuracy", "accuracy"))
    gains = [judged(less(values, row("ablation_parts.json", base)))
             for base in ("Src-Pref", "DIAL")]
    yield line("DIAL, reading sauces", mean(source), mean(values),
               *(cell for gain, _, p, _ in gains for cell in (gain, p)))


def weights():
    """Of the distances, on the search pool."""
    for file, words, method in (
            ("ablation_search.json", "desserts to fruits", "Mean matching"),
            ("ablation_search.json", "desserts to fruits", "MMD"),
            ("ablation_search_thai.json", "English to Thai", "Mean matching, uncentred"),
            ("ablation_search_thai.json", "English to Thai", "MMD"),
            ("ablation_search_few_shot.json", "ParaDetox", "Mean matching, uncentred"),
            ("ablation_search_few_shot.json", "ParaDetox", "MMD")):
        found = {r["method"]: three(r["mean"]) for r in rows(file) if r["metric"] == "accuracy"}
        yield line(words, method, *(found.get(f"{method}, lambda_da {w}", "")
                                    for w in (".01", ".03", ".1", ".3", "1")),
                   found["Src-Pref"], found["DIAL"])
