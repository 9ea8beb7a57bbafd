"""Cross-lingual transfer (section 3.1): preferences labelled in one language hold in another.

    python experiments/cross_lingual.py                        # English -> Korean, on a laptop
    python experiments/cross_lingual.py --target desserts:ko desserts:th desserts:zh
    python experiments/cross_lingual.py --source-data en.jsonl --target-data ko.jsonl --save

The default learns from odd-one-out lists of desserts in English, labelled, and such lists in
Korean, unlabelled. Of one's own files (data.py says which columns) the source holds preferences;
the target may, too, but only an oracle method ever reads them. A tenth of the source's prompts is
kept to measure the source accuracy; `--eval-data ko_test.jsonl`, labelled, measures the target.
"""
import support  # noqa: F401  (first: it sets the path)
from domains.foods import food_domain
from support.own import given_domains
from support.cli import LAPTOP, generated_flag, own_flags, parse, run_flags, size_flags
from support.flags import command_line
from support.report import published, report
from support.runs import plan, run_jobs

# The critic sees embeddings less their list's mean, which holds the language. LoRA is where the
# paper has it, on q and v of all layers. Taken over from an earlier search; on this command's three
# splits it gains nothing (results/README.md).
PRESET = LAPTOP | {"steps": 80, "learning_rate": 2e-4, "lora_modules": "q_proj,v_proj",
                   "lora_layers": 0, "center_prompts": True}
PAPER = {  # Table 1: SHP, the mean over three subreddits and three languages
    "Base LM": 0.561, "Src-Pref": 0.621, "Src-Pref-SFT": 0.609, "Src-Pref-Tgt-NTP": 0.617,
    "DIAL": 0.661, "Tgt-Pref*": 0.659, "Src-Tgt-Pref*": 0.679,
}


def main(argv=None):
    p = run_flags(__doc__, "cross_lingual", PRESET)
    generated_flag(p, "--source", default="desserts:en",
                   help="labelled, category[:language] (%(default)s)")
    generated_flag(p, "--target", nargs="+", default=["desserts:ko"],
                   help="unlabelled, one domain or several (desserts:ko)")
    size_flags(p)
    own_flags(p)
    p.add_argument("--signals", action="store_true", help="what tells a good model without labels")
    args = parse(p, argv)

    def lists(seed):
        source, *targets = (food_domain(name, seed, args.part, args.n_train, args.n_test)
                            for name in (args.source, *args.target))
        for target in targets:  # of all seeds the same
            target.shared = food_domain(target.name, 999, args.part, args.n_train, 100).test
        return [(source, target) for target in targets]

    given = given_domains(args)
    jobs = plan(args, given or lists)
    runs = run_jobs(args, jobs)
    pairs = () if given else {names for job in jobs for names in job.names}
    report(args, runs, "Cross-lingual transfer", published(PAPER, pairs), 0.5 if given else 0.2)


if __name__ == "__main__":
    command_line(main)
