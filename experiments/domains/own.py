"""A user's own two domains, from files."""
import sys
from pathlib import Path

from data import InputError
from domains import records
from domains.files import checksum, read_rows
from domains.correlation import say_counted
from domains.splits import Domain, split_by
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
    source = records.each(records.read_preference, rows["source_data"], tokenizer)
    target = Domain("", unlabeled=records.each(records.read_unlabeled, rows["target_data"],
                                               tokenizer))
    if args.eval_data:
        target.test, target.scores = records.to_measure(rows["eval_data"], tokenizer)
        if target.scores:
            say_counted(args.eval_data, target)
    if oracles := [name for name in args.methods if "target" in METHODS[name].labels]:
        try:
            target.labeled = records.each(records.read_preference, rows["target_data"], tokenizer)
        except InputError as error:
            raise InputError(f"{error}; {' and '.join(oracles)} learn from target labels: leave "
                             "them out of --methods, or label the target") from None
    if len({row.template for part in (source, target.unlabeled, target.test) for row in part}) > 1:
        print("some of the files hold conversations and others plain text: the chat template is a "
              "difference between the domains that has nothing to do with their content",
              file=sys.stderr)
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


def split_source(rows, seed):
    """Nine tenths to train on and one to measure the source accuracy: of the prompts or, where
    these are too few, of the responses."""
    train, test = split_by(lambda row: row.prompt, rows, seed, (0.9, 0.1))
    return (train, test) if test else split_by(
        lambda row: "\n".join(row.responses), rows, seed, (0.9, 0.1))
