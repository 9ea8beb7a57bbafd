"""The paper's numbers, typed from its tables into published.tsv: means and standard errors over
seeds.

They stand beside ours where the data are the paper's, or made as the paper's are (odd one out).

    cross_lingual        Table 5; DEAL from Table 2 of its own paper
    clean_to_noisy       Table 6; DEAL from its Table 3
    few_shot             Table 7; DEAL from its Table 4
    simple_to_complex    Table 4, which says "s" of its errors, but those of Tgt-Pref* are the
                         standard errors of DEAL's Table 5, where DEAL's numbers are from
    odd_one_out          Table 8, "train on source" and DIAL; DEAL's Table 1 has the same numbers

The rows of DIAL in Tables 5 to 8 are those of DEAL, the method's first version, in that paper's
tables, rounded or verbatim: the published numbers may never have measured Algorithm 1.
"""
import csv
from pathlib import Path

from paper.settings import EXPERIMENTS


def published(args):
    """The numbers of a command's table: (mean, standard error or None) by (method, source, target,
    metric)."""
    numbers, file = {}, Path(__file__).with_name("published.tsv")
    for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines(), delimiter="\t"):
        if row["experiment"] == args.experiment:
            domains = domains_of(row["pair"], args)
            number = float(row["mean"]), float(row["se"]) if row["se"] else None
            for method in (row["method"], f"{row['method'].rstrip('*')}, best*"):
                numbers[method, *domains, row["metric"]] = number
    return numbers


def domains_of(pair, args):
    """The names that a run gives to the source and the target of one of the paper's pairs."""
    if not args.paper:  # our lists of the same foods
        return [f"{food}:en" for food in pair.split("-")]
    return [Path(train).stem for train, _ in EXPERIMENTS[args.experiment]["pairs"][pair]]
