"""Cross-lingual transfer (section 3.1): preferences labelled in one language hold in another.

    python experiments/cross_lingual.py                        # English -> Korean, on a laptop
    python experiments/cross_lingual.py --target desserts:ko desserts:th desserts:zh
    python experiments/cross_lingual.py --source-data en.jsonl --target-data ko.jsonl \\
        --eval-data ko_test.jsonl                              # one's own two domains

The default learns from odd-one-out lists of desserts in English, labelled, and such lists in
Korean, unlabelled. Of one's own files (data.py says which columns), the source and the evaluation
data hold preferences; the target may hold them too, but only an oracle method ever reads them. A
tenth of the source's prompts is kept to measure the source accuracy.
"""
from common import LAPTOP, command_line, parser  # first: sets the path
from odd_one_out import add_list_flags, list_domains
from own_data import add_data_flags, given_domains
from report import published
from runs import run_and_report

# The critic sees embeddings less their list's mean, which holds the language, and its gradient is
# kept within the preferences'. These and the number of steps were chosen on Thai validation lists.
PRESET = LAPTOP | {"steps": 80, "center_prompts": True, "gradient_ratio": 1.0, "eval_every": 20}
PAPER = {  # Table 1: SHP, the mean over three subreddits and three languages
    "Base LM": 0.561, "Src-Pref": 0.621, "Src-Pref-SFT": 0.609, "Src-Pref-Tgt-NTP": 0.617,
    "DIAL": 0.661, "Tgt-Pref*": 0.659, "Src-Tgt-Pref*": 0.679,
}


def main(argv=None):
    p = parser(__doc__, "cross_lingual", PRESET)
    add_list_flags(p, "desserts:en", "desserts:ko")
    add_data_flags(p)
    args = p.parse_args(argv)
    given = given_domains(args)
    pairs = given or list_domains(args)
    paper = published(PAPER, pairs) if args.paper or not given else {}
    run_and_report(args, "Cross-lingual transfer", pairs, paper, chance=0.5 if given else 0.2)


if __name__ == "__main__":
    command_line(main)
