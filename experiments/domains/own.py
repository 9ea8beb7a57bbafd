"""A user's own two domains, from files."""
import sys
from pathlib import Path

from data import InputError
from domains import records
from domains.files import checksum, read_rows
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
            raise InputError(f"--{name.replace('_', '-')} is missing: your two domains are "
                             "two files, and a third, --eval-data, if there is one to measure with")
    tokenizer = load_tokenizer(args.model)  # conversations need its chat template
    rows = {name: read_rows(file) for name, file in files.items() if file}
    args.checksum = checksum(*rows.values())
    source = records.preferences(rows["source_data"], args.source_data, tokenizer)
    target = Domain("", unlabeled=records.unlabeled(rows["target_data"], tokenizer))
    if args.eval_data:
        target.test, target.scores = records.to_measure(rows["eval_data"], args.eval_data,
                                                        tokenizer)
    if oracles := [name for name in args.methods if "target" in METHODS[name].labels]:
        try:
            target.labeled = records.preferences(rows["target_data"], args.target_data, tokenizer)
        except InputError as error:
            raise InputError(f"{error}; {' and '.join(oracles)} learn from target labels: leave "
                             "them out of --methods, or label the target") from None
    say_templates(files, source, target.unlabeled, target.test)
    source_name, target.name = (Path(args.source_data).name, Path(args.target_data).name)
    if source_name == target.name:
        source_name, target.name = args.source_data, args.target_data

    made = {}
    for seed in args.seeds:
        train, test = split_source(source, seed)
        if not test:
            raise InputError(f"{args.source_data}: {len(source)} rows are too few, a tenth is kept "
                             "for testing")
        made[seed] = [(Domain(source_name, labeled=train, test=test), target)]
    return made


def say_templates(files, *parts):
    """Say where conversations stand beside plain text, in one line."""
    kinds = [[row.template for row in part] for part in parts]
    chats, texts = ([file for file, kind in zip(files.values(), kinds) if value in kind]
                    for value in (True, False))
    if chats and texts:
        print(f"conversations in {', '.join(chats)}, plain text in {', '.join(texts)}: the chat "
              "template is a difference between the domains that has nothing to do with their "
              "content", file=sys.stderr)


def split_source(rows, seed):
    """Nine tenths to train on and one to measure the source accuracy: of the prompts, or of the
    rows where prompts are too few."""
    train, _, test = split_by_prompt(rows, seed, fractions=(0.9, 0.0, 0.1))
    return (train, test) if test else split_items(rows, seed, fractions=(0.9, 0.1))
