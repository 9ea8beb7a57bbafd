"""How DIAL scales with data (section 3.6, Figure 4).

    python experiments/scaling.py                              # desserts -> fruits

(a) A fixed budget of lists, part of them labelled source and part unlabelled target: which mix is
best? (b) All of the source, and more and more of the target: unlabelled for DIAL, labelled for the
oracle Src-Tgt-Pref*. All runs take the same number of steps.
"""
import copy
import time
from dataclasses import replace

from common import add_size_flags, command_line, configure, parser  # first: sets the path
from data import InputError
from figures import COLORS, figure
from foods import food_domain
from odd_one_out import PRESET
from report import print_columns, plus_minus, seeds_of, summarize, write_results
from runs import describe, plan, run

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)  # of the target in the budget
SIZES = (30, 100, 300, 1000)  # lists of the target in (b)
PARTS = {"mix": ["DIAL"], "size": ["DIAL", "Src-Tgt-Pref*"]}


def sized(domain, n):
    """The domain with its first `n` lists to train on, labelled or not."""
    return replace(domain, name=f"{n} {domain.name}", labeled=domain.labeled[:n],
                   unlabeled=domain.unlabeled[:n])


def part(args, name, pairs):
    """The rows of target accuracy, of the runs of (a) or of (b), and the seeds of these."""
    args = copy.copy(args)
    args.methods, args.out = PARTS[name], args.out / name
    results, _ = run(args, pairs)
    rows = [row for row in summarize(results, {}) if row["metric"] == "accuracy"]
    return rows, seeds_of(results)


def main(argv=None):
    p = parser(__doc__, "scaling", PRESET)
    add = p.generated.add_argument
    add("--source", default="desserts:en", help="category[:language] (%(default)s)")
    add("--target", default="fruits:en", help="category[:language] (%(default)s)")
    add("--budget", type=int, default=200, help="lists in (a) (%(default)s)")
    add_size_flags(p)
    args, start = p.parse_args(argv), time.time()
    p.refuse(args, "for scaling.py", "choose", "methods")
    if args.budget < 10 or args.budget > args.n_train:
        raise InputError(f"--budget {args.budget}: must be from 10 to --n-train {args.n_train}")
    source, target = (food_domain(name, "items", args.evaluate_on, args.n_train, args.n_test)
                      for name in (args.source, args.target))
    counts = {round(share * args.budget): share for share in SHARES}
    mixes = [(sized(source, args.budget - n), sized(target, n)) for n in counts]
    sizes = [n for n in SIZES if n <= args.n_train]
    growing = [(source, sized(target, n)) for n in sizes]
    if args.dry_run:
        for methods, pairs in zip(PARTS.values(), (mixes, growing)):
            describe(args, configure(args), plan(methods, args.seeds, pairs))
        return
    (rows_a, _), (rows_b, seeds) = part(args, "mix", mixes), part(args, "size", growing)
    table = [("part", "method", "source lists", "target lists", "target accuracy")]
    for name, rows in (("a", rows_a), ("b", rows_b)):
        for row in rows:
            labelled = row["source"].split()[0] if name == "a" else str(args.n_train)
            table.append((name, row["method"], labelled, row["target"].split()[0],
                          plus_minus(row)))
    print_columns(table)
    title = f"{source.name} to {target.name}: mean and standard error over seeds"
    with figure(args.out / "scaling.png", title, (9, 3.6), 2) as (left, right):
        curve(left, "DIAL", list(counts.values()), rows_a)
        left.set(title=f"(a) {args.budget} lists in all", ylabel="target accuracy", ylim=(0, 1),
                 xlabel="share of the target, unlabelled")
        for method in PARTS["size"]:
            curve(right, method, sizes, [r for r in rows_b if r["method"] == method])
        right.set(title=f"(b) {args.n_train} labelled source lists", xscale="log", ylim=(0, 1),
                  xlabel="target lists: unlabelled (DIAL), labelled (oracle)")
        right.legend(frameon=False)
    write_results(args.out, "scaling", args.model, configure(args), seeds, rows_a + rows_b,
                  time.time() - start)


def curve(ax, method, x, rows):
    ax.errorbar(x, [row["mean"] for row in rows], [row["se"] or 0 for row in rows], marker="o",
                capsize=3, color=COLORS[method], label=method)


if __name__ == "__main__":
    command_line(main)
