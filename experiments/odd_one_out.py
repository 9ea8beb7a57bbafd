"""Odd one out (section 3.7, Table 8): does a reward learned on one kind of food hold for another?

    python experiments/odd_one_out.py                                     # desserts -> fruits
    python experiments/odd_one_out.py --source snacks --target sauces:ko  # and en, ko, th, zh
    python experiments/odd_one_out.py --all                               # the 20 pairs of Table 8

A list holds four foods of a category and one other; the reward model must prefer the other.
Trained on desserts alone, it learns "not a dessert": on lists of fruits that reward is spurious.
"""
import itertools

import support  # noqa: F401  (first: it sets the path)
from data import InputError
from domains.foods import CATEGORIES, food_domain
from support.own import given_domains
from support.cli import LAPTOP, generated_flag, parse, run_flags, size_flags
from support.flags import command_line
from support.report import published, report
from support.runs import plan, run_jobs

# 4 + 4 lists for 160 steps: chosen on validation lists of four pairs.
PRESET = LAPTOP | {"steps": 160}
# Table 8: source -> target: Src-Pref ("train on source"), DIAL.
TABLE_8 = {
    ("desserts", "fruits"): (0.363, 0.686), ("desserts", "sauces"): (0.400, 0.743),
    ("desserts", "vegetables"): (0.234, 0.489), ("desserts", "snacks"): (0.477, 0.728),
    ("fruits", "desserts"): (0.261, 0.561), ("fruits", "sauces"): (0.254, 0.404),
    ("fruits", "vegetables"): (0.649, 0.714), ("fruits", "snacks"): (0.091, 0.455),
    ("sauces", "desserts"): (0.398, 0.610), ("sauces", "fruits"): (0.251, 0.442),
    ("sauces", "vegetables"): (0.285, 0.454), ("sauces", "snacks"): (0.405, 0.643),
    ("vegetables", "desserts"): (0.174, 0.389), ("vegetables", "fruits"): (0.708, 0.756),
    ("vegetables", "sauces"): (0.202, 0.538), ("vegetables", "snacks"): (0.247, 0.471),
    ("snacks", "desserts"): (0.304, 0.629), ("snacks", "fruits"): (0.183, 0.397),
    ("snacks", "sauces"): (0.248, 0.683), ("snacks", "vegetables"): (0.229, 0.396),
}


def main(argv=None):
    p = run_flags(__doc__, "odd_one_out", PRESET, batch_size=4)
    generated_flag(p, "--source", default="desserts",
                   help="labelled, category[:language] (%(default)s)")
    generated_flag(p, "--target", nargs="+", default=["fruits"],
                   help="unlabelled, one domain or several (fruits)")
    generated_flag(p, "--all", action="store_true", help="all 20 ordered pairs of categories")
    size_flags(p)
    args = parse(p, argv)
    names = [(args.source, target) for target in args.target]
    if args.all and (args.source, args.target) != ("desserts", ["fruits"]):
        raise InputError("--all is all pairs: it takes no --source and no --target")
    if args.all:
        names = list(itertools.permutations(CATEGORIES, 2))

    def lists(seed):
        made = {name: food_domain(name, seed, args.part, args.n_train, args.n_test)
                for name in dict.fromkeys(sum(names, ()))}
        return [(made[source], made[target]) for source, target in names]

    runs = run_jobs(args, plan(args, given_domains(args) or lists))
    name = "{}_sub_out_train" if args.paper else "{}:en"
    paper = {k: v for pair, numbers in TABLE_8.items() for k, v in published(
        dict(zip(("Src-Pref", "DIAL"), numbers)), [tuple(map(name.format, pair))]).items()}
    report(args, runs, "Odd one out", paper, chance=0.2)


if __name__ == "__main__":
    command_line(main)
