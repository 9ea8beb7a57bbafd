"""The runs of a command: for each seed, for each method, train, measure, keep.

A run trains a method once, with one seed: its own split of the items, order and weights. Where the
method does not look at the target, one training serves all targets of a source.
"""
import statistics
import time
from contextlib import closing
from dataclasses import asdict
from functools import partial

import torch.distributed as dist
from tqdm import tqdm

import data
import dial
from data import InputError
from harness import run_files
from harness.folder import results_folder
from methods.learners import encode_all, new_model
from methods.table import METHODS
from models import attention, backbones
from models.opening import checksum

# Two runs of one folder may differ in these flags and in no others. What --set and --steps come to
# is compared as a whole DialConfig, and --device and --dtype as what they come to.
NO_SETTINGS = ("methods", "seeds", "source", "target", "out", "overwrite", "save", "dry_run",
               "experiment", "preset", "set", "steps", "config", "eval_every", "pairs",
               "gradient_checkpointing", "checkpoint_every", "shard")


def run_all(args, domains):
    """Train every method on every seed's domains, and measure it; --dry-run prints what there is
    to do instead.

    Args:
        args: of `flags.parse`. domains: {seed: [(source, target), ...]}, a `Domain` each.
    Returns:
        the runs, a dictionary each: method, seed, settings, seconds, results, log. What is finished
        in --out is not trained again.
    """
    jobs = [(name, seed, group) for seed in domains for name in args.methods
            for group in METHODS[name].groups(domains[seed])]
    if args.dry_run:
        from harness.dry_run import describe
        return describe(args, jobs)
    args.device, args.dtype = backbones.pick_machine(args.device, args.dtype)
    if several := dist.is_initialized():  # torchrun's processes
        from models import processes
        processes.check(args, METHODS)
    elif args.shard:
        raise InputError("--shard takes several processes: torchrun --nproc_per_node N")
    settings = {k: v for k, v in vars(args).items() if k not in NO_SETTINGS} | asdict(args.config)
    settings["model_checksum"] = checksum(args.model)
    opened = partial(processes.shared, results_folder) if several else results_folder
    with opened(args, settings) as folder:
        to_save = folder.to_save(args.save, jobs) if args.save else []
        left = folder.left(jobs)
        backbone, encoded = prepare(args, left) if left else (None, None)
        with closing(folder.take(jobs, args.overwrite)) as taken:
            for job in tqdm(taken, "runs", len(left), dynamic_ncols=True, disable=not left):
                save = args.out / "models" / job[0].rstrip("*") if job in to_save else None
                path = (args.out / "runs" / run_files.name(*job)).with_suffix(".checkpoint")
                checkpoint = processes.told(path.exists) if several else path.exists()
                if checkpoint or args.checkpoint_every:
                    from harness.checkpoint import Checkpoint
                    checkpoint = Checkpoint(path, args.checkpoint_every, settings)
                try:
                    done = run(args, backbone, encoded, *job, save, checkpoint=checkpoint)
                except FloatingPointError as error:
                    raise InputError(f"{job[0]}, seed {job[1]}: {error}") from None
                folder.write({"method": job[0], "seed": job[1]} | done)
        folder.say_unsaved(args.save, jobs)
        return folder.runs_of(jobs)


def prepare(args, jobs):
    """The backbone of a command, and all that its jobs read, as tokens."""
    backbone = backbones.load(args.model, "cpu" if args.shard else args.device, args.dtype,
                              args.compile)
    if dist.is_initialized():
        from models.distributed import pack_part
        backbone.pack_options["make"] = pack_part
    if args.attention == "flex":
        attention.use_flex(backbone.classifier, args.device)
    return backbone, encode_all(args, backbone, jobs)


def run(args, backbone, encoded, name, seed, pairs, save=None, looker=None, checkpoint=None):
    """Train a method on the first of the pairs of domains, and measure it on all of them.

    Args:
        backbone: of `backbones.load`. encoded: what `encode_all` returns. save: a folder for the
            model. looker: of (model, config, measure), a function that is called at each step; its
            dictionary of floats goes into the log. checkpoint: a `Checkpoint`.
    """
    method, (source, target) = METHODS[name], pairs[0]
    done, began = (checkpoint.step, checkpoint.began) if checkpoint else (0, time.time())
    config, batch_size, log = args.config, args.batch_size, []
    if args.paper:
        from paper import looks, settings
        config, batch_size, epochs = settings.training_of(args, name, source, target)
        looker = looker or looks.looker(args, pairs, epochs)
    with new_model(args, backbone, config, seed) as (model, critic):
        measured = partial(measure, name=name, source=source, seed=seed, args=args, model=model,
                           backbone=backbone, encoded=encoded)
        if method.step:
            labeled = [encoded[id(domain.labeled)] for domain, part
                       in method.reads(source, target) if part == "labeled"]
            unlabeled = encoded[id(target.unlabeled)] if method.reads_target else None
            batches = data.training_batches(labeled, unlabeled, batch_size, config.steps, seed,
                                            done, **backbone.pack_options)
            if model.scale.is_cuda:
                from models.ahead import ahead
                batches = ahead(batches)
            look = looker and looker(model, config, measured)
            if dist.is_initialized():
                from models import distributed
                look = distributed.keep_alike(model, critic, look)
            log = dial.train(model, critic, batches, config, method.step, look,
                             f"{name}, seed {seed}", checkpoint=checkpoint)
        results = results_of(name, pairs, log, measured)
        failure = None
        if save:
            from models.saving import try_to_save
            if args.shard:
                from models.distributed import whole
                model = whole(model, backbone.classifier, config)
            failure = try_to_save(model, backbone.tokenizer, config, save, args.save == "merged")
    if args.paper:
        results += looks.best_results(name, pairs, log)
    return {"seconds": round(time.time() - began, 1), "results": results, "log": log,
            "saved": args.save if save and not failure else None, "failure": failure}


def measure(domain, name, source, seed, args, model, backbone, encoded):
    """The metrics of a method's rewards on a domain's test; none where there is no test."""
    if not domain.test:
        return {}
    if METHODS[name].rewards:
        return domain.measure(METHODS[name].rewards(
            domain, source=source, seed=seed, args=args, model=model, backbone=backbone))
    rows = encoded[id(domain.test)]
    n_processes = dist.get_world_size() if dist.is_initialized() else 1
    batches = data.evaluation_batches(rows, 2048 * n_processes, **backbone.pack_options)
    return domain.measure(dial.predict(model, batches, f"{name} on {domain.name}", len(rows)))


def results_of(name, pairs, log, measure):
    """A result for each pair of domains; `distance` is the mean W / slope of the last ten steps."""
    sources = {key: measure(s) for key, s in {id(s): s for s, _ in pairs}.items()}  # each once
    distances = [r["distance"] / r["slope"] for r in log[-10:] if r.get("slope")]
    common = {"distance": statistics.fmean(distances)} if distances else {}
    return [{"method": name, "source": source.name, "target": target.name,
             "n_test": len(target.test), "n_source": len(source.test),
             "metrics": measure(target) | common | {
                 f"source_{metric}": value for metric, value in sources[id(source)].items()}}
            for source, target in pairs]
