"""Clean to noisy (section 3.2): preferences between well-written answers hold for hasty ones.

    python experiments/clean_to_noisy.py
    python experiments/clean_to_noisy.py --methods all
    python experiments/clean_to_noisy.py --source-data clean.jsonl --target-data noisy.jsonl \\
        --eval-data noisy_test.jsonl                           # one's own two domains

The default learns from pairs of answers to a question, labelled, the better one with fewer flaws
(domains/arguments.py says which), and from unlabelled answers with typos, slang, emoji, dropped
punctuation and lost capitals (domains/noise.py). Test questions are in no training text.
"""
import support  # noqa: F401  (first: it sets the path)
from domains.arguments import argument_domain
from support.cli import LAPTOP, own_flags, parse, run_flags, size_flags
from support.flags import command_line
from support.own import given_domains
from support.published import typed
from support.report import report
from support.runs import plan, run_jobs

# The critic sees answers less their pair's mean: chosen on validation questions.
PRESET = LAPTOP | {"center_prompts": True}
METHODS = ("Longest", "Seen words", "Src-Pref", "DIAL")
PAPER = typed("""
Base LM           .55      .56      .55
Src-Pref          .71±.01  .63±.01  .67±.01
Src-Pref-SFT      .71±.02  .61±.02  .64±.01
Src-Pref-Tgt-NTP  .70±.03  .61±.01  .63±.01
DIAL              .76±.01  .65±.01  .70±.01
Tgt-Pref*         .77±.00  .67±.01  .74±.00
Src-Tgt-Pref*     .78±.01  .69±.02  .73±.00
DEAL              .755±.014  .649±.013  .704±.012
""")  # Table 6: SHP's legaladvice, askscience and explainlikeimfive; DEAL of its own Table 3


def main(argv=None):
    p = run_flags(__doc__, "clean_to_noisy", PRESET, batch_size=4, methods=METHODS)
    size_flags(p)
    own_flags(p)
    args = parse(p, argv)

    def answers(seed):
        return [tuple(argument_domain(form, args.part, args.n_train, args.n_test, seed)
                      for form in ("clean", "noisy"))]

    runs = run_jobs(args, plan(args, given_domains(args) or answers))
    report(args, runs, "Clean to noisy", PAPER)


if __name__ == "__main__":
    command_line(main)
