"""Rewards that take no training: what length, counting and the prompted base model give.

A function takes the domain whose test is rewarded, and by name what it needs of `source`, `seed`,
`args`, `backbone` and `model` (a RewardModel as yet untrained, LoRA at 0: the base model). It
returns the rewards of each record's responses, (responses,).

Base LM and Few-shot LM choose in words, after some thought, as the paper's do. Its prompts are not
printed: these ask the same in our words.
"""
import math
import random
from collections import Counter
from string import ascii_uppercase as LETTERS

import torch
import transformers
from tqdm import tqdm

import data
import dial
from models import generation
from models.language import Likelihood

SHOTS = 10  # labelled examples that Few-shot LM sees, as many as in the paper
THOUGHTS = 100  # tokens of thought at most, of a single line
SCORE = "Give this text a score from 1 (poor) to 6 (great) for its argument, grammar and effect."


def longest(domain, **_):
    """The response with more words wins."""
    return [torch.tensor([float(len(text.split())) for text in row.responses])
            for row in domain.test]


def seen_words(domain, source, **_):
    """Adds up the words of a response, each by the log odds of being chosen in the labelled source:
    it reads nothing, and new words count 0."""
    chosen, rejected = Counter(), Counter()
    for row in source.labeled:
        chosen.update(row.chosen.lower().split())
        rejected.update(word for text in row.rejected for word in text.lower().split())
    return [torch.tensor([sum(math.log((chosen[word] + 1) / (rejected[word] + 1))
                              for word in text.lower().split()) for text in row.responses])
            for row in domain.test]


def few_shot_lm(domain, source, seed, args, **context):
    """As Base LM, after SHOTS labelled Preferences with their letters, the same for all."""
    rng = random.Random(seed)
    shots = []
    for row in examples(source, seed):
        text, order = ask(args.question, row, rng)
        shots.append(f"{text}\nFinal answer: {LETTERS[order.index(0)]}\n\n")
    return base_lm(domain, seed=seed, args=args, shots="".join(shots), **context)


def examples(source, seed):
    """SHOTS different labelled records of the source, which may repeat them."""
    labeled = list(dict.fromkeys(source.labeled))
    return random.Random(seed).sample(labeled, min(SHOTS, len(labeled)))


def ask(question, row, rng):
    """A question about a record in words, and which response stands at each letter."""
    order = rng.sample(range(len(row.responses)), len(row.responses))
    if len(order) == 1:
        return f"{SCORE}\n{row.responses[0]}", order
    listed = [f"{letter}: {row.responses[i]}" for letter, i in zip(LETTERS, order)]
    return "\n".join([question, row.prompt.rstrip(), *listed]), order


def base_lm(domain, seed, args, model, backbone, shots="", **_):
    """The letter that is likeliest after the question, the responses and a line of thought; of a
    single text, the likeliest score from 1 to 6. Raises InputError for more than 26 responses."""
    if (most := max(len(row.responses) for row in domain.test)) > len(LETTERS):
        raise data.InputError(f"{domain.name}: {most} responses to a prompt; there is a letter for "
                              f"{len(LETTERS)}")
    rng = random.Random(seed)
    context = getattr(model.transformer.config, "max_position_embeddings", 2048)
    asked = [ask(args.question, row, rng) for row in domain.test]
    prompts = [f"{shots}{text}\nLet's think step by step:" for text, _ in asked]
    rows = []
    for prompt, thought, (_, order) in zip(prompts, think(args, model, prompts, context), asked):
        choices = LETTERS[: len(order)] if len(order) > 1 else "123456"
        rows.append(data.Preference(f"{prompt} {thought}\nFinal answer: ", choices[0],
                                    tuple(choices[1:])))
    encoded = data.encode(rows, backbone.tokenizer, context, True, domain.name)
    batches = data.evaluation_batches(encoded, **backbone.pack_options)
    chosen = dial.predict(Likelihood(model), batches, f"base model on {domain.name}",
                          len(encoded))
    return [letters[torch.tensor(order).argsort()] if len(order) > 1
            else letters.argmax().add(1.0)[None] for letters, (_, order) in zip(chosen, asked)]


def think(args, model, prompts, context, batch_size=8):
    """What the base model says next, greedily, to the end of a line."""
    lm, tokenizer = generation.load(args.model, transformers.AutoModelForCausalLM,
                                    str(model.scale.device), args.dtype)
    tokenizer.truncation_side, lines = "left", []
    for i in tqdm(range(0, len(prompts), batch_size), desc="thoughts", leave=False):
        inputs = tokenizer(prompts[i: i + batch_size], return_tensors="pt", padding=True,
                           truncation=True, max_length=context - THOUGHTS)
        lines += [text.partition("\n")[0] for text in
                  generation.generate(lm, tokenizer, inputs, THOUGHTS)]
    return lines
