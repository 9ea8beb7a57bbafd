"""Clean to noisy (section 3.2): preferences between well-written answers hold for hasty ones.

    python experiments/clean_to_noisy.py
    python experiments/clean_to_noisy.py --methods all
    python experiments/clean_to_noisy.py --source-data clean.jsonl --target-data noisy.jsonl \\
        --eval-data noisy_test.jsonl                           # one's own two domains

The default learns from pairs of answers to a question, labelled, the better one with fewer flaws
(essays.py says which), and from unlabelled answers with typos, slang, emoji, dropped punctuation
and lost capitals (`data.add_noise`). Test questions are in no training text.
"""
from common import LAPTOP, add_size_flags, probability, command_line, parser  # first: sets the path
import data
from essays import argument_domain
from own_data import add_data_flags, given_domains
from report import published
from runs import run_and_report

# Half the rows a step, for they are long. The critic sees answers less their pair's mean: chosen on
# validation questions.
PRESET = LAPTOP | {"batch_size": 4, "center_prompts": True, "eval_every": 40}
PAPER = {  # Table 2: SHP, the mean over three subreddits
    "Base LM": 0.553, "Src-Pref": 0.670, "Src-Pref-SFT": 0.653, "Src-Pref-Tgt-NTP": 0.647,
    "DIAL": 0.703, "Tgt-Pref*": 0.727, "Src-Tgt-Pref*": 0.733,
}


def main(argv=None):
    p = parser(__doc__, "clean_to_noisy", PRESET)
    add_size_flags(p)
    p.generated.add_argument("--noise", type=probability, default=data.NOISE,
                             help="chance of a typo in a word of noisy answers (%(default)s)")
    add_data_flags(p)
    args = p.parse_args(argv)
    given = given_domains(args)
    pairs = given or [tuple(argument_domain(form, args.evaluate_on, args.n_train, args.n_test,
                                            args.noise) for form in ("clean", "noisy"))]
    paper = published(PAPER, pairs) if args.paper or not given else {}
    run_and_report(args, "Clean to noisy", pairs, paper)


if __name__ == "__main__":
    command_line(main)
