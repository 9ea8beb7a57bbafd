"""A saved reward model as `dial.predict` takes it: any sequence classifier with one label."""
from pathlib import Path

import torch
import transformers
from torch import nn

from data import InputError
from models.backbones import TRUST, load_tokenizer, pick_machine, unusable


def load_scorer(name, device="auto", dtype="auto"):
    """(`Scorer`, tokenizer) of a folder or a name on the hub; an adapter over its base model, too.
    Raises InputError for what does not load, or has no trained head with one label."""
    device, dtype = pick_machine(device, dtype)
    options = {"num_labels": 1, "dtype": getattr(torch, dtype), "use_safetensors": True} | TRUST
    tokenizer = load_tokenizer(name)
    try:
        if (Path(name) / "adapter_config.json").exists():
            from peft import AutoPeftModelForSequenceClassification
            classifier, missing = AutoPeftModelForSequenceClassification.from_pretrained(
                name, **options), ()
        else:
            options.pop("num_labels")  # a classifier of several labels must not pass for one
            classifier, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                name, output_loading_info=True, **options)
            missing = info["missing_keys"]
    except Exception as error:  # libraries raise all kinds
        raise unusable(name, error) from None
    if missing:
        raise InputError(f"{name}: not a trained reward model: it has no {min(missing)}")
    if (labels := classifier.config.num_labels) != 1:
        raise InputError(f"{name}: a classifier of {labels} labels; a reward model has one")
    classifier.config.pad_token_id = tokenizer.pad_token_id  # a Llama's own has none
    return Scorer(classifier.to(device).eval()), tokenizer


class Scorer(nn.Module):
    """A classifier's logits as rewards, for batches of a text a row (`data.pack(share=False)`)."""

    def __init__(self, classifier):
        super().__init__()
        self.classifier, self.reward_head = classifier, nn.Identity()

    def embed(self, batch):
        """The rewards themselves, (N, 1)."""
        columns = torch.arange(batch["input_ids"].shape[1], device=batch["input_ids"].device)
        mask = (columns <= batch["last_column"][:, None]).long()  # (N, L)
        return self.classifier(input_ids=batch["input_ids"], attention_mask=mask).logits.float()
