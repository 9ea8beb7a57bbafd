"""A user's own two domains, from files."""
from pathlib import Path

from data import InputError
from domains import records
from domains.files import checksum
from domains.splits import Domain, split_by_prompt, split_items
from methods.table import METHODS
from models.backbones import load_tokenizer


def domains(args):
    """{seed: [(source, target)]} of --source-data, --target-data and --eval-data. Raises InputError
    for what cannot be read, or is missing."""
    names = ("source_data", "target_data", "eval_data")
    files = {name: getattr(args, name) for name in names}
    for name in names[:2]:  # without --eval-data there is nothing to measure the target with
        if not files[name]:
            raise InputError(f"--{name.replace('_', '-')} is missing: one's own two domains are "
                             "two files, and a third, --eval-data, if there is one to measure with")
    tokenizer = load_tokenizer(args.model)  # conversations need its chat template
    rows = records.load_preferences(args.source_data, tokenizer)
    target = Domain("", unlabeled=records.load_unlabeled(args.target_data, tokenizer))
    if args.eval_data:
        target.test, target.scores = records.load_test(args.eval_data, tokenizer)
    if oracles := [name for name in args.methods if "target" in METHODS[name].labels]:
        try:
            target.labeled = records.load_preferences(args.target_data, tokenizer)
        except InputError as error:
            raise InputError(f"{error}; {' and '.join(oracles)} learn from target labels: leave "
                             "them out of --methods, or label the target") from None
    args.checksum = checksum(*files.values())
    source_name, target.name = (Path(args.source_data).name, Path(args.target_data).name)
    if source_name == target.name:
        source_name, target.name = args.source_data, args.target_data

    made = {}
    for seed in args.seeds:
        train, test = split_source(rows, seed)
        if not test:
            raise InputError(f"{args.source_data}: {len(rows)} rows are too few, a tenth is kept "
                             "for testing")
        made[seed] = [(Domain(source_name, labeled=train, test=test), target)]
    return made


def split_source(rows, seed):
    """Nine tenths to train on and one to measure the source accuracy: of the prompts, or of the
    rows where prompts are too few."""
    train, _, test = split_by_prompt(rows, seed, fractions=(0.9, 0.0, 0.1))
    return (train, test) if test else split_items(rows, seed, fractions=(0.9, 0.1))
