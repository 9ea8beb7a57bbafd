"""What the scripts share: the path, flags, exit codes."""
import argparse
import math
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import backbones  # noqa: E402
import paper  # noqa: E402
import snapshots  # noqa: E402
import dial  # noqa: E402
from data import InputError  # noqa: E402
from methods import METHODS, SETTINGS  # noqa: E402

warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft's business

# The flags of data that are not generated.
OWN_DATA = ("paper", "data", "source_data", "target_data", "eval_data", "validation_data")
ONCE = ("methods", "seeds", "target", "splits")  # flags that take each value once
# For Gemma-3-270M on a laptop, over the paper's values. How they were chosen: README.md here.
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
        self.check_data(args, {word.split("=")[0] for word in argv})
        for name in ONCE:
            values = getattr(args, name, [])
            if isinstance(values, list) and len(set(values)) < len(values):
                self.error(f"--{name} takes each once: {' '.join(map(str, values))}")
        return args

    def check_data(self, args, given):
        """Refuse flags of data that are not used; `given` are all flags of the command."""
        own = [name for name in OWN_DATA if getattr(args, name, None)]
        others = [f"--{name.replace('_', '-')}" for name in own[1:]] if own[:1] == ["paper"] else []
        others += [flag for action in self.generated._group_actions if own
                   for flag in action.option_strings if flag in given]
        if others:
            self.error(f"{others[0]} does not go with --{own[0].replace('_', '-')}, which says "
                       "what the data are")
        if "--paper-data" in given and not args.paper:
            self.error("--paper-data goes with --paper")

    def refuse(self, args, where, *names):
        """Raise InputError for flags that are set and of no use `where`."""
        for name in names:
            if getattr(args, name) != self.get_default(name):
                self.error(f"--{name.replace('_', '-')}: not {where}")

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
    p.add_argument("--seeds", nargs="+", type=whole, default=[0, 1, 2], help="a run each (0 1 2)")
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
    p.add_argument("--epochs", type=nonnegative, default=0.0,
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


def number(kind, low, high, words):
    """A type for argparse: a `kind` of number from `low` to `high`."""
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or math.isinf(value):
            raise argparse.ArgumentTypeError(f"must be {words}, not {text}")
        return value

    return parse


count = number(int, 1, math.inf, "a whole number above 0")
whole = number(int, 0, math.inf, "a whole number, 0 or more")
nonnegative = number(float, 0, math.inf, "a number, 0 or more")
probability = number(float, 0, 1, "a number from 0 to 1")


def make_folder(path):
    """Make a folder, with those it lies in."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: this folder cannot be made: {error.strerror}") from None


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
    except (InputError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
