"""The flags of a command that trains, and the settings that come of them."""
import warnings
from pathlib import Path

from data import InputError
from dial import DialConfig
from harness.command import PARSER, Parser, count, settings, whole
from methods.table import METHODS

warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft's business

# For Gemma-3-270M on a laptop, over the paper's values. How they were chosen:
# experiments/README.md.
LAPTOP = {
    "steps": 120, "learning_rate": 5e-4, "warmup_steps": 10, "decay": 0.4, "lambda_da": 1.0,
    "critic_learning_rate": 1e-3, "critic_steps": 10, "critic_beta1": 0.5, "lora_layers": 6,
    "lora_modules": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
    "scale_embeddings": True,
}
GIVEN = ("paper", "data", "source_data", "target_data", "eval_data")  # they say what the data are
GENERATED = ("source", "target", "all", "part", "n_train", "n_test")  # of domains that are made


def machine_flags(p, name):
    """The flags of every command that runs a model; `name` is that of its folder in runs/."""
    add = p.add_argument
    add("--model", default="gemma-3-270m",
        help="gemma-3-270m, tiny, a folder, or a name on the hub (%(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, mps (%(default)s)")
    add("--dtype", choices=["auto", "float32", "bfloat16"], default="auto",
        help="of the frozen body; auto: bfloat16 where it is fast")
    add("--out", type=Path, default=Path("runs") / name, help="folder (%(default)s)")


def run_flags(doc, name, preset, batch_size=8, methods=("Src-Pref", "DIAL"), seeds=(0, 1, 2),
              made=True, own=False, save=True):
    """The flags of a command that trains reward models.

    Args:
        doc: of the command. name: of its experiment, and of its folder in runs/.
        preset: of DialConfig, over its defaults. batch_size, methods, seeds: their flags' defaults.
        made: whether its domains are made of embedded texts, of any size. own: whether it takes a
            user's own two domains. save: whether it keeps models.
    """
    p = Parser(description=doc, **PARSER)
    p.tables, add = [(preset,)], p.add_argument
    machine_flags(p, name)
    add("--methods", nargs="+", default=list(methods), choices=["all", *METHODS], metavar="NAME",
        help=f"all, or some of {', '.join(METHODS)} ({', '.join(methods)})")
    add("--seeds", nargs="+", type=whole, default=list(seeds),
        help=f"a run each, with its own split of the items ({' '.join(map(str, seeds))})")
    add("--steps", type=count, help=f"of training, over --set's ({preset['steps']})")
    add("--batch-size", type=count, default=batch_size,
        help="labelled records a step, and as many of the target (%(default)s)")
    add("--max-length", type=count, default=1024, help="longest text, in tokens (%(default)s)")
    add("--truncate", action="store_true",
        help="cut longer texts: the prompt from the left, then the response's end")
    add("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
        help="settings of the method, see below")
    add("--checkpoint", action="store_true",
        help="keep only each layer's input for the backward pass: less memory, more time")
    add("--compile", action="store_true",
        help="compile the model's layers first, a minute or less: faster steps, other rounding")
    if save:
        add("--save", nargs="?", const="adapter", choices=["adapter", "merged"],
            help="keep the model of each method's first run; merged: also the whole model in one")
    add("--overwrite", action="store_true",
        help="delete what an earlier command left in --out, and begin anew")
    add("--dry-run", action="store_true", help="print what would be run, and stop")
    add("--paper", nargs="?", const=True, metavar="FOLDER",
        help="the paper's model, data and settings (paper/settings.py), on CUDA; its files from a "
             "folder or hub:owner/name (the authors')")
    add("--pairs", nargs="+", metavar="PAIR",
        help="with --paper, these of its pairs of domains only; a wrong name lists them")
    if made:
        add("--part", choices=["validation", "test"], default="test",
            help="what to evaluate on (%(default)s)")
        add("--n-train", type=count, default=1000, help="records to train on (%(default)s)")
        add("--n-test", type=count, default=200, help="records to evaluate on (%(default)s)")
    if own:
        add, kinds = p.add_argument_group("your own two domains").add_argument, (
            "a file, a folder, or hub:owner/name/file")
        add("--source-data", help=f"labelled preferences: {kinds}")
        add("--target-data", help=f"the target's texts, labelled or not: {kinds}")
        add("--eval-data", help="the target's labelled preferences, or texts with scores, to "
                                f"measure with, if there are any: {kinds}")
    p.set_defaults(experiment=name, preset=preset, training=None, eval_every=0,
                   question="Which answer is the best?")
    return p


def parse(p, argv=None):
    """The flags of a command as a namespace; `config` holds the DialConfig.

    Raises InputError for what cannot be used, and for what would not be.
    """
    args = p.parse_args(argv)
    given = [name for name in GIVEN if getattr(args, name, None) is not None]
    if empty := [name for name in given if getattr(args, name) == ""]:
        raise InputError(f"{flag(empty[0])}: the name is empty")
    if args.pairs and not args.paper:
        raise InputError("--pairs goes with --paper")
    for name in ("methods", "seeds", "target", "pairs"):
        values = getattr(args, name, [])
        if isinstance(values, list) and len(set(values)) < len(values):
            raise InputError(f"--{name} takes each once: {' '.join(map(str, values))}")
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
        args.methods = list(METHODS)
    steps = [f"steps={args.steps}"] if args.steps else []
    args.config = settings(DialConfig, args.preset, args.set + steps, "--set")
    return args


def flag(name):
    return f"--{name.replace('_', '-')}"


def given_domains(args):
    """{seed: pairs of (source, target) domains} of the paper's files or of one's own two domains;
    None where neither is asked for. Raises InputError for what cannot be read, or is missing."""
    if args.paper:
        from paper.files import domains
    elif any(getattr(args, name, None) for name in GIVEN[2:]):
        from domains.own import domains
    else:
        return None
    return domains(args)
