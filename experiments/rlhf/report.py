"""What is reported of rlhf_shift.py: its table, and Figure 6."""
import statistics

from domains.splits import Domain
from harness.figures import figure, plot_seeds
from harness.tables import plus_minus
from rlhf.arms import ARMS

PAIR = Domain("off-policy"), Domain("policy")  # what stands for source and target in a run
CURVES = {"true_reward": "(a) true reward in training", "held_out": "(b) on held-out prompts",
          "auc": "AUC of the reward model"}
METRICS = {"area": "6a, mean of epochs", "true_reward": "6a, last", "held_out": "6b, last",
           "auc_first": "AUC, first 5", "auc_last": "AUC, last 5", "kl": "KL, last"}


def results(name, task, log):
    """What is reported of an arm; the AUC is missing where there were no two to compare."""
    metrics = {"area": statistics.fmean(record["true_reward"] for record in log),
               **{key: log[-1][key] for key in ("true_reward", "held_out", "kl")}}
    for key, part in (("auc_first", log[:5]), ("auc_last", log[-5:])):
        if values := [record["auc"] for record in part if record["auc"] is not None]:
            metrics[key] = statistics.fmean(values)
    return {"method": name, "source": PAIR[0].name, "target": PAIR[1].name,
            "metrics": metrics, "n_test": len(task.test)}


def table(rows):
    """A line for each arm, and what it gains on Src-Pref, paired by seed."""
    cells = {(row["method"], row["metric"]): row for row in rows}
    arms = [name for name in ARMS if (name, "area") in cells]
    lines = [["arm", *METRICS.values()]]
    lines += [[name, *(plus_minus(cells.get((name, m))) for m in METRICS)] for name in arms]
    for name in arms:
        gains = [cells.get((name, m), {}).get("gain") for m in METRICS]
        if any(gains):
            lines.append([f"{name} less Src-Pref", *(plus_minus(gain, "+") for gain in gains)])
    return lines


def draw(path, runs):
    """Figure 6, and beside it the reward model's AUC."""
    seeds = {run["seed"] for run in runs}
    title = f"{len(seeds)} seeds (thin: a seed, thick: their mean)"
    with figure(path, title, (12, 3.6), 3) as axes:
        for ax, (key, label) in zip(axes, CURVES.items()):
            for name in ARMS:
                before = int(key != "held_out")  # measured before the epoch's PPO
                curves = [{r["step"] - before: r[key] for r in run["log"] if r[key] is not None}
                          for run in runs if run["method"] == name]
                if curves and all(curves):
                    plot_seeds(ax, curves, name)
            ax.set(title=label, xlabel="epochs of PPO so far", ylim=(0, 1.02))
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, frameon=False,
                              loc="outside lower center")
