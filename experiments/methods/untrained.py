"""Rewards that take no training: what length, counting and the prompted base model give.

A function takes the domain whose test is rewarded, and by name what it needs of `source`, `seed`,
`args`, `backbone` and `model` (a RewardModel with LoRA at 0: the base model). It returns the
rewards of each record's responses, (responses,).

Base LM and Few-shot LM answer in words after a thought, as the paper's do. Its prompts are not
printed: these ask the same in our words.
"""
import math
import random
import re
from collections import Counter
from string import ascii_uppercase as LETTERS

import torch
import transformers
from tqdm import tqdm

import data
import dial
from models import generation
from models.language import Likelihood

# What stands between white space; of scripts that write none between words, a character.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
WORD = re.compile(f"[{UNSPACED}]|[^\\s\u3000-\u303f\uff01-\uff20{UNSPACED}]+")
SHOTS = 10  # labelled examples that Few-shot LM sees, as many as in the paper
THOUGHTS = 100  # tokens of thought at most, of a single line
SCORE = "Give this text a score from 1 (poor) to 6 (great) for its argument, grammar and effect."


def longest(domain, **_):
    """The response with more words wins; in Thai or Chinese, with more characters."""
    return [torch.tensor([float(len(WORD.findall(text))) for text in row.responses])
            for row in domain.test]


def seen_words(domain, source, **_):
    """Adds up the words of a response, each by the log odds of being chosen in the labelled source:
    it ignores order and meaning, and new words count 0."""
    chosen, rejected = Counter(), Counter()
    for row in source.labeled:
        chosen.update(WORD.findall(row.chosen.lower()))
        rejected.update(word for text in row.rejected for word in WORD.findall(text.lower()))
    return [torch.tensor([sum(math.log((chosen[word] + 1) / (rejected[word] + 1))
                              for word in WORD.findall(text.lower())) for text in row.responses])
            for row in domain.test]


def few_shot_lm(domain, source, seed, args, **context):
    """As Base LM, after SHOTS different labelled Preferences, each with its letter."""
    check_letters(source.name, source.labeled)
    rng, labeled = random.Random(seed), list(dict.fromkeys(source.labeled))
    shots = [ask(args.question, row, rng)
             for row in rng.sample(labeled, min(SHOTS, len(labeled)))]
    return base_lm(domain, seed=seed, args=args, **context, shots="".join(
        f"{text}\nFinal answer: {LETTERS[order.index(0)]}\n\n" for text, order in shots))


def base_lm(domain, seed, args, model, backbone, shots="", **_):
    """The letter that is likeliest after the question, the responses and a line of thought; of a
    single text, the likeliest score from 1 to 6."""
    check_letters(domain.name, domain.test)
    context = getattr(model.transformer.config, "max_position_embeddings", 2048)
    rng = random.Random(seed)
    asked = [ask(args.question, row, rng) for row in domain.test]
    prompts = [f"{shots}{text}\nLet's think step by step:" for text, _ in asked]
    letters = [LETTERS[: len(order)] if len(order) > 1 else "123456" for _, order in asked]
    thoughts = think(args, prompts, context)
    rows = [data.Preference(f"{prompt} {thought}\nFinal answer: ", first, tuple(others))
            for prompt, thought, (first, *others) in zip(prompts, thoughts, letters)]
    encoded = data.encode(rows, backbone.tokenizer, context, True, domain.name)
    batches = data.evaluation_batches(encoded, **backbone.pack_options)
    answers = dial.predict(Likelihood(model), batches, f"base model on {domain.name}", len(rows))
    return [answer[torch.tensor(order).argsort()] if len(order) > 1
            else answer.argmax().add(1.0)[None] for answer, (_, order) in zip(answers, asked)]


def check_letters(name, rows):
    """Raise InputError for more than 26 responses to a prompt."""
    if (most := max(len(row.responses) for row in rows)) > len(LETTERS):
        raise data.InputError(f"{name}: {most} responses to a prompt; there is a letter for "
                              f"{len(LETTERS)}")


def ask(question, row, rng):
    """A question about a record in words, and which response stands at each letter."""
    order = rng.sample(range(len(row.responses)), len(row.responses))
    if len(order) == 1:
        return f"{SCORE}\n{row.responses[0]}", order
    listed = [f"{letter}: {row.responses[i]}" for letter, i in zip(LETTERS, order)]
    return "\n".join([question, row.prompt.rstrip(), *listed]), order


def think(args, prompts, context, batch_size=8):
    """What the base model says next, greedily, to the end of a line."""
    lm, tokenizer = generation.load(args.model, transformers.AutoModelForCausalLM, args.device,
                                    args.dtype)
    tokenizer.truncation_side = "left"
    options = {"return_tensors": "pt", "padding": True, "truncation": True,
               "max_length": context - THOUGHTS}
    return [text.partition("\n")[0]
            for i in tqdm(range(0, len(prompts), batch_size), "thoughts", leave=False)
            for text in generation.generate(
                lm, tokenizer, tokenizer(prompts[i: i + batch_size], **options), THOUGHTS)]
