"""Rewards that take no training: what length, counting and the base model give.

A function takes a `training.Run`, its model as yet untrained (LoRA at 0: the base model), and the
domain whose test is rewarded; it returns the rewards of each record's responses, (responses,).

Base LM and Few-shot LM choose in words, after some thought, as the paper's do. Its prompts are not
printed: these ask the same in our words. A small base model does not keep to such a format: Base LM
likelihood and Few-shot LM likelihood choose the response that is likeliest, by the mean log
probability of a token.
"""
import math
import random
from collections import Counter
from dataclasses import replace
from string import ascii_uppercase as LETTERS

import torch
import transformers
from tqdm import tqdm

import data
import dial

from support import rewriting
from support.language import token_losses, tokens_to_predict

SHOTS = 10  # labelled examples that Few-shot LM sees, as many as in the paper
THOUGHTS = 100  # tokens of thought at most, of a single line
SCORE = "Give this text a score from 1 (poor) to 6 (great) for its argument, grammar and effect."


def longest(run, domain):
    """The response with more words wins."""
    return [torch.tensor([float(len(text.split())) for text in row.responses])
            for row in domain.test]


def seen_words(run, domain):
    """Adds up the words of a response, each by the log odds of being chosen in the labelled source:
    it reads nothing, and new words count 0."""
    chosen, rejected = Counter(), Counter()
    for row in run.source.labeled:
        chosen.update(row.chosen.lower().split())
        rejected.update(word for text in row.rejected for word in text.lower().split())
    return [torch.tensor([sum(math.log((chosen[word] + 1) / (rejected[word] + 1))
                              for word in text.lower().split()) for text in row.responses])
            for row in domain.test]


def few_shot_lm(run, domain):
    """As Base LM, after SHOTS labelled Preferences with their letters, the same for all."""
    rng = random.Random(run.seed)
    shots = []
    for row in examples(run):
        text, order = ask(run.args.question, row, rng)
        shots.append(f"{text}\nFinal answer: {LETTERS[order.index(0)]}\n\n")
    return base_lm(run, domain, "".join(shots))


def examples(run):
    """SHOTS different labelled records of the source, which may repeat them."""
    labeled = list(dict.fromkeys(run.source.labeled))
    return random.Random(run.seed).sample(labeled, min(SHOTS, len(labeled)))


def ask(question, row, rng):
    """A question about a record in words, and which response stands at each letter."""
    order = rng.sample(range(len(row.responses)), len(row.responses))
    if len(order) == 1:
        return f"{SCORE}\n{row.responses[0]}", order
    listed = [f"{letter}: {row.responses[i]}" for letter, i in zip(LETTERS, order)]
    return "\n".join([question, row.prompt.rstrip(), *listed]), order


def base_lm(run, domain, shots=""):
    """The letter that is likeliest after the question, the responses and a line of thought; of a
    single text, the likeliest score from 1 to 6. Raises InputError for more than 26 responses."""
    if (most := max(len(row.responses) for row in domain.test)) > len(LETTERS):
        raise data.InputError(f"{domain.name}: {most} responses to a prompt; {run.job.method} has "
                              f"a letter for {len(LETTERS)}")
    rng = random.Random(run.seed)
    context = getattr(run.model.transformer.config, "max_position_embeddings", 2048)
    asked = [ask(run.args.question, row, rng) for row in domain.test]
    prompts = [f"{shots}{text}\nLet's think step by step:" for text, _ in asked]
    rows = []
    for prompt, thought, (_, order) in zip(prompts, think(run, prompts, context), asked):
        choices = LETTERS[: len(order)] if len(order) > 1 else "123456"
        rows.append(data.Preference(f"{prompt} {thought}\nFinal answer: ", choices[0],
                                    tuple(choices[1:])))
    chosen = likelihoods(run, data.encode(rows, run.tokenizer, context, True, domain.name), domain)
    return [letters[torch.tensor(order).argsort()] if len(order) > 1
            else letters.argmax().add(1.0)[None] for letters, (_, order) in zip(chosen, asked)]


def think(run, prompts, context, batch_size=8):
    """What the base model says next, greedily, to the end of a line."""
    model, tokenizer = rewriting.load(run.args.model, transformers.AutoModelForCausalLM,
                                      str(run.model.scale.device), run.args.dtype)
    tokenizer.truncation_side, lines = "left", []
    for i in tqdm(range(0, len(prompts), batch_size), desc="thoughts", leave=False):
        inputs = tokenizer(prompts[i: i + batch_size], return_tensors="pt", padding=True,
                           truncation=True, max_length=context - THOUGHTS)
        lines += [text.partition("\n")[0] for text in
                  rewriting.generate(model, tokenizer, inputs, THOUGHTS)]
    return lines


def likelihood(run, domain):
    return likelihoods(run, run.encode(domain, "test"), domain)


def few_shot_likelihood(run, domain):
    """The same with SHOTS labelled Preferences, the same for all, before every prompt."""
    shots = "".join(f"{e.prompt.rstrip()}\n{e.chosen}\n\n" for e in examples(run))
    rows = [replace(row, prompt=shots + row.prompt) for row in domain.test]
    encoded = data.encode(rows, run.tokenizer, run.args.max_length, True, domain.name)
    return likelihoods(run, encoded, domain)


def likelihoods(run, encoded, domain):
    return dial.predict(Likelihood(run.model), run.batches(encoded),
                        f"{run.job.method} on {domain.name}", len(encoded))


class Likelihood(torch.nn.Module):
    """What `dial.predict` needs to reward a response by its tokens' mean log probability."""

    def __init__(self, model):
        super().__init__()
        self.model, self.reward_head = model, torch.nn.Identity()

    def embed(self, batch):
        """The rewards themselves, (N, 1)."""
        tokens = tokens_to_predict(batch)
        (places,) = (tokens["response"] >= 0).nonzero(as_tuple=True)
        response = tokens["response"][places]  # (T,)
        losses = token_losses(self.model, self.model.hidden_states(batch), tokens, places)  # (T,)
        total = losses.new_zeros(sum(batch["counts"])).index_add(0, response, losses)
        return -(total / response.bincount(minlength=len(total)))[:, None]
