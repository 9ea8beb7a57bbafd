"""The methods that DIAL is compared with: step functions like `dial.dial_step`, and rewards that
take no training.

    sft_step        Src-Pref-SFT, Yang et al. (2024): chosen source responses stay likely
    ntp_step        Src-Pref-Tgt-NTP, Karouzos et al. (2021): target texts stay likely
    deal_step       DEAL, DIAL's first version: model and critic at once, by gradient reversal

The paper lets its base model choose in words, after some thought. A small base model does not keep
to such a format: here Base LM and Few-shot LM choose the response that is likeliest under it, by
the mean log probability of a token.
"""
import math
import random
import re
from collections import Counter
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

import data
import dial

LAMBDA_LM = 0.01  # weight of the language-model loss of the first two (not stated)
LM_TOKENS = 128  # of a batch, drawn at random: 262,144 logits each
SHOTS = 10  # labelled examples that Few-shot LM sees, as many as in the paper


# ------------------------------------------------------------------ steps


def sft_step(model, critic, optimizer, critic_optimizer, batch, config, ramp=1.0):
    """Bradley-Terry on the source, and its chosen responses' next tokens."""
    return language_step(model, optimizer, batch, config,
                         torch.isin(batch["token_response"], batch["chosen"]))


def ntp_step(model, critic, optimizer, critic_optimizer, batch, config, ramp=1.0):
    """Bradley-Terry on the source, and the next tokens of target prompts and responses."""
    last_source = batch["record"][batch["n_source"] - 1]
    return language_step(model, optimizer, batch, config, batch["token_record"] > last_source)


def language_step(model, optimizer, batch, config, wanted):
    """source_loss + LAMBDA_LM * mean loss of the `wanted` tokens, (T,) booleans."""
    hidden = model.hidden_states(batch)
    source_loss = dial.preference_loss(model, model.embed(batch, hidden), batch)
    (places,) = wanted.nonzero(as_tuple=True)
    places = places[torch.randperm(len(places), device=places.device)[:LM_TOKENS]]
    language_loss = token_losses(model, hidden, batch, places).mean()
    dial.descend(source_loss + LAMBDA_LM * language_loss, optimizer, config.clip)
    return {"source_loss": source_loss, "language_loss": language_loss}


def token_losses(model, hidden, batch, places):
    """Cross-entropy in nats, (T,), of the tokens of a batch at `places`, under tied embeddings.

        - log softmax(hidden @ embeddings^T)[token]
    """
    before = hidden[batch["token_row"][places], batch["token_before"][places]]  # (T, D)
    softcap = getattr(model.transformer.config, "final_logit_softcapping", None)
    return next_token_losses(before, batch["token_id"][places],
                             model.transformer.get_input_embeddings().weight, softcap)


def next_token_losses(hidden, tokens, embeddings, softcap=None, chunk=256):
    """`token_losses` of states (T, D), tokens (T,), and the output layer (V, D).

    `softcap` is Gemma 2's limit of the logits. Logits (chunk, V) are computed again going backward,
    so that no more than these are ever in memory.
    """
    def losses(hidden, tokens):
        logits = hidden.to(embeddings.dtype) @ embeddings.T  # (chunk, V)
        if softcap:
            logits = softcap * torch.tanh(logits / softcap)
        return F.cross_entropy(logits.float(), tokens, reduction="none")

    return torch.cat([checkpoint(losses, h, t, use_reentrant=False)
                      for h, t in zip(hidden.split(chunk), tokens.split(chunk))])


class ReverseGradient(torch.autograd.Function):
    """The identity going forward; going backward, - weight times the gradient."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.weight * gradient, None


def deal_step(model, critic, optimizer, critic_optimizer, batch, config, ramp=1.0):
    """DEAL's step: the critic's gradient comes back to the model reversed, times lambda_da.

        source_loss - W(reversed emb) + lambda_gp * penalty,   eq. (1)-(6) of its paper

    The penalty is of detached embeddings: it is the critic's own.
    """
    emb = model.embed(batch)  # (N, D)
    source_loss = dial.preference_loss(model, emb, batch)
    reversed_emb = ReverseGradient.apply(emb, ramp * config.lambda_da)
    source, target = dial.critic_view(reversed_emb, batch, config)
    penalty, slope = dial.gradient_penalty(critic, source, target)
    distance = dial.wasserstein_distance(critic, source, target)
    critic_optimizer.zero_grad()
    dial.descend(source_loss - distance + config.lambda_gp * penalty, optimizer, config.clip)
    critic_optimizer.step()
    return {"source_loss": source_loss, "domain_loss": distance, "distance": distance,
            "slope": slope}


# ------------------------------------------------------------------ rewards without training
# Args: run: a `training.Run`, its model as yet untrained, LoRA at 0: the base model. domain: whose
# test is rewarded. Returns: for each record, the rewards of its responses: (responses,).


def longest(run, domain):
    """The response with more words wins."""
    return [torch.tensor([float(len(text.split())) for text in row.responses])
            for row in domain.test]


def shortest(run, domain):
    return [-words for words in longest(run, domain)]


def seen_sentences(run, domain):
    """Adds up the sentences of a response, each by the log odds of being chosen in the labelled
    source: it reads nothing, and new sentences count 0."""
    return log_odds(run, domain, r"(?<=[.!?])\s+")


def seen_words(run, domain):
    """The same with words."""
    return log_odds(run, domain, r"\s+")


def log_odds(run, domain, separator):
    def parts(text):
        return re.split(separator, text.strip().lower())

    chosen, rejected = Counter(), Counter()
    for row in run.source.labeled:
        chosen.update(parts(row.chosen))
        rejected.update(part for text in row.rejected for part in parts(text))
    return [torch.tensor([sum(math.log((chosen[part] + 1) / (rejected[part] + 1))
                              for part in parts(text)) for text in row.responses])
            for row in domain.test]


def base_lm(run, domain):
    return dial.predict(Likelihood(run.model), run.batches(run.encode(domain, "test")),
                        f"Base LM on {domain.name}")


def few_shot_lm(run, domain):
    """As Base LM, with SHOTS labelled Preferences, the same for all, before every prompt."""
    labeled = run.source.labeled
    examples = random.Random(run.seed).sample(labeled, min(SHOTS, len(labeled)))
    shots = "".join(f"{e.prompt.rstrip()}\n{e.chosen}\n\n" for e in examples)
    rows = [replace(row, prompt=shots + row.prompt) for row in domain.test]
    encoded = data.encode(rows, run.tokenizer, run.args.max_length, True, domain.name)
    return dial.predict(Likelihood(run.model), run.batches(encoded),
                        f"Few-shot LM on {domain.name}")


class Likelihood(torch.nn.Module):
    """What `dial.predict` needs to reward a response by its tokens' mean log probability."""

    def __init__(self, model):
        super().__init__()
        self.model, self.reward_head = model, torch.nn.Identity()

    def embed(self, batch):
        """The rewards themselves, (N, 1)."""
        (places,) = (batch["token_response"] >= 0).nonzero(as_tuple=True)
        response = batch["token_response"][places]  # (T,)
        losses = token_losses(self.model, self.model.hidden_states(batch), batch, places)  # (T,)
        total = losses.new_zeros(len(batch["record"])).index_add(0, response, losses)
        return -(total / response.bincount(minlength=len(total)))[:, None]
