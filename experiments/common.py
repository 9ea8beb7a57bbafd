"""What the scripts share: the path, flags, exit codes, and the domains that a user gives."""
import argparse
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import backbones  # noqa: E402
import paper  # noqa: E402
import snapshots  # noqa: E402
import data  # noqa: E402
import dial  # noqa: E402
from data import Domain, InputError  # noqa: E402
from methods import METHODS, SETTINGS, check_methods  # noqa: E402

warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft's business

# The flags of data that are not generated.
OWN_DATA = ("paper", "data", "source_data", "target_data", "eval_data")
# For Gemma-3-270M on a laptop, over the paper's values. How they were chosen: experiments/README.md.
LAPTOP = {
    "steps": 120, "batch_size": 8, "learning_rate": 5e-4, "warmup_steps": 10, "decay": 0.4,
    "lambda_da": 1.0, "critic_learning_rate": 1e-3, "critic_steps": 10, "critic_beta1": 0.5,
    "lora_modules": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj", "lora_layers": 6,
    "scale_embeddings": True, "lm_tokens": 128,
}


# ------------------------------------------------------------------ flags and exit codes


class Parser(argparse.ArgumentParser):
    """Raises InputError; with `--paper`, the paper's settings are the defaults.

    Flags of the group `generated` go with generated data only.
    """

    experiment = None

    def __init__(self, **options):
        super().__init__(**options)
        self.generated = self.add_argument_group("the generated data")

    def parse_args(self, argv=None):
        argv = sys.argv[1:] if argv is None else argv
        if self.experiment and "--paper" in argv:
            if self.experiment not in paper.EXPERIMENTS:
                raise InputError(f"--paper: not for {self.experiment}, which draws generated data")
            if any(flag.split("=")[0] == "--steps" for flag in argv):
                self.error("--paper goes by --epochs, not by --steps")
            self.set_defaults(**paper.defaults(self.experiment))
        args = super().parse_args(argv)
        if self.experiment and args.paper:
            paper.check(args)
        own = next((name for name in OWN_DATA if getattr(args, name, None)), None)
        given = {word.split("=")[0] for word in argv}
        for action in self.generated._group_actions if own else ():
            if given & set(action.option_strings):
                self.error(f"{action.option_strings[0]} is of the generated data, and does not go "
                           f"with --{own.replace('_', '-')}")
        return args

    def error(self, message):
        raise InputError(f"{message} (--help lists the flags)")


def parser(description, out, preset):
    """The flags of every script: what and where to run, and DialConfig with `preset` over it."""
    p = Parser(description=description, allow_abbrev=False, usage="%(prog)s [flags]",
               formatter_class=argparse.RawDescriptionHelpFormatter)
    p.experiment = out
    p.set_defaults(experiment=out)
    methods = ", ".join(METHODS)
    p.add_argument("--model", default=backbones.GEMMA,
                   help="gemma-3-270m, tiny, a folder, or a name on the hub (%(default)s)")
    p.add_argument("--methods", nargs="+", default=["Src-Pref", "DIAL"],
                   help=f"some of {methods} (Src-Pref DIAL)")
    p.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="a run each (0 1 2)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (%(default)s)")
    p.add_argument("--dtype", choices=["auto", "float32", "bfloat16"], default="auto",
                   help="of the frozen body; auto: bfloat16 where it is fast")
    p.add_argument("--out", type=Path, default=Path("runs") / out, help="folder (%(default)s)")
    p.add_argument("--resume", action="store_true", help="keep finished runs found in --out")
    p.add_argument("--save", action="store_true",
                   help="keep the model of each method's first run, in OUT/models")
    p.add_argument("--merge", action="store_true",
                   help="with --save: also the whole model, which needs no backbone beside it")
    p.add_argument("--choose", nargs="+", default=["last"], metavar="RULE",
                   help="which snapshot of training to keep, at the evaluations of --eval-every: "
                        f"some of {', '.join(snapshots.RULES)}; a row each (last)")
    p.add_argument("--truncate", action="store_true", help="cut long prompts from the left")
    p.add_argument("--dry-run", action="store_true", help="print what would be run, and stop")
    p.add_argument("--paper", action="store_true",
                   help="the paper's model, data and settings (paper.py), on CUDA")
    p.add_argument("--paper-data", default="",
                   help="where they lie: a folder, or hub:owner/name (the authors', on the hub)")
    p.add_argument("--epochs", type=float, default=0.0,
                   help="over the labelled rows, instead of --steps (0: --steps; 2 to 10 in A.2-6)")
    method = p.add_argument_group("the method")
    for f in SETTINGS:
        kind = {"type": f.type}
        if f.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        default = preset.get(f.name, f.default)
        shown = f"{default}" if default == f.default else f"{default}; DialConfig's {f.default}"
        method.add_argument(f"--{f.name.replace('_', '-')}", default=default, **kind,
                            help=f"{f.metadata['help']} ({shown})")
    return p


def add_size_flags(p, n_train=1000, n_test=200):
    """The flags of generated domains."""
    add = p.generated.add_argument
    add("--evaluate-on", choices=["validation", "test"], default="test",
        help="the part to evaluate on (%(default)s)")
    add("--n-train", type=count, default=n_train, help="rows to train on (%(default)s)")
    add("--n-test", type=count, default=n_test, help="rows to evaluate on (%(default)s)")


def count(text):
    """A number of rows: argparse's type."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text}")
    return int(text)


def chance(text):
    """A probability: argparse's type."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text}")
    return value


def configure(args):
    """The DialConfig of the parsed flags, for any seed."""
    try:
        return dial.DialConfig(**{f.name: getattr(args, f.name) for f in SETTINGS})
    except ValueError as error:
        raise InputError(str(error)) from None


def command_line(main):
    """Call `main` and exit: 0 done, 2 with one line for bad input, 130 stopped by hand, 1 for
    anything else."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


# ------------------------------------------------------------------ one's own two domains


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
    if not any(files.values()):
        return None
    for name, file in files.items():
        if not file:
            flag = name.replace("_", "-")
            raise InputError(f"own data take three files: --{flag} is missing")
    tokenizer = backbones.load_tokenizer(args.model)  # conversations need its chat template
    train, test = split_source(data.load_preferences(args.source_data, tokenizer))
    if not test:
        raise InputError(f"{args.source_data}: too few rows, a tenth is kept for testing")
    oracle = any("target" in METHODS[m]["labels"] for m in check_methods(args.methods))
    source, target = Path(args.source_data), Path(args.target_data)
    same = source.name == target.name
    target = Domain(str(target) if same else target.name,
                    *data.load_test(args.eval_data, tokenizer))
    target.labeled = data.load_preferences(args.target_data, tokenizer) if oracle else []
    target.unlabeled = data.load_unlabeled(args.target_data, tokenizer)
    if args.validation_data:
        target.validation = Domain("validation", *data.load_test(args.validation_data, tokenizer))
    return [(Domain(str(source) if same else source.name, test, labeled=train), target)]


def split_source(rows):
    """Nine tenths to train on and one to measure the source accuracy: of the prompts, or of the
    rows where prompts are too few."""
    train, _, test = data.split_by_prompt(rows, fractions=(0.9, 0.0, 0.1))
    return (train, test) if test else data.split_items(rows, fractions=(0.9, 0.1))
