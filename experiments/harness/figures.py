"""The figures, to files."""
import io
import itertools
import math
import statistics
from contextlib import contextmanager

import torch

from harness.tables import write_whole

COLORS = {"Src-Pref": "tab:orange", "Src-Pref-SFT": "tab:red", "Src-Pref-Tgt-NTP": "tab:brown",
          "DIAL": "tab:blue", "DEAL": "tab:cyan", "Tgt-Pref*": "tab:green",
          "Src-Tgt-Pref*": "tab:olive", "Src-Pref, continued": "tab:green"}
GROUPS = {"source, chosen": ("tab:blue", "o"), "source, rejected": ("tab:red", "o"),
          "target, chosen": ("tab:cyan", "^"), "target, rejected": ("tab:orange", "^")}


@contextmanager
def figure(path, title, size, columns=1, rows=1):
    """Draw into the axes, one, a row, or an array (rows, columns) of them, and find the picture in
    `path` afterwards."""
    import matplotlib  # here: a command draws at its end, and should not wait at its start
    matplotlib.use("Agg")  # no window
    from matplotlib import pyplot as plt

    picture, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    yield axes if rows > 1 else axes[0] if columns > 1 else axes[0, 0]
    picture.suptitle(title, fontsize=11, parse_math=False)  # a file's name may hold dollars
    png = io.BytesIO()
    picture.savefig(png, dpi=120, format="png")
    plt.close(picture)
    write_whole(path, png.getvalue())


def plot_training(runs, path, title):
    """Over training: the loss on the labelled pairs, the distance, the critic's slope, of every
    method; each point the mean of some steps, fifty points at most."""
    panels = {"loss on the labelled pairs": lambda r: r["source_loss"],
              "distance (W / slope)": lambda r: r["distance"] / r["slope"] if r.get("slope")
              else None,
              "slope of the critic": lambda r: r.get("slope")}
    with figure(path, f"{title} (thin: a seed, thick: their mean)", (12, 3.6), 3) as axes:
        for ax, (label, value) in zip(axes, panels.items()):
            for method in dict.fromkeys(run["method"] for run in runs):
                curves = [thinned({r["step"]: value(r) for r in run["log"]
                                   if value(r) is not None})
                          for run in runs if run["method"] == method]
                if all(curves):
                    plot_seeds(ax, curves, method)
            ax.set(xlabel="step", title=label)
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), ncols=8, frameon=False,
                              loc="outside lower center")
        axes[1].axhline(0, color="gray", lw=0.5)
        axes[2].axhline(1, color="gray", lw=0.8, ls=":")
        axes[2].text(1, 1, "1: calibrated", color="gray", ha="right", va="top",
                     transform=axes[2].get_yaxis_transform())


def thinned(curve, most=50):
    """A curve {step: value} as `most` points or fewer: means of consecutive steps, each at the last
    of them."""
    points, n = list(curve.items()), max(1, math.ceil(len(curve) / most))
    blocks = [points[i: i + n] for i in range(0, len(points), n)]
    return {block[-1][0]: statistics.fmean(value for _, value in block) for block in blocks}


def plot_seeds(ax, curves, method, color=None):
    """Curves {x: y}, one a seed, and their mean, in a method's color or the next."""
    color = color or COLORS.get(method)
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
        ax.set_yticks(range(len(pairs)), names, parse_math=False)
        ax.set(xlim=(0, 1), xlabel="target accuracy", ylim=(-0.6, len(pairs) - 0.4))
        ax.axvline(chance, color="gray", ls=":", lw=1)
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def plot_meta_reward(runs, beta, path):
    """Of OODPL's runs Figure 3, the share of pairs over the outer steps; Figure 5, the weights by
    beta, of the final reward; the mean so far of |dF/dphi|^2, beside 1 / sqrt(steps)."""
    with figure(path, "OODPL (thin: a seed, thick: their mean)", (13, 4), 3) as axes:
        for i, name in enumerate(dict.fromkeys(r["target"] for run in runs for r in run["log"])):
            logs = [[r for r in run["log"] if r["target"] == name] for run in runs]
            plot_seeds(axes[0], [{r["step"]: r["pairs"] for r in log if "pairs" in r}
                                 for log in logs], name, f"C{i}")
            squares = [statistics.fmean(r["gradient"] ** 2 for r in step) for step in zip(*logs)]
            steps = range(1, len(squares) + 1)
            sofar = [total / n for total, n in zip(itertools.accumulate(squares), steps)]
            axes[2].loglog(steps, sofar, f"C{i}")
        axes[2].loglog(steps, [sofar[0] / n**0.5 for n in steps], "k:")
        rewards = [r["rewards"] for run in runs for r in run["log"] if "rewards" in r]
        for b in (beta / 4, beta, 4 * beta):
            logs = [x / b / math.log(10) for x in itertools.chain(*rewards)]
            axes[1].hist(logs, 60, histtype="step", density=True, label=f"beta = {b:g}")
        axes[0].set(xlabel="outer steps", title="share of pairs, domain left out")
        axes[1].set(xlabel="log10 of the weight", title="weights of its texts")
        axes[2].set(xlabel="outer steps", title="mean |dF/dphi|² so far; dotted: 1 / √steps")
        axes[0].legend(frameon=False, fontsize=8), axes[1].legend(frameon=False, fontsize=8)


def plot_embeddings(looks, project, title, path):
    """A row of panels for each method, a panel for each look (step, source, target, accuracy)."""
    columns = len(next(iter(looks.values())))
    size = (2.8 * columns, 2.8 * len(looks) + 0.7)
    with figure(path, title, size, columns, len(looks)) as axes:
        for row, (method, found) in zip(axes.reshape(-1, columns), looks.items()):
            for ax, (step, source, target, accuracy) in zip(row, found):
                scatter(ax, source, target, project)
                ax.set_title(f"{method}, step {step}: {accuracy:.2f}", fontsize=10)
        ax.figure.legend(*ax.get_legend_handles_labels(), ncols=4, loc="outside lower center",
                         frameon=False)


def scatter(ax, source, target, project):
    """Scatter embeddings (B, 2, D) of both domains in one plane."""
    points = torch.cat([source, target])
    plane = project(points.flatten(0, 1)).view(len(points), 2, 2)
    parts = plane.split([len(source), len(target)])
    for (name, (color, marker)), emb in zip(GROUPS.items(),
                                            (part[:, k] for part in parts for k in (0, 1))):
        ax.scatter(emb[:, 0], emb[:, 1], s=10, c=color, marker=marker, alpha=0.6, linewidths=0,
                   label=name)
    ax.set(xticks=[], yticks=[])
