"""The flags of a command that trains, and the settings that come of them."""
import warnings
from pathlib import Path

from data import InputError
from dial import DialConfig

from support import backbones, paper, paper_files
from support.flags import Parser, count, whole
from support.methods import METHODS
from support.paper import Training
from support.settings import settings, settings_table

warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft's business

# For Gemma-3-270M on a laptop, over the paper's values. How they were chosen:
# experiments/README.md.
LAPTOP = {
    "steps": 120, "learning_rate": 5e-4, "warmup_steps": 10, "decay": 0.4, "lambda_da": 1.0,
    "critic_learning_rate": 1e-3, "critic_steps": 10, "critic_beta1": 0.5, "lora_layers": 6,
    "lora_modules": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
    "scale_embeddings": True,
}


def machine_flags(p, name):
    """What every command has that runs a model."""
    add = p.add_argument
    add("--model", default=backbones.GEMMA,
        help="gemma-3-270m, tiny, a folder, or a name on the hub (%(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, mps (%(default)s)")
    add("--dtype", choices=["auto", "float32", "bfloat16"], default="auto",
        help="of the frozen body; auto: bfloat16 where it is fast")
    add("--out", type=Path, default=Path("runs") / name, help="folder (%(default)s)")


def common_flags(p, name):
    """The flags of every command that trains, `machine_flags` among them."""
    add = p.add_argument
    machine_flags(p, name)
    add("--max-length", type=count, default=1024, help="longest text, in tokens (%(default)s)")
    add("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
        help="settings of the method, see below")
    add("--resume", action="store_true", help="keep finished runs found in --out")
    add("--dry-run", action="store_true", help="print what would be run, and stop")


def run_flags(doc, name, preset, batch_size=8, methods=("Src-Pref", "DIAL"), seeds=(0, 1, 2),
              without=()):
    """The flags of a command that trains.

    Args:
        doc: of the command. name: of its experiment, and of its folder in runs/.
        preset: of DialConfig, over its defaults. batch_size, methods, seeds: their flags' defaults.
        without: flags that this command does not offer.
    """
    p = Parser(doc, without, epilog=settings_table(preset))
    add = p.add_argument
    common_flags(p, name)
    add("--methods", nargs="+", default=list(methods), choices=["all", *METHODS], metavar="NAME",
        help=f"all, or some of {', '.join(METHODS)} ({', '.join(methods)})")
    add("--seeds", nargs="+", type=whole, default=list(seeds),
        help=f"a run each, with its own split of the items ({' '.join(map(str, seeds))})")
    add("--steps", type=count, help=f"of training, over --set's ({preset['steps']})")
    add("--batch-size", type=count, default=batch_size,
        help="labelled records a step, and as many of the target (%(default)s)")
    add("--truncate", action="store_true",
        help="cut longer texts: the prompt from the left, then the response's end")
    add("--checkpoint", action="store_true",
        help="keep only each layer's input for the backward pass: less memory, more time")
    add("--compile", action="store_true",
        help="compile the model's layers first, a minute or less: faster steps, other rounding")
    add("--save", nargs="?", const="adapter", choices=["adapter", "merged"],
        help="keep the model of each method's first run; merged: also the whole model in one")
    add("--paper", nargs="?", const=True, metavar="FOLDER",
        help="the paper's model, data and settings (support/paper.py), on CUDA; its files from a "
             "folder or hub:owner/name (the authors')")
    add("--pairs", nargs="+", metavar="PAIR",
        help="with --paper, these of its pairs of domains only; a wrong name lists them")
    p.set_defaults(experiment=name, preset=preset, training=None, eval_every=0,
                   question="Which answer is the best?")
    p.generated = []  # the flags of generated data
    return p


def size_flags(p):
    """The flags of generated domains."""
    generated_flag(p, "--part", choices=["validation", "test"], default="test",
                   help="what to evaluate on (%(default)s)")
    generated_flag(p, "--n-train", type=count, default=1000,
                   help="records to train on (%(default)s)")
    generated_flag(p, "--n-test", type=count, default=200,
                   help="records to evaluate on (%(default)s)")


def generated_flag(p, flag, **options):
    """A flag of generated data, which does not go with data that are given."""
    p.generated.append(p.add_argument(flag, **options).dest)


def own_flags(p):
    """The flags of one's own two domains."""
    add = p.add_argument_group("your own two domains").add_argument
    own = "a file, a folder, or hub:owner/name/file"
    add("--source-data", help=f"labelled preferences: {own}")
    add("--target-data", help=f"the target's texts, labelled or not: {own}")
    add("--eval-data", help="the target's labelled preferences, or texts with scores, to measure "
                            f"with, if there are any: {own}")


def parse(p, argv=None):
    """The flags of a command as a namespace; `config` holds the DialConfig.

    Raises:
        InputError: what cannot be used, or would not be.
    """
    args = p.parse_args(argv)
    given = ("paper", "data", "source-data", "target-data", "eval-data")
    if empty := [name for name in given if getattr(args, name.replace("-", "_"), None) == ""]:
        raise InputError(f"--{empty[0]}: the name is empty")
    if args.paper:
        p.set_defaults(**paper.defaults(args.experiment))
        args = p.parse_args(argv)
        if args.steps or any(word.startswith("steps=") for word in args.set):
            raise InputError("--paper goes by epochs, not by --steps")
        args.paper = paper_files.place(args)
    elif args.pairs:
        raise InputError("--pairs goes with --paper")
    for name in ("methods", "seeds", "target", "pairs"):
        values = getattr(args, name, [])
        if isinstance(values, list) and len(set(values)) < len(values):
            raise InputError(f"--{name} takes each once: {' '.join(map(str, values))}")
    own = [f"--{name}" for name in given if getattr(args, name.replace("-", "_"), None)]
    others = own[1:] if args.paper else []
    others += [f"--{name.replace('_', '-')}" for name in p.generated if own
               and getattr(args, name) != p.get_default(name)]
    if others:
        raise InputError(f"{others[0]} does not go with {own[0]}, which says what the data are")
    if "all" in args.methods:
        args.methods = list(METHODS)
    steps = [f"steps={args.steps}"] if args.steps else []
    args.config = settings(DialConfig, args.preset, args.set + steps, "--set")
    if args.paper:  # what is set by hand holds for all methods
        by_hand = {word.partition("=")[0] for word in args.set} & {*Training._fields}
        by_hand = {name: getattr(args.config, name) for name in by_hand}
        by_hand |= {"batch_size": args.batch_size} if args.batch_size else {}
        args.training = {k: line._replace(**by_hand) for k, line in args.training.items()}
        args.batch_size = args.training["others"].batch_size
    return args
