"""Clean to noisy (section 3.2): do preferences between well-written answers hold for hasty ones?

    python experiments/clean_to_noisy.py
    python experiments/clean_to_noisy.py --methods all
    python experiments/clean_to_noisy.py --source-data clean.jsonl --target-data noisy.jsonl \\
        --eval-data noisy_test.jsonl                           # your own two domains

By default the source is labelled pairs of well-written answers to a question, of which the better
one has fewer flaws (domains/arguments.py says which). The target is unlabelled answers with typos,
slang, emoji, dropped punctuation and lost capitals (domains/noise.py). No training text has a
question of the test.
"""
import harness  # noqa: F401  (first: it sets the path)
from domains.arguments import argument_domain
from harness.command import exit_codes
from harness.flags import LAPTOP, MADE, OWN, RUNS, SAVE, given_domains, parse, run_parser
from harness.report import report
from harness.runs import run_all

# The critic sees answers less their pair's mean: chosen on validation questions.
PRESET = LAPTOP | {"center_prompts": True}


def main(argv=None):
    p = run_parser(__doc__, "clean_to_noisy", PRESET, RUNS | SAVE | MADE | OWN, batch_size=4,
                   methods=["Longest", "Seen words", "Src-Pref", "DIAL"])
    args = parse(p, argv)

    def answers(seed):
        return [tuple(argument_domain(form, args.part, args.n_train, args.n_test, seed)
                      for form in ("clean", "noisy"))]

    domains = given_domains(args) if args.given else {seed: answers(seed) for seed in args.seeds}
    report(args, run_all(args, domains), "Clean to noisy")


if __name__ == "__main__":
    with exit_codes(several=True):
        main()
