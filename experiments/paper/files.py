"""The files of the paper's experiments (`--paper`), found and read.

The files lie on the Hugging Face hub, in data sets of the authors; a folder that holds files of the
same names does as well. A name that is not there ends the run with the names that are: those of
few_shot and simple_to_complex follow the authors' description and could not be checked; English as
posted has a second name there, askscience_train_train.json.
"""
import functools
from pathlib import Path

import data
from data import InputError
from domains import records
from domains.files import checksum
from domains.splits import Domain
from paper import settings


def chosen(args):
    """The (source, target) files of the pairs that --pairs asks for, or of all."""
    pairs = settings.EXPERIMENTS[args.experiment]["pairs"]
    if unknown := [name for name in args.pairs or () if name not in pairs]:
        raise InputError(f"--pairs {unknown[0]}: there are {', '.join(pairs)}")
    return [pairs[name] for name in args.pairs or pairs]


def domains(args):
    """{seed: pairs of (source, target) domains}. With --dry-run none of the hub's files is read."""
    pairs, args.checksum = chosen(args), {}
    absent = args.dry_run and args.paper.startswith("hub:")

    @functools.cache
    def load(file, loader):
        if absent:
            return ([], None) if loader is records.load_test else []
        found = loader(where(args, file))
        args.checksum[f"{loader.__name__} {Path(file).name}"] = checksum([("", found)])
        return found

    def domain(train, test):
        rows, scores = load(test, records.load_test)
        labeled = load(train, records.load_preferences)
        unlabeled = data.unlabel(labeled)
        if settings.EXPERIMENTS[args.experiment].get("single"):  # pairs were chosen by their scores
            unlabeled = [data.Unlabeled(prompt, (text,)) for prompt, text in dict.fromkeys(
                (row.prompt, text) for row in unlabeled for text in row.responses)]
        return Domain(Path(train).stem, labeled, unlabeled, rows, scores)

    made = {names: domain(*names) for pair in pairs for names in pair}
    for source, target in pairs:
        rows, scores = load(validation(target), records.load_test)
        made[target].validation = Domain("validation", test=rows, scores=scores)
        if args.repeat:  # the file may hold them repeated already
            made[source].labeled = list(dict.fromkeys(made[source].labeled)) * args.repeat
    return dict.fromkeys(args.seeds, [(made[source], made[target]) for source, target in pairs])


def where(args, file):
    """Where a file lies; one of another data set of the authors has that in its name."""
    if file.startswith("hub:") and args.paper == settings.EXPERIMENTS[args.experiment]["data"]:
        return file
    return f"{args.paper}/{Path(file).name}"


def validation(target):
    """The file of an oracle's looks at validation, of a target's (train, test) files."""
    return target[0].replace("train", "val")


def files(args):
    """All files of an experiment."""
    return sorted({where(args, name) for source, target in chosen(args)
                   for name in (*source, *target, validation(target))})
