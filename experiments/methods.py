"""The methods by name, those that dial.py trains and those that are not trained, and what may be
set for all of them."""
from dataclasses import fields

import baselines
import dial
from data import InputError

METHODS = dial.METHODS | baselines.UNTRAINED
# Of DialConfig, what a user sets; the rest follows from the run and the method.
SETTINGS = [f for f in fields(dial.DialConfig) if f.name not in ("seed", "gradient_reversal")]


def check_methods(names):
    """The methods by their full names; `Tgt-Pref` will do for `Tgt-Pref*`."""
    known = {name.rstrip("*").lower(): name for name in METHODS}
    if names == ["all"]:
        return list(METHODS)
    for name in names:
        if name.rstrip("*").lower() not in known:
            raise InputError(f"--methods {name}: there are all, {', '.join(METHODS)}")
    return list(dict.fromkeys(known[name.rstrip("*").lower()] for name in names))


def labeled_domains(method, source, target):
    """Those of the two domains whose labels a method learns from."""
    labels = METHODS[method]["labels"]
    return [source] * ("source" in labels) + [target] * ("target" in labels)


def reads_target(method):
    """Whether a method is shown the target's unlabelled texts."""
    return METHODS[method].get("term") in ("lambda_da", "lambda_ntp")


def models_language(method):
    """Whether a method needs probabilities of tokens."""
    return (METHODS[method].get("term") in ("lambda_sft", "lambda_ntp")
            or method in ("Base LM", "Few-shot LM"))
