"""One run: a method trained once, with one seed, and measured; and what stays from run to run."""
import math
import time
from dataclasses import replace
from statistics import fmean

import torch

import backbones
import baselines
import data
import dial
import snapshots
from data import InputError
from frozen import remember_frozen_layers
from methods import labeled_domains, models_language, reads_target

LOOK = 50  # test rows that are measured during training, for the figure
CHOOSE = 100  # rows that --choose chooses a snapshot by


def steps(args, n):
    """How many steps --epochs are for `n` labelled rows; --steps without."""
    return math.ceil(args.epochs * n / args.batch_size) if args.epochs else args.steps


def source_steps(args, n, method):
    """How many of the first steps are on the source alone, for `n` labelled rows."""
    epochs = args.deal_source_epochs if args.paper and method == "DEAL" else 0
    return math.ceil(epochs * n / args.batch_size) or args.source_steps


class Trainer:
    """What stays from run to run: the backbone and the encoded domains."""

    def __init__(self, args, config):
        self.args, self.config, self.encoded = args, config, {}
        self.classifier, self.tokenizer = backbones.load(args.model, args.device, args.dtype)
        if 0 < config.lora_layers < self.classifier.config.num_hidden_layers:
            if not hasattr(self.classifier.base_model, "layers"):
                raise InputError(f"--model {args.model}: --lora-layers {config.lora_layers} needs "
                                 "a backbone with .layers, --lora-layers 0 does not")
            remember_frozen_layers(self.classifier.base_model, config.lora_layers,
                                   self.tokenizer.pad_token_id)

    def check(self, runs):
        """Encode what the runs will need: what cannot be used is said before the first of them."""
        for (method, *_), pairs in runs.items():
            if models_language(method) and not self.classifier.config.tie_word_embeddings:
                raise InputError(f"{method} predicts tokens, which here takes a backbone with tied "
                                 f"embeddings; {self.args.model} has a separate output layer")
            for source, target in pairs:
                for domain in labeled_domains(method, source, target):
                    self.encode(domain, "labeled")
                for domain in (source, target):
                    self.encode(domain, "test")
                if reads_target(method):
                    self.check_centring(method, target, self.encode(target, "unlabeled"))
                if method in dial.METHODS:
                    for domain, part in snapshots.read(self.args.choose, source, target):
                        self.encode(domain, part)

    def check_centring(self, method, target, rows):
        centred = self.args.center_prompts and self.args.lambda_da
        aligns = dial.METHODS[method]["term"] == "lambda_da"
        if aligns and centred and min(len(responses) for _, responses in rows) < 2:
            raise InputError(f"{target.name}: a record with a single response; --center-prompts "
                             "needs all of a prompt's in one record, two or more; "
                             "--no-center-prompts does not")

    def encode(self, domain, part):
        """A part of a domain as `data.encode` gives it, kept."""
        key = id(domain), part
        if key not in self.encoded:
            rows = data.encode(getattr(domain, part), self.tokenizer, self.args.max_length,
                               self.args.truncate, f"{domain.name}, {part}")
            self.encoded[key] = rows, domain  # held, so that no other domain gets its id
        return self.encoded[key][0]

    def run(self, method, pairs, seed, save=False):
        """Train `method` once, on the first pair of domains, and measure it on all of them.

        Returns:
            (results, log): a dictionary for each pair and snapshot, and one for each step.
        """
        start, run = time.time(), Run(self, method, pairs, seed)
        try:
            if method in dial.METHODS:
                results, log = run.train_and_measure(save)
            else:
                results, log = run.results(baselines.Likelihood(run.model, method == "Length")), []
        except FloatingPointError as error:
            raise InputError(f"{method}, seed {seed}: {error}") from None
        finally:
            run.close()
        source, target = pairs[0]
        tag, seconds = {"method": method, "seed": seed}, {"seconds": round(time.time() - start, 1)}
        names = {"source": source.name, "target": target.name}
        return [tag | seconds | r for r in results], [tag | names | r for r in log]


class Run:
    """A reward model as yet untrained, with what it takes to train and to measure it."""

    def __init__(self, trainer, method, pairs, seed):
        """The backbone is the trainer's, until `close` hands it back."""
        self.trainer, self.args, self.method, self.pairs = trainer, trainer.args, method, pairs
        self.source, self.target = pairs[0]
        self.config = replace(trainer.config, seed=seed)
        if method in dial.METHODS:
            self.config = dial.method_config(method, self.config)
        torch.manual_seed(seed)
        try:
            self.model = dial.RewardModel(trainer.classifier, self.config)
        except ValueError as error:
            raise InputError(str(error)) from None
        self.critic = dial.Critic(self.model.reward_head.in_features).to(self.model.scale.device)
        self.options = {"pad_id": trainer.tokenizer.pad_token_id,
                        "share": self.model.shares_prompts}

    def close(self):
        """Take LoRA off the backbone again."""
        self.trainer.classifier = self.model.backbone.unload()

    def train(self, evaluate, log):
        """Train on the domains that the method uses; `evaluate` and `log` as for `dial.train`."""
        config, model, encode = self.config, self.model, self.trainer.encode
        labeled = [row for domain in labeled_domains(self.method, self.source, self.target)
                   for row in encode(domain, "labeled")]
        unlabeled = encode(self.target, "unlabeled") if reads_target(self.method) else None
        if self.args.epochs:
            config.steps = steps(self.args, len(labeled))  # in what `save` writes, too
            config.source_steps = source_steps(self.args, len(labeled), self.method)
        language = "source" if config.lambda_sft else "target" if config.lambda_ntp else None

        def batches():
            return data.training_batches(labeled, unlabeled, config.batch_size, config.steps,
                                         config.seed, language, config.lm_tokens, **self.options)

        if config.scale_embeddings:
            model.set_scale(dial.to_device(next(batches()), model))
        dial.train(model, self.critic, batches(), config, evaluate, log,
                   f"{self.method}, seed {config.seed}")

    def train_and_measure(self, save):
        """Train; measure the snapshot that each rule of --choose picks, and save the first's.

        Returns:
            (results, log), as `Trainer.run`.
        """
        log, name = [], f"target_{self.target.metric}"
        rules = [rule for rule in self.args.choose
                 if self.config.lambda_da or rule not in snapshots.OF_CRITIC] or ["last"]
        choosing = rules != ["last"]
        kept = snapshots.Snapshots(torch.nn.ModuleList([self.model, self.critic]), rules)

        def evaluate(record):
            if record["step"] == self.config.steps and not choosing:
                return {}  # comes below, on all rows
            found = {name: self.measure(self.model, self.target, LOOK)[self.target.metric]}
            if choosing:
                found |= self.look(rules)
                recent = [r["normalized_distance"] for r in [*log, record][-10:]
                          if self.config.lambda_da]
                kept.keep(record | found | {"normalized_distance": fmean(recent or [0.0])})
            return found

        self.train(evaluate, log.append)
        if choosing and self.config.steps % self.config.eval_every:
            record = log.pop()  # the last step is to choose from, too
            log.append(record | evaluate(record))
        results, found = [], {}  # found: by the snapshot's step, for rules may agree
        for rule in rules:
            step = kept.restore(rule) if choosing else self.config.steps
            found[step] = found.get(step) or self.results(self.model)
            method = self.method if rule == "last" else f"{self.method}, {rule}"
            results += [r | {"method": method, "snapshot": step} for r in found[step]]
            if save and rule == rules[0]:
                folder = self.args.out / "models" / self.method.rstrip("*")
                dial.save(self.model, self.trainer.tokenizer, self.critic, self.config, folder,
                          self.args.merge)
        if self.config.eval_every and self.config.steps in found:
            log[-1][name] = found[self.config.steps][0]["metrics"][self.target.metric]
        return results, log

    def results(self, scorer):
        """A result for each pair of domains, of the model or of what else gives rewards."""
        sources = {source.name: source for source, _ in self.pairs}
        on_source = {name: self.measure(scorer, source)["accuracy"]
                     for name, source in sources.items()}
        return [{"source": s.name, "target": t.name, "n_test": len(t.test),
                 "metrics": self.measure(scorer, t) | {"source_accuracy": on_source[s.name]}}
                for s, t in self.pairs]

    def measure(self, scorer, domain, limit=None):
        """The accuracy of rewards on a domain's test rows, or on the first of them; of single
        texts with scores, the correlations."""
        if self.method == "Few-shot LM":
            rows = baselines.with_examples(domain.test, self.source.labeled, self.config.seed)
            rows = data.encode(rows, self.trainer.tokenizer, self.args.max_length, True,
                               domain.name)
        else:
            rows = self.trainer.encode(domain, "test")[:limit]
        batches = data.evaluation_batches(rows, **self.options)
        title = f"{self.method} on {domain.name}"
        if domain.scores is None:
            return {"accuracy": dial.evaluate(scorer, batches, title)["accuracy"]}
        rewards = torch.cat(dial.predict(scorer, batches, title))  # (B,)
        prompts = [row.prompt for row in domain.test[: len(rewards)]]
        return {correlation.__name__: dial.within_prompts(
            correlation, rewards, domain.scores[: len(rewards)], prompts)
            for correlation in (dial.pearson, dial.spearman)}

    def look(self, rules):
        """What the rules for snapshots read: no target label, unless an oracle chooses."""
        def batches(domain, part):
            return data.evaluation_batches(self.trainer.encode(domain, part)[:CHOOSE],
                                           **self.options)

        found = dial.evaluate(self.model, batches(self.source.validation or self.source, "test"),
                              "source")
        record = {"source_accuracy": found["accuracy"], "source_error": found["error"],
                  "head_norm": self.model.reward_head.weight.norm().item()}
        if "entropy" in rules:
            record["target_entropy"] = snapshots.entropy(
                dial.predict(self.model, batches(self.target, "unlabeled"), "target"))
        if "oracle*" in rules:
            domain = self.target.validation
            record["target_validation"] = self.measure(self.model, domain, CHOOSE)[domain.metric]
        return record
