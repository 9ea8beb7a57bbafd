"""What comes out of the commands: the table, the paired gain, and results.json."""
import statistics
from dataclasses import asdict

from support.figures import plot_pairs, plot_training
from support.published import best, published
from support.tables import mean_and_error, plus_minus, print_columns, write_results

BASE, METHOD = "Src-Pref", "DIAL"


def report(args, runs, title, paper, chance=0.5, **options):
    """The table, the figure and results.json.

    Args:
        runs: of `runs.run_jobs`; nothing is done without any. title: of the figure.
        paper, options: the paper's table, as for `published`. chance: the accuracy of guessing.
    """
    if not runs:
        return
    rows = summarize(runs, published(args, runs, paper, **options))
    print_columns(table(rows))
    gains = [row for metric in measured(rows) if (row := gain(rows, metric))]
    for row in gains:
        print(gain_line(row))
    if lost := lost_source(rows):
        print(lost)
    if not measured(rows):
        print("accuracy on the target: not measured, for there is no --eval-data")
    write_results(args.out, args.experiment, args.model, config_of(args, runs),
                  rows + gains, sum(run["seconds"] for run in runs))
    pairs = list(dict.fromkeys((row["source"], row["target"]) for row in rows))
    if len(pairs) > 1:
        plot_pairs(rows, args.out / "pairs.png", f"{title}, mean over seeds", chance)
    else:
        plot_training(runs, args.out / "training.png", f"{title}: {' to '.join(pairs[0])}")


def config_of(args, runs):
    """The settings of runs, for results.json."""
    config = asdict(args.config) | {"batch_size": args.batch_size}
    config |= {name: runs[0]["settings"][name] for name in ("device", "dtype")}
    if args.training:  # what the config has of it is the methods' own
        lines = {name: line._asdict() for name, line in args.training.items()}
        config |= {"training": lines} | dict.fromkeys(("steps", "learning_rate", "weight_decay"))
    return config | {"seeds": sorted({run["seed"] for run in runs})}


def summarize(runs, paper):
    """One row for each method, pair and metric: the values by seed, their mean and standard
    error, and what the method gains on Src-Pref, paired by seed, the best snapshot on the best."""
    groups = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        for r in run["results"]:
            for metric, value in r["metrics"].items():
                key = (r["method"], r["source"], r["target"], metric)
                n_test = r["n_source" if metric.startswith("source_") else "n_test"]
                groups.setdefault(key, (n_test, {}))[1][run["seed"]] = value
    rows = []
    for (method, source, target, metric), (n_test, values) in groups.items():
        name = best(BASE) if method == best(method.removesuffix(", best*")) else BASE
        _, base = groups.get((name, source, target, metric), (0, {}))
        both = [seed for seed in values if seed in base] if method != name else []
        number, error = paper.get((method, source, target, metric), (None, None))
        rows.append({"method": method, "source": source, "target": target, "metric": metric,
                     **mean_and_error(list(values.values())), "seeds": list(values),
                     "n_test": n_test, "paper": number, "paper_se": error,
                     "gain": mean_and_error([values[s] - base[s] for s in both])
                     | {"seeds": both} if both else None})
    return rows


def measured(rows):
    """The metrics of the target that are there."""
    return [m for m in ("accuracy", "pearson", "spearman") if any(r["metric"] == m for r in rows)]


def gain(rows, metric):
    """What DIAL adds to Src-Pref: the gains of its rows, averaged over the pairs of domains for
    each seed that has them all; None where there are none."""
    ours = [r for r in rows if (r["method"], r["metric"]) == (METHOD, metric) and r["gain"]]
    if not ours:
        return None
    by_seed = {}
    for row in ours:
        for seed, value in zip(row["gain"]["seeds"], row["gain"]["values"]):
            by_seed.setdefault(seed, []).append(value)
    by_seed = {seed: values for seed, values in by_seed.items() if len(values) == len(ours)}
    if not by_seed:  # no seed has all pairs
        return None
    pairs = [(r["source"], r["target"]) for r in ours]
    paper = [r["paper"] for r in ours], [r["paper"] for r in rows if r["metric"] == metric
                                         and r["method"] == BASE
                                         and (r["source"], r["target"]) in pairs]
    source, target = pairs[0] if len(pairs) == 1 else ("all", "all")
    return {"method": f"{METHOD} less {BASE}", "source": source, "target": target,
            "metric": metric, "seeds": sorted(by_seed),
            **mean_and_error([statistics.fmean(by_seed[seed]) for seed in sorted(by_seed)]),
            "n_test": ours[0]["n_test"], "paper": None if None in sum(paper, [])
            else statistics.fmean(paper[0]) - statistics.fmean(paper[1])}


def gain_line(row):
    """The paired gain in words, and whether it is established."""
    n, up = len(row["values"]), sum(value > 0 for value in row["values"])
    established = n >= 5 and row["mean"] > 2 * row["se"]
    return (f"paired gain of {METHOD} over {BASE} in {row['metric']}: {row['mean']:+.3f}"
            + (f" ± {row['se']:.3f}" if row["se"] is not None else "") + f", {up} of {n} seeds up"
            + (f"; in the paper {row['paper']:+.3f}" if row["paper"] is not None else "")
            + ("; established" if established else "; not established (two standard errors, "
               "five seeds)"))


def lost_source(rows):
    """A line where DIAL does not learn its source; "" where it does. It needs no target labels."""
    ours, base = ([row["mean"] for row in rows if (row["method"], row["metric"]) == (
        name, "source_accuracy")] for name in (METHOD, BASE))
    if not ours or not base or statistics.fmean(ours) > statistics.fmean(base) - 0.15:
        return ""
    return (f"{METHOD} has not learned its source: source accuracy {statistics.fmean(ours):.3f}, "
            f"{BASE} {statistics.fmean(base):.3f}; more --steps, or a smaller lambda_da?")


def table(rows):
    """The lines of the table: one for each method, pair of domains and metric of the target."""
    cells = {(r["method"], r["source"], r["target"], r["metric"]): r for r in rows}
    metrics = measured(rows)
    lines = [["method", "source", "target", "source accuracy", "distance",
              *(["metric", "on the target", "paper", "gain", "n"] if metrics else ["n"])]]
    for method, source, target in dict.fromkeys(key[:3] for key in cells):
        first = [plus_minus(cells.get((method, source, target, name)))
                 for name in ("source_accuracy", "distance")]
        found = [cells[key] for m in metrics if (key := (method, source, target, m)) in cells]
        for row in found or [cells[method, source, target, "source_accuracy"]]:
            n = f"{len(row['values'])} x {row['n_test']}"
            paper = {"mean": row["paper"], "se": row["paper_se"]}
            last = [row["metric"], plus_minus(row), plus_minus(paper),
                    plus_minus(row["gain"], "+"), n] if found else [n]
            lines.append([method, source, target, *first, *last])
    keep = [i for i, column in enumerate(zip(*lines)) if any(column[1:])]  # no empty columns
    return [[line[i] for i in keep] for line in lines]
