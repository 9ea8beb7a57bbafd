"""The table of methods: whose labels each learns from, what it reads, and how it is trained."""
from dataclasses import dataclass
from importlib import import_module

from data import InputError
from dial import dial_step, preference_step


def later(module, name):
    """A function of another file of this folder, which is imported only when it is called."""
    return lambda *args, **options: getattr(import_module(f"methods.{module}"), name)(
        *args, **options)


@dataclass(frozen=True)
class Method:
    """A method that is trained has a `step`, one that is not has `rewards`."""

    labels: tuple = ("source",)  # the domains whose labels it learns from
    reads_target: bool = False  # whether it is shown the target's unlabelled texts
    step: callable = None  # a function like `dial.dial_step`
    rewards: callable = None  # a function like `untrained.longest`
    language: bool = False  # whether it needs the probabilities of tokens
    critic: bool = False  # whether a critic, or a distance in its place, sees the target

    def groups(self, pairs):
        """Pairs of (source, target) domains in groups: it is trained once for all of a group.
        Raises InputError for the same pair twice."""
        names = [(source.name, target.name) for source, target in pairs]
        if len(set(names)) < len(names):
            raise InputError(f"twice the same pair of domains among {names}")
        groups = {}
        for source, target in pairs:
            key = (source.name if "source" in self.labels else "",
                   target.name if self.reads_target or "target" in self.labels else "")
            groups.setdefault(key, []).append((source, target))
        return list(groups.values())

    def reads(self, source, target):
        """The parts of domains that it is trained on or measured with, as (domain, part)."""
        yield from ((domain, "labeled") for name, domain in (("source", source), ("target", target))
                    if name in self.labels)
        yield from ((d, "test") for d in (source, target, target.validation) if d)
        if self.reads_target:
            yield target, "unlabeled"

    def check(self, name, args, classifier, target):
        """Raise InputError where a backbone or a target will not do for it."""
        if self.language and not classifier.config.tie_word_embeddings:
            raise InputError(f"{name} predicts tokens, which here takes a backbone with tied "
                             f"embeddings; {args.model} has an output layer")
        if name == "Mean matching" and args.config.center_prompts:
            raise InputError(f"{name}: centred means are all 0, so it would be Src-Pref; "
                             "--set center_prompts=false matches them as they are")
        alone = [row.prompt for row in target.unlabeled if len(row.responses) < 2]
        if alone and self.critic and args.config.center_prompts:
            raise InputError(f"{target.name}: {alone[0][:40]!r} has a single response; "
                             "center_prompts needs all of a prompt's in one record, two or more; "
                             "--set center_prompts=false does not")


# What --methods all stands for. A star marks an oracle: it sees target labels.
ALL = {
    "Longest": Method(labels=(), rewards=later("untrained", "longest")),
    "Seen words": Method(rewards=later("untrained", "seen_words")),
    "Base LM": Method(labels=(), rewards=later("untrained", "base_lm"), language=True),
    "Few-shot LM": Method(rewards=later("untrained", "few_shot_lm"), language=True),
    "Src-Pref": Method(step=preference_step),
    "Src-Pref-SFT": Method(step=later("baselines", "sft_step"), language=True),
    "Src-Pref-Tgt-NTP": Method(step=later("baselines", "ntp_step"), reads_target=True,
                               language=True),
    "DIAL": Method(step=dial_step, reads_target=True, critic=True),
    "DEAL": Method(step=later("baselines", "deal_step"), reads_target=True, critic=True),
    "Tgt-Pref*": Method(labels=("target",), step=preference_step),
    "Src-Tgt-Pref*": Method(labels=("source", "target"), step=preference_step),
}
METHODS = ALL | {  # and for the ablation, other distances in the place of DIAL's
    "Mean matching": Method(step=later("matching", "mean_matching"), reads_target=True,
                            critic=True),
    "MMD": Method(step=later("matching", "mmd"), reads_target=True, critic=True),
}
