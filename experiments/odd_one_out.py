"""Odd one out (section 3.7, Table 8): does a reward learned on lists of one kind of food hold for another?

    python experiments/odd_one_out.py                                       # desserts -> fruits
    python experiments/odd_one_out.py --source snacks --target sauces:ko    # any categories, any of en, ko, th, zh
    python experiments/odd_one_out.py --all                                 # all 20 pairs of Table 8

A list holds four foods of a category and one other; the reward model must prefer the other. Trained on desserts alone, it
learns "not a dessert": on fruits that reward is spurious, and picks the odd dessert last.
"""
import itertools
import sys
import time

from common import command_line, parser, run
from foods import CATEGORIES, food_domain
from report import plot_training, print_table, summarize, write_results

# Settings for Gemma-3-270M on a laptop; how they were chosen: see README, "Settings".
LAPTOP = {"steps": 80, "batch_size": 8, "learning_rate": 5e-4, "warmup_steps": 10, "decay": 0.4, "lambda_da": 0.3,
          "critic_learning_rate": 1e-3, "lora_layers": 6, "scale_embeddings": True}

# Table 8: source -> target, Src-Pref ("train on source"), DIAL.
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
    p = parser(__doc__, "odd_one_out", LAPTOP)
    p.add_argument("--source", default="desserts", help="labelled domain, category[:language] (%(default)s)")
    p.add_argument("--target", default="fruits", help="unlabelled domain (%(default)s)")
    p.add_argument("--all", action="store_true", help="all 20 ordered pairs of categories, Table 8")
    p.add_argument("--split", choices=["items", "lists"], default="items",
                   help="test lists of items never seen in training, or new lists of the same items as in the paper (%(default)s)")
    p.add_argument("--evaluate-on", choices=["validation", "test"], default="test", help="which lists to report (%(default)s)")
    p.add_argument("--n-train", type=int, default=1000, help="training lists a domain (%(default)s)")
    p.add_argument("--n-test", type=int, default=200, help="evaluation lists a domain (%(default)s)")
    args = p.parse_args(argv)
    start = time.time()
    names = list(itertools.permutations(CATEGORIES, 2)) if args.all else [(args.source, args.target)]
    domains = {name: food_domain(name, args.split, args.evaluate_on, args.n_train, args.n_test) for pair in names for name in pair}
    runs, log = run(args, [(domains[a], domains[b]) for a, b in names])
    paper = {(m, f"{a}:en", f"{b}:en"): v for (a, b), both in TABLE_8.items() for m, v in zip(("Src-Pref", "DIAL"), both)}
    rows = summarize(runs, paper)
    print_table(rows)
    write_results(args, "odd_one_out", rows, time.time() - start)
    plot_training(log, args.out / "training.png", f"Odd one out, {names[0][0]} to {names[0][1]}", chance=0.2)


if __name__ == "__main__":
    command_line(main)
