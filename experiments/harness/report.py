"""What comes out of a command: the table, the paired gain with its verdict, and results.json."""
import statistics
import sys
from dataclasses import asdict

from harness.tables import (established, holm, mean_and_error, paired, plus_minus, print_columns,
                            verdict, write_results)

BASE, METHOD = "Src-Pref", "DIAL"


def report(args, runs, title, chance=0.5):
    """Print the table, draw the figure and write results.json; return the runs.

    Args: runs: of `runs.run_all`. title: of the figure. chance: the accuracy of guessing.
    """
    if not runs:
        return runs
    paper = {}
    if args.paper or args.experiment == "odd_one_out":  # elsewhere our data are not the paper's
        from paper.published import published
        paper = published(args)
    rows = summarize(runs, args.methods, paper)
    gains = [row for metric in measured(rows) if (row := gain(rows, metric))]
    write_results(args.out, args.experiment, args.model, config_of(args, runs),
                  rows + gains, sum(run["seconds"] for run in runs))
    from harness.figures import plot_pairs, plot_training
    pairs = list(dict.fromkeys((row["source"], row["target"]) for row in rows))
    if len(pairs) > 1:
        plot_pairs(rows, args.out / "pairs.png", f"{title}, mean over seeds", chance)
    else:
        plot_training(runs, args.out / "training.png", f"{title}: {' to '.join(pairs[0])}")
    print_columns(table(rows))  # last: it may go to a terminal that is closed
    for line in (*map(gain_line, gains), *targets_lines(rows), *lost_source(rows)):
        print(line)
    print(f"results and runs: {args.out}", file=sys.stderr)
    return runs


def config_of(args, runs):
    """The settings of runs, for results.json."""
    config = asdict(args.config) | {"batch_size": args.batch_size}
    config |= {name: runs[0]["settings"][name] for name in ("device", "dtype")}
    if args.training:  # what the config has of it is the methods' own
        lines = {name: line._asdict() for name, line in args.training.items()}
        config |= {"training": lines} | dict.fromkeys(("steps", "learning_rate", "weight_decay"))
    return config | {"seeds": sorted({run["seed"] for run in runs})}


def summarize(runs, methods=(), paper=(), base=BASE):
    """A row for each pair of domains, method and metric: the values by seed, their mean and
    standard error, and what the method gains on another, `base`, paired by seed.

    Args:
        methods: their order. paper: numbers by (method, source, target, metric), of `published`.
    """
    groups, paper = {}, dict(paper)
    for run in sorted(runs, key=lambda run: run["seed"]):
        for r in run["results"]:
            for metric, value in r["metrics"].items():
                key = (r["source"], r["target"], r["method"], metric)
                n_test = r["n_source" if metric.startswith("source_") else "n_test"]
                groups.setdefault(key, (n_test, {}))[1][run["seed"]] = value
    pairs, methods, rows = list(dict.fromkeys(key[:2] for key in groups)), list(methods), []
    methods += dict.fromkeys(key[2] for key in groups)
    for key in sorted(groups, key=lambda key: (pairs.index(key[:2]), methods.index(key[2]))):
        (source, target, method, metric), (n_test, values) = key, groups[key]
        name = f"{base}, best*" if method.endswith(", best*") else base
        _, others = groups.get((source, target, name, metric), (0, {}))
        both = [seed for seed in values if seed in others] if method != name else []
        (number, error), (base_number, _) = (
            paper.get((m, source, target, metric), (None, None)) for m in (method, name))
        rows.append({"method": method, "source": source, "target": target, "metric": metric,
                     **mean_and_error(list(values.values())), "seeds": list(values),
                     "n_test": n_test, "paper": number, "paper_se": error,
                     "gain": paired([values[s] - others[s] for s in both]) | {
                         "seeds": both, "paper": None if None in (number, base_number)
                         else number - base_number} if both else None})
    for name in {(r["method"], r["metric"]) for r in rows}:  # the family is the table
        gains = [r["gain"] for r in rows if (r["method"], r["metric"]) == name and r["gain"]]
        for g, p in zip(gains, holm([g["p"] for g in gains])):
            g["p_holm"] = p
    return rows


def measured(rows):
    """The metrics of the target that are there."""
    return [m for m in ("accuracy", "pearson", "spearman") if any(r["metric"] == m for r in rows)]


def gain(rows, metric):
    """What DIAL adds to Src-Pref: the gains of its rows, averaged over the pairs of domains for
    each seed; None where there are none."""
    ours = [r for r in rows if (r["method"], r["metric"]) == (METHOD, metric) and r["gain"]]
    if not ours:
        return None
    paper = [r["gain"]["paper"] for r in ours]
    source, target = (ours[0]["source"], ours[0]["target"]) if len(ours) == 1 else ("all", "all")
    return {"method": f"{METHOD} less {BASE}", "source": source, "target": target,
            "metric": metric, "seeds": ours[0]["gain"]["seeds"],
            **paired([*map(statistics.fmean, zip(*(r["gain"]["values"] for r in ours)))]),
            "n_test": ours[0]["n_test"],
            "paper": None if None in paper else statistics.fmean(paper)}


def gain_line(row):
    """The paired gain in words, and whether it is established."""
    n, up = len(row["values"]), sum(value > 0 for value in row["values"])
    return (f"paired gain of {METHOD} over {BASE} in {row['metric']}: {words(row)}, {up} of {n} "
            "seeds up" + (f"; in the paper {row['paper']:+.3f}" if row["paper"] is not None else "")
            + f"; {verdict(row)}")


def words(row):
    """A gain with its p."""
    return plus_minus(row, "+") + (f" (p = {row['p']:.2g})" if row["p"] is not None else "")


def targets_lines(rows):
    """Of several targets, those whose gain is established by itself, in a line for each metric."""
    for metric in measured(rows):
        ours = [r for r in rows if (r["method"], r["metric"]) == (METHOD, metric) and r["gain"]]
        found = [f"{r['source']} -> {r['target']} (p = {r['gain']['p_holm']:.2g})" for r in ours
                 if established(r["gain"], r["gain"]["p_holm"])]
        if len(ours) > 1:
            yield (f"established by itself in {metric}, of {len(ours)} targets, after Holm's "
                   f"correction: {', '.join(found) or 'none'}")


def lost_source(rows):
    """A line where DIAL may not have learned its source, which needs no target labels, and one
    where the target is not measured."""
    ours, base = ([row["mean"] for row in rows if (row["method"], row["metric"]) == (
        name, "source_accuracy")] for name in (METHOD, BASE))
    if ours and base and statistics.fmean(ours) <= statistics.fmean(base) - 0.15:
        yield (f"{METHOD} may not have learned its source: source accuracy "
               f"{statistics.fmean(ours):.3f}, {BASE} {statistics.fmean(base):.3f}; perhaps more "
               "--steps, or a smaller lambda_da")
    if not measured(rows):
        yield "accuracy on the target: not measured, for there is no --eval-data"


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
