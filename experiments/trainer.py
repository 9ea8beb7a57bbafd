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
    """Keeps the backbone and the encoded domains from run to run."""

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
        """Train `method` once, evaluate it on all pairs; return (results, steps)."""
        config, start, log = replace(self.config, seed=seed), time.time(), []
        torch.manual_seed(seed)
        try:
            model = dial.RewardModel(self.classifier, config)
        except ValueError as error:
            raise InputError(str(error)) from None
        options = {"pad_id": self.tokenizer.pad_token_id, "share": model.shares_prompts}
        (source, target), tag = pairs[0], {"method": method, "seed": seed}
        tag |= {"source": source.name, "target": target.name}

        def measure(domain, limit=None):
            if method == "Few-shot LM":
                rows = baselines.with_examples(domain.test, source.labeled, seed)
                rows = data.encode(rows, self.tokenizer, self.args.max_length, True, domain.name)
            else:
                rows = self.encode(domain, "test")[:limit]
            return measure_domain(scorer, rows, domain, options, f"{method} on {domain.name}")

        def result(**more):
            on_source = {s.name: measure(s)["accuracy"]
                         for s in {s.name: s for s, _ in pairs}.values()}
            return [tag | {"source": s.name, "target": t.name,
                           "n_test": len(t.test), "seconds": round(time.time() - start, 1),
                           "metrics": measure(t) | {"source_accuracy": on_source[s.name]}} | more
                    for s, t in pairs]

        if method in baselines.UNTRAINED:
            scorer = baselines.Likelihood(model, length=method == "Length")
            results = result()
        else:
            config = dial.method_config(method, config)
            scorer, metric, results = model, "accuracy" if target.scores is None else "pearson", []
            rules = [r for r in self.args.choose
                     if config.lambda_da or r not in snapshots.OF_CRITIC] or ["last"]
            kept = snapshots.Snapshots(model, rules)

            def evaluate(record):
                found = {f"target_{metric}": measure(target, 100)[metric]}
                if rules != ["last"]:
                    found |= self.look(model, source, target, options, rules)
                    distances = [r["normalized_distance"] for r in [*log[-9:], record]
                                 if config.lambda_da]
                    kept.keep(record | found | {"normalized_distance": fmean(distances or [0.0])})
                return found

            critic = self.train(method, model, source, target, config, options, evaluate=evaluate,
                                log=lambda record: log.append(tag | record))
            if rules != ["last"] and config.steps % config.eval_every:
                evaluate(log[-1])  # the last step too
            found = {}  # by the snapshot's step, for rules may agree
            for rule in rules:
                step = kept.restore(rule) if rules != ["last"] else config.steps
                found[step] = found.get(step) or result(snapshot=step)
                name = method if rule == "last" else f"{method}, {rule}"
                results += [r | {"method": name} for r in found[step]]
                if save and rule == rules[0]:
                    folder = self.args.out / "models" / method.rstrip("*")
                    dial.save(model, self.tokenizer, critic, config, folder, self.args.merge)
        self.classifier = model.backbone.unload()  # the bare backbone again, for the next run
        return results, log

    def look(self, model, source, target, options, rules):
        """What the rules for snapshots read: no target label, unless an oracle chooses."""
        def batches(domain, part):
            return data.evaluation_batches(self.encode(domain, part)[:100], **options)

        found = dial.evaluate(model, batches(source.validation or source, "test"), "source")
        record = {"source_accuracy": found["accuracy"], "source_error": found["error"],
                  "head_norm": model.reward_head.weight.norm().item()}
        if "entropy" in rules:
            record["target_entropy"] = snapshots.entropy(
                dial.predict(model, batches(target, "unlabeled"), "target"))
        if "oracle*" in rules:
            rows = self.encode(target.validation, "test")[:100]
            record["target_validation"] = next(iter(measure_domain(
                model, rows, target.validation, options, "validation").values()))
        return record

    def train(self, method, model, source, target, config, options, log, evaluate):
        """Train a model on the domains that `method` uses; return its critic."""
        labels = METHODS[method]["labels"]
        critic = dial.Critic(model.reward_head.in_features).to(model.scale.device)
        labeled = [row for domain, name in ((source, "source"), (target, "target"))
                   if name in labels for row in self.encode(domain, "labeled")]
        unlabeled = self.encode(target, "unlabeled") if reads_target(method) else None
        if self.args.epochs:
            config.steps = steps(self.args, len(labeled))  # in what `save` writes, too
            config.source_steps = source_steps(self.args, len(labeled), method)
        language = "source" if config.lambda_sft else "target" if config.lambda_ntp else None

        def batches():
            return data.training_batches(labeled, unlabeled, config.batch_size, config.steps,
                                         config.seed, language, config.lm_tokens, **options)

        if config.scale_embeddings:
            model.set_scale(dial.to_device(next(batches()), model))
        dial.train(model, critic, batches(), config, evaluate, log,
                   title=f"{method}, seed {config.seed}")
        return critic


def measure_domain(scorer, rows, domain, options, title):
    """The accuracy of a model's rewards on encoded test rows, or their correlation with scores."""
    batches = data.evaluation_batches(rows, **options)
    if domain.scores is None:
        return {"accuracy": dial.evaluate(scorer, batches, title)["accuracy"]}
    rewards = torch.cat(dial.predict(scorer, batches, title))  # (B,)
    scores = domain.scores[: len(rewards)]
    return {"pearson": dial.pearson(rewards, scores), "spearman": dial.spearman(rewards, scores)}
