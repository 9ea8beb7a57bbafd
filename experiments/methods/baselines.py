"""The trained methods that DIAL is compared with: step functions like `dial.dial_step`.

    sft_step        Src-Pref-SFT, Yang et al. (2024): chosen source responses stay likely
    ntp_step        Src-Pref-Tgt-NTP, Karouzos et al. (2021): target texts stay likely
    deal_step       DEAL, DIAL's first version: model and critic at once, by gradient reversal

Only DEAL needs the critic.
"""
import torch

import dial
from models.language import token_losses, tokens_to_predict

LAMBDA_LM = 0.01  # weight of the language-model loss of the first two (not stated)
LAMBDA_TASK = 1.0  # weight of DEAL's task loss: see `deal_step`
LM_TOKENS = 128  # of a batch, drawn at random: 262,144 logits each


def sft_step(model, critic, optimizer, critic_optimizer, batch, config):
    """Bradley-Terry on the source, and its chosen responses' next tokens."""
    tokens = tokens_to_predict(batch)
    return language_step(model, optimizer, batch, config, tokens,
                         torch.isin(tokens["response"], batch["chosen"]))


def ntp_step(model, critic, optimizer, critic_optimizer, batch, config):
    """Bradley-Terry on the source, and the next tokens of target prompts and responses."""
    tokens = tokens_to_predict(batch)
    return language_step(model, optimizer, batch, config, tokens,
                         tokens["record"] >= batch["n_source_records"])


def language_step(model, optimizer, batch, config, tokens, wanted):
    """source_loss + LAMBDA_LM * mean loss of the `wanted` tokens, (T,) booleans."""
    hidden = model.hidden_states(batch)
    source_loss = dial.preference_loss(model, model.embed(batch, hidden), batch)
    draw = torch.rand(len(wanted), device=wanted.device).masked_fill(~wanted, -1)
    places = draw.topk(min(LM_TOKENS, len(wanted))).indices
    losses = token_losses(model, hidden, tokens, places) * wanted[places]  # there may be fewer
    language_loss = losses.sum() / wanted[places].sum()
    norm = dial.descend(source_loss + LAMBDA_LM * language_loss, optimizer, config.clip)
    return {"source_loss": source_loss, "language_loss": language_loss, "gradient_norm": norm}


def deal_step(model, critic, optimizer, critic_optimizer, batch, config):
    """DEAL's step, eqs. (1) to (6) of its paper, `critic_steps` of the critic: the last of them is
    the model's too, to whom the critic's gradient comes back reversed.

        penalty - gamma W(reversed emb) + LAMBDA_TASK source_loss,   gamma = lambda_da

    Its equations have lambda on the task. Its A.1 has lambda = .01, no gamma, and a library that
    puts lambda on the distance, as DIAL does; on the task, .01 would leave the distance a hundred
    times the weight. The penalty is of detached embeddings: it is the critic's own.
    """
    def wdgrl(emb):
        source, target = dial.critic_view(emb, batch, config)
        penalty, slope = dial.gradient_penalty(critic, source, target)  # eq. (3)
        distance = dial.wasserstein_distance(critic, source, target)  # eq. (4)
        loss = config.lambda_gp * penalty - config.lambda_da * distance  # eq. (5)
        return loss, distance, slope

    emb = model.embed(batch)  # (N, D)
    for _ in range(config.critic_steps - 1):
        dial.descend(wdgrl(emb.detach())[0], critic_optimizer)
    source_loss = dial.preference_loss(model, emb, batch)
    reversed_emb = 2 * emb.detach() - emb  # the same values; the gradient of emb is reversed
    loss, distance, slope = wdgrl(reversed_emb)
    critic_optimizer.zero_grad()
    loss = loss + LAMBDA_TASK * source_loss  # eq. (6)
    norm = dial.descend(loss, optimizer, config.clip, model)
    critic_norm = torch.nn.utils.get_total_norm([p.grad for p in critic.parameters()])
    critic_optimizer.step()
    return {"source_loss": source_loss, "domain_loss": distance, "distance": distance,
            "slope": slope, "critic_gradient_norm": critic_norm, "gradient_norm": norm}
