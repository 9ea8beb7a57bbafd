"""What comes out of the scripts: the table and results.json; the figures are in figures.py."""
import json
import platform
import statistics
import sys
from dataclasses import asdict
from importlib.metadata import version

from figures import plot_pairs, plot_training


def summarize(results, paper):
    """One row for each method, pair and metric: mean and standard error over seeds.

    Args:
        results: of `runs.run`.
        paper: the paper's number by (method, source, target, metric).
    """
    groups = {}
    for r in results:
        for metric, value in r["metrics"].items():
            key = (r["method"], r["source"], r["target"], metric, r["n_test"])
            groups.setdefault(key, []).append(value)
    return [{"method": method, "source": source, "target": target, "metric": metric}
            | mean_and_error(values)
            | {"n_test": n_test, "paper": paper.get((method, source, target, metric))}
            for (method, source, target, metric, n_test), values in groups.items()]


def published(numbers, pairs, metrics=("accuracy",)):
    """The paper's numbers of each method, for every pair of domains, as `summarize` takes them.

    Args:
        numbers: a number by method, or one for each of the metrics. pairs: of domains.
    """
    return {(method, s.name, t.name, metric): value for s, t in pairs
            for method, values in numbers.items()
            for metric, value in zip(metrics, values if isinstance(values, tuple) else (values,))}


def finish(args, results, log, paper, title, config, seconds, chance=0.5):
    """Everything that a script leaves: the table, the figure and results.json.

    Args:
        results, log: of `runs.run`. paper: as for `summarize`. title: of the figure.
        chance: the accuracy of guessing.
    """
    rows = summarize(results, paper)
    pairs = dict.fromkeys((r["source"], r["target"]) for r in results)
    if len(pairs) > 1:
        print_pairs([row for row in rows if "," not in row["method"]] or rows)
        print_rules(rows)
        plot_pairs(rows, args.out / "pairs.png", f"{title}, mean over seeds", chance)
    else:
        print_table(rows)
        plot_training(log, args.out / "training.png", f"{title}: {' to '.join(next(iter(pairs)))}")
    print_gain(rows)
    write_results(args.out, args.experiment, args.model, config, seeds_of(results), rows, seconds,
                  epochs=args.epochs, choose=args.choose)


def mean_and_error(values):
    """Mean, standard error (None for a single value) and the values themselves."""
    n = len(values)
    se = statistics.stdev(values) / n**0.5 if n > 1 else None
    return {"mean": statistics.fmean(values), "se": se, "values": values}


def average(rows, method, metric="accuracy", key="mean"):
    """A method's mean over pairs, of a target metric or the paper's; None if it has none."""
    values = [row[key] for row in rows if (row["method"], row["metric"]) == (method, metric)]
    return None if not values or None in values else statistics.fmean(values)


def print_gain(rows):
    """What DIAL adds to Src-Pref, on average over pairs, here and in the paper."""
    for metric in ("accuracy", "pearson", "spearman"):
        gains = []
        for key in ("mean", "paper"):
            ends = [average(rows, method, metric, key) for method in ("Src-Pref", "DIAL")]
            gains.append(None if None in ends else f"{ends[1] - ends[0]:+.3f}")
        if gains[0]:
            print(f"gain of DIAL over Src-Pref in {metric}: {gains[0]}"
                  + (f"; in the paper {gains[1]}" if gains[1] else ""))


def print_table(rows):
    """A line for each method and pair: every metric, mean ± standard error over seeds, with the
    paper's beside it where there is one."""
    cells = {(r["method"], r["source"], r["target"], r["metric"]): r for r in rows}
    metrics = sorted({row["metric"] for row in rows} - {"source_accuracy"})
    in_paper = {row["metric"] for row in rows if row["paper"] is not None}
    table = [["method", "source", "target", "source accuracy"]]
    for metric in metrics:
        table[0] += [f"target {metric}"] + ["paper"] * (metric in in_paper)
    table[0].append("n")
    for method, source, target in dict.fromkeys(key[:3] for key in cells):
        found = [cells[method, source, target, metric] for metric in metrics]
        on_source = cells[method, source, target, "source_accuracy"]
        line = [method, source, target, plus_minus(on_source)]
        for row in found:
            line += [plus_minus(row)] + [number(row["paper"])] * (row["metric"] in in_paper)
        table.append([*line, f"{len(found[0]['values'])} x {found[0]['n_test']}"])
    print_columns(table)


def print_pairs(rows):
    """A line for each pair of domains, as in Table 8: target accuracies, ours and the paper's;
    the last line's standard errors are over pairs."""
    cells = {(r["source"], r["target"], r["method"]): r for r in rows if r["metric"] == "accuracy"}
    methods = list(dict.fromkeys(method for _, _, method in cells))
    pairs = dict.fromkeys((source, target) for source, target, _ in cells)
    columns = []
    for method in methods:
        found = [cells.get((*pair, method)) for pair in pairs]  # None: kept from another command
        over_pairs = mean_and_error([row["mean"] for row in found if row])
        columns.append([method, *(plus_minus(row) if row else "" for row in found),
                        plus_minus(over_pairs)])
        theirs = [row and row["paper"] for row in found]
        if any(value is not None for value in theirs):
            columns.append(["paper", *map(number, theirs),
                            number(average(rows, method, key="paper"))])
    sources, targets = zip(*pairs)
    print_columns(list(zip(["source", *sources, "average"], ["target", *targets, ""], *columns)))


def print_rules(rows):
    """The mean over pairs of each method's target accuracy, by the rule that chose the snapshot."""
    names = dict.fromkeys(row["method"] for row in rows if row["metric"] == "accuracy")
    chosen = [name.split(", ") for name in names if ", " in name]
    if not chosen:
        return
    rules = list(dict.fromkeys(rule for _, rule in chosen))
    print_columns([["average, snapshot by", "last", *rules]] + [
        [method, number(average(rows, method)),
         *(number(average(rows, f"{method}, {rule}")) for rule in rules)]
        for method in dict.fromkeys(method for method, _ in chosen)])


def print_columns(table):
    widths = [max(map(len, column)) for column in zip(*table)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def number(value):
    return "" if value is None else f"{value:.3f}"


def plus_minus(row):
    return f"{row['mean']:.3f}" + ("" if row["se"] is None else f" ± {row['se']:.3f}")


def seeds_of(results):
    """All seeds of these results, those of earlier commands included."""
    return sorted({r["seed"] for r in results})


def write_results(out, experiment, model, config, seeds, rows, seconds, **more):
    """OUT/results.json: settings, versions, and the rows of `summarize`; `more` settings."""
    versions = {name: version(name) for name in ("torch", "transformers", "peft")}
    record = {"experiment": experiment, "model": model, "command": " ".join(sys.argv),
              "config": asdict(config) | {"seeds": seeds} | more, "seconds": round(seconds, 1),
              "versions": versions | {"python": platform.python_version()}, "rows": rows}
    if more.get("epochs"):
        record["config"]["steps"] = None  # they follow from the epochs
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (out / "results.json").write_text(text + "\n", encoding="utf-8")
