"""Odd one out (section 3.7, Table 8): does a reward learned on one kind of food hold for another?

    python experiments/odd_one_out.py                                     # desserts -> fruits
    python experiments/odd_one_out.py --source snacks --target sauces:ko  # and en, ko, th, zh
    python experiments/odd_one_out.py --source snacks fruits --target sauces snacks    # two pairs
    python experiments/odd_one_out.py --target all                        # the 20 pairs of Table 8
    python experiments/odd_one_out.py --no-cue                            # see below
    python experiments/odd_one_out.py --no-cue --read sauces              # a control, see below
    python experiments/odd_one_out.py --source others --n-train 60        # as meta_reward.py does

A list holds four foods of one category and one food of another, which the reward model must prefer.
On lists of desserts a reward for "not a dessert" is always right. On lists of fruits it is right
only by chance, and wrong where the odd item is a dessert: results.json has the accuracy on these
lists, accuracy_odd_of_source, and on the others, accuracy_odd_of_others.

Some lists of desserts have a fruit as the odd item, which is the right answer. So fruits occur in
the source's labels only as right answers, and a reward for "a fruit" is wrong on every list of
fruits. With --no-cue no list of the source has an item of the target's category. The source
"others" is the lists of all other categories, without the cue. With --label REAL chooses which half
of twice as many source lists is labelled (methods/selection.py). --read asks whether DIAL needs
texts of the target: it reads unlabelled lists of another category, without the target's items, and
is still measured on the target.
"""
import itertools
from dataclasses import replace
from functools import cache, lru_cache, partial

import harness  # noqa: F401  (first: it sets the path)
from data import InputError
from domains.foods import CATEGORIES, by_odd_item, food_domain, joined
from harness.command import exit_codes
from harness.flags import LAPTOP, MADE, RUNS, SAVE, given_domains, parse, run_parser
from harness.report import report
from harness.runs import run_all

# 4 + 4 lists for 160 steps: chosen on validation lists of four pairs.
PRESET = LAPTOP | {"steps": 160}


@lru_cache(1)
def frozen_model(*args):
    from models import backbones
    return backbones.load(*args)


def label_half(args, domain):
    """Of a source's lists only the half that a strategy of REAL chooses, by the mean last states of
    the items alone; with --dry-run any half."""
    from methods import frozen, selection
    if args.dry_run:
        return replace(domain, labeled=domain.labeled[::2])
    backbone = frozen_model(args.model, args.device, args.dtype)
    emb = frozen.alone(backbone, [text for row in domain.labeled for text in row.responses])
    half = selection.select_prompts(emb.view(len(domain.labeled), 5, -1), args.label)
    return replace(domain, labeled=[domain.labeled[i] for i in half])


def main(argv=None):
    p = run_parser(__doc__, "odd_one_out", PRESET, RUNS | SAVE | MADE, batch_size=4)
    p.add_argument("--source", nargs="+", default=["desserts"],
                   help="labelled, category[:language], or others; one, or one a target (desserts)")
    p.add_argument("--target", nargs="+", default=["fruits"],
                   help="unlabelled, one domain or several, or all: 20 ordered pairs (fruits)")
    p.add_argument("--no-cue", action="store_true",
                   help="source lists without the target's items, which are right answers there")
    p.add_argument("--read", choices=CATEGORIES, help="the unlabelled lists are of this category, "
                   "and not of the target's")
    p.add_argument("--label", choices=["easy", "hard"], help="label half of 2 x --n-train source "
                   "lists: those whose least similar items are least, or most, similar")
    args = parse(p, argv)
    sources = args.source * (1 if len(args.source) > 1 else len(args.target))
    if len(sources) != len(args.target):
        raise InputError(f"{len(sources)} sources and {len(args.target)} targets: --source takes "
                         "one, or one a target")
    names = list(zip(sources, args.target))
    if args.target == ["all"]:
        if args.source != ["desserts"]:
            raise InputError("--target all is all pairs: it takes no --source")
        names = list(itertools.permutations(CATEGORIES, 2))

    def lists(seed):
        make = cache(partial(food_domain, seed=seed, part=args.part, n_test=args.n_test))

        def source_of(name, target):
            category, _, language = target.partition(":")
            without = category if args.no_cue or name == "others" else None
            names = ([f"{c}:{language}" for c in CATEGORIES if c != category] if name == "others"
                     else [name])
            made = joined([make(n, n_train=args.n_train * (1 + bool(args.label)), without=without)
                           for n in names])
            return label_half(args, made) if args.label else made

        def target_of(name):
            target = make(name, n_train=args.n_train)
            if not args.read:
                return target
            category, _, language = name.partition(":")
            if args.read == category:
                raise InputError(f"--read {category} is the target itself")
            read = make(f"{args.read}:{language or 'en'}", n_train=args.n_train, without=category)
            return replace(target, name=f"{target.name}, reading {read.name}",
                           unlabeled=read.unlabeled)

        pairs = [(source_of(source, target), target_of(target)) for source, target in names]
        return [(source, by_odd_item(target, source)) for source, target in pairs]

    domains = given_domains(args) if args.given else {seed: lists(seed) for seed in args.seeds}
    frozen_model.cache_clear()
    return report(args, run_all(args, domains), "Odd one out", chance=0.2)


if __name__ == "__main__":
    with exit_codes(several=True):
        main()
