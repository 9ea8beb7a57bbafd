"""What the scripts share: flags, runs over methods, pairs of domains and seeds, the table, results.json, the figure.

A run trains one method with one seed. Its result is one line of OUT/runs.jsonl as soon as it is done; `--resume` takes
finished runs from there. OUT/log.jsonl has one line a training step.
"""
import argparse
import json
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

import backbones  # noqa: E402
import data  # noqa: E402
import dial  # noqa: E402
from data import InputError  # noqa: E402
from frozen import remember_frozen_layers  # noqa: E402


@dataclass
class Domain:
    """One domain's text. `labeled` is what source methods and oracles train on, `unlabeled` what DIAL sees of a target."""

    name: str
    unlabeled: list
    test: list
    labeled: list = ()


# ---------------------------------------------------------------------------- flags and exit codes


class Parser(argparse.ArgumentParser):
    """One line on stderr and exit code 2 for a bad flag."""

    def error(self, message):
        raise InputError(f"{message} (--help lists the flags)")


def parser(description, out, preset):
    """Flags of every script: the settings of DialConfig, `preset` over the paper's values, and where and what to run."""
    p = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    p.add_argument("--model", default=backbones.GEMMA, help="gemma-3-270m, tiny, a folder or a name on the hub (%(default)s)")
    p.add_argument("--methods", nargs="+", default=["Src-Pref", "DIAL"], help=f"of {', '.join(dial.METHODS)} (%(default)s)")
    p.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="one run of each method for each (0 1 2)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (%(default)s)")
    p.add_argument("--dtype", choices=["auto", "float32", "bfloat16"], default="auto", help="of the frozen body (%(default)s)")
    p.add_argument("--out", type=Path, default=Path("runs") / out, help="folder for results (%(default)s)")
    p.add_argument("--resume", action="store_true", help="keep the finished runs of the same settings in --out")
    p.add_argument("--save", action="store_true", help="keep the model of each method's first run in --out/models")
    p.add_argument("--truncate", action="store_true", help="cut prompts that are too long from the left")
    p.add_argument("--dry-run", action="store_true", help="print what would be run, and stop")
    for f in fields(dial.DialConfig):
        if f.name != "seed":
            kind = {"action": argparse.BooleanOptionalAction} if f.type is bool else {"type": f.type}
            default = preset.get(f.name, f.default)
            paper = "" if default == f.default else f", the paper's {f.default}"
            p.add_argument(f"--{f.name.replace('_', '-')}", default=default, **kind,
                           help=f"{f.metadata['help']} ({default}{paper})".replace("%", "%%"))
    return p


def configure(args, seed=0):
    """The DialConfig of the parsed flags."""
    try:
        return dial.DialConfig(**{f.name: getattr(args, f.name) for f in fields(dial.DialConfig) if f.name != "seed"}, seed=seed)
    except ValueError as error:
        raise InputError(str(error)) from None


def check_methods(names):
    """The methods by their full names; `Tgt-Pref` will do for `Tgt-Pref*`."""
    known = {name.rstrip("*").lower(): name for name in dial.METHODS}
    unknown = [name for name in names if name.rstrip("*").lower() not in known]
    if unknown:
        raise InputError(f"--methods {unknown[0]}: there are {', '.join(dial.METHODS)}")
    return [known[name.rstrip("*").lower()] for name in names]


def command_line(main):
    """Call `main` and exit: 0 when done, 2 with one line for bad input, 1 with a traceback for anything else."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; finished runs are kept: continue with --resume", file=sys.stderr)
        sys.exit(130)


# ---------------------------------------------------------------------------- runs


def run(args, pairs):
    """Train every method on every (source, target) pair of domains with every seed.

    A method that does not look at the target (or the source) is trained once for all pairs that differ only there.

    Returns:
        (runs, log): dictionaries, one a run and pair, one a step.
    """
    methods, config = check_methods(args.methods), configure(args)
    jobs = {}
    for seed in args.seeds:
        for method in methods:
            labels, align = dial.METHODS[method]["labels"], dial.METHODS[method]["align"]
            for source, target in pairs:
                uses = (source.name if "source" in labels else None, target.name if align or "target" in labels else None)
                jobs.setdefault((method, *uses, seed), []).append((source, target))
    settings = {"model": args.model, "config": {k: v for k, v in asdict(config).items() if k not in ("seed", "eval_every")}}
    if args.dry_run:
        return describe(args, config, jobs)
    args.out.mkdir(parents=True, exist_ok=True)
    done, log = (read_lines(args.out / name) if args.resume else [] for name in ("runs.jsonl", "log.jsonl"))
    runs = [r for r in done if r["settings"] == settings]
    finished = {(r["method"], r["source"], r["target"], r["seed"]) for r in runs}
    for name, lines in (("runs.jsonl", runs), ("log.jsonl", log)):
        (args.out / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    todo = {key: job for key, job in jobs.items()
            if not all((key[0], s.name, t.name, key[-1]) in finished for s, t in job)}
    trainer = None
    for key, job in tqdm(todo.items(), desc="runs", dynamic_ncols=True, disable=not todo):
        trainer = trainer or Trainer(args, config)
        results, steps = trainer.run(key[0], job, key[-1])
        for result in results:
            runs.append(result | {"settings": settings})
        append_lines(args.out / "runs.jsonl", runs[-len(results):])
        append_lines(args.out / "log.jsonl", steps)
        log += steps
    return runs, log


class Trainer:
    """Holds the backbone and the encoded domains from run to run."""

    def __init__(self, args, config):
        self.args, self.config = args, config
        self.classifier, self.tokenizer = backbones.load(args.model, args.device, args.dtype)
        self.encoded, self.saved = {}, set()
        if 0 < config.lora_layers < self.classifier.config.num_hidden_layers:
            remember_frozen_layers(self.classifier.base_model, config.lora_layers, self.tokenizer.pad_token_id)

    def encode(self, rows, name):
        if name not in self.encoded:
            self.encoded[name] = data.encode(rows, self.tokenizer, self.config.max_length, self.args.truncate, name)
        return self.encoded[name]

    def run(self, method, pairs, seed):
        """Train `method` once and evaluate it on all pairs. Returns (results, log records)."""
        labels, align = dial.METHODS[method]["labels"], dial.METHODS[method]["align"]
        source, target = pairs[0]
        config = configure(self.args, seed)
        if not align:
            config.lambda_da = 0.0
        torch.manual_seed(seed)
        try:
            model = dial.RewardModel(self.classifier, config)
        except ValueError as error:
            raise InputError(str(error)) from None
        critic = dial.Critic(model.reward_head.in_features).to(model.scale.device)
        model.to(model.scale.device)
        options = {"pad_id": self.tokenizer.pad_token_id, "share": model.shares_prompts}
        labeled = []
        for domain, part in ((source, "source"), (target, "target")):
            if part in labels:
                labeled += self.encode(domain.labeled, f"{domain.name}, labelled")
        unlabeled = self.encode(target.unlabeled, f"{target.name}, unlabelled") if align else None

        def batches():
            return data.training_batches(labeled, unlabeled, config.batch_size, config.steps, seed, **options)

        def accuracy(domain, limit=None):
            rows = self.encode(domain.test, f"{domain.name}, test")[:limit]
            return dial.evaluate(model, data.evaluation_batches(rows, **options), f"{method} on {domain.name}")

        start, log = time.time(), []
        if config.scale_embeddings:
            model.set_scale(next(batches()))
        tag = {"method": method, "source": source.name, "target": target.name, "seed": seed}
        dial.train(model, critic, batches(), config, log=lambda record: log.append(tag | record), title=f"{method}, seed {seed}",
                   evaluate=lambda: {"target_accuracy": accuracy(target, 100)["accuracy"]})
        seconds = time.time() - start
        on_source = accuracy(source)["accuracy"]
        results = []
        for source, target in pairs:
            found = accuracy(target)
            results.append({"method": method, "source": source.name, "target": target.name, "seed": seed,
                            "accuracy": found["accuracy"], "n_test": found["n"], "source_accuracy": on_source,
                            "train_seconds": round(seconds, 1)})
        if self.args.save and method not in self.saved:
            self.saved.add(method)
            dial.save(model, self.tokenizer, critic, config, self.args.out / "models" / method.rstrip("*"))
        self.classifier = model.backbone.unload()  # the bare backbone again, for the next run
        return results, log


def describe(args, config, jobs):
    """Print what would be run."""
    print(f"{args.model}: {len(jobs)} runs of {config.steps} steps, {config.batch_size} + {config.batch_size} rows a step")
    for (method, _, _, seed), pairs in jobs.items():
        print(f"  {method}, seed {seed}: " + "; ".join(f"{s.name} -> {t.name}" for s, t in pairs))
    sys.exit(0)


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append_lines(path, records):
    with open(path, "a") as f:
        f.writelines(json.dumps(record) + "\n" for record in records)
