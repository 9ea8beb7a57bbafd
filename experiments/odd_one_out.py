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
from support.cli import LAPTOP, generated_flag, parse, run_flags, size_flags
from support.flags import command_line
from support.own import given_domains
from support.published import typed
from support.report import report
from support.runs import plan, run_jobs

# 4 + 4 lists for 160 steps: chosen on validation lists of four pairs.
PRESET = LAPTOP | {"steps": 160}
# Table 8: Src-Pref ("train on source") and DIAL; DEAL's Table 1 has the same numbers.
TABLE_8 = typed("""
desserts-fruits        .363±.090  .686±.035
desserts-sauces        .400±.107  .743±.028
desserts-vegetables    .234±.057  .489±.037
desserts-snacks        .477±.045  .728±.013
fruits-desserts        .261±.060  .561±.047
fruits-sauces          .254±.101  .404±.019
fruits-vegetables      .649±.016  .714±.002
fruits-snacks          .091±.017  .455±.038
sauces-desserts        .398±.035  .610±.018
sauces-fruits          .251±.008  .442±.037
sauces-vegetables      .285±.056  .454±.037
sauces-snacks          .405±.071  .643±.005
vegetables-desserts    .174±.029  .389±.019
vegetables-fruits      .708±.012  .756±.010
vegetables-sauces      .202±.041  .538±.061
vegetables-snacks      .247±.092  .471±.040
snacks-desserts        .304±.018  .629±.033
snacks-fruits          .183±.012  .397±.027
snacks-sauces          .248±.029  .683±.068
snacks-vegetables      .229±.016  .396±.064
""")
PAPER = {"Src-Pref": [source for source, _ in TABLE_8.values()]} | dict.fromkeys(
    ("DIAL", "DEAL"), [dial for _, dial in TABLE_8.values()])


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
    cells = [tuple(f"{food}:en" for food in name.split("-")) for name in TABLE_8]
    report(args, runs, "Odd one out", PAPER, chance=0.2, cells=cells)


if __name__ == "__main__":
    command_line(main)
