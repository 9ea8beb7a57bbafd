"""Few-shot to full (section 3.3): ten labelled examples, and the rest of the domain unlabelled.

    python experiments/few_shot.py
    python experiments/few_shot.py --methods all --splits A B C
    python experiments/few_shot.py --data my.jsonl             # one's own labelled preferences

The default has questions with a safe and an unsafe answer (safety.py). As in the paper, a split
says which ten are labelled; here also which questions are kept for the test, two fifths of them.
Of one's own file, the labels of all but the ten are used for the test and by oracles only.
"""
from common import LAPTOP, command_line, parser  # first: sets the path
import backbones
import data
from own_data import given_domains
from runs import run_and_report
from safety import few_shot_domains, read_answers

PRESET = LAPTOP | {"center_prompts": True}  # chosen on splits D and E
PAPER = {  # Table 3, Table 7: CValues; splits A, B, C
    "Few-shot LM": (0.599, 0.643, 0.646), "Src-Pref": (0.820, 0.862, 0.852),
    "Src-Pref-SFT": (0.744, 0.788, 0.710), "Src-Pref-Tgt-NTP": (0.759, 0.721, 0.721),
    "DIAL": (0.852, 0.965, 0.943), "Tgt-Pref*": (0.999, 0.999, 0.999),
}


def main(argv=None):
    p = parser(__doc__, "few_shot", PRESET)
    p.add_argument("--splits", nargs="+", default=["A", "B", "C"], help="some of A to J (A B C)")
    p.add_argument("--data", help="labelled preferences: a file, a folder, hub:owner/name/file")
    p.add_argument("--evaluate-on", choices=["validation", "test"], default="test")
    p.set_defaults(seeds=[0])
    args = p.parse_args(argv)
    if args.paper:
        p.refuse(args, "with --paper, which has its own", "splits", "evaluate_on")
    if args.data:
        rows = data.load_preferences(args.data, backbones.load_tokenizer(args.model))
    else:
        rows = read_answers()
    pairs = given_domains(args) or [
        few_shot_domains(rows, split, args.evaluate_on) for split in args.splits]
    splits = "ABC" if args.paper else "" if args.data else args.splits
    paper = {(method, s.name, t.name, "accuracy"): numbers["ABC".index(split)]
             for split, (s, t) in zip(splits, pairs) if split in "ABC"
             for method, numbers in PAPER.items()}
    run_and_report(args, "Few-shot to full", pairs, paper)


if __name__ == "__main__":
    command_line(main)
