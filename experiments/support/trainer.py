"""What stays from run to run: the backbone, and the domains as tokens."""
import shutil

import data
from data import InputError

from support import backbones, saving
from support.methods import METHODS
from support.published import best
from support.training import Run, labeled_domains


class Trainer:
    """What stays from run to run: the backbone and the encoded domains."""

    def __init__(self, args):
        self.args, self.encoded = args, {}
        self.classifier, self.tokenizer = backbones.load(args.model, args.device, args.dtype,
                                                          args.compile)

    def check(self, jobs):
        """Encode what the jobs will need: what cannot be used is said before the first of them."""
        for job in jobs:
            method = METHODS[job.method]
            if method.language and not self.classifier.config.tie_word_embeddings:
                raise InputError(f"{job.method} predicts tokens, which here takes a backbone with "
                                 f"tied embeddings; {self.args.model} has an output layer")
            for source, target in job.pairs:
                for domain in labeled_domains(method, source, target):
                    self.encode(domain, "labeled")
                for domain in (source, target):
                    self.encode(domain, "test")
                if method.reads_target:
                    self.encode(target, "unlabeled")
                alone = [row.prompt for row in target.unlabeled if len(row.responses) < 2]
                if alone and method.critic and self.args.config.center_prompts:
                    raise InputError(f"{target.name}: {alone[0][:40]!r} has a single response; "
                                     "center_prompts needs all of a prompt's in one record, two or "
                                     "more; --set center_prompts=false does not")

    def encode(self, domain, part):
        """A part of a domain as `data.encode` gives it, kept."""
        rows = getattr(domain, part)
        if id(rows) not in self.encoded:
            encoded = data.encode(rows, self.tokenizer, self.args.max_length, self.args.truncate,
                                  f"{domain.name}, {part}")
            self.encoded[id(rows)] = encoded, rows  # rows are held, so that the id stays theirs
        return self.encoded[id(rows)][0]

    def run(self, job, save=False):
        """Train and measure one job; return its results, a dictionary for each pair of domains and
        snapshot, its log, one for each step, and what went wrong in saving, if anything did."""
        run, failure = Run(self, job), None
        try:
            method = METHODS[job.method]
            log = run.train() if method.step else []
            results = run.results(log, job.pairs)
            if save:
                folder = self.args.out / "models" / job.method.rstrip("*")
                try:
                    saving.save(run.model, self.tokenizer, run.config, folder,
                                self.args.save == "merged")
                except Exception as error:  # a full disk, say: the run is kept
                    shutil.rmtree(folder, ignore_errors=True)
                    failure = error
            for pair in job.pairs:
                if pair[1].name in run.best:
                    run.best[pair[1].name].restore()  # the log's distance is another state's
                    results += [r | {"method": best(job.method)} for r in run.results([], [pair])]
        except FloatingPointError as error:
            raise InputError(f"{job.method}, seed {job.seed}: {error}") from None
        finally:
            run.close()
        return results, log, failure
