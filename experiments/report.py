"""What comes out of the scripts: the table, results.json and the figures."""
import json
import platform
import statistics
import sys
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version

import matplotlib

matplotlib.use("Agg")  # files only, no window
import matplotlib.pyplot as plt  # noqa: E402

COLORS = {"Src-Pref": "tab:orange", "Src-Pref-SFT": "tab:red", "Src-Pref-Tgt-NTP": "tab:brown",
          "DIAL": "tab:blue", "DEAL": "tab:cyan", "Tgt-Pref*": "tab:green",
          "Src-Tgt-Pref*": "tab:olive"}


def summarize(results, paper):
    """One row for each method, pair and metric: mean and standard error over seeds.

    Args:
        results: of `common.run`.
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
        results, log: of `common.run`. paper: as for `summarize`. title: of the figure.
        chance: the accuracy of guessing.
    """
    rows = summarize(results, paper)
    pairs = dict.fromkeys((r["source"], r["target"]) for r in results)
    if len(pairs) > 1:
        print_pairs([row for row in rows if "," not in row["method"]])
        print_rules(rows)
        plot_pairs(rows, args.out / "pairs.png", f"{title}, mean over seeds", chance)
    else:
        print_table(rows)
        plot_training(log, args.out / "training.png", f"{title}: {' to '.join(next(iter(pairs)))}")
    print_gain(rows)
    write_results(args.out, args.experiment, args.model, config, args.seeds, rows, seconds,
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
    published = {row["metric"] for row in rows if row["paper"] is not None}
    table = [["method", "source", "target", "source accuracy"]]
    for metric in metrics:
        table[0] += [f"target {metric}"] + ["paper"] * (metric in published)
    table[0].append("n")
    for method, source, target in dict.fromkeys(key[:3] for key in cells):
        found = [cells[method, source, target, metric] for metric in metrics]
        on_source = cells[method, source, target, "source_accuracy"]
        line = [method, source, target, plus_minus(on_source)]
        for row in found:
            line += [plus_minus(row)] + [number(row["paper"])] * (row["metric"] in published)
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
        published = [row and row["paper"] for row in found]
        if any(value is not None for value in published):
            columns.append(["paper", *map(number, published),
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


def write_results(out, experiment, model, config, seeds, rows, seconds, **more):
    """OUT/results.json: settings, versions, and the rows of `summarize`; `more` settings."""
    versions = {name: version(name) for name in ("torch", "transformers", "peft")}
    record = {"experiment": experiment, "model": model, "command": " ".join(sys.argv),
              "config": asdict(config) | {"seeds": seeds} | more, "seconds": round(seconds, 1),
              "versions": versions | {"python": platform.python_version()}, "rows": rows}
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (out / "results.json").write_text(text + "\n", encoding="utf-8")


@contextmanager
def figure(path, title, size, columns=1):
    """Draw into the axes, one or a row of them, and find the picture in `path` afterwards."""
    with figure_grid(path, title, 1, columns, size) as axes:
        yield axes[0] if columns > 1 else axes[0, 0]


@contextmanager
def figure_grid(path, title, rows, columns, size=None):
    """As `figure`, with an array of axes."""
    picture, axes = plt.subplots(rows, columns, figsize=size or (2.8 * columns, 2.8 * rows + 0.7),
                                 layout="constrained", squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    yield axes
    picture.suptitle(title, fontsize=11)
    picture.savefig(path, dpi=120)
    plt.close(picture)


def plot_training(log, path, title):
    """Over training: target accuracy of every method, the distance, the critic's slope."""
    target = next((key for r in log for key in r if key.startswith("target_")), "target_accuracy")
    panels = {target: target.replace("_", " "), "normalized_distance": "distance (W / slope)",
              "slope": "slope of the critic"}
    with figure(path, f"{title} (thin: a seed, thick: their mean)", (12, 3.6), 3) as axes:
        for ax, (key, label) in zip(axes, panels.items()):
            for method in dict.fromkeys(record["method"] for record in log):
                values = {}  # by seed and by step
                for r in log:
                    if r["method"] == method and key in r:
                        values.setdefault(r["seed"], {})[r["step"]] = r[key]
                if values:
                    plot_seeds(ax, values.values(), method)
            ax.set(xlabel="step", title=label)
        lines = [ax.get_legend_handles_labels() for ax in axes]  # none without --eval-every
        lines = max(lines, key=lambda found: len(found[0]))
        axes[0].figure.legend(*lines, loc="outside lower center", ncols=8, frameon=False)
        axes[1].axhline(0, color="gray", lw=0.5)
        axes[2].axhline(1, color="gray", lw=0.8, ls=":")
        axes[2].text(1, 1, "1: calibrated", color="gray", ha="right", va="top",
                     transform=axes[2].get_yaxis_transform())


def plot_seeds(ax, curves, method):
    """Curves {x: y}, one a seed, and their mean."""
    color = COLORS.get(method)
    for curve in curves:
        ax.plot(curve.keys(), curve.values(), color=color, lw=0.8, alpha=0.4)
    x = sorted(set.intersection(*map(set, curves)))
    mean = [statistics.fmean(curve[i] for curve in curves) for i in x]
    ax.plot(x, mean, color=color, lw=2, marker="o" if len(x) < 20 else None, label=method)


def plot_pairs(rows, path, title, chance):
    """A line for each pair of domains, from Src-Pref to DIAL, ours and the paper's; dotted:
    chance."""
    means = {(r["source"], r["target"], r["method"]): r for r in rows if r["metric"] == "accuracy"}
    pairs = list(dict.fromkeys((s, t) for s, t, _ in means))
    if not {"Src-Pref", "DIAL"} <= {method for _, _, method in means}:
        return
    with figure(path, title, (8, 0.3 * len(pairs) + 1.4)) as ax:
        for y, (source, target) in enumerate(reversed(pairs)):
            ends = [means.get((source, target, m)) for m in ("Src-Pref", "DIAL")]
            if None in ends:
                continue
            for key, shift, alpha in (("mean", 0.12, 1.0), ("paper", -0.18, 0.3)):
                if all(end[key] is not None for end in ends):
                    x = [end[key] for end in ends]
                    ax.plot(x, [y + shift] * 2, color="gray", lw=1, alpha=alpha, zorder=1)
                    ax.scatter(x, [y + shift] * 2, color=[COLORS["Src-Pref"], COLORS["DIAL"]],
                               s=26, alpha=alpha, zorder=2)
        for method in ("Src-Pref", "DIAL"):
            ax.scatter([], [], color=COLORS[method], label=method)
        if any(row["paper"] is not None for row in means.values()):
            ax.scatter([], [], color="gray", alpha=0.3, label="pale: the paper's")
        names = [f"{s.removesuffix(':en')} → {t.removesuffix(':en')}" for s, t in reversed(pairs)]
        ax.set(yticks=range(len(pairs)), yticklabels=names, xlim=(0, 1), xlabel="target accuracy",
               ylim=(-0.6, len(pairs) - 0.4))
        ax.axvline(chance, color="gray", ls=":", lw=1)
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
