"""Save a reward model so that transformers and peft load it without this project's code."""
import json
import shutil
from dataclasses import asdict

import torch
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

TEXTS = ("Which is a fruit?\nApple", "Which is a fruit?\nThe carrot, I would say.")


def save(model, tokenizer, config, folder, merged=False):
    """Write the LoRA adapter with its score head (the scale folded in), the tokenizer and the
    settings, and check them; with `merged`, a subfolder `merged` holds the whole model, LoRA added
    to its weights.

    Raises:
        RuntimeError: loaded again, it gives other rewards (by 1e-4 in fp32, .01 in bf16, of the
            norms of embedding and head).
    """
    score = model.backbone.get_base_model().score.modules_to_save["default"]
    score.weight.data = (model.reward_head.weight / model.scale).detach().clone()
    shutil.rmtree(folder / "merged", ignore_errors=True)  # another command's
    model.backbone.save_pretrained(folder, save_embedding_layers=False)
    tokenizer.save_pretrained(folder)
    (folder / "dial_config.json").write_text(json.dumps(asdict(config), indent=1))
    loaded = AutoPeftModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=model.transformer.dtype)
    loaded = loaded.to(model.scale.device).eval()
    loaded.config.pad_token_id = tokenizer.pad_token_id  # a Llama's own has none
    check_same_rewards(model, loaded, AutoTokenizer.from_pretrained(folder))
    if merged:
        loaded.merge_and_unload().save_pretrained(folder / "merged")
        tokenizer.save_pretrained(folder / "merged")


def try_to_save(model, tokenizer, config, folder, merged=False):
    """`save`; return what went wrong in words, None where nothing did."""
    try:
        save(model, tokenizer, config, folder, merged)
    except Exception as error:  # a full disk, say: the run that was trained is kept all the same
        shutil.rmtree(folder, ignore_errors=True)
        return str(error)


@torch.no_grad()
def check_same_rewards(model, classifier, tokenizer):
    """Raise RuntimeError unless a transformers classifier gives the rewards of `model`, which takes
    one text at a time here, to several texts at once."""
    training = model.training
    model.eval()
    inputs = tokenizer(list(TEXTS), return_tensors="pt", padding=True, padding_side="right")
    rewards = classifier(**inputs.to(model.scale.device)).logits[:, 0].tolist()
    for text, reward in zip(TEXTS, rewards):
        ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.scale.device)  # (1, L)
        emb = model.embed({"input_ids": ids, "last_row": 0, "last_column": ids.shape[1] - 1})
        ours = model.reward_head(emb).item()
        tolerance = 1e-4 if model.transformer.dtype == torch.float32 else 0.01
        size = (emb.norm() * model.reward_head.weight.norm()).item()  # rounding grows with it
        if not abs(ours - reward) <= tolerance * size:
            raise RuntimeError(f"the saved model gives {reward}, not {ours}, for {text!r}")
    model.train(training)
