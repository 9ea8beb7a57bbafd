"""Rewrite texts as the paper did: translations with NLLB (A.2), formal versions by an instruction
(A.3), both greedily. What is finished is kept, batch by batch, and not done again."""
import json
from contextlib import suppress

import transformers
from tqdm import tqdm

from data import InputError
from harness.command import count
from models.backbones import pick_machine
from models.generation import generate, load

MODELS = {"translate": "facebook/nllb-200-3.3B", "formal": "google/gemma-2-9b-it"}
FORMAL = ("Rewrite this post using highly formal language, using correct grammar, spelling, and "
          "punctuation. Expand abbreviations (e.g. aka \u2192 also known as). Only output the post "
          "and nothing else")  # A.3


def rewriting_flags(p, name):
    """The flags of `translate` or `formal`."""
    p.add_argument("--model", default=MODELS[name], help="(%(default)s)")
    if name == "translate":
        p.add_argument("--source-language", default="eng_Latn",
                       help="in NLLB's codes (%(default)s)")
        p.add_argument("--to", default="kor_Hang", help="language, the same (%(default)s)")
    p.add_argument("--batch-size", type=count, default=16, help="texts at a time (%(default)s)")
    p.add_argument("--max-new-tokens", type=count, default=1024, help="of each (%(default)s)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (%(default)s)")


def rewrite(texts, args):
    """A dictionary from each of `texts` to its new form, made of pieces: the lines of a text to
    translate, or all of it. OUT.done keeps [settings, piece, new piece] of all that is finished."""
    settings = [args.model, args.max_new_tokens, *map(vars(args).get, ("source_language", "to"))]
    pieces = {t: t.split("\n") if args.name == "translate" else [t] for t in texts}
    kept, new = args.out.with_suffix(".done"), {}
    for line in kept.read_text("utf-8", "replace").split("\n") if kept.exists() else ():
        with suppress(ValueError, TypeError):  # half a line, where it was stopped
            made_with, piece, new_piece = json.loads(line)
            if made_with == settings:
                new[piece] = new_piece
    todo = {p for parts in pieces.values() for p in parts if p.strip() and p not in new}
    todo = sorted(todo, key=lambda piece: (len(piece), piece))
    change = REWRITERS[args.name](args, pick_machine(args.device)[0]) if todo else None
    try:
        with open(kept, "a", encoding="utf-8") as f:
            for i in tqdm(range(0, len(todo), args.batch_size), "batches", dynamic_ncols=True):
                batch = todo[i: i + args.batch_size]
                for piece, new_piece in zip(batch, change(batch), strict=True):
                    new[piece] = new_piece
                    f.write("\n" + json.dumps([settings, piece, new_piece]))
                f.flush()
    except OSError as error:
        raise InputError(f"{kept}: cannot be written: {error.strerror}") from None
    return {text: "\n".join(new.get(p, p) for p in parts) for text, parts in pieces.items()}


def translator(args, device):
    """every line by NLLB into the language --to (A.2); resumable"""
    model, tokenizer = load(args.model, transformers.AutoModelForSeq2SeqLM, device)
    for code in (args.source_language, args.to):
        if tokenizer.convert_tokens_to_ids(code) in (None, tokenizer.unk_token_id):
            raise InputError(f"{args.model} has no language {code}; NLLB's are like kor_Hang")
    tokenizer.src_lang = args.source_language
    return lambda lines: generate(
        model, tokenizer, tokenizer(lines, return_tensors="pt", padding=True), args.max_new_tokens,
        repetition_penalty=1.15, forced_bos_token_id=tokenizer.convert_tokens_to_ids(args.to))


def formalizer(args, device):
    """every text by Gemma-2-9b-it into highly formal language (A.3); resumable"""
    model, tokenizer = load(args.model, transformers.AutoModelForCausalLM, device)
    if not tokenizer.chat_template:
        raise InputError(f"{args.model}: this takes an instruction-tuned model, one with a chat "
                         "template")
    return lambda texts: generate(model, tokenizer, tokenizer.apply_chat_template(
        [[{"role": "user", "content": f"{FORMAL}\n\n{text}"}] for text in texts],
        add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"),
        args.max_new_tokens)


REWRITERS = {"translate": translator, "formal": formalizer}
