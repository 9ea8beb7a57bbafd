"""Simple to complex (section 3.4): do preferences between short arguments hold for essays?

    python experiments/simple_to_complex.py
    python experiments/simple_to_complex.py --methods all
    python experiments/simple_to_complex.py --source-data short.jsonl --target-data long.jsonl \\
        --eval-data long_scored.jsonl                          # your own two domains

By default the source is labelled pairs of short arguments with neighbouring scores, and the target
is unlabelled essays three times as long. The result is the correlation of the rewards with the true
scores of new essays on new questions (domains/arguments.py says how the texts are made). Of your
own files, the evaluation data hold {"prompt": ..., "response": ..., "score": number}, or
preferences. Only texts with the same prompt are correlated with each other.
"""
import harness  # noqa: F401  (first: it sets the path)
from domains.arguments import argument_domain
from harness.command import exit_codes
from harness.flags import LAPTOP, MADE, OWN, RUNS, SAVE, given_domains, parse, run_parser
from harness.report import report
from harness.runs import run_all

# Chosen on validation questions: the rate for both methods, the small lambda (.3 did harm).
PRESET = LAPTOP | {"learning_rate": 2e-4, "lambda_da": 0.03}


def main(argv=None):
    p = run_parser(__doc__, "simple_to_complex", PRESET, RUNS | SAVE | MADE | OWN, batch_size=4,
                   methods=["Longest", "Seen words", "Src-Pref", "DIAL"])
    args = parse(p, argv)

    def arguments(seed):
        return [tuple(argument_domain(form, args.part, args.n_train, args.n_test, seed=seed)
                      for form in ("short", "long"))]

    domains = given_domains(args) if args.given else {seed: arguments(seed) for seed in args.seeds}
    report(args, run_all(args, domains), "Simple to complex")


if __name__ == "__main__":
    with exit_codes(several=True):
        main()
