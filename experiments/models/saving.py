"""Save a reward model so that transformers and peft load it without this project's code; and load
one, such as score.py takes it: any sequence classifier with one label."""
import json
import shutil
from dataclasses import asdict

import torch
from peft import AutoPeftModelForSequenceClassification
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import data
import dial
from data import InputError
from models.backbones import load_tokenizer, pick_machine
from models.made import put
from models.opening import TRUST, check, folder_of, locate, open_model, read_json, unusable

# Texts of every kind that is documented: joined by a line break, by white space, by a template.
ROWS = (data.Preference("Which is a fruit?", "Apple", ("The carrot, I would say.",)),
        data.Preference("Which is a fruit? Answer:", " apple", (" a carrot",)))
CHATS = [[{"role": "user", "content": "Which is a fruit?"}, {"role": "assistant", "content": text}]
         for text in ("Apple", "The carrot, I would say.")]


def save(model, tokenizer, config, folder, merged=False):
    """Write the LoRA adapter with its score head (the scale folded in), the tokenizer and the
    settings into a folder, which is whole and checked, or not there. With `merged`, its subfolder
    `merged` holds the whole model, LoRA added to its weights.

    Raises:
        RuntimeError: loaded again, it gives other rewards (by 1e-4 in fp32, .01 in bf16, of the
            norms of embedding and head).
    """
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        write(model, tokenizer, config, part, merged)
        put(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write(model, tokenizer, config, folder, merged):
    """Write what `save` does, and check it."""
    (folder / "dial_config.json").write_text(json.dumps(asdict(config), indent=1))
    score = model.backbone.get_base_model().score.modules_to_save["default"]
    score.weight.data = (model.reward_head.weight / model.scale).detach().clone()
    model.backbone.save_pretrained(folder, save_embedding_layers=False)
    tokenizer.save_pretrained(folder)
    options = {"num_labels": 1, "dtype": model.transformer.dtype}
    loaded = AutoPeftModelForSequenceClassification.from_pretrained(folder, **options, **TRUST)
    loaded = loaded.to(model.scale.device).eval()
    loaded.config.pad_token_id = tokenizer.pad_token_id  # a Llama's own has none
    check_same_rewards(model, loaded, tokenizer, AutoTokenizer.from_pretrained(folder, **TRUST))
    if merged:
        whole = loaded.merge_and_unload()
        whole.save_pretrained(folder / "merged")
        tokenizer.save_pretrained(folder / "merged")
        again = AutoModelForSequenceClassification.from_pretrained(
            folder / "merged", **options, **TRUST).state_dict()
        if not all(torch.equal(again[name], x.cpu()) for name, x in whole.state_dict().items()):
            raise RuntimeError("the whole model has other weights when it is loaded again")


def try_to_save(*args):
    """`save`; return what went wrong in words, None where nothing did."""
    try:
        save(*args)
    except Exception as error:  # a full disk, say: the run that was trained is kept all the same
        return str(error) or type(error).__name__


@torch.no_grad()
def check_same_rewards(model, classifier, trained_with, tokenizer):
    """Raise RuntimeError unless a transformers classifier with a saved tokenizer gives the rewards
    of `model` with the tokens that it was `trained_with`: plain texts, and conversations where the
    tokenizer has a chat template."""
    rows = list(ROWS)
    inputs = tokenizer([row.prompt + row.joint(response) + response for row in ROWS
                        for response in row.responses])["input_ids"]
    if tokenizer.chat_template:
        for chat in CHATS:
            text = tokenizer.apply_chat_template(chat, tokenize=False)
            rows.append(data.Unlabeled(text[:1], (text[1:],), template=True))
            inputs.append(tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"])
    encoded = data.encode(rows, trained_with, 10**6)
    for ids, text in zip(inputs, (text for record in encoded for text in record.texts)):
        if ids != text:
            raise RuntimeError(f"the saved tokenizer gives {tokenizer.decode(ids)!r}, not "
                               f"{tokenizer.decode(text)!r}")
    training = model.training
    batch = dial.to_device(data.pack(encoded, tokenizer.pad_token_id, share=False), model)
    emb = model.eval().embed(batch)  # (N, D)
    ours = model.reward_head(emb)[:, 0]
    theirs = Scorer(classifier).embed(batch)[:, 0]
    model.train(training)
    tolerance = 1e-4 if model.transformer.dtype == torch.float32 else 0.01
    size = emb.norm(dim=1) * model.reward_head.weight.norm()  # rounding grows with it
    if not ((ours - theirs).abs() <= tolerance * size).all():
        raise RuntimeError(f"the saved model gives {theirs.tolist()}, not {ours.tolist()}")


def load_scorer(name, device="auto", dtype="auto"):
    """(`Scorer`, tokenizer) of a folder or a name on the hub; an adapter over its base model, too.
    Raises InputError for what does not load, or has no trained head with one label."""
    device, dtype = pick_machine(device, dtype)
    tokenizer = load_tokenizer(name)
    if (folder_of(name) / "adapter_config.json").exists():
        classifier, missing = open_adapter(name, dtype), ()
    else:  # without num_labels: a classifier of several must not pass for one
        classifier, missing = open_model(AutoModelForSequenceClassification, name, dtype)
    if missing:
        raise InputError(f"{name}: not a trained reward model: it has no {min(missing)}")
    if (labels := classifier.config.num_labels) != 1:
        raise InputError(f"{name}: a classifier of {labels} labels; a reward model has one")
    classifier.config.pad_token_id = tokenizer.pad_token_id  # a Llama's own has none
    return Scorer(classifier.to(device).eval()), tokenizer


def open_adapter(name, dtype):
    """A classifier of one label: an adapter over the model that it names. Raises InputError."""
    base = str(read_json(name, "adapter_config.json").get("base_model_name_or_path"))
    check(base)
    if not (folder_of(name) / "adapter_model.safetensors").exists():
        raise InputError(f"{name}: it has no adapter_model.safetensors")
    try:
        return AutoPeftModelForSequenceClassification.from_pretrained(
            locate(name), num_labels=1, dtype=getattr(torch, dtype), use_safetensors=True, **TRUST)
    except Exception as error:  # libraries raise all kinds
        raise unusable(name, error) from None


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
