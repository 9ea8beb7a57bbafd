"""Make the paper's data out of one's own: translations and formal versions of plain-form files.

    python experiments/rewrite.py translate my.jsonl --to kor_Hang --out korean.jsonl
    python experiments/rewrite.py formal my.jsonl --out formal.jsonl

`translate` goes line by line with NLLB (A.2), `formal` text by text with Gemma-2-9b-it and the
paper's prompt (A.3); both greedily, with a repetition penalty of 1.15. Every batch is kept in
OUT.done as soon as it is finished: stopped and started again, it goes on from there. Generated,
not translated: `prepare.py plain --noise` writes noisy versions, `prepare.py scores` makes pairs.
"""
import argparse
import json
from pathlib import Path

import torch
import transformers
from tqdm import tqdm

from support import backbones
from support.cli import Parser, command_line, count, make_folder
import data
from data import InputError

FORMAL = ("Rewrite this post using highly formal language, using correct grammar, spelling, and "
          "punctuation. Expand abbreviations (e.g. aka \u2192 also known as). Only output the post "
          "and nothing else")  # A.3
GREEDY = {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.15}  # A.2


def load(name, kind, device):
    """(model, tokenizer) of a transformers class for generation; safetensors only."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, padding_side="left")
        model = kind.from_pretrained(name, dtype=backbones.pick_dtype(device),
                                     use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--model {name}: cannot be loaded: {reason}") from None
    return model.to(device).eval(), tokenizer


def translator(args, device):
    """A function from a list of lines to their translations."""
    model, tokenizer = load(args.model, transformers.AutoModelForSeq2SeqLM, device)
    for code in (args.source_language, args.to):
        if tokenizer.convert_tokens_to_ids(code) in (None, tokenizer.unk_token_id):
            raise InputError(f"{args.model} has no language {code}; NLLB's are like kor_Hang")
    tokenizer.src_lang = args.source_language
    return lambda lines: generate(
        model, tokenizer, tokenizer(lines, return_tensors="pt", padding=True), args.max_new_tokens,
        forced_bos_token_id=tokenizer.convert_tokens_to_ids(args.to))


def formalizer(args, device):
    """A function from a list of texts to their formal versions."""
    model, tokenizer = load(args.model, transformers.AutoModelForCausalLM, device)
    if not tokenizer.chat_template:
        raise InputError(f"--model {args.model}: formal takes an instruction-tuned model, one "
                         "with a chat template")

    def rewrite(texts):
        chats = [[{"role": "user", "content": f"{FORMAL}\n\n{text}"}] for text in texts]
        prompts = [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
                   for chat in chats]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        return generate(model, tokenizer, inputs, args.max_new_tokens)

    return rewrite


@torch.no_grad()
def generate(model, tokenizer, inputs, max_new_tokens, **options):
    """Greedy continuations of tokenised texts, without the texts themselves."""
    inputs = {k: v.to(model.device) for k, v in inputs.items() if k != "token_type_ids"}
    ids = model.generate(**inputs, max_new_tokens=max_new_tokens, **GREEDY, **options)
    if not model.config.is_encoder_decoder:
        ids = ids[:, inputs["input_ids"].shape[1]:]
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]


def pieces(text, name):
    """What is rewritten at a time: a text's lines to translate, or all of it."""
    return text.split("\n") if name == "translate" else [text]


def rewrite_all(texts, make, batch_size, kept, settings):
    """Rewrite every text once; return a dictionary from each to its new form.

    Args:
        texts: a list. make: called once, if there is anything to do, for a function from a list of
            texts to as many. kept: the file that finished batches are appended to; `settings`, a
            dictionary of what they depend on, are its first line.
    Raises:
        InputError: the file is of other settings.
    """
    known, first = {}, json.dumps(settings)
    if kept.exists():  # the last line may be half of one
        lines = kept.read_text(encoding="utf-8").split("\n")[:-1]
        if lines and lines[0] != first:
            raise InputError(f"{kept} was made with {lines[0]}: give another --out, or remove it")
        known = {r["text"]: r["new"] for r in map(json.loads, lines[1:])}
    lines = [json.dumps({"text": text, "new": new}) for text, new in known.items()]
    kept.write_text("\n".join([first, *lines, ""]), encoding="utf-8")
    todo = sorted({t for t in texts if t.strip()} - set(known), key=lambda t: (len(t), t))
    rewrite = make() if todo else None
    with open(kept, "a", encoding="utf-8") as f:
        for i in tqdm(range(0, len(todo), batch_size), desc="batches", dynamic_ncols=True):
            batch = todo[i: i + batch_size]
            for text, new in zip(batch, rewrite(batch), strict=True):
                known[text] = new
                f.write(json.dumps({"text": text, "new": new}) + "\n")
            f.flush()
    return known


def parse(argv):
    """The flags, checked."""
    p = Parser(__doc__)
    p.add_argument("name", choices=["translate", "formal"], metavar="NAME",
                   help="translate or formal")
    p.add_argument("file", help="preferences: a file, a folder, or hub:owner/name/file")
    p.add_argument("--out", type=Path, required=True, help="the file to write, .jsonl")
    p.add_argument("--model", help="(facebook/nllb-200-3.3B; google/gemma-2-9b-it)")
    p.add_argument("--source-language", default="eng_Latn", help="in NLLB's codes (%(default)s)")
    p.add_argument("--to", default="kor_Hang", help="language, in NLLB's codes (%(default)s)")
    p.add_argument("--batch-size", type=count, default=16, help="texts at a time (%(default)s)")
    p.add_argument("--max-new-tokens", type=count, default=1024, help="of each (%(default)s)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (%(default)s)")
    args = p.parse_args(argv)
    if args.out.suffix != ".jsonl":
        raise InputError(f"--out {args.out}: the name must end in .jsonl")
    args.model = args.model or {"translate": "facebook/nllb-200-3.3B",
                                "formal": "google/gemma-2-9b-it"}[args.name]
    return args


def main(argv=None):
    args = parse(argv)
    rows, device = data.load_preferences(args.file), backbones.pick_device(args.device)
    texts = [part for row in rows for text in (row.prompt, *row.responses)
             for part in pieces(text, args.name)]
    make_folder(args.out.parent)
    names = ("name", "model", "max_new_tokens") + (
        ("source_language", "to") if args.name == "translate" else ())
    settings = {name: getattr(args, name) for name in names}
    make = {"translate": translator, "formal": formalizer}[args.name]
    new = rewrite_all(texts, lambda: make(args, device), args.batch_size,
                      args.out.with_suffix(".done"), settings)

    def rewritten(text):
        return "\n".join(new.get(part, part) for part in pieces(text, args.name))

    with open(args.out, "w", encoding="utf-8") as f:
        for row in rows:
            record = {"prompt": rewritten(row.prompt), "chosen": rewritten(row.chosen),
                      "rejected": [rewritten(text) for text in row.rejected]}
            f.write(json.dumps(record, ensure_ascii=False) + "\n")
    empty = sum(not v for v in new.values())
    print(f"{args.out}: {len(rows)} records, {len(new)} texts rewritten, "
          f"{empty} of them to nothing")


if __name__ == "__main__":
    command_line(main)
