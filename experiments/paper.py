"""The paper's own experiments: its data sets, file by file, and its settings (`--paper`).

    python experiments/cross_lingual.py --paper --dry-run      # what would be run and loaded
    python experiments/cross_lingual.py --paper                # Gemma-2b on CUDA
    python experiments/cross_lingual.py --paper --paper-data my_folder --model my_small_gemma

The files lie on the Hugging Face hub, in data sets of the authors; a folder that holds files of the
same names does as well. A name that is not there ends the run with the names that are: those of
few_shot and simple_to_complex follow the authors' description and could not be checked; for English
as it was posted, their commands also show askscience_train_train.json.
"""
import sys
from pathlib import Path

import data
from data import Domain, InputError
from memory import memory_line
from methods import SETTINGS, check_methods

OWNER = "hub:david9dragon9"
SHP = ("legaladvice", "askscience", "explainlikeimfive")
LANGUAGES = ("kor_Hang", "tha_Thai", "zho_Hans")
FOODS = ("desserts", "fruits", "sauces", "vegetables", "snacks")

# For each script: the data set; (source, target) by the files that train and test them; settings
# beside the defaults of DialConfig (sections A.2, A.3, A.4, A.5, A.6). They are DIAL's and serve
# all methods; in the paper, Src-Pref has batches of 8, 16 or 32 rows, Tgt-Pref* 2 epochs in A.5.
EXPERIMENTS = {
    "cross_lingual": {
        "data": f"{OWNER}/shp_translations", "epochs": 3, "settings": {"batch_size": 4},
        "pairs": [((f"{s}_english_train.json", f"{s}_english_test.json"),
                   (f"{s}_{lang}_train.json", f"{s}_{lang}_test.json"))
                  for s in SHP for lang in LANGUAGES]},
    "clean_to_noisy": {
        "data": f"{OWNER}/shp_translations", "epochs": 3,
        "settings": {"batch_size": 4, "weight_decay": 0.01},  # for DIAL; it did not help Src-Pref
        "pairs": [((f"{s}_formal_train.json", f"{s}_formal_test.json"),
                   (f"{s}_english_train.json", f"{s}_english_test.json")) for s in SHP]},
    "few_shot": {
        "data": f"{OWNER}/cvalues-english", "epochs": 2,  # over the ten, repeated 1000 times
        "settings": {"batch_size": 8, "learning_rate": 1e-5, "max_length": 768},
        "pairs": [((f"{OWNER}/cvalues_samples/split_{s}_sampler.json", "test.json"),
                   ("train.json", "test.json")) for s in "abc"]},
    "simple_to_complex": {
        "data": f"{OWNER}/short_to_long_essays", "epochs": 10, "settings": {"batch_size": 4},
        "deal_source_epochs": 1,  # DEAL starts from Src-Pref after an epoch
        "pairs": [(("short_pref_train.json", "short_pref_val.json"),
                   ("long_pref_train.json", "long_val.json"))]},
    "odd_one_out": {
        "data": f"{OWNER}/odd_one_out", "epochs": 5, "settings": {"batch_size": 8},
        "pairs": [((f"{s}_sub_out_train.json", f"{s}_sub_out_test.json"),
                   (f"{t}_sub_out_train.json", f"{t}_sub_out_test.json"))
                  for s in FOODS for t in FOODS if s != t]},
}


def defaults(experiment):
    """What the flags default to with --paper."""
    chosen = EXPERIMENTS[experiment]
    return {f.name: f.default for f in SETTINGS} | chosen["settings"] | {
        "model": "google/gemma-2b", "epochs": chosen["epochs"], "paper_data": chosen["data"],
        "truncate": True, "seeds": [0, 1, 2],
        "deal_source_epochs": chosen.get("deal_source_epochs", 0)}


def domains(args, experiment):
    """The (source, target) pairs of domains."""
    pairs, loaded = EXPERIMENTS[experiment]["pairs"], {}
    if args.dry_run and args.paper_data.startswith("hub:"):
        describe(args, pairs)

    def find(file):
        """Where a file lies; one of another data set has that in its name."""
        if not file.startswith("hub:"):
            return f"{args.paper_data}/{file}"
        return file if args.paper_data.startswith("hub:") else f"{args.paper_data}/{base(file)}"

    def load(file, loader):
        if (file, loader) not in loaded:
            loaded[file, loader] = loader(find(file))
        return loaded[file, loader]

    def domain(train, test):
        made = Domain(base(train).removesuffix(".json"), *load(test, data.load_test))
        made.labeled = load(train, data.load_preferences)
        made.unlabeled = load(train, data.load_unlabeled)
        return made

    made = {names: domain(*names) for pair in pairs for names in pair}
    for source, target in pairs:  # what a snapshot is chosen by
        if source[1] == target[1]:  # no source rows but those to train on
            made[source].validation = Domain("labelled", made[source].labeled[:100])
        if "oracle*" in args.choose:
            file = target[0].replace("train", "val")
            made[target].validation = Domain("validation", *load(file, data.load_test))
    return [(made[source], made[target]) for source, target in pairs]


def base(file):
    """The name of a file without its data set."""
    return file.rpartition("/")[2]


def describe(args, pairs):
    """Print the files and settings of --paper --dry-run, and exit; of the hub, nothing is asked
    but the model's configuration."""
    files = sorted({name for pair in pairs for names in pair for name in names})
    print(f"{args.model} from the hub; {len(check_methods(args.methods))} methods, "
          f"{len(args.seeds)} seeds, {len(pairs)} pairs of domains; {args.epochs} epochs of "
          f"{args.batch_size} + {args.batch_size} rows\n{args.paper_data}:")
    print("".join(f"  {name}\n" for name in files) + memory_line(args))
    sys.exit(0)


def check(args):
    """Raise InputError for a folder of --paper-data that is not there."""
    if not args.paper_data.startswith("hub:") and not Path(args.paper_data).is_dir():
        raise InputError(f"--paper-data {args.paper_data}: no such folder")
