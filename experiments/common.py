"""What the scripts share: flags, exit codes, and runs over methods, pairs of domains and seeds.

A run trains one method with one seed. Its results go to OUT/runs.jsonl and its steps to
OUT/log.jsonl as soon as it is done; with `--resume`, finished runs are taken from there.
"""
import argparse
import json
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tqdm import tqdm  # noqa: E402

import backbones  # noqa: E402
import paper  # noqa: E402
import snapshots  # noqa: E402
import data  # noqa: E402
import dial  # noqa: E402
from data import Domain, InputError  # noqa: E402
from methods import METHODS, SETTINGS, check_methods, labeled_domains, reads_target  # noqa: E402
from report import finish  # noqa: E402
from trainer import Trainer, steps  # noqa: E402

warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft's business
# Flags that two runs may differ in and still be of one table; all others must agree to --resume.
NO_SETTINGS = ("methods", "seeds", "source", "target", "all", "splits", "out", "resume", "save",
               "merge", "dry_run", "experiment")


# For Gemma-3-270M on a laptop, over the paper's values. How they were chosen: README, "Settings".
LAPTOP = {
    "steps": 120, "batch_size": 8, "learning_rate": 5e-4, "warmup_steps": 10, "decay": 0.4,
    "lambda_da": 1.0, "critic_learning_rate": 1e-3, "critic_steps": 10, "critic_beta1": 0.5,
    "lora_modules": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj", "lora_layers": 6,
    "scale_embeddings": True, "lm_tokens": 128,
}


# ------------------------------------------------------------------ flags and exit codes


class Parser(argparse.ArgumentParser):
    """Raises InputError; with `--paper`, the paper's settings are the defaults."""

    experiment = None

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
        return args

    def error(self, message):
        raise InputError(f"{message} (--help lists the flags)")


def parser(description, out, preset):
    """The flags of every script: what and where to run, and DialConfig with `preset` over it."""
    p = Parser(description=description, allow_abbrev=False,
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
    for f in SETTINGS:
        kind = {"type": f.type}
        if f.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        default = preset.get(f.name, f.default)
        shown = f"{default}" if default == f.default else f"{default}; DialConfig's {f.default}"
        p.add_argument(f"--{f.name.replace('_', '-')}", default=default, **kind,
                       help=f"{f.metadata['help']} ({shown})")
    return p


def add_size_flags(p, n_train=1000, n_test=200):
    """The flags of generated domains."""
    p.add_argument("--evaluate-on", choices=["validation", "test"], default="test")
    p.add_argument("--n-train", type=count, default=n_train, help="rows to train on (%(default)s)")
    p.add_argument("--n-test", type=count, default=n_test, help="rows to evaluate on (%(default)s)")


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
    p.add_argument("--source-data", help=f"labelled preferences: {own}")
    p.add_argument("--target-data", help=f"the target's texts, labelled or not: {own}")
    p.add_argument("--eval-data", help="the target's labelled preferences, or texts with scores, "
                                       f"to measure with: {own}")
    p.add_argument("--validation-data", help="the same, for an oracle to choose with (--choose)")


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


# ------------------------------------------------------------------ runs


def plan(methods, seeds, pairs):
    """Map each run to the pairs it is evaluated on.

    A run is (method, source or None, target or None, seed): None for a domain that the method does
    not look at, so that Src-Pref is trained once for all targets of a source.
    """
    runs = {}
    for seed in seeds:
        for method in methods:
            labels = METHODS[method]["labels"]
            if not labels and seed != seeds[0]:
                continue  # nothing random about it
            for source, target in pairs:
                s = source.name if "source" in labels else None
                t = target.name if reads_target(method) or "target" in labels else None
                runs.setdefault((method, s, t, seed), []).append((source, target))
    return runs


def run_and_report(args, title, pairs, published, chance=0.5):
    """What a script ends in: all runs, then the table, the figure and results.json.

    Args:
        title: of the figure. pairs: as for `run`. published: the paper's numbers, as for
            `report.summarize`. chance: the accuracy of guessing.
    """
    start = time.time()
    results, log = run(args, pairs)
    finish(args, results, log, published, title, configure(args), time.time() - start, chance)


def run(args, pairs):
    """Train every method on every (source, target) pair of domains with every seed.

    Of several pairs there are no training curves, so `args.eval_every` is set to 0.

    Returns:
        (results, log): a dictionary for each run and pair, and one for each training step.
    """
    if len(pairs) > 1 and args.choose == ["last"]:
        args.eval_every = 0
    config, runs = configure(args), plan(check_methods(args.methods), args.seeds, pairs)
    if args.merge and not args.save:
        raise InputError("--merge goes with --save")
    check_choice(args, config, runs)
    if args.dry_run:
        describe(args, config, runs)
        sys.exit(0)
    settings = {k: v for k, v in vars(args).items() if k not in NO_SETTINGS}
    if args.choose == ["last"]:
        del settings["eval_every"]  # it changes no result
    results, log = earlier(args.out, settings) if args.resume else ([], [])
    args.out.mkdir(parents=True, exist_ok=True)
    for name, records in (("runs.jsonl", results), ("log.jsonl", log)):
        if not args.resume and (args.out / name).exists():
            (args.out / name).replace(args.out / f"previous_{name}")
        write_lines(args.out / name, records, "w")
    finished = {run_of(r) for r in results}
    todo = {key: job for key, job in runs.items()
            if not all((key[0], s.name, t.name, key[3]) in finished for s, t in job)}
    trainer = Trainer(args, config) if todo else None
    if trainer:
        trainer.check(todo)
    saved = {method for method, *_ in runs
             if args.resume and (args.out / "models" / method.rstrip("*")).exists()}
    for (method, _, _, seed), job in tqdm(todo.items(), desc="runs", dynamic_ncols=True):
        save = args.save and method not in saved
        saved.add(method)
        job = [pair for pair in job if (method, pair[0].name, pair[1].name, seed) not in finished]
        try:
            found, records = trainer.run(method, job, seed, save)
        except (InputError, KeyboardInterrupt):
            print("finished runs are kept: go on with --resume", file=sys.stderr)
            raise
        found = [r | {"settings": settings} for r in found]
        write_lines(args.out / "log.jsonl", records, "a")
        write_lines(args.out / "runs.jsonl", found, "a")
        results, log = results + found, log + records
    return results, log


def earlier(folder, settings):
    """The (results, log) of finished runs in a folder, all of these settings.

    A setting that is new since is taken to have had its default. Raises InputError for others.
    """
    results, log = read_lines(folder / "runs.jsonl"), read_lines(folder / "log.jsonl")
    defaults = {f.name: f.default for f in SETTINGS} | {"choose": ["last"]}
    for r in results:
        for name, value in json.loads(json.dumps(settings)).items():
            if (found := r["settings"].get(name, defaults.get(name))) != value:
                raise InputError(f"--resume: {folder} has runs with {name} {found}, not {value}: "
                                 "choose another --out, or the same settings")
    done = {run_of(r) for r in results}
    return results, [r for r in log if run_of(r) in done]


def run_of(record):
    """Which run a result or a step is of; several rules for a snapshot share one."""
    return (record["method"].split(",")[0], record["source"], record["target"], record["seed"])


def check_choice(args, config, runs):
    """Raise InputError where --choose asks for what cannot be done."""
    snapshots.check_rules(args.choose)
    if args.choose == ["last"]:
        return
    for (method, *_), pairs in runs.items():
        if method in dial.METHODS and len(pairs) > 1:
            raise InputError(f"--choose: {method} is trained once for {len(pairs)} pairs of "
                             "domains; give it one pair at a time")
        if method in dial.METHODS and not config.eval_every:
            raise InputError("--choose needs evaluations to choose among: --eval-every")
        if "oracle*" in args.choose and any(t.validation is None for _, t in pairs):
            raise InputError("--choose oracle*: the target has no labelled validation rows "
                             "(--validation-data)")


def describe(args, config, runs):
    """Print what would be run."""
    rows = f"{config.batch_size} + {config.batch_size}"
    print(f"{args.model}: {len(runs)} runs with {rows} rows a step")
    for (method, _, _, seed), pairs in runs.items():
        n = sum(len(domain.labeled) for domain in labeled_domains(method, *pairs[0]))
        length = f"{steps(args, n)} steps" if method in dial.METHODS else "no training"
        print(f"  {method}, seed {seed}, {length}: "
              f"{', '.join(f'{s.name} -> {t.name}' for s, t in pairs)}")
    print(paper.memory_line(args))


def read_lines(path):
    """The records of a file, none where it is not there; a last line cut short is left out."""
    lines, records = path.read_text().splitlines() if path.exists() else [], []
    for i, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            if i < len(lines):
                raise InputError(f"{path}:{i}: not a record of this program") from None
    return records


def write_lines(path, records, mode):
    with open(path, mode) as f:
        f.writelines(json.dumps(record) + "\n" for record in records)
