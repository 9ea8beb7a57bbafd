"""A run: one method, trained once with one seed and measured on the domains it is for."""
import math
import time
from dataclasses import dataclass, replace
from statistics import fmean

import torch

import backbones
import baselines
import data
import dial
import snapshots
from data import InputError
from frozen import remember_frozen_layers

METHODS = dial.METHODS | baselines.UNTRAINED


@dataclass
class Domain:
    """The text of a domain: Preferences to test on, and to train on (a source, or for an oracle);
    Unlabeled records, all that DIAL sees of a target."""

    name: str
    test: list
    scores: list = None  # of `test`, which then holds single responses and is correlated with
    labeled: list = ()
    unlabeled: list = ()
    validation: "Domain" = None  # whose `test` a snapshot is chosen by; a target's, by an oracle


def check_methods(names):
    """The methods by their full names; `Tgt-Pref` will do for `Tgt-Pref*`."""
    known = {name.rstrip("*").lower(): name for name in METHODS}
    if names == ["all"]:
        return list(METHODS)
    for name in names:
        if name.rstrip("*").lower() not in known:
            raise InputError(f"--methods {name}: there are all, {', '.join(METHODS)}")
    return [known[name.rstrip("*").lower()] for name in names]


def reads_target(method):
    """Whether a method is shown the target's unlabelled texts."""
    return METHODS[method].get("term") in ("lambda_da", "lambda_ntp")


def models_language(method):
    """Whether a method needs probabilities of tokens."""
    return (METHODS[method].get("term") in ("lambda_sft", "lambda_ntp")
            or method in ("Base LM", "Few-shot LM"))


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
            remember_frozen_layers(self.classifier.base_model, config.lora_layers,
                                   self.tokenizer.pad_token_id)

    def check(self, runs):
        """Encode what the runs will need: what cannot be used is said before the first of them."""
        for (method, *_), pairs in runs.items():
            if models_language(method) and not self.classifier.config.tie_word_embeddings:
                raise InputError(f"{method} predicts tokens, which here takes a backbone with tied "
                                 f"embeddings; {self.args.model} has a separate output layer")
            labels, aligns = METHODS[method]["labels"], METHODS[method].get("term") == "lambda_da"
            for source, target in pairs:
                wanted = [(source, "test"), (target, "test")]
                wanted += [(d, "labeled") for d, name in ((source, "source"), (target, "target"))
                           if name in labels]
                wanted += [(target, "unlabeled")] if reads_target(method) else []
                for domain, part in wanted:
                    rows = self.encode(domain, part)
                    if (part == "unlabeled" and aligns and self.args.center_prompts
                            and self.args.lambda_da and min(len(r) for _, r in rows) < 2):
                        raise InputError(f"{domain.name}: a prompt with a single response; "
                                         "--center-prompts needs two or more, "
                                         "--no-center-prompts does not")

    def encode(self, domain, part):
        key = id(domain), part
        if key not in self.encoded:
            name = f"{domain.name}, {part}"
            rows = data.encode(getattr(domain, part), self.tokenizer, self.args.max_length,
                               self.args.truncate, name)
            self.encoded[key] = rows, domain  # held, so that no other domain gets its id
        return self.encoded[key][0]

    def run(self, method, pairs, seed, save=False):
        """Train `method` once, measure it on all pairs of domains.

        Returns:
            (results, log): a dictionary for each pair and snapshot, and one for each step.
        """
        start, run = time.time(), Run(self, method, pairs, seed)
        if method in baselines.UNTRAINED:
            results, log = run.measured(baselines.Likelihood(run.model, method == "Length")), []
        else:
            results, log = run.learn(save)
        self.classifier = run.model.backbone.unload()  # bare again, for the next run
        source, target = pairs[0]
        tag, seconds = {"method": method, "seed": seed}, {"seconds": round(time.time() - start, 1)}
        names = {"source": source.name, "target": target.name}
        return [tag | seconds | r for r in results], [tag | names | r for r in log]


class Run:
    """A reward model as yet untrained, with what it takes to train and to measure it."""

    def __init__(self, trainer, method, pairs, seed):
        """`trainer` lends its backbone; the model is trained on the first of the pairs."""
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
        self.options = {"pad_id": trainer.tokenizer.pad_token_id,
                        "share": self.model.shares_prompts}

    def train(self, log, evaluate):
        """Train on the domains that the method uses; return the critic."""
        labels, config, model = METHODS[self.method]["labels"], self.config, self.model
        critic = dial.Critic(model.reward_head.in_features).to(model.scale.device)
        labeled = [row for domain, name in ((self.source, "source"), (self.target, "target"))
                   if name in labels for row in self.trainer.encode(domain, "labeled")]
        unlabeled = None
        if reads_target(self.method):
            unlabeled = self.trainer.encode(self.target, "unlabeled")
        if self.args.epochs:
            config.steps = steps(self.args, len(labeled))  # in what `save` writes, too
            config.source_steps = source_steps(self.args, len(labeled), self.method)
        language = "source" if config.lambda_sft else "target" if config.lambda_ntp else None

        def batches():
            return data.training_batches(labeled, unlabeled, config.batch_size, config.steps,
                                         config.seed, language, config.lm_tokens, **self.options)

        if config.scale_embeddings:
            model.set_scale(dial.to_device(next(batches()), model))
        dial.train(model, critic, batches(), config, evaluate, log,
                   title=f"{self.method}, seed {config.seed}")
        return critic

    def learn(self, save):
        """Train, and measure the snapshot that each rule of --choose picks; return (results, log).
        With `save`, the first rule's model is kept."""
        log, metric = [], "accuracy" if self.target.scores is None else "pearson"
        rules = [rule for rule in self.args.choose
                 if self.config.lambda_da or rule not in snapshots.OF_CRITIC] or ["last"]
        kept = snapshots.Snapshots(self.model, rules)

        def evaluate(record):
            if rules == ["last"] and record["step"] == self.config.steps:
                return {}  # comes below, on all rows
            found = {f"target_{metric}": self.measure(self.model, self.target, 100)[metric]}
            if rules != ["last"]:
                found |= self.look(rules)
                recent = [r["normalized_distance"] for r in [*log[-9:], record]
                          if self.config.lambda_da]
                kept.keep(record | found | {"normalized_distance": fmean(recent or [0.0])})
            return found

        critic = self.train(log.append, evaluate)
        if rules != ["last"] and self.config.steps % self.config.eval_every:
            evaluate(log[-1])  # the last step too
        results, found = [], {}  # found: by the snapshot's step, for rules may agree
        for rule in rules:
            step = kept.restore(rule) if rules != ["last"] else self.config.steps
            found[step] = found.get(step) or self.measured(self.model)
            name = self.method if rule == "last" else f"{self.method}, {rule}"
            results += [r | {"method": name, "snapshot": step} for r in found[step]]
            if save and rule == rules[0]:
                folder = self.args.out / "models" / self.method.rstrip("*")
                dial.save(self.model, self.trainer.tokenizer, critic, self.config, folder,
                          self.args.merge)
        if rules == ["last"] and self.config.eval_every:
            log[-1][f"target_{metric}"] = results[0]["metrics"][metric]
        return results, log

    def measured(self, scorer):
        """A result for each pair of domains: of the model, or of what else gives rewards."""
        sources = {source.name: source for source, _ in self.pairs}
        on_source = {name: self.measure(scorer, source)["accuracy"]
                     for name, source in sources.items()}
        return [{"source": s.name, "target": t.name, "n_test": len(t.test),
                 "metrics": self.measure(scorer, t) | {"source_accuracy": on_source[s.name]}}
                for s, t in self.pairs]

    def measure(self, scorer, domain, limit=None):
        """`measure_domain` on a domain's test rows, or the first of them."""
        if self.method == "Few-shot LM":
            rows = baselines.with_examples(domain.test, self.source.labeled, self.config.seed)
            rows = data.encode(rows, self.trainer.tokenizer, self.args.max_length, True,
                               domain.name)
        else:
            rows = self.trainer.encode(domain, "test")[:limit]
        return measure_domain(scorer, rows, domain, self.options, f"{self.method} on {domain.name}")

    def look(self, rules):
        """What the rules for snapshots read: no target label, unless an oracle chooses."""
        def batches(domain, part):
            return data.evaluation_batches(self.trainer.encode(domain, part)[:100], **self.options)

        found = dial.evaluate(self.model, batches(self.source.validation or self.source, "test"),
                              "source")
        record = {"source_accuracy": found["accuracy"], "source_error": found["error"],
                  "head_norm": self.model.reward_head.weight.norm().item()}
        if "entropy" in rules:
            record["target_entropy"] = snapshots.entropy(
                dial.predict(self.model, batches(self.target, "unlabeled"), "target"))
        if "oracle*" in rules:
            domain = self.target.validation
            rows = self.trainer.encode(domain, "test")[:100]
            record["target_validation"] = next(iter(measure_domain(
                self.model, rows, domain, self.options, "validation").values()))
        return record


def measure_domain(scorer, rows, domain, options, title):
    """The accuracy of a model's rewards on encoded test rows, or their correlation with scores."""
    batches = data.evaluation_batches(rows, **options)
    if domain.scores is None:
        return {"accuracy": dial.evaluate(scorer, batches, title)["accuracy"]}
    rewards = torch.cat(dial.predict(scorer, batches, title))  # (B,)
    scores = domain.scores[: len(rewards)]
    return {"pearson": dial.pearson(rewards, scores), "spearman": dial.spearman(rewards, scores)}
