"""The flags of the commands that train, a laptop's settings, and the parser that is made of them."""
from pathlib import Path

from data import InputError
from dial import DialConfig
from harness.command import PARSER, Parser, count, made, settings, whole
from methods.table import ALL, METHODS

# For Gemma-3-270M on a laptop, over the paper's values. How they were chosen:
# experiments/README.md.
LAPTOP = {
    "steps": 120, "learning_rate": 5e-4, "warmup_steps": 10, "decay": 0.4, "lambda_da": 1.0,
    "critic_learning_rate": 1e-3, "critic_steps": 10, "critic_beta1": 0.5, "lora_layers": 6,
    "lora_modules": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
    "scale_embeddings": True,
}
KINDS = "a file, a folder, or hub:owner/name[:split]"

MACHINE = {  # of every command that runs a model
    "--model": {"default": "gemma-3-270m",
                "help": "gemma-3-270m, tiny, a folder, or a name on the hub (%(default)s)"},
    "--device": {"default": "auto", "help": "auto, cpu, cuda, mps (%(default)s)"},
    "--dtype": {"choices": ["auto", "float32", "bfloat16"], "default": "auto",
                "help": "of the frozen body; auto: bfloat16 where it is fast"},
    "--out": {"type": Path, "help": "folder (%(default)s)"},
}
SETTINGS = MACHINE | {  # of every command that trains
    "--max-length": {"type": count, "default": 1024,
                     "help": "longest text, in tokens (%(default)s)"},
    "--set": {"nargs": "+", "action": "extend", "default": [], "metavar": "NAME=VALUE",
              "help": "settings of the method, see below"},
    "--overwrite": {"action": "store_true",
                    "help": "delete the runs, results and models that an earlier command left in --out"},
    "--dry-run": {"action": "store_true", "help": "print what would be run, and stop"},
}
MEMORY = {
    "--gradient-checkpointing": {"action": "store_true", "help": "keep only each layer's input for "
                                 "the backward pass: less memory, more time"},
    "--compile": {"action": "store_true", "help": "compile the model's layers first, a minute or "
                  "less: faster steps, other rounding"},
}
RUNS = SETTINGS | MEMORY | {  # of every command that trains reward models
    "--methods": {"nargs": "+", "choices": ["all", *METHODS], "metavar": "NAME",
                  "default": ["Src-Pref", "DIAL"],
                  "help": f"all, which is up to {list(ALL)[-1]}, or some of "
                          f"{', '.join(METHODS)} %(default)s"},
    "--seeds": {"nargs": "+", "type": whole, "default": [0, 1, 2],
                "help": "a run each, with its own split of the items %(default)s"},
    "--steps": {"type": count, "help": "of training, over --set's"},
    "--batch-size": {"type": count, "default": 8,
                     "help": "labelled records a step, and as many of the target (%(default)s)"},
    "--attention": {"choices": ["blocks", "flex"], "default": "blocks",
                    "help": "flex: another kernel, on CUDA, not tried there yet (%(default)s)"},
    "--checkpoint-every": {"type": whole, "default": 0, "metavar": "STEPS",
                           "help": "keep the state of a run, so that the same command goes on "
                                   "within it; 0: never (%(default)s; 500 with --paper)"},
    "--shard": {"action": "store_true",
                "help": "with torchrun: divide the frozen weights among the processes, for a model "
                        "that does not fit on one device"},
    "--truncate": {"action": "store_true",
                   "help": "cut longer texts: the prompt from the left, then the response's end"},
    "--paper": {"nargs": "?", "const": True, "metavar": "FOLDER",
                "help": "the paper's model, data and settings (paper/settings.py), on CUDA; its "
                        "files from a folder or hub:owner/name (the authors')"},
    "--pairs": {"nargs": "+", "metavar": "PAIR", "help": "with --paper, these of its pairs of "
                "domains only; a wrong name lists them"},
}
SAVE = {
    "--save": {"nargs": "?", "const": "adapter", "choices": ["adapter", "merged"],
               "help": "keep the model of each method's first run; merged: also the whole model"},
}
MADE = {  # of domains that are made of embedded texts
    "--part": {"choices": ["validation", "test"], "default": "test",
               "help": "what to evaluate on (%(default)s)"},
    "--n-train": {"type": made, "default": 1000, "help": "records to train on (%(default)s)"},
    "--n-test": {"type": made, "default": 200, "help": "records to evaluate on (%(default)s)"},
}
OWN = {  # of a user's own two domains
    "--source-data": {"help": f"your labelled preferences: {KINDS}"},
    "--target-data": {"help": f"your target's texts, labelled or not: {KINDS}"},
    "--eval-data": {"help": "the target's labelled preferences, or texts with scores, to measure "
                            f"with, if you have any: {KINDS}"},
}
GIVEN = ("paper", "data", "source_data", "target_data", "eval_data")  # they say what the data are
GENERATED = (  # of domains that are made
    "source", "target", "no_cue", "read", "label", "part", "n_train", "n_test")


def run_parser(doc, name, preset, flags, **defaults):
    """The parser of a command that trains.

    Args:
        doc: of the command. name: of its experiment, and of its folder in runs/.
        preset: of DialConfig, over its defaults. flags: some of the above. defaults: of these flags.
    """
    p = Parser(description=doc, **PARSER)
    p.tables = [(preset,)] if "--set" in flags else []
    for flag, options in flags.items():
        p.add_argument(flag, **options)
    p.set_defaults(experiment=name, preset=preset, out=Path("runs") / name, training=None,
                   eval_every=0, save=None, question="Which answer is the best?", **defaults)
    return p


def parse(p, argv=None):
    """The flags of a command as a namespace; `config` holds the DialConfig, `given` says whether
    files say what the data are.

    Raises InputError for what cannot be used, and for what would not be.
    """
    args = p.parse_args(argv)
    given = [name for name in GIVEN if getattr(args, name, None) is not None]
    if args.pairs and not args.paper:
        raise InputError("--pairs goes with --paper")
    others = [*given[1:] * bool(args.paper), *(
        name for name in GENERATED if given and given != ["data"] and hasattr(args, name)
        and getattr(args, name) != p.get_default(name))]
    if others:
        raise InputError(f"{flag(others[0])} does not go with {flag(given[0])}, which says what "
                         "the data are")
    if args.paper:
        from paper.settings import parse_paper
        args = parse_paper(p, argv)
    if "all" in args.methods:
        from methods.table import ALL
        args.methods = [*ALL, *(m for m in args.methods if m not in ("all", *ALL))]
    steps = [f"steps={args.steps}"] if args.steps else []
    args.given = bool(given)
    args.config = settings(DialConfig, args.preset, args.set + steps, "--set")
    return args


def flag(name):
    return f"--{name.replace('_', '-')}"


def given_domains(args):
    """{seed: pairs of (source, target) domains} of the paper's files or of a user's own. Raises
    InputError for what cannot be read, or is missing."""
    if args.paper:
        from paper.files import domains
    else:
        from domains.own import domains
    return domains(args)
