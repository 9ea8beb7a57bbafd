"""Few-shot to full (section 3.3): ten labelled examples, and the rest of the domain unlabelled.

    python experiments/few_shot.py
    python experiments/few_shot.py --methods all
    python experiments/few_shot.py --data my.jsonl             # one's own labelled preferences

The default has questions with a safe and an unsafe answer (domains/safety.py). A seed says which
ten are labelled, as the paper's splits do; here also which questions are kept for the test, two
fifths of them. Of one's own file, the labels of all but the ten are used for the test and by
oracles only.
"""
import support  # noqa: F401  (first: it sets the path)
from data import InputError
from domains import records
from domains.files import checksum
from domains.safety import few_shot_domains, read_answers
from support import backbones
from support.cli import LAPTOP, parse, run_flags
from support.flags import command_line
from support.own import given_domains
from support.published import typed
from support.report import report
from support.runs import plan, run_jobs

PRESET = LAPTOP | {"center_prompts": True}  # chosen on seeds 3 and 4
PAPER = typed("""
Few-shot LM       .599       .643       .646
Src-Pref          .820±.011  .862±.005  .852±.021
Src-Pref-SFT      .744±.028  .788±.011  .710±.034
Src-Pref-Tgt-NTP  .759±.020  .721±.013  .721±.037
DIAL              .852±.042  .965±.003  .943±.005
Tgt-Pref*         .999±.000  .999±.000  .999±.000
DEAL              .852±.042  .965±.003  .943±.005
""")  # Table 7: CValues; splits A, B, C. DEAL's of its own Table 4


def main(argv=None):
    p = run_flags(__doc__, "few_shot", PRESET)
    p.add_argument("--data", help="labelled preferences: a file, a folder, hub:owner/name/file")
    p.add_argument("--part", choices=["validation", "test"], default="test",
                   help="what to evaluate on (%(default)s)")
    args = parse(p, argv)
    if args.paper and args.part != "test":
        raise InputError("--part does not go with --paper, which says what the data are")
    rows = None
    if args.data:
        rows = records.load_preferences(args.data, backbones.load_tokenizer(args.model))
        args.checksum = checksum(args.data)

    def answers(seed):
        return [few_shot_domains(rows or read_answers(), seed, args.part)]

    runs = run_jobs(args, plan(args, given_domains(args) or answers))
    report(args, runs, "Few-shot to full", PAPER)


if __name__ == "__main__":
    command_line(main)
