"""DIAL: reward models that carry preferences from a labelled source to an unlabelled domain.

Wu and Choudhury, "Aligning LLMs with Domain Invariant Reward Models" (2025). A language model with
LoRA embeds a prompt and a response; a linear head turns the embedding into a reward. The head
learns from source preferences; a critic measures how far source and target embeddings lie apart,
and the language model closes the gap. Where the domains embed alike, the reward carries over.

    here                    in the paper
    bradley_terry_loss      eq. (5), with several rejected responses as in A.6
    wasserstein_distance    eq. (2), the dual form (1) with a trained critic
    gradient_penalty        eq. (3)
    critic_step             the inner maximisation of eq. (4)
    model_step              the outer minimisation of eq. (4), plus eq. (5)
    reversal_step           DEAL, the method's first version: eq. (1)-(6) there
    language_model_losses   of the baselines Src-Pref-SFT and Src-Pref-Tgt-NTP (section 3)
    train                   Algorithm 1

    python dial.py          # a demonstration on Gaussians, a few seconds

Where this differs from the paper:
  - Read literally, Algorithm 1 gives the model no domain gradient (its embeddings are computed
    while it is frozen) and its two Wasserstein terms cancel. Here, as the text says, the critic
    learns from detached embeddings, then the model minimises the distance the critic reports.
  - Source and target share one forward pass, and responses share their prompt's (`tree_mask`).
  - `scale_embeddings` divides embeddings by their mean norm at the start, so that learning rates,
    lambda_da and lambda_gp mean the same for every backbone. Off by default, as published.
  - `center_prompts` shows the critic each embedding less the mean over its prompt's responses.
    Off by default, as published.
  - `gradient_ratio` cuts lambda_da where the domain would outweigh the preferences
    (`domain_weight`). Off by default, as published.
  - Eq. (5) lacks its minus sign in the paper; Algorithm 1 has it.

A batch is a dictionary. All that is needed of it here: `n_source`, how many of the embeddings are
the source's (they come first), and `chosen`, `rejected`: (P,) positions among them, one entry a
pair; for `center_prompts` also `counts`, how many responses each prompt has, in their order. The
rest is between the batch and `model.embed`. Any module with `embed` and `reward_head`
can be trained, a language model (`RewardModel`) or a toy.
"""
import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint
from tqdm import tqdm


def option(default, help):
    """A field of a dataclass with its help text, from which scripts make a flag."""
    return field(default=default, metadata={"help": help})


@dataclass
class DialConfig:
    """The settings of the method. The defaults are the paper's where it states them (A.1 where no
    section is named)."""

    steps: int = option(1000, "optimiser steps of the model (not stated)")
    batch_size: int = option(4, "source preferences a step, and as many rows of the target (A.2)")
    learning_rate: float = option(5e-5, "of LoRA and the reward head (AdamW)")
    weight_decay: float = option(0.0, "of LoRA and the reward head (.01 in A.3)")
    warmup_steps: int = option(0, "steps in which the learning rate rises (not stated)")
    decay: float = option(0.0, "last fraction of the steps in which it falls to 0 (not stated)")
    clip: float = option(1.0, "largest norm of the model's gradient, 0 for any (not stated)")
    lambda_da: float = option(0.01, "weight of the Wasserstein distance in the model's loss")
    lambda_ramp: float = option(0.0, "first fraction of the steps, lambda_da rising (not stated)")
    source_steps: int = option(0, "steps before that with lambda_da at 0 (an epoch in DEAL, 5.4)")
    lambda_sft: float = option(0.01, "Src-Pref-SFT: weight of chosen responses' loss (not stated)")
    lambda_ntp: float = option(0.01, "Src-Pref-Tgt-NTP: weight of target texts' loss (not stated)")
    lm_tokens: int = option(0, "these two losses on so many random tokens a step, 0 for all")
    lambda_gp: float = option(1.0, "weight of the gradient penalty in the critic's loss")
    critic_steps: int = option(3, "critic updates for one update of the model")
    critic_learning_rate: float = option(1e-4, "of the critic (AdamW)")
    critic_weight_decay: float = option(1e-3, "of the critic")
    critic_beta1: float = option(0.9, "of the critic's AdamW (not stated)")
    lora_rank: int = option(64, "rank of the LoRA matrices")
    lora_alpha: float = option(64.0, "LoRA's output is scaled by alpha / rank")
    lora_modules: str = option("q_proj,v_proj", "layers with LoRA, with commas (as released)")
    lora_layers: int = option(0, "LoRA in so many of the topmost layers only, 0 for all")
    scale_embeddings: bool = option(False, "divide embeddings by their mean norm at the start")
    gradient_reversal: bool = option(False, "one step for model and critic, as in DEAL")
    gradient_ratio: float = option(0.0, "cut lambda_da to keep the domain's gradient within so "
                                        "many times the source's, 0 for no limit (own idea)")
    center_prompts: bool = option(False, "align embeddings less their prompt's mean (own idea)")
    max_length: int = option(1024, "longest prompt with response, in tokens (A.5)")
    eval_every: int = option(0, "steps between evaluations in training, 0 for none (1000 in A.2)")
    seed: int = option(0, "of the initial weights and the order of the data")

    def __post_init__(self):
        positive = "steps", "batch_size", "lora_rank", "lora_alpha", "max_length", "critic_steps"
        for f in fields(self):
            value, low = getattr(self, f.name), 1 if f.name in positive else 0
            if f.type in (int, float) and not low <= value < math.inf:
                raise ValueError(f"{f.name} must be finite and at least {low}, not {value}")


# What each method learns from: whose labels, and which term it adds to their Bradley-Terry loss.
# A star marks an oracle: it sees target labels.
METHODS = {
    "Src-Pref": {"labels": ("source",), "term": None},
    "Src-Pref-SFT": {"labels": ("source",), "term": "lambda_sft"},  # Yang et al. (2024)
    "Src-Pref-Tgt-NTP": {"labels": ("source",), "term": "lambda_ntp"},  # Karouzos et al. (2021)
    "DIAL": {"labels": ("source",), "term": "lambda_da"},
    "DEAL": {"labels": ("source",), "term": "lambda_da", "reversal": True},
    "Tgt-Pref*": {"labels": ("target",), "term": None},
    "Src-Tgt-Pref*": {"labels": ("source", "target"), "term": None},
}


def method_config(method, config):
    """`config` with the weights of all terms at 0 that `method` does not have."""
    term = METHODS[method]["term"]
    others = {name: 0.0 for name in ("lambda_da", "lambda_sft", "lambda_ntp") if name != term}
    return replace(config, **others, gradient_reversal=METHODS[method].get("reversal", False))


# ------------------------------------------------------------------ losses: functions of tensors


def bradley_terry_loss(chosen, rejected):
    """Negative log-likelihood that each chosen response beats its rejected ones, eq. (5).

        - mean log sigmoid(chosen - rejected)

    Args:
        chosen: (B,) rewards, in logits.
        rejected: (B,), or (B, K) for K rejected responses, each compared with the chosen (A.6).
    Returns:
        scalar >= 0; log 2 where all rewards tie.
    Raises:
        ValueError: other shapes.
    """
    if chosen.ndim != 1 or rejected.ndim not in (1, 2) or len(chosen) != len(rejected):
        shapes = f"{tuple(chosen.shape)} and {tuple(rejected.shape)}"
        raise ValueError(f"need chosen (B,) and rejected (B,) or (B, K), got {shapes}")
    if rejected.ndim == 2:
        chosen = chosen[:, None]  # (B, 1)
    return -F.logsigmoid(chosen - rejected).mean()


def wasserstein_distance(critic, source_emb, target_emb):
    """Estimate the 1-Wasserstein distance between two samples, eq. (2).

        mean critic(source) - mean critic(target)

    Args:
        critic: maps (N, D) to (N,). Where it is 1-Lipschitz this is a lower bound of W1.
        source_emb, target_emb: (N_s, D), (N_t, D).
    Returns:
        scalar, in the unit of the embeddings, differentiable in all three arguments.
    """
    return critic(source_emb).mean() - critic(target_emb).mean()


def critic_slope(critic, source_emb, target_emb):
    """Norms of the critic's input gradient at source, target and random mixes of the two.

    Args:
        critic: maps (N, D) to (N,), each row by itself.
        source_emb, target_emb: (N_s, D), (N_t, D); no gradient flows back to either.
    Returns:
        (N_s + N_t + max(N_s, N_t),), differentiable in the critic's parameters.
    Raises:
        ValueError: the two differ in D, or one is empty.
    """
    if source_emb.shape[1:] != target_emb.shape[1:] or not len(source_emb) or not len(target_emb):
        shapes = f"{tuple(source_emb.shape)} and {tuple(target_emb.shape)}"
        raise ValueError(f"need (N_s, D) and (N_t, D), none empty, got {shapes}")
    source_emb, target_emb = source_emb.detach(), target_emb.detach()
    n, device = max(len(source_emb), len(target_emb)), source_emb.device
    s = source_emb[torch.randperm(n, device=device) % len(source_emb)]  # (n, D)
    t = target_emb[torch.randperm(n, device=device) % len(target_emb)]  # (n, D)
    mixed = torch.lerp(s, t, torch.rand(n, 1, device=device, dtype=s.dtype))  # (n, D)
    points = torch.cat([source_emb, target_emb, mixed]).requires_grad_(True)  # (N_s + N_t + n, D)
    # Rows do not interact, so the gradient of the sum holds each row's own gradient.
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradient.norm(dim=1)  # over features: over the batch, a common slip, it mixes examples


def gradient_penalty(critic, source_emb, target_emb):
    """Penalise the critic where its input gradient's norm leaves 1, eq. (3).

        mean_z ( ||d critic / d z||_2 - 1 )^2,   z in {source, target, random mixes}

    Args, Raises: as `critic_slope`.
    Returns:
        scalar >= 0; 0 for a linear critic of unit norm.
    """
    return (critic_slope(critic, source_emb, target_emb) - 1).square().mean()


def language_model_losses(hidden, tokens, embeddings, softcap=None, chunk=256):
    """Cross-entropy of each next token, for the baselines that go on modelling language.

        - log softmax(hidden @ embeddings^T)[tokens]

    Args:
        hidden: (T, D) final states, at the positions before the tokens and nowhere else.
        tokens: (T,). embeddings: (V, D), the output layer. softcap: Gemma 2's limit of the logits.
        chunk: positions at a time; their (chunk, V) logits are computed again going backward, so
            that no more than these are ever in memory.
    Returns:
        (T,), in nats.
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


# ------------------------------------------------------------------ modules


class Critic(nn.Module):
    """The domain critic: an MLP with GELU that maps (N, D) embeddings to (N,) values (A.1)."""

    def __init__(self, dim, widths=(256, 128)):
        super().__init__()
        sizes = (dim, *widths)
        hidden = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.GELU())]
        self.layers = nn.Sequential(*hidden, nn.Linear(sizes[-1], 1))

    def forward(self, emb):
        return self.layers(emb).squeeze(-1)  # (N, D) -> (N,)


def tree_mask(segment_ids, position_ids, window=None):
    """Say which token may attend to which when responses share a row with their prompt.

    A row is prompt (segment 0), response (1), response (2), ..., padding (-1); positions restart
    after the prompt. A response sees the prompt and itself; nothing sees what comes later.

    Args:
        segment_ids, position_ids: (R, L) integers.
        window: how many positions back a token sees, itself included; None for all.
    Returns:
        (R, 1, L, L) booleans, query before key.
    """
    query, key = segment_ids[:, :, None], segment_ids[:, None, :]  # (R, L, 1), (R, 1, L)
    causal = torch.ones_like(query * key, dtype=torch.bool).tril()  # (R, L, L)
    allowed = causal & ((key == query) | ((key == 0) & (query >= 0)))
    if window is not None:
        allowed &= position_ids[:, :, None] - position_ids[:, None, :] < window
    return allowed[:, None]


class RewardModel(nn.Module):
    """A causal transformer with LoRA and a linear, bias-free reward head on the last token.

    Head and embeddings are fp32 whatever the body's precision. `scale` divides the embeddings: 1,
    or their mean norm at the start (`set_scale`). `shares_prompts` says whether the backbone takes
    `tree_mask`, found by trying; batches for one that does not hold one response a row.
    """

    def __init__(self, classifier, config):
        """Wrap a transformers `...ForSequenceClassification` with one label.

        Its own head stays unused until `save`. Raises ValueError where it has no `lora_modules`.
        """
        from peft import LoraConfig, TaskType, get_peft_model
        from peft.tuners.tuners_utils import BaseTunerLayer

        super().__init__()
        linear = {name.rsplit(".")[-1] for name, module in classifier.base_model.named_modules()
                  if isinstance(module, nn.Linear)}
        modules = config.lora_modules.split(",")
        if unknown := [name for name in modules if name not in linear]:
            known = ", ".join(sorted(linear))
            raise ValueError(f"lora_modules: no linear layer {unknown[0]!r}, there are {known}")
        depth, dim = classifier.config.num_hidden_layers, classifier.config.hidden_size
        top = list(range(depth - config.lora_layers, depth))
        self.backbone = get_peft_model(classifier, LoraConfig(
            task_type=TaskType.SEQ_CLS, r=config.lora_rank, lora_alpha=config.lora_alpha,
            target_modules=modules, layers_to_transform=top if 0 < len(top) < depth else None))
        for name, p in self.backbone.named_parameters():
            p.requires_grad_("lora_" in name)
        for module in self.backbone.modules():  # peft would cast inputs to fp32, autocast back
            if isinstance(module, BaseTunerLayer):
                module.cast_input_dtype_enabled = False
        self.reward_head = nn.Linear(dim, 1, bias=False)
        nn.init.normal_(self.reward_head.weight, std=dim**-0.5)  # norm about 1, a critic's
        self.register_buffer("scale", torch.ones(()))
        self.to(classifier.device)
        self.shares_prompts = self._takes_tree_mask()

    @property
    def transformer(self):
        """The backbone without a head, so no vocabulary logits are ever computed."""
        return self.backbone.get_base_model().base_model

    def _attention_mask(self, batch):
        """The additive mask that attention layers want, one for each kind of layer."""
        if not batch["shared"]:
            return None  # right padding cannot reach back in a causal model
        config, dtype = self.transformer.config, self.transformer.dtype

        def mask(window):
            allowed = tree_mask(batch["segment_ids"], batch["position_ids"], window)
            blocked = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
            return blocked.masked_fill_(~allowed, torch.finfo(dtype).min)  # (R, 1, L, L)

        window = getattr(config, "sliding_window", None)
        kinds = set(getattr(config, "layer_types", None) or ())
        return {k: mask(window if "sliding" in k else None) for k in kinds} or mask(window)

    def hidden_states(self, batch):
        """Final hidden states (R, L, D) in the body's precision; batches as for `embed`."""
        dtype = self.transformer.dtype
        # With a bf16 body, the fp32 LoRA matrices are multiplied in bf16 and updated in fp32.
        with torch.autocast(self.scale.device.type, dtype, enabled=dtype != torch.float32):
            return self.transformer(
                input_ids=batch["input_ids"], attention_mask=self._attention_mask(batch),
                position_ids=batch["position_ids"] if batch["shared"] else None, use_cache=False,
            ).last_hidden_state

    def embed(self, batch, hidden=None):
        """Embed every response, with its prompt, by the last token's final hidden state.

        Args:
            batch: `input_ids`, `position_ids`, `segment_ids`: (R, L), see `tree_mask`; `last`:
                (2, N), row and column of each response's last token; `shared`: False where each
                row is one sequence, which then needs neither positions nor segments.
            hidden: (R, L, D), where `hidden_states` was called already.
        Returns:
            (N, D) in fp32, divided by `scale`.
        """
        row, column = batch["last"]
        hidden = self.hidden_states(batch) if hidden is None else hidden
        return hidden[row, column].float() / self.scale  # (N, D)

    def language_losses(self, hidden, predict):
        """`language_model_losses` (T,) of `predict` (3, T): row and column of the position before
        each token, and the token. Raises ValueError where the output layer is not tied."""
        config = self.transformer.config
        if not config.tie_word_embeddings:
            raise ValueError("the language-model losses need a backbone with tied embeddings")
        row, column, token = predict
        return language_model_losses(hidden[row, column], token,
                                     self.transformer.get_input_embeddings().weight,
                                     getattr(config, "final_logit_softcapping", None))

    def forward(self, batch):
        """Rewards (N,) of the responses of a batch, in logits."""
        return self.reward_head(self.embed(batch)).squeeze(-1)

    @torch.no_grad()
    def set_scale(self, batch):
        """Make the mean norm of this batch's embeddings 1 from now on."""
        self.scale.mul_(self.embed(batch).norm(dim=1).mean())

    @torch.no_grad()
    def _takes_tree_mask(self):
        """Try it: two responses must embed the same in one row with their prompt and in two."""
        def tensor(x):
            return torch.tensor(x, device=self.scale.device)

        one = {"input_ids": tensor([[5, 6, 7, 8, 9, 10, 11, 12]]), "shared": True,
               "segment_ids": tensor([[0, 0, 0, 1, 1, 2, 2, 2]]),
               "position_ids": tensor([[0, 1, 2, 3, 4, 3, 4, 5]]),
               "last": tensor([[0, 0], [4, 7]])}
        two = {"input_ids": tensor([[5, 6, 7, 8, 9, 9], [5, 6, 7, 10, 11, 12]]), "shared": False,
               "last": tensor([[0, 1], [4, 5]])}
        self.eval()
        try:
            shared, plain = self.embed(one), self.embed(two)
        except Exception:  # whatever it says, such a mask is not for this backbone
            return False
        finally:
            self.train()
        tolerance = 1e-4 if self.transformer.dtype == torch.float32 else 0.1
        return bool((shared - plain).norm() <= tolerance * plain.norm())


# ------------------------------------------------------------------ the two steps and the loop


def critic_view(emb, batch, config):
    """Split embeddings into what the critic sees of the source and of the target.

    With `config.center_prompts`, each less the mean over its prompt's responses:

        h(x, y) - mean_y' h(x, y')

    A preference compares responses to one prompt, so what they share cancels in the rewards'
    difference. It need not be aligned, and where it tells the domains apart (a language does),
    it would drown what matters.

    Args:
        emb: (N, D). batch: `n_source`, and `counts` where prompts are centred.
    Returns:
        (N_s, D), (N_t, D).
    Raises:
        ValueError: a prompt with a single response, which centring would leave at 0.
    """
    if config.center_prompts:
        counts = torch.tensor(batch["counts"], device=emb.device)  # (prompts,)
        if counts.min() < 2:
            raise ValueError("center_prompts needs two responses or more to every prompt")
        prompt = torch.repeat_interleave(counts)  # (N,): which prompt each response belongs to
        total = emb.new_zeros(len(counts), emb.shape[1]).index_add(0, prompt, emb)
        emb = emb - (total / counts[:, None])[prompt]
    return emb.tensor_split([batch["n_source"]])


def critic_step(critic, optimizer, source_emb, target_emb, config):
    """Train the critic to tell the domains apart: the inner maximisation of eq. (4).

        critic_loss = - W + lambda_gp * penalty,   critic_steps times

    Args:
        source_emb, target_emb: (N_s, D), (N_t, D). They are detached: the model stays as it is.
        config: `critic_steps` and `lambda_gp` are used.
    Returns:
        floats after the last step: `distance`, the estimate of W1; `slope`, the mean norm of the
        critic's gradient, 1 when calibrated; `normalized_distance`, the first by the second.
    """
    source_emb, target_emb = source_emb.detach(), target_emb.detach()
    for _ in range(config.critic_steps):
        penalty = gradient_penalty(critic, source_emb, target_emb)
        distance = wasserstein_distance(critic, source_emb, target_emb)
        critic_loss = -distance + config.lambda_gp * penalty
        optimizer.zero_grad()
        critic_loss.backward()
        optimizer.step()
    distance = wasserstein_distance(critic, source_emb, target_emb).item()
    slope = critic_slope(critic, source_emb, target_emb).mean().item()
    normalized = distance / max(slope, 1e-12)
    return {"distance": distance, "slope": slope, "normalized_distance": normalized}


def model_step(model, critic, optimizer, emb, batch, config, ramp=1.0, language_loss=None):
    """Train the model: the source's preferences, and domains closer under the critic as it is.

        source_loss + lambda_da * W,   eq. (5) and the outer minimisation of eq. (4)

    Args:
        model: has `reward_head`; `optimizer` has its parameters.
        emb: (N, D) = model.embed(batch), with its graph, the source's first.
        batch: `n_source`, `chosen`, `rejected` are used, and what `critic_view` uses.
        config: `lambda_da`, `gradient_ratio`, `clip`, `center_prompts` are used.
        ramp: what multiplies lambda_da.
        language_loss: of the baselines, weighted by `lambda_sft` or `lambda_ntp`.
    Returns:
        floats: `source_loss`; `source_margin`, the mean difference of rewards; with `lambda_da`
        also `domain_loss`, W before it is weighted, and `domain_weight`; `language_loss` where
        there is one.
    """
    loss, record = source_terms(model, emb, batch)
    if config.lambda_da:
        critic.requires_grad_(False)
        domain_loss = record["domain_loss"] = wasserstein_distance(
            critic, *critic_view(emb, batch, config))
        critic.requires_grad_(True)
        weight = ramp * domain_weight(record["source_loss"], domain_loss, emb, config)
        record["domain_weight"] = torch.as_tensor(weight)
        loss = loss + weight * domain_loss
    if language_loss is not None:
        record["language_loss"] = language_loss
        loss = loss + (config.lambda_sft or config.lambda_ntp) * language_loss
    descend(loss, [optimizer], config)
    return {name: value.item() for name, value in record.items()}


def domain_weight(source_loss, domain_loss, emb, config):
    """lambda_da, or less where the domain's gradient would outweigh the preferences'.

        min( lambda_da, gradient_ratio * ||d source_loss / d emb|| / ||d domain_loss / d emb|| )

    A lambda_da that suits one task stops another from learning its source at all; this holds the
    balance the same. Once the preferences are learned, their gradient fades, and the alignment
    with it.

    Args:
        source_loss, domain_loss: scalars, functions of emb: (N, D).
    Returns:
        float; `lambda_da` as it is where `gradient_ratio` is 0.
    """
    if not config.gradient_ratio:
        return config.lambda_da
    ours, theirs = (torch.autograd.grad(loss, emb, retain_graph=True)[0].norm()
                    for loss in (source_loss, domain_loss))
    return min(config.lambda_da, (config.gradient_ratio * ours / theirs.clamp(min=1e-12)).item())


def reversal_step(model, critic, optimizer, critic_optimizer, emb, batch, config, ramp=1.0):
    """DEAL's step, model and critic at once: the critic learns on embeddings whose gradient comes
    back to the model reversed, times lambda_da.

        source_loss + critic_loss(reversed emb),   critic_loss as in `critic_step`, eq. (1)-(6)

    The penalty is of detached embeddings: it is the critic's own. Args, Returns: as `model_step`,
    with `distance`, `slope` and `normalized_distance` before the step.
    """
    loss, record = source_terms(model, emb, batch)
    seen = critic_view(ReverseGradient.apply(emb, ramp * config.lambda_da), batch, config)
    slope = critic_slope(critic, *seen)
    distance = wasserstein_distance(critic, *seen)
    loss = loss - distance + config.lambda_gp * (slope - 1).square().mean()
    descend(loss, [optimizer, critic_optimizer], config)
    slope = slope.mean()
    record |= {"domain_loss": distance, "distance": distance, "slope": slope,
               "normalized_distance": distance / slope.clamp(min=1e-12)}
    return {name: value.item() for name, value in record.items()}


def source_terms(model, emb, batch):
    """Eq. (5) on a batch: (source_loss, {`source_loss`, `source_margin`}), scalars."""
    rewards = model.reward_head(emb[: batch["n_source"]]).squeeze(-1)  # (N_s,)
    chosen, rejected = rewards[batch["chosen"]], rewards[batch["rejected"]]  # (P,), (P,)
    loss = bradley_terry_loss(chosen, rejected)
    return loss, {"source_loss": loss, "source_margin": (chosen - rejected).mean()}


def descend(loss, optimizers, config):
    """One step of the optimisers down the loss; `config.clip` limits the first one's gradient."""
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    trained = [p for group in optimizers[0].param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(trained, config.clip or math.inf)
    for optimizer in optimizers:
        optimizer.step()


def learning_rate_factor(step, config):
    """Warm-up, plateau, linear decay: the factor in (0, 1] of step 0, 1, ..."""
    rise = (step + 1) / (config.warmup_steps + 1)
    fall = (config.steps - step) / max(1.0, config.decay * config.steps)
    return min(1.0, rise, fall)


def ramp_factor(step, config):
    """What multiplies lambda_da at step 1, 2, ...: 0 for `source_steps`, then rising to 1."""
    rise = (step - config.source_steps) / max(1.0, config.lambda_ramp * config.steps)
    return min(1.0, max(0.0, rise))


def train(model, critic, batches, config, evaluate=None, log=None, title="train"):
    """Run Algorithm 1 over `batches`, and leave the trained model and critic in place.

    Args:
        model: a module with `embed(batch) -> (N, D)` and `reward_head`: (N, D) -> (N, 1).
        critic: (N, D) -> (N,); not touched where `lambda_da` is 0.
        batches: yields at least `config.steps` batches; where one holds `predict`, the loss of
            `model.language_losses` is added, weighted by `lambda_sft` or `lambda_ntp`.
        evaluate: called with the step's record every `config.eval_every` steps; returns floats by
            name.
        log: called with each step's record.
        title: of the progress bar.
    Returns:
        the records, one a step: `step`, and those of `critic_step`, `model_step` and `evaluate`.
    Raises:
        ValueError: too few batches. FloatingPointError: the loss is no longer finite.
    """
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad],
                                  lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, config))
    critic_optimizer = torch.optim.AdamW(
        critic.parameters(), lr=config.critic_learning_rate, betas=(config.critic_beta1, 0.999),
        weight_decay=config.critic_weight_decay)
    records, batches = [], iter(batches)
    model.train()
    bar = tqdm(range(1, config.steps + 1), desc=title, leave=False, dynamic_ncols=True)
    for step in bar:
        batch = next(batches, None)
        if batch is None:
            raise ValueError(f"{config.steps} steps need as many batches, there were {step - 1}")
        batch, record = to_device(batch, model), {"step": step}
        ramp, language_loss = ramp_factor(step, config), None
        if "predict" in batch:
            hidden = model.hidden_states(batch)
            emb = model.embed(batch, hidden)
            language_loss = model.language_losses(hidden, batch["predict"]).mean()
        else:
            emb = model.embed(batch)  # (N, D): source and target in one forward pass
        if config.lambda_da and config.gradient_reversal:
            record |= reversal_step(model, critic, optimizer, critic_optimizer, emb, batch, config,
                                    ramp)
        else:
            if config.lambda_da:
                seen = critic_view(emb.detach(), batch, config)
                record |= critic_step(critic, critic_optimizer, *seen, config)
            record |= model_step(model, critic, optimizer, emb, batch, config, ramp, language_loss)
        schedule.step()
        if not math.isfinite(record["source_loss"] + record.get("domain_loss", 0.0)):
            raise FloatingPointError(f"step {step}: the loss is not finite; lower learning_rate?")
        if evaluate and config.eval_every and step % config.eval_every == 0:
            record |= evaluate(record)
        if log:
            log(record)
        records.append(record)
        shown = {k: f"{record[k]:.3f}" for k in ("source_loss", "distance") if k in record}
        bar.set_postfix(shown, refresh=False)
    return records


def to_device(batch, model):
    """The batch with its tensors where the model's parameters are."""
    device = next(model.parameters()).device
    return {k: v.to(device) if torch.is_tensor(v) else v for k, v in batch.items()}


# ------------------------------------------------------------------ evaluation


def pairwise_accuracy(chosen, rejected):
    """Fraction of pairs (B,), (B,) whose chosen reward is the larger; a tie counts one half."""
    return ((chosen > rejected).double() + (chosen == rejected).double() / 2).mean().item()


def best_of_accuracy(chosen, rejected):
    """Fraction of rows whose chosen reward is the largest; m rewards tied for it count 1 / m.

    Args:
        chosen, rejected: (B,), (B, K) rewards; NaN in `rejected` stands for no response.
    """
    rejected = torch.where(rejected.isnan(), -math.inf, rejected)
    tied = (rejected == chosen[:, None]).sum(dim=1)  # (B,)
    wins = (rejected <= chosen[:, None]).all(dim=1)  # (B,)
    return (wins.double() / (1 + tied)).mean().item()


def pearson(x, y):
    """Pearson's correlation of two vectors (B,); 0 where one is constant."""
    x, y = (torch.as_tensor(v, dtype=torch.float64) for v in (x, y))
    x, y = x - x.mean(), y - y.mean()
    norm = x.norm() * y.norm()
    return (x @ y / norm).item() if norm > 0 else 0.0


def spearman(x, y):
    """Spearman's correlation of two vectors (B,): Pearson's of their ranks, ties sharing one."""
    def ranks(v):
        _, where, count = torch.as_tensor(v).unique(return_inverse=True, return_counts=True)
        return (count.cumsum(0) - (count - 1) / 2.0)[where]  # the mean rank of each value

    return pearson(ranks(x), ranks(y))


def within_prompts(correlation, rewards, scores, prompts):
    """A correlation of rewards and scores (B,), taken among the texts of each of the `prompts`:
    their mean, weighted by the number of texts.

    Bradley-Terry compares responses to one prompt, so it leaves open what is added to all rewards
    of a prompt. Prompts whose texts all have one score do not count; if there are no others, all
    texts are taken together.
    """
    rewards, scores = (torch.as_tensor(v, dtype=torch.float64) for v in (rewards, scores))
    groups = {}
    for i, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(i)
    groups = ([g for g in groups.values() if len(scores[g].unique()) > 1]
              or [list(range(len(rewards)))])
    return (sum(len(g) * correlation(rewards[g], scores[g]) for g in groups)
            / sum(map(len, groups)))


@torch.no_grad()
def predict(model, batches, title="predict"):
    """Rewards of all responses, in eval mode; the mode is restored.

    Args:
        batches: what `model.embed` needs, `counts` (responses of each record) and `index` (which
            record of the data each is, so that batches may come in any order).
    Returns:
        a list over the records of (responses,) tensors on the CPU.
    Raises:
        FloatingPointError: a reward is not finite.
    """
    training, rewards = model.training, {}
    model.eval()
    try:
        for batch in tqdm(batches, desc=title, leave=False, dynamic_ncols=True):
            emb = model.embed(to_device(batch, model))
            values = model.reward_head(emb).squeeze(-1).cpu()  # (N,)
            if not values.isfinite().all():
                raise FloatingPointError(f"{title}: a reward is not finite; lower learning_rate?")
            rewards |= zip(batch["index"], values.split(batch["counts"]))
    finally:
        model.train(training)
    return [rewards[i] for i in sorted(rewards)]


def evaluate(model, batches, title="evaluate"):
    """Accuracy on labelled records, the chosen response first in each; batches as for `predict`.

    Returns:
        `accuracy`: of the best of each record; `pairwise`: of single pairs; `error`: their
        `preference_error`; `n`: records.
    Raises:
        ValueError: there are no records. FloatingPointError: a reward is not finite.
    """
    rows = predict(model, batches, title)
    if not rows:
        raise ValueError("nothing to evaluate")
    table = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=math.nan)  # (B, 1 + K)
    chosen, rejected = table[:, :1].expand_as(table[:, 1:]), table[:, 1:]  # (B, K), (B, K)
    there = ~rejected.isnan()
    return {"accuracy": best_of_accuracy(table[:, 0], rejected), "n": len(rows),
            "pairwise": pairwise_accuracy(chosen[there], rejected[there]),
            "error": preference_error(chosen[there], rejected[there]).item()}


# ------------------------------------------------------------------ the bound of Theorem 2.1


def preference_error(chosen, rejected):
    """Expected chance of the wrong choice under Bradley-Terry, eq. (8).

        mean sigmoid(rejected - chosen)

    Args:
        chosen, rejected: (B,) rewards, in logits.
    Returns:
        scalar in (0, 1); 1/2 where all rewards tie.
    """
    return torch.sigmoid(rejected - chosen).mean()


# The steepest slope of each activation. GELU's is at sqrt(2), above 1; SiLU's was found on a grid.
SLOPES = {nn.ReLU: 1.0, nn.Tanh: 1.0, nn.Identity: 1.0, nn.Sigmoid: 0.25, nn.SiLU: 1.09984,
          nn.GELU: (1 + math.erf(1)) / 2 + math.exp(-1) / math.sqrt(math.pi)}


def lipschitz_constant(*modules):
    """An upper bound of the Lipschitz constant of `modules`, one applied after the other.

    The product of the linear layers' spectral norms and the activations' steepest slopes: exact
    for linear maps, loose for deep networks.

    Raises:
        TypeError: a module other than nn.Sequential, nn.Linear and the activations in SLOPES.
    """
    constant = 1.0
    for module in modules:
        if isinstance(module, nn.Sequential):
            constant *= lipschitz_constant(*module)
        elif isinstance(module, nn.Linear):
            constant *= torch.linalg.matrix_norm(module.weight.detach().double(), 2).item()
        elif type(module) in SLOPES and getattr(module, "approximate", "none") == "none":
            constant *= SLOPES[type(module)]
        else:
            raise TypeError(f"the Lipschitz constant of {module} is not known here")
    return constant


def wasserstein_1(source, target, source_weights=None, target_weights=None):
    """Compute the 1-Wasserstein distance between two finite distributions exactly, eq. (1).

        min over couplings of E |x - y|

    Two samples of 500 points of one law are far from 0 apart in higher dimensions: .2 in 2, .9
    in 5, 2.2 in 10 dimensions for standard Gaussians.

    Args:
        source, target: (N_s, D), (N_t, D) points; or pairs of points (N_s, 2, D), (N_t, 2, D), as
            (winner, loser), between which the two distances add.
        source_weights, target_weights: (N_s,), (N_t,) probabilities; equal by default.
    Returns:
        float, in the unit of the points.
    Raises:
        ValueError: shapes that do not fit, no points, or weights that are no probabilities.
        ImportError: scipy is not installed.
    """
    import numpy as np
    from scipy import optimize, sparse

    n, m = len(source), len(target)
    if not n or not m or source.shape[1:] != target.shape[1:] or source.ndim not in (2, 3):
        shapes = f"{tuple(source.shape)} and {tuple(target.shape)}"
        raise ValueError(f"need (N_s, D) and (N_t, D), or (N, 2, D) both, none empty: {shapes}")
    points = [x.detach().double().cpu().view(len(x), -1, x.shape[-1]) for x in (source, target)]
    cost = sum(torch.linalg.vector_norm(x[:, None] - y[None], dim=-1)  # (N_s, N_t), for each
               for x, y in zip(points[0].unbind(1), points[1].unbind(1))).numpy()  # part of a pair
    if n == m and source_weights is None and target_weights is None:
        return float(cost[optimize.linear_sum_assignment(cost)].mean())
    mass = [np.full(k, 1 / k) if w is None else np.asarray(w, dtype=float)
            for k, w in ((n, source_weights), (m, target_weights))]
    for k, w in zip((n, m), mass):
        if w.shape != (k,) or not (w >= 0).all() or abs(w.sum() - 1) > 1e-6:
            raise ValueError(f"need {k} weights that are at least 0 and sum to 1")
    leaves = sparse.kron(sparse.eye(n), np.ones((1, m)))  # (N_s, N_s N_t): mass out of each source
    arrives = sparse.kron(np.ones((1, n)), sparse.eye(m))  # (N_t, N_s N_t): into each target
    # The last constraint follows from the others; rounding could make it contradict them.
    found = optimize.linprog(cost.ravel(), A_eq=sparse.vstack([leaves, arrives.tocsr()[:-1]]),
                             b_eq=np.concatenate([mass[0], mass[1][:-1]]), method="highs")
    return float(found.fun)


def target_error_bound(source_error, lipschitz, pair_distance):
    """Bound the target's `preference_error`. Always holds, for any two domains.

        eps_T <= eps_S + K / 4 * W1( law of (winner, loser) in source, the same in target )

    for sigmoid(r(loser) - r(winner)) is K / 4-Lipschitz in the pair.

    Args:
        source_error: eps_S. lipschitz: K of the reward, in what the distance is measured in: the
            embeddings, where K is the norm of the reward head, or the inputs.
        pair_distance: `wasserstein_1` of (N, 2, D) pairs; it needs the target's labels.
    """
    return source_error + lipschitz / 4 * pair_distance


def stated_error_bound(source_error, lipschitz, pooled_distance):
    """Theorem 2.1 (eq. 7) as the paper states it. NOT TRUE in general: toy/synthetic_shift.py
    --bound prints counterexamples.

        eps_T <= eps_S + 2 K / 4 * W1( law of all responses in source, the same in target )

    True where the target is the source moved by a map that is optimal for this distance and keeps
    winners and losers, a translation for example.

    Args:
        source_error, lipschitz: as for `target_error_bound`.
        pooled_distance: `wasserstein_1` of (N, D), winners and losers together, without labels.
    """
    return source_error + lipschitz / 2 * pooled_distance


# ------------------------------------------------------------------ saving


def save(model, tokenizer, critic, config, folder, merged=False):
    """Write a reward model that transformers and peft load without this file, and check it.

    The folder holds the LoRA adapter with its score head (the scale folded in), the tokenizer,
    `critic.safetensors` and `dial_config.json`; with `merged`, a subfolder `merged` holds the
    whole model, LoRA added to its weights.

    Raises:
        RuntimeError: loaded again, it gives other rewards (by 1e-4 in fp32, .05 in bf16).
    """
    from peft import AutoPeftModelForSequenceClassification as Saved
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    folder = Path(folder)
    score = model.backbone.get_base_model().score.modules_to_save["default"]
    score.weight.data = (model.reward_head.weight / model.scale).detach().clone()
    model.backbone.save_pretrained(folder, save_embedding_layers=False)
    tokenizer.save_pretrained(folder)
    save_file(critic.state_dict(), folder / "critic.safetensors")
    record = asdict(config) | {"scale": model.scale.item()}
    (folder / "dial_config.json").write_text(json.dumps(record, indent=1))
    loaded = Saved.from_pretrained(folder, num_labels=1, dtype=model.transformer.dtype)
    loaded = loaded.to(model.scale.device).eval()
    check_same_rewards(model, loaded, AutoTokenizer.from_pretrained(folder))
    if merged:
        loaded.merge_and_unload().save_pretrained(folder / "merged")
        tokenizer.save_pretrained(folder / "merged")


@torch.no_grad()
def check_same_rewards(model, classifier, tokenizer):
    """Raise RuntimeError unless a transformers classifier gives the rewards of `model`."""
    training = model.training
    model.eval()
    for text in ("Which is a fruit?\nApple", "Which is a fruit?\nThe carrot, I would say."):
        ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.scale.device)  # (1, L)
        last = torch.tensor([[0], [ids.shape[1] - 1]])
        ours = model({"input_ids": ids, "last": last, "shared": False}).item()
        theirs = classifier(input_ids=ids).logits.item()
        tolerance = 1e-4 if model.transformer.dtype == torch.float32 else 0.05
        if not abs(ours - theirs) <= tolerance * (1 + abs(ours)):
            raise RuntimeError(f"the saved model gives {theirs}, not {ours}, for {text!r}")
    model.train(training)


def load(folder, device="cpu", dtype=torch.float32):
    """Read what `save` wrote, to score or to train on.

    Returns:
        (model, tokenizer, critic, config).
    Raises:
        OSError: the folder, or the backbone that it was trained from, is not there.
    """
    from peft import PeftConfig, set_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import AutoModelForSequenceClassification as Classifier
    from transformers import AutoTokenizer

    folder = Path(folder)
    record = json.loads((folder / "dial_config.json").read_text())
    scale, config = record.pop("scale"), DialConfig(**record)
    base = PeftConfig.from_pretrained(folder).base_model_name_or_path
    classifier = Classifier.from_pretrained(base, num_labels=1, dtype=dtype)
    model = RewardModel(classifier, config)
    set_peft_model_state_dict(model.backbone, load_file(folder / "adapter_model.safetensors"))
    score = model.backbone.get_base_model().score.modules_to_save["default"]
    model.reward_head.weight.data = score.weight.detach().float() * scale
    model.scale.fill_(scale)
    weights = load_file(folder / "critic.safetensors")
    widths = [len(weights[name]) for name in sorted(weights) if name.endswith("bias")][:-1]
    critic = Critic(model.reward_head.in_features, widths)
    critic.load_state_dict(weights)
    return model.to(device), AutoTokenizer.from_pretrained(folder), critic.to(device), config


# ------------------------------------------------------------------ demonstration


class ToyModel(nn.Module):
    """An MLP in a language model's place: `train` asks for no more than `embed`, `reward_head`."""

    def __init__(self, *widths):
        super().__init__()
        layers = [m for a, b in zip(widths, widths[1:]) for m in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*layers[:-1])
        self.reward_head = nn.Linear(widths[-1], 1, bias=False)

    def embed(self, batch):
        return self.layers(batch["points"])  # (N, widths[0]) -> (N, widths[-1])

    def forward(self, points):
        """Rewards (N,) of points (N, widths[0])."""
        return self.reward_head(self.layers(points)).squeeze(-1)


def gaussian_points(n, shortcut):
    """Points (n, 2) and their quality (n,). The first coordinate tells the quality, with noise;
    the second tells it better where there is a `shortcut`, and nothing elsewhere."""
    quality = torch.randn(n)
    second = quality + 0.1 * torch.randn(n) if shortcut else 2 + 0.5 * torch.randn(n)
    return torch.stack([quality + 0.4 * torch.randn(n), second], dim=1), quality


def gaussian_batch(n=128):
    """Source points with a shortcut, in labelled pairs, and target points without, unlabelled."""
    (source, quality), (target, _) = gaussian_points(n, True), gaussian_points(n, False)
    a, b = torch.arange(n).view(2, -1)  # pairs: the first half against the second
    better = quality[a] > quality[b]
    return {"points": torch.cat([source, target]), "n_source": n,
            "chosen": torch.where(better, a, b), "rejected": torch.where(better, b, a)}


@torch.no_grad()
def gaussian_accuracy(model, shortcut):
    """Accuracy on 2000 fresh pairs of one domain."""
    points, quality = gaussian_points(4000, shortcut)
    reward = model(points)
    a, b = torch.arange(4000).view(2, -1)
    better = quality[a] > quality[b]
    return pairwise_accuracy(reward[torch.where(better, a, b)], reward[torch.where(better, b, a)])


def main():
    """A reward learned on the source leans on the shortcut; DIAL finds that the domains differ
    there, and drops it."""
    print("method    accuracy: source  target    distance: largest, last 50 steps")
    for method, weight in (("Src-Pref", 0.0), ("DIAL", 1.0)):
        torch.manual_seed(0)
        model, critic = ToyModel(2, 32, 2), Critic(2, (64, 32))
        config = DialConfig(steps=400, learning_rate=3e-3, decay=0.5, lambda_da=weight,
                            critic_learning_rate=3e-3)
        batches = (gaussian_batch() for _ in range(config.steps))
        records = train(model, critic, batches, config, title=method)
        found = [gaussian_accuracy(model, shortcut) for shortcut in (True, False)]
        distances = [r["normalized_distance"] for r in records] if weight else [math.nan]
        print(f"{method:9} {found[0]:16.3f} {found[1]:7.3f} {max(distances):19.2f} "
              f"{sum(distances[-50:]) / len(distances[-50:]):9.2f}")


if __name__ == "__main__":
    main()
