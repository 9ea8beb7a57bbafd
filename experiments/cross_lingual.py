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
import time
from pathlib import Path

from common import (Domain, check_methods, command_line, configure, parser,  # first: sets path
                    run)
import backbones
import data
import dial
from odd_one_out import LAPTOP, add_list_flags, list_domains, report_lists
from report import average, summarize, write_results

# The critic sees embeddings less their list's mean, which holds the language.
PRESET = LAPTOP | {"center_prompts": True, "eval_every": 40}
PAPER = (0.621, 0.661)  # abstract: Src-Pref, DIAL; SHP, three subreddits in three languages


def own_domains(args):
    """The two domains of --source-data, --target-data and --eval-data."""
    for name in ("source_data", "target_data", "eval_data"):
        if not getattr(args, name):
            flag = name.replace("_", "-")
            raise data.InputError(f"own data take three files: --{flag} is missing")
    tokenizer = backbones.load_tokenizer(args.model)  # conversations need its chat template
    source = data.load_preferences(args.source_data, tokenizer)
    train, _, test = data.split_by_prompt(source, fractions=(0.9, 0.0, 0.1))
    if not test:
        raise data.InputError(f"{args.source_data}: too few prompts, a tenth is kept for testing")
    oracle = any("target" in dial.METHODS[m]["labels"] for m in check_methods(args.methods))
    return (Domain(Path(args.source_data).name, test, train, []),
            Domain(Path(args.target_data).name, data.load_preferences(args.eval_data, tokenizer),
                   data.load_preferences(args.target_data, tokenizer) if oracle else [],
                   data.load_unlabeled(args.target_data, tokenizer)))


def main(argv=None):
    p = parser(__doc__, "cross_lingual", PRESET)
    add_list_flags(p, "desserts:en", "desserts:ko")
    own = "a file, a folder, or hub:owner/name/file"
    p.add_argument("--source-data", help=f"labelled preferences: {own}")
    p.add_argument("--target-data", help=f"the target's texts, labelled or not: {own}")
    p.add_argument("--eval-data", help=f"labelled preferences of the target: {own}")
    args, start = p.parse_args(argv), time.time()
    if args.source_data or args.target_data or args.eval_data:
        pairs = [own_domains(args)]
    else:
        pairs = list_domains(args)
    if len(pairs) > 1:  # the figure of several pairs has no training curves
        args.eval_every = 0
    results, log = run(args, pairs)
    rows = summarize(results, {})
    report_lists(args, results, log, rows, "Cross-lingual transfer")
    before, after = average(rows, "Src-Pref"), average(rows, "DIAL")
    if before is not None and after is not None:
        print(f"gain of DIAL over Src-Pref {after - before:+.3f}; in the paper "
              f"{PAPER[1] - PAPER[0]:+.3f} (Gemma-2b on SHP: {PAPER[0]} -> {PAPER[1]})")
    write_results(args.out, "cross_lingual", args.model, configure(args), args.seeds, rows,
                  time.time() - start)


if __name__ == "__main__":
    command_line(main)
