"""The paper's own experiments: its data sets, file by file, and its settings (`--paper`).

    python experiments/cross_lingual.py --paper --dry-run      # what would be run and loaded
    python experiments/cross_lingual.py --paper                # Gemma-2b on CUDA
    python experiments/cross_lingual.py --paper --paper-data my_folder --model my_small_gemma

The files lie on the Hugging Face hub, in data sets of the authors; a folder that holds files of the
same names does as well. A name that is not there ends the run with the names that are: those of
few_shot and simple_to_complex follow the authors' description and could not be checked; for English
as it was posted, their commands also show askscience_train_train.json.
"""
from pathlib import Path

import data
from data import InputError

from domains.splits import Domain

OWNER = "hub:david9dragon9"
SHP = ("legaladvice", "askscience", "explainlikeimfive")
LANGUAGES = ("kor_Hang", "tha_Thai", "zho_Hans")
FOODS = ("desserts", "fruits", "sauces", "vegetables", "snacks")

# For each command: the data set; (source, target) by the files that train and test them; what
# differs from DialConfig (`preset`) and from ALL (sections A.2 to A.6). The settings are DIAL's and
# serve all methods; in the paper, Src-Pref has batches of 8, 16 or 32 rows, Tgt-Pref* 2 epochs in
# A.5.
ALL = {"model": "google/gemma-2b", "truncate": True, "seeds": [0, 1, 2], "eval_every": 1000,
       "max_length": 1024, "preset": {}, "start_epochs": 0}
EXPERIMENTS = {
    "cross_lingual": {
        "data": f"{OWNER}/shp_translations", "epochs": 3, "batch_size": 4,
        "pairs": [((f"{s}_english_train.json", f"{s}_english_test.json"),
                   (f"{s}_{lang}_train.json", f"{s}_{lang}_test.json"))
                  for s in SHP for lang in LANGUAGES]},
    "clean_to_noisy": {
        "data": f"{OWNER}/shp_translations", "epochs": 3,
        "batch_size": 4, "preset": {"weight_decay": 0.01},  # for DIAL; it did not help Src-Pref
        "pairs": [((f"{s}_formal_train.json", f"{s}_formal_test.json"),
                   (f"{s}_english_train.json", f"{s}_english_test.json")) for s in SHP]},
    "few_shot": {
        "data": f"{OWNER}/cvalues-english", "epochs": 2,  # over the ten, repeated 1000 times
        "batch_size": 8, "preset": {"learning_rate": 1e-5}, "max_length": 768,
        "pairs": [((f"{OWNER}/cvalues_samples/split_{s}_sampler.json", "test.json"),
                   ("train.json", "test.json")) for s in "abc"]},
    "simple_to_complex": {
        "data": f"{OWNER}/short_to_long_essays", "epochs": 10, "batch_size": 4,
        "start_epochs": 1,  # DEAL starts from Src-Pref after an epoch
        "pairs": [(("short_pref_train.json", "short_pref_val.json"),
                   ("long_pref_train.json", "long_val.json"))]},
    "odd_one_out": {
        "data": f"{OWNER}/odd_one_out", "epochs": 5, "batch_size": 8,
        "pairs": [((f"{s}_sub_out_train.json", f"{s}_sub_out_test.json"),
                   (f"{t}_sub_out_train.json", f"{t}_sub_out_test.json"))
                  for s in FOODS for t in FOODS if s != t]},
}


def defaults(experiment):
    """The flags' defaults with --paper. Raises InputError where the paper has no such data."""
    if experiment not in EXPERIMENTS:
        raise InputError(f"--paper: not for {experiment}, which draws generated data")
    chosen = ALL | EXPERIMENTS[experiment]
    return {k: v for k, v in chosen.items() if k not in ("data", "pairs")} | {
        "paper_data": chosen["data"]}


def domains(args):
    """The (source, target) pairs of domains. Of the hub, nothing is asked with --dry-run."""
    pairs, loaded = EXPERIMENTS[args.experiment]["pairs"], {}
    absent = args.dry_run and args.paper_data.startswith("hub:")

    def load(file, loader):
        if absent:
            return ([], None) if loader is data.load_test else []
        if (file, loader) not in loaded:
            loaded[file, loader] = loader(where(args, file))
        return loaded[file, loader]

    def domain(train, test):
        rows, scores = load(test, data.load_test)
        return Domain(base(train).removesuffix(".json"), labeled=load(train, data.load_preferences),
                      unlabeled=load(train, data.load_unlabeled), test=rows, scores=scores)

    made = {names: domain(*names) for pair in pairs for names in pair}
    for _, target in pairs:
        rows, scores = load(validation(target), data.load_test)
        made[target].validation = Domain("validation", test=rows, scores=scores)
    return [(made[source], made[target]) for source, target in pairs]


def where(args, file):
    """Where a file lies; one of another data set has that in its name."""
    if not file.startswith("hub:"):
        return f"{args.paper_data}/{file}"
    return file if args.paper_data.startswith("hub:") else f"{args.paper_data}/{base(file)}"


def base(file):
    """The name of a file without its data set."""
    return file.rpartition("/")[2]


def validation(target):
    """The file by which the oracle's snapshot is chosen, of a target's (train, test) files."""
    return target[0].replace("train", "val")


def files(args):
    """All files of an experiment."""
    pairs = EXPERIMENTS[args.experiment]["pairs"]
    return sorted({where(args, name) for source, target in pairs
                   for name in (*source, *target, validation(target))})


def check(args):
    """Raise InputError for a folder of --paper-data that is not there."""
    if not args.paper_data.startswith("hub:") and not Path(args.paper_data).is_dir():
        raise InputError(f"--paper-data {args.paper_data}: no such folder")
