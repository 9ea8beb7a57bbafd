"""The paper's own experiments: the names of its files, and its settings (`--paper`).

    python experiments/cross_lingual.py --paper --dry-run      # what would be run and loaded
    python experiments/cross_lingual.py --paper                # Gemma-2b on CUDA
    python experiments/cross_lingual.py --paper --pairs legaladvice-kor_Hang
    python experiments/cross_lingual.py --paper my_folder --model my_small_gemma
"""
from typing import NamedTuple

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


def adapting(*line):
    """A line for "domain adaptation": DIAL, and DEAL, whose own appendix (A.2 to A.5) agrees."""
    return dict.fromkeys(("DIAL", "DEAL"), Training(*line))


# Where domains differ in size, the larger must be meant: only so do the passes of A.4 agree, 31,250
# steps of Src-Pref (50 epochs of 10,000 rows by 16) and 32,500 of DIAL (2 of 130,000 by 8). For
# the other methods of A.6, and Src-Tgt-Pref*'s epochs in A.5, nothing is stated: as DIAL.
TRAINING = {
    "cross_lingual": {  # A.2
        "Src-Pref": Training(3, 8, "source"),
        "others": Training(3, 4)},
    "clean_to_noisy": {  # A.3
        "Src-Pref": Training(3, 8, "source"),
        **adapting(3, 4, "larger", 5e-5, 0.01),
        "others": Training(3, 4)},
    "few_shot": {  # A.4
        "Src-Pref": Training(50, 16, "source"),
        **adapting(2, 8, "larger", 1e-5),
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
        "data": f"{OWNER}/short_to_long_essays",
        "pairs": {"essays": (("short_pref_train.json", "short_pref_val.json"),
                             ("long_pref_train.json", "long_val.json"))}},
    "odd_one_out": {
        "data": f"{OWNER}/odd_one_out", "eval_every": 0,  # at the end of each epoch only
        "pairs": {f"{s}-{t}": ((f"{s}_sub_out_train.json", f"{s}_sub_out_test.json"),
                               (f"{t}_sub_out_train.json", f"{t}_sub_out_test.json"))
                  for s in FOODS for t in FOODS if s != t}},
}
LEGAL_KOREAN = "legaladvice-kor_Hang"  # the pair of Figures 3 and 4
TRAINING |= dict.fromkeys(("embeddings", "scaling"), TRAINING["cross_lingual"])
for _figure, _own in (
        ("embeddings", {"seeds": [0], "tsne": True, "n_test": 500}),  # 1000 points of the target
        ("scaling", {"n_train": 20_000, "budget": 20_000})):  # 3.1; the figure's are not stated
    EXPERIMENTS[_figure] = EXPERIMENTS["cross_lingual"] | _own | {
        "pairs": {LEGAL_KOREAN: EXPERIMENTS["cross_lingual"]["pairs"][LEGAL_KOREAN]}}


def defaults(experiment):
    """The flags' defaults with --paper."""
    chosen = ALL | EXPERIMENTS[experiment] | {"training": TRAINING[experiment]}
    return {k: v for k, v in chosen.items() if k not in ("data", "pairs")}


def training(args, method):
    """The `Training` of a method."""
    return args.training.get(method, args.training["others"])
