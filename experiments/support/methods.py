"""The table of methods: whose labels each learns from, what it reads, and its step function."""
from dataclasses import dataclass

from dial import dial_step, preference_step

from support import baselines, untrained


@dataclass(frozen=True)
class Method:
    """A method that is trained has a `step`, one that is not gives `rewards`."""

    labels: tuple = ("source",)  # the domains whose labels it learns from
    reads_target: bool = False  # whether it is shown the target's unlabelled texts
    step: callable = None  # a function like `dial.dial_step`
    rewards: callable = None  # a function like `untrained.longest`
    language: bool = False  # whether it needs the probabilities of tokens
    critic: bool = False  # whether a critic sees the target


# A star marks an oracle: it sees target labels.
METHODS = {
    "Longest": Method(labels=(), rewards=untrained.longest),
    "Seen words": Method(rewards=untrained.seen_words),
    "Base LM": Method(labels=(), rewards=untrained.base_lm, language=True),
    "Few-shot LM": Method(rewards=untrained.few_shot_lm, language=True),
    "Base LM likelihood": Method(labels=(), rewards=untrained.likelihood, language=True),
    "Few-shot LM likelihood": Method(rewards=untrained.few_shot_likelihood, language=True),
    "Src-Pref": Method(step=preference_step),
    "Src-Pref-SFT": Method(step=baselines.sft_step, language=True),
    "Src-Pref-Tgt-NTP": Method(step=baselines.ntp_step, reads_target=True, language=True),
    "DIAL": Method(step=dial_step, reads_target=True, critic=True),
    "DEAL": Method(step=baselines.deal_step, reads_target=True, critic=True),
    "Tgt-Pref*": Method(labels=("target",), step=preference_step),
    "Src-Tgt-Pref*": Method(labels=("source", "target"), step=preference_step),
}
