"""Simple to complex (section 3.4): what is a sound paragraph tells what is a sound essay.

    python experiments/simple_to_complex.py
    python experiments/simple_to_complex.py --methods all
    python experiments/simple_to_complex.py --source-data short.jsonl --target-data long.jsonl \\
        --eval-data long_scored.jsonl                          # one's own two domains

The default learns from pairs of short arguments of neighbouring scores, labelled, and from essays
of three times the length, unlabelled; it is measured by the correlation of its rewards with the
true scores of new essays on new questions (domains/arguments.py says how both are made). Of one's
own files, the evaluation data hold {"prompt": ..., "response": ..., "score": number} or
preferences; texts are correlated among those of the same prompt.
"""
import support  # noqa: F401  (first: it sets the path)
from domains.arguments import argument_domain
from support.cli import LAPTOP, own_flags, parse, run_flags, size_flags
from support.flags import command_line
from support.own import given_domains
from support.published import typed
from support.report import report
from support.runs import plan, run_jobs

# Chosen on validation questions: the rate for both methods, the small lambda (.3 did harm).
PRESET = LAPTOP | {"learning_rate": 2e-4, "lambda_da": 0.03}
METHODS = ("Longest", "Seen words", "Src-Pref", "DIAL")
# Table 4: Pearson and Spearman; short arguments to full essays. It says "s", but Tgt-Pref*'s are
# the standard errors of DEAL's Table 5, of which both lines of DEAL are.
PAPER = typed("""
Base LM             .408±.003  .394±.003
Src-Pref            .516±.011  .508±.014
Src-Pref-SFT        .567±.018  .562±.023
Src-Pref-Tgt-NTP    .567±.020  .558±.025
DIAL                .577±.011  .556±.011
Tgt-Pref*           .857±.003  .855±.003
Src-Tgt-Pref*       .860±.001  .857±.001
DEAL                .532±.005  .521±.007
""")


def main(argv=None):
    p = run_flags(__doc__, "simple_to_complex", PRESET, batch_size=4, methods=METHODS)
    size_flags(p)
    own_flags(p)
    args = parse(p, argv)

    def arguments(seed):
        return [tuple(argument_domain(form, args.part, args.n_train, args.n_test, seed=seed)
                      for form in ("short", "long"))]

    runs = run_jobs(args, plan(args, given_domains(args) or arguments))
    report(args, runs, "Simple to complex", PAPER, metrics=("pearson", "spearman"))


if __name__ == "__main__":
    command_line(main)
