"""When does DIAL help? Its gain on the target, against what Src-Pref loses on the way there.

    python experiments/when_it_helps.py runs/*/results.json

Each pair of domains is a point. The loss is Src-Pref's accuracy on the source less that on the
target; the gain is DIAL's accuracy on the target less Src-Pref's, with its standard error over
seeds. The files are the results.json of commands that trained both methods, your own among them. A
file without such accuracies is passed over, with a line.
"""
import json
import sys
from pathlib import Path

import harness  # noqa: F401  (first: it sets the path)
from data import InputError
from harness.command import PARSER, Parser, exit_codes
from harness.figures import figure
from harness.tables import make_folder, plus_minus, print_columns


def points_of(file):
    """[(experiment, source, target, loss, gain)] of a results.json, the gain as in its rows."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        rows = {(r["method"], r["source"], r["target"], r["metric"]): r for r in record["rows"]}
        pairs = [pair for method, *pair, metric in rows if (method, metric) == ("DIAL", "accuracy")]
        found = [(record["experiment"], *pair,
                  rows["Src-Pref", *pair, "source_accuracy"]["mean"]
                  - rows["Src-Pref", *pair, "accuracy"]["mean"],
                  rows["DIAL", *pair, "accuracy"]["gain"])
                 for pair in pairs if ("Src-Pref", *pair, "source_accuracy") in rows
                 and rows["DIAL", *pair, "accuracy"]["gain"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{file}: not a results.json of this program") from None
    if not found:
        print(f"{file}: passed over, it has no accuracies of both methods", file=sys.stderr)
    return found


def main(argv=None):
    p = Parser(description=__doc__, **PARSER)
    p.add_argument("files", nargs="+", type=Path, metavar="FILE", help="results.json of a command")
    p.add_argument("--out", type=Path, default=Path("when_it_helps.png"),
                   help="the picture to write (%(default)s)")
    args = p.parse_args(argv)
    points = [point for file in args.files for point in points_of(file)]
    if not points:
        raise InputError("none of the files has accuracies of Src-Pref and DIAL")
    make_folder(args.out.parent)
    with figure(args.out, "Each pair of domains: gain ± standard error over seeds", (7, 4.5)) as ax:
        for name in dict.fromkeys(point[0] for point in points):
            x, y, error = zip(*((loss, gain["mean"], gain["se"] or 0)
                                for experiment, *_, loss, gain in points if experiment == name))
            ax.errorbar(x, y, yerr=error, fmt="o", label=name)
        ax.axhline(0, color="gray", lw=0.8)
        ax.set(xlabel="what Src-Pref loses: source accuracy less target accuracy",
               ylabel="what DIAL gains on the target")
        ax.legend(frameon=False)
    print_columns([("experiment", "source", "target", "Src-Pref loses", "DIAL gains", "n")] + [
        (name, source, target, f"{loss:.3f}", plus_minus(gain, "+"), str(len(gain["values"])))
        for name, source, target, loss, gain in points])


if __name__ == "__main__":
    with exit_codes():
        main()
