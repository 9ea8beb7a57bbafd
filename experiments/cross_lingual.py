"""Cross-lingual transfer (section 3.1): do preferences labelled in one language hold in another?

    python experiments/cross_lingual.py                        # English -> Thai, on a laptop
    python experiments/cross_lingual.py --target desserts:ko desserts:th desserts:zh
    python experiments/cross_lingual.py --source-data en.jsonl --target-data ko.jsonl --save

By default the source is labelled odd-one-out lists of desserts in English, and the target is
unlabelled lists in Thai. With your own files (domains/records.py lists the columns) the source
holds preferences. The target may hold preferences, too, but only an oracle reads their labels. A
tenth of the source's prompts is kept to measure the source accuracy. `--eval-data ko_test.jsonl`,
labelled, measures the target.
"""
import harness  # noqa: F401  (first: it sets the path)
from domains.foods import food_domain
from harness.command import exit_codes
from harness.flags import LAPTOP, MADE, OWN, RUNS, SAVE, given_domains, parse, run_parser
from harness.report import report
from harness.runs import run_all

# The critic sees embeddings less their list's mean, which holds the language. Steps, learning rate
# and where LoRA sits were chosen on Korean and Thai validation lists of seeds 100 to 102, for both
# methods (results/README.md).
PRESET = LAPTOP | {"steps": 40, "learning_rate": 2e-4, "center_prompts": True}


def main(argv=None):
    p = run_parser(__doc__, "cross_lingual", PRESET, RUNS | SAVE | MADE | OWN)
    p.add_argument("--source", default="desserts:en",
                   help="labelled, category[:language] (%(default)s)")
    p.add_argument("--target", nargs="+", default=["desserts:th"],
                   help="unlabelled, one domain or several (desserts:th)")
    args = parse(p, argv)

    def lists(seed):
        source, *targets = (food_domain(name, seed, args.part, args.n_train, args.n_test)
                            for name in (args.source, *args.target))
        return [(source, target) for target in targets]

    domains = given_domains(args) if args.given else {seed: lists(seed) for seed in args.seeds}
    return report(args, run_all(args, domains), "Cross-lingual transfer", 0.5 if args.given else 0.2)


if __name__ == "__main__":
    with exit_codes(several=True):
        main()
