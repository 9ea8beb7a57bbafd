"""Simple to complex (section 3.4): what is a sound paragraph tells what is a sound essay.

    python experiments/simple_to_complex.py
    python experiments/simple_to_complex.py --methods all
    python experiments/simple_to_complex.py --source-data short.jsonl --target-data long.jsonl \\
        --eval-data long_scored.jsonl                          # one's own two domains

The default learns from pairs of short arguments of neighbouring scores, labelled, and from essays
of three times the length, unlabelled; it is measured by the correlation of its rewards with the
true scores of new essays on new questions (essays.py says how both are made). Of one's own files,
the evaluation data hold {"prompt": ..., "response": ..., "score": number} or preferences; texts are
correlated among those of the same prompt.
"""
from common import LAPTOP, add_size_flags, command_line, parser  # first: sets the path
from essays import argument_domain
from own_data import add_data_flags, given_domains
from report import published
from runs import run_and_report

# Half the rows a step, for they are long; a small lambda, chosen on validation questions (.3 did
# harm).
PRESET = LAPTOP | {"batch_size": 4, "lambda_da": 0.03, "eval_every": 40}
PAPER = {  # Table 4: Pearson and Spearman; short arguments to full essays
    "Base LM": (0.408, 0.394), "Src-Pref": (0.516, 0.508), "Src-Pref-SFT": (0.567, 0.562),
    "Src-Pref-Tgt-NTP": (0.567, 0.558), "DIAL": (0.577, 0.556), "Tgt-Pref*": (0.857, 0.855),
    "Src-Tgt-Pref*": (0.860, 0.857),
}


def main(argv=None):
    p = parser(__doc__, "simple_to_complex", PRESET)
    add_size_flags(p)
    add_data_flags(p)
    args = p.parse_args(argv)
    given = given_domains(args)
    pairs = given or [tuple(argument_domain(form, args.evaluate_on, args.n_train, args.n_test)
                            for form in ("short", "long"))]
    paper = published(PAPER, pairs, ("pearson", "spearman")) if args.paper or not given else {}
    run_and_report(args, "Simple to complex", pairs, paper)


if __name__ == "__main__":
    command_line(main)
