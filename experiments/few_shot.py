"""Few-shot to full (section 3.3): learn from ten labelled examples and an unlabelled rest.

    python experiments/few_shot.py
    python experiments/few_shot.py --methods all
    python experiments/few_shot.py --data my.jsonl             # your own labelled preferences

By default the prompts are questions, each with a safe and an unsafe answer (domains/safety.py). The
seed says which ten are labelled, as the paper's splits do; here it also says which half of the
questions are for training and which three tenths for the test. The search pool is the same fifth
for every seed. In your own file all records have labels: those of the ten are learned from, those
of the test are measured with, and the oracles learn from all of the training records.
"""
import harness  # noqa: F401  (first: it sets the path)
from domains import records
from domains.files import checksum, read_rows
from domains.safety import few_shot_domains, read_answers
from harness.command import exit_codes
from harness.flags import KINDS, LAPTOP, MADE, RUNS, SAVE, given_domains, parse, run_parser
from harness.report import report
from harness.runs import run_all
from models.backbones import load_tokenizer

PRESET = LAPTOP | {"center_prompts": True}  # chosen on seeds 3 and 4


def main(argv=None):
    p = run_parser(__doc__, "few_shot", PRESET, RUNS | SAVE | {"--part": MADE["--part"]})
    p.add_argument("--data", help=f"your labelled preferences: {KINDS}")
    args = parse(p, argv)
    rows = None
    if args.data:
        given = read_rows(args.data)
        args.checksum = checksum(given)
        rows = records.each(records.read_preference, given, load_tokenizer(args.model))

    def answers(seed):
        return [few_shot_domains(rows or read_answers(), seed, args.part)]

    domains = given_domains(args) if args.paper else {seed: answers(seed) for seed in args.seeds}
    return report(args, run_all(args, domains), "Few-shot to full")


if __name__ == "__main__":
    with exit_codes(several=True):
        main()
