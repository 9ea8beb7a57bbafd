"""RLHF under distribution shift (section 3.8, A.8, Figure 6).

    python experiments/rlhf_shift.py
    python experiments/rlhf_shift.py --xstest FOLDER           # XSTest's prompts and completions
    python experiments/rlhf_shift.py --paper --xstest FOLDER   # gemma-1.1-2b-it, on CUDA

A reward model learns from preferences between responses that others wrote. PPO then moves the
policy away from where it is right. DIAL adapts it, epoch by epoch, to what the policy writes:
source are the labelled preferences, target the policy's own responses, unlabelled, one a prompt.
True reward is 1 where a response complies exactly where it should. Beside Figure 6 the table has
what the claim rests on: the AUC of the reward model between right and wrong responses of the policy
as it is, to prompts of one kind. An arm of Src-Pref has DIAL's halved learning rates, one its
further training without W.
"""
import math
import statistics
import sys
import time
from dataclasses import asdict

import support  # noqa: F401  (first: it sets the path)
from tqdm import tqdm

from data import InputError
from dial import DialConfig
from domains.requests import requests, xstest_requests
from support import rlhf
from support.cli import LAPTOP, common_flags, settings, settings_table
from support.figures import figure, plot_seeds
from support.flags import Parser, command_line, count, make_folder, whole
from support.folder import earlier, keep_aside, locked, write_whole
from support.judge import Judge
from support.ppo import PPOConfig
from support.report import plus_minus, print_columns, summarize, write_results

# Chosen on seed 100, which no table reports.
PRESET = LAPTOP | {"learning_rate": 2e-4, "lambda_da": 0.1}
PPO_PRESET = {"learning_rate": 2e-4, "passes": 2}
PAPER = {"model": "google/gemma-1.1-2b-it", "n_train": 227, "max_new_tokens": 128,
         "all_tokens": True, "supervised": False, "n_words": None, "preset": {}, "ppo_preset": {}}
CURVES = {"true_reward": "(a) true reward in training", "held_out": "(b) on held-out prompts",
          "auc": "AUC of the reward model"}
METRICS = {"area": "6a, mean of epochs", "true_reward": "6a, last", "held_out": "6b, last",
           "auc_first": "AUC, first 5", "auc_last": "AUC, last 5", "kl": "KL, last"}


def read_flags(argv):
    p = Parser(__doc__, epilog=settings_table(PRESET) + "\n\n"
               + settings_table(PPO_PRESET, PPOConfig, "--ppo"))
    common_flags(p, "rlhf_shift")
    add = p.add_argument
    add("--arms", nargs="+", choices=rlhf.ARMS, default=["Src-Pref", "Src-Pref, halved", "DIAL"],
        help=f"some of {'; '.join(rlhf.ARMS)} (the first two and DIAL)")
    add("--seeds", nargs="+", type=whole, default=[0, 1, 2],
        help="each with its own split of the prompts (0 1 2)")
    add("--epochs", type=count, default=20, help="of PPO (%(default)s)")
    add("--batch-size", type=count, default=8, help="of the reward model (%(default)s)")
    add("--n-pairs", type=count, default=6,
        help="preferences on each of our training prompts (%(default)s)")
    add("--max-new-tokens", type=count, default=12, help="of a response (%(default)s)")
    add("--xstest", metavar="FOLDER",
        help="with XSTest's completions, .csv files, instead of our prompts")
    add("--n-train", type=count,
        help="of XSTest's prompts with both kinds of completions, all others held out (60%%)")
    add("--judge", help="an instruction-tuned model that says whether a response complies; "
                        "phrases say it if not given")
    add("--ppo", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
        help="settings of PPO, see below")
    add("--paper", action="store_true", help="A.8's model and settings, on CUDA; needs --xstest")
    p.set_defaults(all_tokens=False, supervised=True, n_words=60, preset=PRESET,
                   ppo_preset=PPO_PRESET)
    args = p.parse_args(argv)
    if args.paper:
        p.set_defaults(**PAPER)
        args = p.parse_args(argv)
        if not args.xstest:
            raise InputError("--paper needs --xstest, the folder of XSTest's completions")
    if len(set(args.seeds)) < len(args.seeds) or len(set(args.arms)) < len(args.arms):
        raise InputError("--seeds and --arms take each once")
    if args.n_train and not args.xstest:
        raise InputError("--n-train goes with --xstest")
    if args.xstest and args.n_pairs != p.get_default("n_pairs"):
        raise InputError("--n-pairs does not go with --xstest, whose completions are the pairs")
    if unused := [word for word in args.set if word.startswith("steps=")]:
        raise InputError(f"--set {unused[0]}: an epoch says how many steps there are")
    args.config = settings(DialConfig, args.preset, args.set, "--set")
    args.ppo = settings(PPOConfig, args.ppo_preset, args.ppo, "--ppo")
    if args.config.center_prompts:
        raise InputError("--set center_prompts: the policy gives a single response to a prompt")
    return args


def train_arms(args, tasks):
    """Train what --resume does not find; return the runs, a dictionary for each."""
    chosen = {name: getattr(args, name) for name in (
        "model", "epochs", "batch_size", "max_new_tokens", "max_length", "n_pairs", "n_train",
        "xstest", "judge", "device", "dtype", "paper")}
    chosen |= asdict(args.config) | {f"ppo_{k}": v for k, v in asdict(args.ppo).items()}
    folder = args.out / "runs"
    make_folder(args.out)
    with locked(args.out):
        runs = earlier(folder, chosen) if args.resume else []
        done = {(run["method"], run["seed"]) for run in runs}
        keep_aside(folder, args.resume)
        judge, start = Judge(args), None
        for seed, task in tqdm(tasks.items(), "seeds", dynamic_ncols=True):
            left = [name for name in args.arms if (name, seed) not in done]
            start = None  # its models go before others come
            try:
                start = rlhf.Start(args, task, seed) if left else None
            except ValueError as error:  # of lora_modules
                raise InputError(error) from None
            for name in left:
                began = time.time()
                try:
                    log = rlhf.run_arm(start, name, judge)
                except (FloatingPointError, KeyboardInterrupt):
                    print("finished arms are kept: go on with --resume", file=sys.stderr)
                    raise
                runs.append({"method": name, "seed": seed, "settings": chosen, "log": log,
                             "seconds": round(time.time() - began, 1),
                             "results": [results(name, task, log)]})
                write_whole(folder / f"{name.replace(', ', '-')}-{seed}.json", runs[-1])
    return runs


def results(name, task, log):
    """What is reported of an arm; the AUC is missing where all responses were right, or wrong."""
    metrics = {"area": statistics.fmean(record["true_reward"] for record in log),
               **{key: log[-1][key] for key in ("true_reward", "held_out", "kl")}}
    for key, part in (("auc_first", log[:5]), ("auc_last", log[-5:])):
        if values := [record["auc"] for record in part if record["auc"] is not None]:
            metrics[key] = statistics.fmean(values)
    return {"method": name, "source": "off-policy", "target": "policy", "metrics": metrics,
            "n_test": len(task.test), "n_source": len(task.train)}


def main(argv=None):
    args = read_flags(argv)
    tasks = {seed: xstest_requests(args.xstest, seed, args.n_train, args.n_words) if args.xstest
             else requests(seed, args.n_pairs) for seed in args.seeds}
    if args.dry_run:
        return describe(args, tasks)
    runs = train_arms(args, tasks)
    rows = summarize(runs, {})
    print_columns(table(rows))
    draw(args, runs)
    seeds = sorted({run["seed"] for run in runs})
    config = asdict(args.config) | {"ppo": asdict(args.ppo), "seeds": seeds}
    write_results(args.out, "rlhf_shift", args.model, config, rows,
                  sum(run["seconds"] for run in runs))


def table(rows):
    """A line for each arm, and what it gains on Src-Pref, paired by seed."""
    cells = {(row["method"], row["metric"]): row for row in rows}
    arms = [name for name in rlhf.ARMS if (name, "area") in cells]
    lines = [["arm", *METRICS.values()]]
    lines += [[name, *(plus_minus(cells.get((name, m))) for m in METRICS)] for name in arms]
    for name in arms:
        gains = [(cells.get((name, metric)) or {}).get("gain") for metric in METRICS]
        lines += [[f"{name} less Src-Pref", *(plus_minus(gain, "+") for gain in gains)]
                  ] if any(gains) else []
    return lines


def draw(args, runs):
    """Figure 6, and beside it the reward model's AUC."""
    seeds = {run["seed"] for run in runs}
    title = f"{len(seeds)} seeds (thin: a seed, thick: their mean)"
    with figure(args.out / "rlhf_shift.png", title, (12, 3.6), 3) as axes:
        for ax, (key, label) in zip(axes, CURVES.items()):
            for name in rlhf.ARMS:
                curves = [{r["step"]: r[key] for r in run["log"] if r[key] is not None}
                          for run in runs if run["method"] == name]
                if curves and all(curves):
                    plot_seeds(ax, curves, name)
            ax.set(title=label, xlabel="epoch of PPO", ylim=(0, 1.02))
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, frameon=False,
                              loc="outside lower center")


def describe(args, tasks):
    """Print what would be run."""
    task = next(iter(tasks.values()))
    refuse = sum(prompt in task.refuse for prompt in task.train)
    steps = math.ceil(len(task.pairs) / args.batch_size)
    first = (f"{rlhf.SUPERVISED['steps']} steps on responses of both kinds" if args.supervised
             else "as it is")
    print(f"{args.model}: {len(tasks)} seeds of {', '.join(args.arms)}\n"
          f"{len(task.train)} training prompts, {refuse} of them to be refused, {len(task.test)} "
          f"held out, {len(task.pairs)} preferences\nthe policy to begin with: {first}\n"
          f"the reward model: an epoch of Bradley-Terry, {steps} steps, batches of "
          f"{args.batch_size}, learning rate {args.config.learning_rate:g}\n"
          f"{args.epochs} epochs of PPO, {args.ppo.passes} passes in batches of "
          f"{args.ppo.batch_size}, learning rate {args.ppo.learning_rate:g}, responses of at most "
          f"{args.max_new_tokens} tokens\nDIAL: lambda_da {args.config.lambda_da:g}; learning "
          f"rates halved every {rlhf.HALVE_EVERY} epochs\ntrue reward: "
          f"{args.judge or 'phrases of answers and refusals'}")


if __name__ == "__main__":
    command_line(main)
