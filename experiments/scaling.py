"""How does DIAL scale with data (section 3.6, Figure 4)?

    python experiments/scaling.py                              # desserts -> fruits

(a) A fixed budget of lists is divided between labelled source and unlabelled target: which mix is
best? (b) All of the source is used, and more and more of the target, which is unlabelled for DIAL
and labelled for the oracle Src-Tgt-Pref*. Src-Pref uses none. All runs take the same number of
steps. The lists are those of odd_one_out.py --no-cue.
"""
from dataclasses import replace

import harness  # noqa: F401  (first: it sets the path)
from data import InputError
from domains.foods import food_domain
from harness.command import count, exit_codes
from harness.figures import COLORS, figure
from harness.flags import LAPTOP, MADE, RUNS, parse, run_parser
from harness.report import config_of, summarize
from harness.runs import run_all
from harness.tables import plus_minus, print_columns, write_results

PRESET = LAPTOP | {"steps": 160}  # as odd_one_out.py
METHODS = ["Src-Pref", "DIAL", "Src-Tgt-Pref*"]  # in (a) DIAL alone
FLAGS = {name: flag for name, flag in (RUNS | MADE).items()
         if name not in ("--methods", "--paper", "--pairs", "--shard")}
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)  # of the target in the budget
SIZES = (0.03, 0.1, 0.3, 1)  # of the target in (b), as shares of what there is


def sized(domain, n):
    """The domain with its first `n` records to train on, labelled or not."""
    return replace(domain, name=f"{n} {domain.name}", labeled=domain.labeled[:n],
                   unlabeled=domain.unlabeled[:n])


def part(args, methods, domains):
    """Run the methods on the domains of one part of the figure; return the runs and the rows."""
    args.methods = methods
    runs = run_all(args, domains)
    args.overwrite = False  # the other part's runs stay
    return runs, sorted(summarize(runs, methods), key=lambda row: methods.index(row["method"]))


def main(argv=None):
    p = run_parser(__doc__, "scaling", PRESET, FLAGS, batch_size=4, methods=METHODS,
                   paper=None, pairs=None, shard=False)
    p.add_argument("--source", default="desserts", help="category[:language] (%(default)s)")
    p.add_argument("--target", default="fruits", help="category[:language] (%(default)s)")
    p.add_argument("--budget", type=count, default=200, help="records in (a) (%(default)s)")
    args = parse(p, argv)
    if not 10 <= args.budget <= args.n_train:
        raise InputError(f"--budget {args.budget}: must be from 10 to the {args.n_train} records "
                         "to train on")
    counts = {round(share * args.budget): share for share in SHARES}
    sizes = list(dict.fromkeys(max(1, round(share * args.n_train)) for share in SIZES))
    mixes, growing = {}, {}
    for seed in args.seeds:
        source, target = (food_domain(name, seed, args.part, args.n_train, args.n_test, without)
                          for name, without in ((args.source, args.target.partition(":")[0]),
                                                (args.target, None)))
        mixes[seed] = [(sized(source, args.budget - n), sized(target, n)) for n in counts]
        growing[seed] = [(source, sized(target, n)) for n in sizes]
    runs_a, rows_a = part(args, ["DIAL"], mixes)
    runs_b, rows_b = part(args, METHODS, growing)
    if runs_b and not runs_a:  # another process was at some: by now it may be done
        runs_a, rows_a = part(args, ["DIAL"], mixes)
    if not (runs_a and runs_b):  # a dry run, or other processes are at some
        return
    write_results(args.out, "scaling", args.model, config_of(args, runs_a), rows_a + rows_b,
                  sum(run["seconds"] for run in runs_a + runs_b))
    rows_a, rows_b = ([row for row in rows if row["metric"] == "accuracy"]
                      for rows in (rows_a, rows_b))
    draw(args, counts, sizes, rows_a, rows_b)
    print_columns([("part", "method", "source", "target", "target accuracy", "gain")] + [
        (name, row["method"], row["source"], row["target"], plus_minus(row),
         plus_minus(row["gain"], "+"))
        for name, rows in (("a", rows_a), ("b", rows_b)) for row in rows])


def draw(args, counts, sizes, rows_a, rows_b):
    """Both parts of the figure: target accuracy, mean and standard error over seeds."""
    title = f"{args.source} to {args.target}: mean and standard error over seeds"
    with figure(args.out / "scaling.png", title, (9, 3.6), 2) as (left, right):
        for ax, method, x, rows in [(left, "DIAL", list(counts.values()), rows_a)] + [
                (right, method, sizes, [r for r in rows_b if r["method"] == method])
                for method in METHODS]:
            ax.errorbar(x, [row["mean"] for row in rows], [row["se"] or 0 for row in rows],
                        marker="o", capsize=3, color=COLORS[method], label=method)
        left.set(title=f"(a) {args.budget} records in all", ylabel="target accuracy", ylim=(0, 1),
                 xlabel="share of the target, unlabelled")
        right.set(title="(b) all of the labelled source", xscale="log", ylim=(0, 1),
                  xlabel="target records: unlabelled (DIAL), labelled (oracle)")
        right.minorticks_off()
        right.set_xticks(sizes, sizes)
        right.legend(frameon=False)


if __name__ == "__main__":
    with exit_codes():
        main()
