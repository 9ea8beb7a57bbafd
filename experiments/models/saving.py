"""Save a reward model so that transformers and peft load it without this project's code."""
import json
import shutil
from dataclasses import asdict

import torch
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

import data
from models.backbones import TRUST

# Texts of every kind that is documented: joined by a line break, by white space, by a template.
ROWS = (data.Preference("Which is a fruit?", "Apple", ("The carrot, I would say.",)),
        data.Preference("Which is a fruit? Answer:", " apple", (" a carrot",)))
CHATS = [[{"role": "user", "content": "Which is a fruit?"}, {"role": "assistant", "content": text}]
         for text in ("Apple", "The carrot, I would say.")]


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
        folder, num_labels=1, dtype=model.transformer.dtype, **TRUST)
    loaded = loaded.to(model.scale.device).eval()
    loaded.config.pad_token_id = tokenizer.pad_token_id  # a Llama's own has none
    check_same_rewards(model, loaded, tokenizer, AutoTokenizer.from_pretrained(folder, **TRUST))
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
def check_same_rewards(model, classifier, trained_with, tokenizer):
    """Raise RuntimeError unless a transformers classifier with a saved tokenizer gives the rewards
    of `model` with the tokens that it was `trained_with`: plain texts, and conversations where the
    tokenizer has a chat template."""
    training = model.training
    model.eval()
    rows = list(ROWS)
    inputs = tokenizer([row.prompt + row.joint(response) + response for row in ROWS
                        for response in row.responses])["input_ids"]
    if tokenizer.chat_template:
        for chat in CHATS:
            text = tokenizer.apply_chat_template(chat, tokenize=False)
            rows.append(data.Unlabeled(text[:1], (text[1:],), template=True))
            inputs.append(tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"])
    texts = [text for _, texts in data.encode(rows, trained_with, 10**6) for text in texts]
    batch = tokenizer.pad({"input_ids": inputs}, return_tensors="pt", padding_side="right")
    rewards = classifier(**batch.to(model.scale.device)).logits[:, 0].tolist()
    for text, ids, reward in zip(texts, inputs, rewards, strict=True):
        row = torch.tensor([text], device=model.scale.device)
        emb = model.embed({"input_ids": row, "last_row": 0, "last_column": len(text) - 1})
        ours = model.reward_head(emb).item()
        tolerance = 1e-4 if model.transformer.dtype == torch.float32 else 0.01
        size = (emb.norm() * model.reward_head.weight.norm()).item()  # rounding grows with it
        if ids != text or not abs(ours - reward) <= tolerance * size:
            raise RuntimeError(f"the saved model gives {reward}, not {ours}, for "
                               f"{tokenizer.decode(ids)!r}, in training {tokenizer.decode(text)!r}")
    model.train(training)
