"""How does DIAL scale with data (section 3.6, Figure 4)?

    python experiments/scaling.py                              # desserts -> fruits
    python experiments/scaling.py --paper                      # SHP's legaladvice in Korean

(a) A fixed budget of lists is divided between labelled source and unlabelled target: which mix is
best? (b) All of the source is used, and more and more of the target, which is unlabelled for DIAL
and labelled for the oracle Src-Tgt-Pref*. All runs take the same number of steps; with --paper it
is the number that DIAL's epochs take on all records.
"""
import math
from dataclasses import replace

import harness  # noqa: F401  (first: it sets the path)
from data import InputError
from domains.foods import food_domain
from domains.splits import split_items
from harness.command import count, exit_codes, given_domains, parse, run_parser
from harness.figures import COLORS, figure
from harness.flags import LAPTOP, MADE, RUNS
from harness.report import config_of, summarize
from harness.runs import run_all
from harness.tables import plus_minus, print_columns, write_results

PRESET = LAPTOP | {"steps": 160}  # as odd_one_out.py
METHODS = ["DIAL", "Src-Tgt-Pref*"]  # in (a) the first alone
FLAGS = {name: flag for name, flag in (RUNS | MADE).items() if name != "--methods"}
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)  # of the target in the budget
SIZES = (0.03, 0.1, 0.3, 1)  # of the target in (b), as shares of what there is


def sized(domain, n, seed):
    """The domain with `n` records to train on, labelled or not, which a larger `n` has as well."""
    labeled, unlabeled = (split_items(rows, seed, (1.0,))[0][:n]
                          for rows in (domain.labeled, domain.unlabeled))
    return replace(domain, name=f"{n} {domain.name}", labeled=labeled, unlabeled=unlabeled)


def part(args, methods, domains):
    """Run the methods on the domains of one part of the figure; return the runs, and the rows of
    target accuracy."""
    args.methods = methods
    runs = run_all(args, domains)
    args.overwrite = False  # the other part's runs stay
    rows = [row for row in summarize(runs, methods)
            if row["metric"] == "accuracy" and row["method"] in methods]  # no best look
    return runs, sorted(rows, key=lambda row: methods.index(row["method"]))


def main(argv=None):
    p = run_parser(__doc__, "scaling", PRESET, FLAGS, batch_size=4, methods=METHODS)
    p.add_argument("--source", default="desserts", help="category[:language] (%(default)s)")
    p.add_argument("--target", default="fruits", help="category[:language] (%(default)s)")
    p.add_argument("--budget", type=count, default=200, help="records in (a) (%(default)s)")
    args = parse(p, argv)
    domains = given_domains(args) if args.given else None
    if domains and (least := min(len(d.labeled) for d in domains[args.seeds[0]][0])):
        args.n_train, args.budget = least, min(args.budget, least)
    if not 10 <= args.budget <= args.n_train:
        raise InputError(f"--budget {args.budget}: must be from 10 to the {args.n_train} records "
                         "to train on")
    if args.paper:
        line = args.training["DIAL" if "DIAL" in args.training else "others"]
        args.steps = math.ceil(line.epochs * args.n_train / line.batch_size)
    counts = {round(share * args.budget): share for share in SHARES}
    sizes = list(dict.fromkeys(max(1, round(share * args.n_train)) for share in SIZES))
    mixes, growing = {}, {}
    for seed in args.seeds:
        source, target = domains[seed][0] if domains else [
            food_domain(name, seed, args.part, args.n_train, args.n_test)
            for name in (args.source, args.target)]
        mixes[seed] = [(sized(source, args.budget - n, seed), sized(target, n, seed))
                       for n in counts]
        growing[seed] = [(source, sized(target, n, seed)) for n in sizes]
    runs_a, rows_a = part(args, METHODS[:1], mixes)
    runs_b, rows_b = part(args, METHODS, growing)
    if not (runs_a and runs_b):  # a dry run, or other processes are at some
        return
    write_results(args.out, "scaling", args.model, config_of(args, runs_a), rows_a + rows_b,
                  sum(run["seconds"] for run in runs_a + runs_b))
    draw(args, counts, sizes, rows_a, rows_b)
    print_columns([("part", "method", "source", "target", "target accuracy")] + [
        (name, row["method"], row["source"], row["target"], plus_minus(row))
        for name, rows in (("a", rows_a), ("b", rows_b)) for row in rows])


def draw(args, counts, sizes, rows_a, rows_b):
    """Both parts of the figure: target accuracy, mean and standard error over seeds."""
    title = f"{rows_b[0]['source']} to {rows_b[-1]['target']}: mean, standard error over seeds"
    with figure(args.out / "scaling.png", title, (9, 3.6), 2) as (left, right):
        parts = [(left, "DIAL", list(counts.values()), rows_a)]
        parts += [(right, method, sizes, [r for r in rows_b if r["method"] == method])
                  for method in ("DIAL", "Src-Tgt-Pref*")]
        for ax, method, x, rows in parts:
            ax.errorbar(x, [row["mean"] for row in rows], [row["se"] or 0 for row in rows],
                        marker="o", capsize=3, color=COLORS[method], label=method)
        left.set(title=f"(a) {args.budget} records in all", ylabel="target accuracy", ylim=(0, 1),
                 xlabel="share of the target, unlabelled")
        right.set(title="(b) all of the labelled source", xscale="log", ylim=(0, 1),
                  xlabel="target records: unlabelled (DIAL), labelled (oracle)")
        right.legend(frameon=False)


if __name__ == "__main__":
    with exit_codes():
        main()
