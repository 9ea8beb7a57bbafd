"""One run: a method trained once, with one seed, and measured."""
import dataclasses
import math
import statistics

import torch

import data
import dial
from support import backbones, paper
from support.correlation import within_prompts
from support.methods import METHODS


def labeled_domains(method, source, target):
    """Those of the two domains whose labels a method learns from."""
    return [source] * ("source" in method.labels) + [target] * ("target" in method.labels)


class Run:
    """A reward model as yet untrained, with what it takes to train and to measure it."""

    def __init__(self, trainer, job):
        """The backbone is the trainer's, until `close` hands it back."""
        self.trainer, self.args, self.tokenizer = trainer, trainer.args, trainer.tokenizer
        self.job, self.seed, self.encode, self.best = job, job.seed, trainer.encode, {}
        self.source, self.target = job.pairs[0]
        self.config, self.batch_size, self.epochs = training_of(self.args, job.method,
                                                                *job.pairs[0])
        torch.manual_seed(job.seed)
        self.model = backbones.reward_model(trainer.classifier, self.config, self.args.checkpoint)
        self.critic = dial.Critic(self.model.reward_head.in_features).to(self.model.scale.device)
        self.pack_options = backbones.pack_options(trainer.classifier, self.tokenizer)

    def close(self):
        """Take LoRA off the backbone again."""
        if self.args.checkpoint:  # peft would differentiate the embeddings of the next run
            self.model.transformer.activation_checkpointing_disable()
        self.trainer.classifier = self.model.backbone.unload()

    def train(self, evaluate=None):
        """Train on the first pair of domains; return the log. evaluate: as in `dial.train`, in
        place of `validate`."""
        method = METHODS[self.job.method]
        labeled = [self.encode(domain, "labeled")
                   for domain in labeled_domains(method, self.source, self.target)]
        unlabeled = self.encode(self.target, "unlabeled") if method.reads_target else None
        batches = data.training_batches(labeled, unlabeled, self.batch_size, self.config.steps,
                                        self.seed, **self.pack_options)
        return dial.train(self.model, self.critic, batches, self.config, method.step,
                          evaluate or self.validate, f"{self.job.method}, seed {self.seed}")

    def validate(self, step):
        """Where a target has a validation set (an oracle's labels), keep the best state so far;
        return what the log gets."""
        steps, values = self.config.steps, {}
        due = step * self.epochs // steps > (step - 1) * self.epochs // steps  # an epoch ends
        due |= bool(self.args.eval_every) and step % self.args.eval_every == 0
        for _, target in self.job.pairs:
            if due and (validation := target.validation):
                value = self.measure(validation)[validation.metric]
                values.setdefault("target_validation", value)  # the log has the first target's
                self.best.setdefault(target.name, Snapshot(self.model)).keep(value)
        return values

    def results(self, log, pairs):
        """A result for each pair of domains; `distance` is the mean W / slope of the last steps."""
        sources = {k: self.measure(s) for k, s in {id(s): s for s, _ in pairs}.items()}
        distances = [r["distance"] / r["slope"] for r in log[-10:] if r.get("slope")]
        common = {"distance": statistics.fmean(distances)} if distances else {}
        return [{"method": self.job.method, "source": s.name, "target": t.name,
                 "n_test": len(t.test), "n_source": len(s.test),
                 "metrics": self.measure(t) | common | {
                     f"source_{name}": value for name, value in sources[id(s)].items()}}
                for s, t in pairs]

    def batches(self, encoded):
        return data.evaluation_batches(encoded, **self.pack_options)

    def measure(self, domain):
        """The accuracy of rewards on a domain's test rows; of single texts with scores, the
        correlations; nothing where there are none."""
        if not domain.test:
            return {}
        untrained = METHODS[self.job.method].rewards
        if untrained:
            rewards = untrained(self, domain)
        else:
            encoded = self.encode(domain, "test")
            rewards = dial.predict(self.model, self.batches(encoded),
                                   f"{self.job.method} on {domain.name}", len(encoded))
        if domain.scores is None:
            return {"accuracy": dial.accuracy(rewards)}
        prompts = [row.prompt for row in domain.test]
        return within_prompts(torch.cat(rewards).tolist(), domain.scores, prompts)


def training_of(args, name, source, target):
    """How a method is trained: (config, records of each domain a step, epochs), the last 0 but for
    --paper."""
    if not args.training:
        return args.config, args.batch_size, 0
    line = paper.training(args, name)
    n = {"source": len(source.labeled), "target": len(target.unlabeled)}
    n["larger"] = max(n.values())
    steps = math.ceil(line.epochs * n[line.epoch_of] / line.batch_size) or 1  # 0 in a dry run
    return dataclasses.replace(args.config, steps=steps, learning_rate=line.learning_rate,
                               weight_decay=line.weight_decay), line.batch_size, line.epochs


class Snapshot:
    """The best state so far of what is trained."""

    def __init__(self, model):
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.value, self.state = -math.inf, None

    def keep(self, value):
        """Keep the state as it is if it is the best; of equals, the later stays."""
        if value >= self.value:
            self.value, self.state = value, [p.detach().clone() for p in self.trained]

    def restore(self):
        for p, best in zip(self.trained, self.state):
            p.data.copy_(best)
