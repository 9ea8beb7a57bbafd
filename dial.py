"""DIAL: reward models that carry preferences from a labelled source to an unlabelled domain.

Wu and Choudhury, "Aligning LLMs with Domain Invariant Reward Models" (2025). A language model
embeds a prompt and a response; a linear head turns the embedding into a reward and learns from
source preferences. A critic estimates how far source and target embeddings lie apart, and the
language model reduces that. The reward can then carry over; it need not (toy/README.md).

    here                    in the paper
    bradley_terry_loss      eq. (5)
    wasserstein_distance    eq. (2), the dual form (1) with a trained critic
    gradient_penalty        eq. (3)
    dial_step               eqs. (4) and (5) on one batch, the body of Algorithm 1
    preference_step         the same without a target: the baseline Src-Pref
    train                   the loop of Algorithm 1

Where this differs from the paper:
  - Read literally, Algorithm 1 gives the model no domain gradient: its embeddings are computed
    while it is frozen, and in `total_loss` the distance stands twice, as +wd and as -wd. Here, as
    the text says, the critic learns from detached embeddings, then the model minimises the distance
    that the critic reports.
  - Algorithm 1 has neither lambda nor more than one critic step: both are of A.1, which
    does not say what lambda multiplies. Here it is the distance.
  - The model takes one step down the sum of its losses, as in Algorithm 1. Section 2.2 describes
    two steps: one down the distance, one down the preference loss.
  - The embedding is the last token's state, which the paper does not state. Eq. (3) writes the
    gradient with respect to prompt and response; here it is with respect to the embedding.
  - Eq. (5) lacks its minus sign in the paper.
  - Source and target share a forward pass.
  - `scale_embeddings` and `center_prompts` of DialConfig are ours, off by default.

A batch is a dictionary. What a step needs of it: `n_source`, how many of the embeddings are the
source's (they come first); `chosen`, `rejected`: (P,) positions among them, an entry for each pair;
with `center_prompts` also `counts`, a list: how many responses each prompt has. Only `model.embed`
reads the rest, so any module with `embed` and `reward_head` can be trained.
"""
import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm


@dataclass
class DialConfig:
    """The settings of the method; the defaults are the paper's (A.1) where it states them."""

    steps: int = 1000  # of the model's optimiser (the paper has epochs)
    learning_rate: float = 5e-5  # of the trained part of the model (AdamW)
    weight_decay: float = 0.0  # of that part (.01 in A.3)
    warmup_steps: int = 0  # in which the learning rate rises (not stated)
    decay: float = 0.0  # last fraction of the steps, in which it falls to 0 (not stated)
    clip: float = 1.0  # largest norm of the model's gradient, 0 for any (not stated)
    lambda_da: float = 0.01  # weight of the Wasserstein distance in the model's loss
    lambda_gp: float = 1.0  # weight of the gradient penalty in the critic's loss
    critic_steps: int = 3  # updates of the critic for one of the model
    critic_learning_rate: float = 1e-4  # of the critic (AdamW)
    critic_weight_decay: float = 1e-3  # of the critic
    critic_beta1: float = 0.9  # of the critic's AdamW (not stated)
    lora_rank: int = 64  # LoRA trains a product of two matrices of this rank beside a frozen one
    lora_alpha: float = 64.0  # LoRA's output is scaled by alpha / rank
    lora_modules: str = "q_proj,v_proj"  # linear layers with LoRA, with commas (the authors')
    lora_layers: int = 0  # LoRA in so many of the topmost layers only, 0 for all
    # ours, off as published
    scale_embeddings: bool = False  # a mean norm of 1 in the first batch (`set_scale`)
    center_prompts: bool = False  # show the critic embeddings less their prompt's mean

    def __post_init__(self):
        highest = {"critic_beta1": 0.9999, "decay": 1.0}
        for f in fields(self):
            value, high = getattr(self, f.name), highest.get(f.name, 1e30)
            low = int(f.name in ("steps", "critic_steps", "lora_rank", "lora_alpha"))
            if f.type in (int, float) and not low <= value <= high:
                raise ValueError(f"{f.name} must be from {low} to {high:g}, not {value}")


# ------------------------------------------------------------------ losses: functions of tensors


def bradley_terry_loss(chosen, rejected):
    """Negative log-likelihood that each chosen response beats its rejected one, eq. (5).

        - mean log sigmoid(chosen - rejected)

    Args:
        chosen, rejected: (P,) rewards, in logits. A prompt with K rejected responses makes K pairs,
            all of equal weight (our reading of A.6).
    Returns a scalar >= 0, log 2 where all rewards tie. Raises ValueError for other shapes.
    """
    if chosen.ndim != 1 or chosen.shape != rejected.shape:
        raise ValueError(f"need chosen and rejected (P,), not {chosen.shape}, {rejected.shape}")
    return -F.logsigmoid(chosen - rejected).mean()  # eq. (5)


def wasserstein_distance(critic, source_emb, target_emb):
    """What a critic reports as the 1-Wasserstein distance of two samples, eq. (2).

        mean critic(source) - mean critic(target)

    Args:
        critic: maps (N, D) to (N,). Where it is 1-Lipschitz this is a lower bound of the distance.
        source_emb, target_emb: (N_s, D), (N_t, D).
    Returns a scalar; a critic k times as steep reports k times as much.
    """
    return critic(source_emb).mean() - critic(target_emb).mean()  # eq. (2)


def gradient_penalty(critic, source_emb, target_emb):
    """Penalise the critic where its input gradient's norm leaves 1, eq. (3).

        mean_z ( ||d critic / d z||_2 - 1 )^2,   z: embeddings of source, target, random mixes

    Args:
        critic: maps (N, D) to (N,), each row by itself.
        source_emb, target_emb: (N_s, D), (N_t, D); no gradient flows back to either.
    Returns (penalty, slope), scalars >= 0. The penalty is 0 for a linear critic of unit norm; slope
    is the mean norm, for the log: divided by their slopes, critics' distances can be compared.
    Raises ValueError where the two differ in D, or one is empty.
    """
    if source_emb.shape[1:] != target_emb.shape[1:] or not len(source_emb) or not len(target_emb):
        raise ValueError(f"need (N_s, D), (N_t, D), none 0: {source_emb.shape}, {target_emb.shape}")
    source_emb, target_emb = source_emb.detach(), target_emb.detach()
    n, device = max(len(source_emb), len(target_emb)), source_emb.device
    s = source_emb[torch.randperm(n, device=device) % len(source_emb)]  # (n, D), the fewer repeated
    t = target_emb[torch.randperm(n, device=device) % len(target_emb)]  # (n, D)
    mixed = torch.lerp(s, t, torch.rand(n, 1, device=device, dtype=s.dtype))  # (n, D)
    points = torch.cat([source_emb, target_emb, mixed]).requires_grad_(True)  # (N_s + N_t + n, D)
    # Rows do not interact, so the gradient of the sum holds each row's own gradient.
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    norm = gradient.norm(dim=1)  # over features; over the batch, a common slip, mixes examples
    return (norm - 1).square().mean(), norm.mean().detach()  # eq. (3)


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


def add_lora(model, config, task_type):
    """A transformers model with LoRA, fp32 whatever its precision, and all else frozen. Raises
    ValueError without `lora_modules`."""
    from peft import LoraConfig, get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    linear = {name.rpartition(".")[-1] for name, module in model.base_model.named_modules()
              if isinstance(module, nn.Linear)}
    modules = config.lora_modules.split(",")
    if unknown := set(modules) - linear:
        known = ", ".join(sorted(linear)) or "none that LoRA takes in this kind of model"
        raise ValueError(f"lora_modules: no linear layer {min(unknown)!r}, there are {known}")
    depth = model.config.num_hidden_layers
    top = list(range(depth - config.lora_layers, depth))
    model = get_peft_model(model, LoraConfig(
        task_type=task_type, r=config.lora_rank, lora_alpha=config.lora_alpha,
        target_modules=modules, layers_to_transform=top if 0 < len(top) < depth else None))
    for name, p in model.named_parameters():
        p.requires_grad_("lora_" in name)
    for module in model.modules():  # peft would cast inputs to fp32, autocast back
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False
    return model


class RewardModel(nn.Module):
    """A causal transformer with LoRA and a linear reward head on the last token. Head and
    embeddings are fp32 whatever the body's precision; `set_scale` divides the embeddings."""

    def __init__(self, classifier, config):
        """Wrap a transformers `...ForSequenceClassification` with one label, whose head is not
        trained: saving copies `reward_head` there. Raises ValueError as `add_lora`."""
        super().__init__()
        self.backbone = add_lora(classifier, config, "SEQ_CLS")
        dim = classifier.config.hidden_size
        self.reward_head = nn.Linear(dim, 1, bias=False)
        nn.init.normal_(self.reward_head.weight, std=dim**-0.5)  # norm about 1 (start not stated)
        self.register_buffer("scale", torch.ones(()))
        self.to(classifier.device)

    @property
    def transformer(self):
        """The backbone without a head, so no vocabulary logits are ever computed."""
        return self.backbone.get_base_model().base_model

    def hidden_states(self, batch):
        """Final hidden states (R, L, D) in the body's precision, of `input_ids`: (R, L), padded on
        the right; where a row holds more than one text also of `position_ids`: (R, L), and
        `blocks`, which go to the backbone's attention and say which token sees which."""
        dtype, packed = self.transformer.dtype, {k: batch[k] for k in ("blocks",) if k in batch}
        if packed and self.transformer.config._attn_implementation not in ("blocks", "flex"):
            raise ValueError("blocks take attention that reads them; else pack(share=False)")
        # With a bf16 body, the fp32 LoRA matrices are multiplied in bf16 and updated in fp32.
        with torch.autocast(self.scale.device.type, dtype, enabled=dtype != torch.float32):
            return self.transformer(input_ids=batch["input_ids"], use_cache=False,
                                    position_ids=batch.get("position_ids"), **packed
                                    ).last_hidden_state

    def embed(self, batch, hidden=None):
        """Embed every response, with its prompt, by the last token's final hidden state: (N, D).

        Args:
            batch: as for `hidden_states`, and `last_row`, `last_column`: (N,), where it is.
            hidden: (R, L, D), where `hidden_states` was called already.
        """
        hidden = self.hidden_states(batch) if hidden is None else hidden
        return hidden[batch["last_row"], batch["last_column"]].float() / self.scale  # (N, D)

    def forward(self, batch):
        """Rewards (N,) of the responses of a batch, in logits."""
        return self.reward_head(self.embed(batch)).squeeze(-1)

    @torch.no_grad()
    def set_scale(self, batch):
        """Make the mean norm of this batch's embeddings 1 from now on."""
        self.scale.mul_(self.embed(batch).norm(dim=1).mean())


# ------------------------------------------------------------------ a method is a step function


def dial_step(model, critic, optimizer, critic_optimizer, batch, config):
    """Algorithm 1 on one batch:

        critic, critic_steps times:  max  W - lambda_gp penalty
        model, once:                 min  source_loss + lambda_da W

    Args: batch: see the top of this file. Returns scalars for the log: losses, gradient norms, and
    `distance`, the critic's W, and `slope`, both before the critic's last step.
    """
    emb = model.embed(batch)  # (N, D), the source's first
    source, target = critic_view(emb, batch, config)  # (N_s, D), (N_t, D)
    for _ in range(config.critic_steps):  # inner maximum of eq. (4)
        penalty, slope = gradient_penalty(critic, source.detach(), target.detach())  # eq. (3)
        distance = wasserstein_distance(critic, source.detach(), target.detach())  # eq. (2)
        critic_norm = descend(config.lambda_gp * penalty - distance, critic_optimizer)
    source_loss = preference_loss(model, emb, batch)  # eq. (5)
    domain_loss = wasserstein_distance(critic, source, target)  # outer minimum of eq. (4)
    # Only the model moves: the critic's gradient is cleared before its next step.
    norm = descend(source_loss + config.lambda_da * domain_loss, optimizer, config.clip, model)
    return {"source_loss": source_loss, "domain_loss": domain_loss, "distance": distance,
            "slope": slope, "critic_gradient_norm": critic_norm, "gradient_norm": norm}


def preference_step(model, critic, optimizer, critic_optimizer, batch, config):
    """Src-Pref: eq. (5) alone. Args: as `dial_step`, the critic unused."""
    source_loss = preference_loss(model, model.embed(batch), batch)
    norm = descend(source_loss, optimizer, config.clip, model)
    return {"source_loss": source_loss, "gradient_norm": norm}


def critic_view(emb, batch, config):
    """Split embeddings (N, D) into what the critic sees of the source and of the target.

    With `config.center_prompts`, each less the mean over its prompt's responses:

        h(x, y) - mean_y' h(x, y')

    The head is linear and a preference compares responses to one prompt, so the part that they
    share cancels in the difference of rewards. It need not be aligned, and where it tells the
    domains apart (languages, say), the critic would see little else. After centring both domains
    have mean 0, so the critic only sees how a prompt's embeddings spread around their mean.
    Returns (N_s, D), (N_t, D). Raises ValueError for a prompt with a single response, which would
    become 0.
    """
    if config.center_prompts:
        if min(batch["counts"]) < 2:
            raise ValueError("center_prompts needs two responses or more to every prompt")
        emb = torch.cat([e - e.mean(dim=0) for e in emb.split(batch["counts"])])
    return emb.tensor_split([batch["n_source"]])


def preference_loss(model, emb, batch):
    """Eq. (5) of a batch's source preferences, a scalar; `emb`: (N, D)."""
    rewards = model.reward_head(emb[: batch["n_source"]]).squeeze(-1)  # (N_s,)
    return bradley_terry_loss(rewards[batch["chosen"]], rewards[batch["rejected"]])


def descend(loss, optimizer, clip=0.0, model=None):
    """One step down the loss. Returns the gradient's norm before it is limited to `clip` (0: no
    limit). A `model` that several processes train adds up their gradients first."""
    optimizer.zero_grad()
    loss.backward()
    if hasattr(model, "sum_gradients"):
        model.sum_gradients()
    trained = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in trained])
    if clip:
        nn.utils.clip_grads_with_norm_(trained, clip, norm)
    optimizer.step()
    return norm


# ------------------------------------------------------------------ training

READ_EVERY = 10  # steps: reading a loss makes the host wait until the device is done
SETTING_OF = {"source_loss": "learning_rate", "language_loss": "learning_rate",
              "gradient_norm": "learning_rate, lora_alpha, lambda_da or critic_learning_rate"}


def make_optimizers(model, critic, config):
    """AdamW for what is trained of the model, and for the critic."""
    fused = next(critic.parameters()).is_cuda or None  # on CUDA one kernel for all parameters
    return (torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=fused,
                              lr=config.learning_rate, weight_decay=config.weight_decay),
            torch.optim.AdamW(critic.parameters(), lr=config.critic_learning_rate,
                              betas=(config.critic_beta1, 0.999),
                              weight_decay=config.critic_weight_decay, fused=fused))


def train(model, critic, batches, config, step=dial_step, evaluate=None, title="train",
          optimizers=None, checkpoint=None):
    """Run Algorithm 1 over `batches`, and leave the trained model and critic in place.

    Args:
        model: a module with `embed(batch) -> (N, D)` and `reward_head`: (N, D) -> (N, 1); with
            `scale_embeddings` also with `set_scale(batch)`.
        critic: (N, D) -> (N,), on the model's device. batches: `config.steps` of them or more.
        step: the method, a function like `dial_step`. title: of the progress bar.
        evaluate: called with the number of each step; the log has the floats that it returns, too.
        optimizers: an earlier call's (`make_optimizers`), to go on with; the scale stays as it is.
        checkpoint: with `restore` and `keep` (experiments/harness/checkpoint.py), to go on within an
            earlier call that was stopped; `batches` begin after the steps that are done.
    Returns the log: a dictionary of floats for each step.
    Raises ValueError for too few batches, FloatingPointError where a loss is no longer finite.
    """
    optimizer, critic_optimizer = optimizers or make_optimizers(model, critic, config)
    learners = model, critic, optimizer, critic_optimizer
    log = checkpoint.restore(*learners) if checkpoint else []
    done, batches, scale = len(log), iter(batches), config.scale_embeddings and not optimizers
    model.train()
    bar = tqdm(range(done + 1, config.steps + 1), title, config.steps, leave=False, initial=done,
               dynamic_ncols=True)
    for i in bar:
        if (batch := next(batches, None)) is None:
            raise ValueError(f"{config.steps} steps need as many batches, there were {i - 1}")
        batch = to_device(batch, model)
        if scale and i == 1:
            model.set_scale(batch)
        factor = min(1.0, i / (config.warmup_steps + 1),  # warm-up, plateau, linear decay
                     (config.steps - i + 1) / max(1.0, config.decay * config.steps))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * factor
        losses = step(*learners, batch, config)
        log.append({"step": i} | {name: value.detach() for name, value in losses.items()})
        if i % READ_EVERY == 0 or i == config.steps:
            to_floats(log[-READ_EVERY:])
            bar.set_postfix_str(", ".join(f"{k}={log[-1][k]:.3f}" for k in losses
                                          if "norm" not in k), refresh=False)
        if evaluate:
            log[-1] |= evaluate(i) or {}
        if checkpoint:
            checkpoint.keep(log, *learners)
    return log


def to_floats(steps):
    """Turn the losses of steps into floats. Raises FloatingPointError where one isn't finite."""
    for losses in steps:
        losses |= {name: float(value) for name, value in losses.items()} | {"step": losses["step"]}
        for name, value in losses.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"step {losses['step']}: {name} is not finite; lower "
                                         f"{SETTING_OF.get(name, 'critic_learning_rate')}?")


def to_device(batch, model):
    """The batch with its tensors where the model's parameters are."""
    device = next(model.parameters()).device
    return {k: v.to(device, non_blocking=True) if hasattr(v, "to") else v
            for k, v in batch.items()}


# ------------------------------------------------------------------ evaluation


@torch.no_grad()
def predict(model, batches, title="predict", n_records=None):
    """Rewards of all responses, in eval mode: for each record a tensor (responses,), on the CPU.

    Args:
        batches: what `model.embed` needs, `counts`, and `index`: the number of each record in the
            data, so that batches may come in any order. n_records: of all, for the bar.
    Raises FloatingPointError where a reward is not finite.
    """
    training, rewards, records = model.training, [], []
    model.eval()
    try:
        with tqdm(total=n_records, desc=title, leave=False, dynamic_ncols=True) as bar:
            for batch in batches:
                emb = model.embed(to_device(batch, model))
                rewards.append(model.reward_head(emb).squeeze(-1))  # (N,)
                records += zip(batch["index"], batch["counts"])
                bar.update(len(batch["index"]))
    finally:
        model.train(training)
    values = torch.cat(rewards).cpu() if rewards else torch.empty(0)  # the host waits only here
    if not values.isfinite().all():
        raise FloatingPointError(f"{title}: a reward is not finite; lower learning_rate?")
    return [v for _, v in sorted(zip(records, values.split([count for _, count in records])))]


def accuracy(rewards):
    """Fraction of records whose first response, the chosen one, has the largest reward; where m
    rewards tie for it, 1 / m counts. `rewards`: for each record a tensor (1 + K,), in a list, or
    (B, 1 + K). Raises ValueError where there are no records."""
    if not len(rewards):
        raise ValueError("nothing to evaluate")
    table = nn.utils.rnn.pad_sequence(list(rewards), True, -math.inf)  # (B, 1 + K)
    best = table == table.amax(dim=1, keepdim=True)
    return (best[:, 0].double() / best.sum(dim=1)).mean().item()
