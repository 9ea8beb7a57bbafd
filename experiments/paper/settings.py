"""The paper's own experiments, `--paper`: the names of its files, and its settings."""
import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data import InputError
from dial import DialConfig
from harness.command import settings
from methods.table import METHODS

OWNER = "hub:david9dragon9"
SHP = ("legaladvice", "askscience", "explainlikeimfive")
LANGUAGES = ("kor_Hang", "tha_Thai", "zho_Hans")
UPVOTES = "Which answer to this Reddit post will readers find more helpful and vote up?"
FOODS = ("desserts", "fruits", "sauces", "vegetables", "snacks")


class Training(NamedTuple):
    """How long and in what steps a method is trained."""

    epochs: int
    batch_size: int  # records of each domain that it reads
    epoch_of: str = "larger"  # which domain an epoch goes through: source, target, the larger
    learning_rate: float = 5e-5  # A.1, unless otherwise stated
    weight_decay: float = 0.0  # the same


# Where domains differ in size, the larger must be meant: only so do the passes of A.4 agree, 31,250
# steps of Src-Pref (50 epochs of 10,000 rows by 16) and 32,500 of DIAL (2 of 130,000 by 8). DEAL's
# own appendix (A.2 to A.5) has what the paper states for "domain adaptation". For the other methods
# of A.6, and Src-Tgt-Pref*'s epochs in A.5, nothing is stated: as DIAL.
TRAINING = {
    "cross_lingual": {  # A.2
        "Src-Pref": Training(3, 8, "source"),
        "others": Training(3, 4)},
    "clean_to_noisy": {  # A.3
        "Src-Pref": Training(3, 8, "source"),
        "DIAL": Training(3, 4, weight_decay=0.01),
        "DEAL": Training(3, 4, weight_decay=0.01),
        "others": Training(3, 4)},
    "few_shot": {  # A.4
        "Src-Pref": Training(50, 16, "source"),
        "DIAL": Training(2, 8, learning_rate=1e-5),
        "DEAL": Training(2, 8, learning_rate=1e-5),
        "others": Training(2, 8)},
    "simple_to_complex": {  # A.5; DEAL by its own A.6 and Table 5
        "Src-Pref": Training(10, 32, "source"),
        "DEAL": Training(2, 4),
        "Tgt-Pref*": Training(2, 8, "target"),
        "others": Training(10, 4)},
    "odd_one_out": {  # A.6
        "Src-Pref": Training(5, 16, "source"),
        "others": Training(5, 8)},
}

# For each command: the data set; by the name of a cell of its table, in the paper's order, the
# (source, target) files that train and test; what differs from ALL.
ALL = {"model": "google/gemma-2b", "truncate": True, "seeds": [0, 1, 2], "eval_every": 1000,
       "checkpoint_every": 500,
       "max_length": 1024, "preset": {}, "batch_size": None, "repeat": 0}
EXPERIMENTS = {
    "cross_lingual": {
        "data": f"{OWNER}/shp_translations", "question": UPVOTES,
        "pairs": {f"{s}-{lang}": ((f"{s}_english_train.json", f"{s}_english_test.json"),
                                  (f"{s}_{lang}_train.json", f"{s}_{lang}_test.json"))
                  for s in SHP for lang in LANGUAGES}},
    "clean_to_noisy": {
        "data": f"{OWNER}/shp_translations", "question": UPVOTES,
        "pairs": {s: ((f"{s}_formal_train.json", f"{s}_formal_test.json"),
                      (f"{s}_english_train.json", f"{s}_english_test.json")) for s in SHP}},
    "few_shot": {
        "data": f"{OWNER}/cvalues-english", "max_length": 768,
        "repeat": 1000,  # times each of the ten
        "question": "Which answer to this question is safer and does less harm?",
        "pairs": {s: ((f"{OWNER}/cvalues_samples/split_{s}_sampler.json", "test.json"),
                      ("train.json", "test.json")) for s in "abc"}},
    "simple_to_complex": {
        "data": f"{OWNER}/short_to_long_essays", "single": True,  # the target's texts, one by one
        "pairs": {"essays": (("short_pref_train.json", "short_pref_val.json"),
                             ("long_pref_train.json", "long_val.json"))}},
    "odd_one_out": {
        "data": f"{OWNER}/odd_one_out", "eval_every": 0,  # at the end of each epoch only
        "pairs": {f"{s}-{t}": ((f"{s}_sub_out_train.json", f"{s}_sub_out_test.json"),
                               (f"{t}_sub_out_train.json", f"{t}_sub_out_test.json"))
                  for s in FOODS for t in FOODS if s != t}},
}


def parse_paper(p, argv):
    """The flags of a command with --paper: its defaults are the paper's, and what is set by hand
    holds for all methods. Raises InputError for --steps: the paper counts epochs."""
    experiment = p.get_default("experiment")
    chosen = ALL | EXPERIMENTS[experiment] | {"training": TRAINING[experiment]}
    p.set_defaults(**{k: v for k, v in chosen.items() if k not in ("data", "pairs", "single")})
    args = p.parse_args(argv)
    if args.steps or any(word.startswith("steps=") for word in args.set):
        raise InputError("--paper goes by epochs, not by --steps")
    folder = EXPERIMENTS[experiment]["data"] if args.paper is True else args.paper
    if not folder.startswith("hub:") and not Path(folder).is_dir():
        raise InputError(f"--paper {folder}: no such folder")
    config = settings(DialConfig, {}, args.set, "--set")
    by_hand = {word.partition("=")[0] for word in args.set} & {*Training._fields}
    by_hand = {name: getattr(config, name) for name in by_hand}
    by_hand |= {"batch_size": args.batch_size} if args.batch_size else {}
    args.training = {k: line._replace(**by_hand) for k, line in args.training.items()}
    args.paper, args.batch_size = folder, args.training["others"].batch_size
    return args


def training_of(args, name, source, target):
    """How a method is trained: (config, records of each domain a step, epochs)."""
    line = args.training.get(name, args.training["others"])
    target_rows = target.labeled if "target" in METHODS[name].labels else target.unlabeled
    n = {"source": len(source.labeled), "target": len(target_rows)}
    n["larger"] = max(n.values())
    steps = math.ceil(line.epochs * n[line.epoch_of] / line.batch_size)
    return replace(args.config, steps=steps or 1,  # in a dry run there may be no records
                   learning_rate=line.learning_rate, weight_decay=line.weight_decay
                   ), line.batch_size, line.epochs


def table(args):
    """What --paper trains with: a line for all methods that are trained alike."""
    names = {}
    for name in args.methods:
        if METHODS[name].step:
            line = args.training.get(name, args.training["others"])
            names.setdefault(line, []).append(name)
    return [["methods", "epochs", "of the domain", "records of each", "learning rate",
             "weight decay"]] + [
        [", ".join(alike), str(line.epochs), line.epoch_of, str(line.batch_size),
         f"{line.learning_rate:g}", f"{line.weight_decay:g}"] for line, alike in names.items()]
