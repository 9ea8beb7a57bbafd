"""What comes out of the scripts: the table, results.json and the figures."""
import json
import platform
import statistics
import sys
from dataclasses import asdict

import matplotlib

matplotlib.use("Agg")  # files only, no window
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from common import configure  # noqa: E402

def mean_and_error(values):
    """Mean and standard error; the latter is nan for a single value."""
    return statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")


def summarize(runs, paper):
    """One row a method, pair and metric. `paper` maps (method, source, target) to the paper's number."""
    groups = {}
    for r in runs:
        for metric, key in (("accuracy", "accuracy"), ("source accuracy", "source_accuracy")):
            groups.setdefault((r["method"], r["source"], r["target"], metric, r["n_test"]), []).append(r[key])
    rows = []
    for (method, source, target, metric, n), values in groups.items():
        mean, se = mean_and_error(values)
        rows.append({"method": method, "source": source, "target": target, "metric": metric, "mean": mean, "se": se,
                     "values": values, "n_test": n, "paper": paper.get((method, source, target)) if metric == "accuracy" else None})
    return rows


def write_results(args, experiment, rows, seconds):
    """OUT/results.json, as DESIGN of the project's results has it."""
    import peft
    import transformers

    versions = {"python": platform.python_version()} | {m.__name__: m.__version__ for m in (torch, transformers, peft)}
    record = {"experiment": experiment, "model": args.model, "config": asdict(configure(args)) | {"seeds": args.seeds},
              "command": " ".join(sys.argv), "seconds": round(seconds, 1), "versions": versions, "rows": rows}
    for row in rows:
        row["se"] = None if row["se"] != row["se"] else row["se"]
    (args.out / "results.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def print_table(rows, paper_label="paper"):
    """The rows as a table on stdout: accuracies with three decimals, mean and standard error over n seeds."""
    cells = {}
    for row in rows:
        cells.setdefault((row["method"], row["source"], row["target"]), {})[row["metric"]] = row
    table = [("method", "source", "target", "source accuracy", "target accuracy", "seeds", "lists", paper_label)]
    for (method, source, target), metrics in cells.items():
        on_target = metrics["accuracy"]
        number = on_target["paper"]
        table.append((method, source, target, plus_minus(metrics["source accuracy"]), plus_minus(on_target),
                      str(len(on_target["values"])), str(on_target["n_test"]), "" if number is None else f"{number:.3f}"))
    widths = [max(map(len, column)) for column in zip(*table)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def plus_minus(row):
    return f"{row['mean']:.3f}" + (f" ± {row['se']:.3f}" if row["se"] == row["se"] and row["se"] is not None else "")


COLORS = {"Src-Pref": "tab:orange", "DIAL": "tab:blue", "Tgt-Pref*": "tab:green", "Src-Tgt-Pref*": "tab:olive"}


def plot_training(log, path, title, chance=None):
    """Three panels over training steps: target accuracy of every method, the distance, the critic's slope."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    panels = (("target_accuracy", "target accuracy (100 lists)"), ("distance", "estimated Wasserstein distance"),
              ("slope", "critic's slope"))
    for ax, (key, label) in zip(axes, panels):
        for method in dict.fromkeys(record["method"] for record in log):
            runs = {}
            for record in log:
                if record["method"] == method and key in record:
                    runs.setdefault(record["seed"], []).append((record["step"], record[key]))
            for i, points in enumerate(runs.values()):
                ax.plot(*zip(*points), color=COLORS.get(method), alpha=0.35, linewidth=1)
            if runs:
                steps = sorted(set.intersection(*({step for step, _ in points} for points in runs.values())))
                mean = [np.mean([dict(points)[step] for points in runs.values()]) for step in steps]
                ax.plot(steps, mean, color=COLORS.get(method), linewidth=2, label=method, marker="o" if len(steps) < 20 else None)
        ax.set(xlabel="step", title=label)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(0, 1)
    if chance:
        axes[0].axhline(chance, color="gray", linestyle=":", linewidth=1, label="chance")
    axes[0].legend(frameon=False)
    axes[1].axhline(0, color="gray", linewidth=0.5)
    axes[2].axhline(1, color="gray", linestyle=":", linewidth=1, label="1: calibrated")
    axes[2].legend(frameon=False)
    figure.suptitle(f"{title} (thin: one seed; thick: mean)", fontsize=11)
    figure.savefig(path, dpi=120)
    plt.close(figure)
