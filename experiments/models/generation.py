"""Greedy generation with a transformers model: for the rewriters and the prompted base model."""
import torch
import transformers

from data import InputError
from models.backbones import load_tokenizer, pick_machine
from models.opening import open_model


def load(name, kind, device, dtype="auto"):
    """(model, tokenizer) of a transformers class for generation."""
    device, dtype = pick_machine(device, dtype)
    translates = kind is transformers.AutoModelForSeq2SeqLM  # NLLB begins with a language
    tokenizer = load_tokenizer(name, bos=not translates)
    tokenizer.padding_side = "left"
    model, missing = open_model(kind, name, dtype)
    if missing:
        raise InputError(f"{name}: its weights have no {min(missing)}")
    return model.to(device).eval(), tokenizer


@torch.no_grad()
def generate(model, tokenizer, inputs, max_new_tokens, **options):
    """Greedy continuations of tokenised texts, without the texts themselves."""
    inputs = {k: v.to(model.device) for k, v in inputs.items() if k != "token_type_ids"}
    ids = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1,
                         **options)
    if not model.config.is_encoder_decoder:
        ids = ids[:, inputs["input_ids"].shape[1]:]
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
