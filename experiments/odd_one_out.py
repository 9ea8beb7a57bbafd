"""Odd one out (section 3.7, Table 8): does a reward learned on one kind of food hold for another?

    python experiments/odd_one_out.py                                     # desserts -> fruits
    python experiments/odd_one_out.py --source snacks --target sauces:ko  # and en, ko, th, zh
    python experiments/odd_one_out.py --all                               # the 20 pairs of Table 8

A list holds four foods of a category and one other; the reward model must prefer the other.
Trained on desserts alone, it learns "not a dessert": on lists of fruits that reward is spurious.
"""
import itertools

from common import LAPTOP, add_size_flags, command_line, parser  # first: sets the path
from foods import CATEGORIES, food_domain
from own_data import given_domains
from runs import run_and_report

# Half the rows a step and a third more steps: chosen on validation lists of four pairs.
PRESET = LAPTOP | {"batch_size": 4, "steps": 160, "eval_every": 40}
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


def add_list_flags(p, source, target):
    """The flags of food lists; `foods.food_domain` explains them."""
    add = p.generated.add_argument
    add("--source", default=source, help="labelled, category[:language] (%(default)s)")
    add("--target", nargs="+", default=[target],
        help=f"unlabelled, one domain or several ({target})")
    add("--split", choices=["items", "lists"], default="items",
        help="test on unseen items, or as in the paper on new lists (%(default)s)")
    add_size_flags(p)


def list_domains(args, pairs=None):
    """The (source, target) pairs of domains by name; those of the flags where none are given."""
    pairs = pairs or [(args.source, target) for target in args.target]
    return [tuple(food_domain(name, args.split, args.evaluate_on, args.n_train, args.n_test)
                  for name in pair) for pair in pairs]


def main(argv=None):
    p = parser(__doc__, "odd_one_out", PRESET)
    add_list_flags(p, "desserts", "fruits")
    p.generated.add_argument("--all", action="store_true",
                             help="all 20 ordered pairs of categories")
    args = p.parse_args(argv)
    pairs = given_domains(args) or list_domains(
        args, itertools.permutations(CATEGORIES, 2) if args.all else None)
    name = "{}_sub_out_train" if args.paper else "{}:en"
    paper = {(method, name.format(source), name.format(target), "accuracy"): number
             for (source, target), numbers in TABLE_8.items()
             for method, number in zip(("Src-Pref", "DIAL"), numbers)}
    run_and_report(args, "Odd one out", pairs, paper, chance=0.2)


if __name__ == "__main__":
    command_line(main)
