"""Domains that a user gives: the flags of one's own two domains, or the paper's."""
from pathlib import Path

import backbones
import data
import paper
from data import Domain, InputError
from methods import METHODS, check_methods


def add_data_flags(p):
    """The flags of one's own two domains."""
    own = "a file, a folder, or hub:owner/name/file"
    add = p.add_argument_group("your own two domains").add_argument
    add("--source-data", help=f"labelled preferences: {own}")
    add("--target-data", help=f"the target's texts, labelled or not: {own}")
    add("--eval-data", help="the target's labelled preferences, or texts with scores, to measure "
                            f"with: {own}")
    add("--validation-data", help="the same, for an oracle to choose with (--choose)")


def given_domains(args):
    """The (source, target) pairs of --paper, or of one's own files; None without either."""
    if args.paper:
        return paper.domains(args, args.experiment)
    files = {name: getattr(args, name, "") for name in ("source_data", "target_data", "eval_data")}
    if not any(files.values()) and not getattr(args, "validation_data", ""):
        return None
    for name, file in files.items():
        if not file:
            flag = name.replace("_", "-")
            raise InputError(f"own data take three files: --{flag} is missing")
    tokenizer = backbones.load_tokenizer(args.model)  # conversations need its chat template
    train, test = split_source(data.load_preferences(args.source_data, tokenizer))
    if not test:
        raise InputError(f"{args.source_data}: too few rows, a tenth is kept for testing")
    oracles = [m for m in check_methods(args.methods) if "target" in METHODS[m]["labels"]]
    source, target = Path(args.source_data), Path(args.target_data)
    same = source.name == target.name
    target = Domain(str(target) if same else target.name,
                    *data.load_test(args.eval_data, tokenizer))
    target.unlabeled = data.load_unlabeled(args.target_data, tokenizer)
    if oracles:
        try:
            target.labeled = data.load_preferences(args.target_data, tokenizer)
        except InputError as error:
            raise InputError(f"{error}; {' and '.join(oracles)} learn from target labels: leave "
                             "them out of --methods, or label the target") from None
    if args.validation_data:
        target.validation = Domain("validation", *data.load_test(args.validation_data, tokenizer))
    return [(Domain(str(source) if same else source.name, test, labeled=train), target)]


def split_source(rows):
    """Nine tenths to train on and one to measure the source accuracy: of the prompts, or of the
    rows where prompts are too few."""
    train, _, test = data.split_by_prompt(rows, fractions=(0.9, 0.0, 0.1))
    return (train, test) if test else data.split_items(rows, fractions=(0.9, 0.1))
