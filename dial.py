"""DIAL: reward models that carry preferences from a labelled source domain to an unlabelled target domain.

Wu and Choudhury, "Aligning LLMs with Domain Invariant Reward Models" (2025). A language model with LoRA embeds
a prompt and a response; a linear head turns the embedding into a reward. The head learns from source preferences;
a critic measures how far source and target embeddings lie apart, and the language model closes the gap. Where the
two domains embed alike, what the reward learned on the source holds on the target.

    here                    in the paper
    bradley_terry_loss      eq. (5), with several rejected responses as in A.6
    wasserstein_distance    eq. (2), the dual form (1) with a trained critic
    gradient_penalty        eq. (3)
    critic_step             the inner maximisation of eq. (4)
    model_step              the outer minimisation of eq. (4), plus eq. (5)
    train                   Algorithm 1

    python dial.py          # a demonstration on Gaussians, a few seconds

Where this differs from the paper:
  - Algorithm 1 computes the embeddings while the model is frozen, so that, read literally, the model gets no domain
    gradient, and its two Wasserstein terms cancel. Here, as its text says, the critic learns from detached embeddings
    and then the model minimises the distance that the critic, now frozen, reports.
  - Source and target share one forward pass, and the responses to a prompt share its tokens (`tree_mask`).
  - With `scale_embeddings` the embedding is divided by its mean norm at the start, so that learning rates, lambda_da
    and lambda_gp mean the same for every backbone; off by default, as published.
  - Eq. (5) lacks its minus sign in the paper; Algorithm 1 has it.

A batch is a dictionary. Everything here needs of it: `n_source`, how many of the embeddings are the source's (they
come first), and `chosen`, `rejected`: (P,) positions among them, one entry a pair. The rest is between the batch and
`model.embed`; `RewardModel.embed` says what it wants. Any module with `embed` and `reward_head` can be trained.
"""
import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm


def option(default, help):
    """A dataclass field whose help text becomes that of its command-line flag."""
    return field(default=default, metadata={"help": help})


@dataclass
class DialConfig:
    """All settings of the method. The defaults are the paper's (section A.1 unless another is named)."""

    steps: int = option(1000, "optimiser steps of the model")
    batch_size: int = option(4, "preferences of the source a step, and as many rows of the target (A.2: 4 + 4)")
    learning_rate: float = option(5e-5, "of LoRA and the reward head (AdamW)")
    weight_decay: float = option(0.0, "of LoRA and the reward head (.01 in A.3)")
    warmup_steps: int = option(0, "steps over which the learning rate rises linearly (not stated in the paper)")
    decay: float = option(0.0, "last part of training, as a fraction, in which it falls linearly to 0 (not stated)")
    clip: float = option(1.0, "largest norm of the model's gradient, 0 for no limit (not stated)")
    lambda_da: float = option(0.01, "weight of the Wasserstein distance in the model's loss")
    lambda_gp: float = option(1.0, "weight of the gradient penalty in the critic's loss")
    critic_steps: int = option(3, "critic updates for one update of the model")
    critic_learning_rate: float = option(1e-4, "of the critic (AdamW)")
    critic_weight_decay: float = option(1e-3, "of the critic")
    critic_beta1: float = option(0.9, "of the critic's AdamW: 0.9 remembers the model of ten steps ago (not stated)")
    lora_rank: int = option(64, "rank of the LoRA matrices")
    lora_alpha: float = option(64.0, "LoRA's alpha: its output is scaled by alpha / rank")
    lora_modules: str = option("q_proj,v_proj", "linear layers that get LoRA, with commas (not stated; as released)")
    lora_layers: int = option(0, "LoRA in the top so many layers only, 0 for all; those below stay frozen")
    scale_embeddings: bool = option(False, "divide embeddings by their mean norm at the start (not in the paper)")
    max_length: int = option(1024, "longest prompt with response, in tokens (A.5)")
    eval_every: int = option(0, "steps between evaluations during training, 0 for none (1000 in A.2)")
    seed: int = option(0, "of LoRA's and the critic's initial weights and of the order of the data")

    def __post_init__(self):
        at_least_one = ("steps", "batch_size", "lora_rank", "lora_alpha", "max_length", "critic_steps")
        for f in fields(self):
            value, low = getattr(self, f.name), 1 if f.name in at_least_one else 0
            if f.type in (int, float) and not (low <= value < math.inf):
                raise ValueError(f"{f.name} must be a finite number of at least {low}, not {value}")


# ---------------------------------------------------------------------------- losses: pure functions of tensors


def bradley_terry_loss(chosen, rejected):
    """Negative log-likelihood that each chosen response beats its rejected ones, eq. (5).

        - mean log sigmoid(chosen - rejected)

    Args:
        chosen: (B,) rewards, in logits.
        rejected: (B,), or (B, K) for K rejected responses each, all compared with the chosen one (A.6).
    Returns:
        scalar >= 0; log 2 where all rewards tie.
    Raises:
        ValueError: the shapes are not (B,) with (B,) or (B, K).
    """
    if chosen.ndim != 1 or rejected.ndim not in (1, 2) or len(chosen) != len(rejected):
        raise ValueError(f"need chosen (B,) and rejected (B,) or (B, K), got {chosen.shape} and {rejected.shape}")
    if rejected.ndim == 2:
        chosen = chosen[:, None]  # (B, 1)
    return -F.logsigmoid(chosen - rejected).mean()


def wasserstein_distance(critic, source_emb, target_emb):
    """Estimate the 1-Wasserstein distance between two samples, eq. (2).

        mean critic(source) - mean critic(target)

    Args:
        critic: maps (N, D) to (N,); a lower bound of W1 where it is 1-Lipschitz, tight at the best such critic.
        source_emb, target_emb: (N_s, D), (N_t, D).
    Returns:
        scalar, in the unit of the embeddings; differentiable in all three arguments.
    """
    return critic(source_emb).mean() - critic(target_emb).mean()


def critic_slope(critic, source_emb, target_emb):
    """Norms of the critic's input gradient at source, target and random mixes of the two.

    Args:
        critic: maps (N, D) to (N,), each row by itself.
        source_emb, target_emb: (N_s, D), (N_t, D); no gradient flows back to either.
    Returns:
        (N_s + N_t + max(N_s, N_t),) norms over the feature axis, differentiable in the critic's parameters.
    Raises:
        ValueError: the two differ in D, or one is empty.
    """
    if source_emb.shape[1:] != target_emb.shape[1:] or not len(source_emb) or not len(target_emb):
        raise ValueError(f"need (N_s, D) and (N_t, D), N > 0, got {source_emb.shape} and {target_emb.shape}")
    source_emb, target_emb = source_emb.detach(), target_emb.detach()
    n = max(len(source_emb), len(target_emb))
    device = source_emb.device
    s = source_emb[torch.randperm(n, device=device) % len(source_emb)]  # (n, D)
    t = target_emb[torch.randperm(n, device=device) % len(target_emb)]  # (n, D)
    mixed = torch.lerp(s, t, torch.rand(n, 1, device=device, dtype=s.dtype))  # (n, D)
    points = torch.cat([source_emb, target_emb, mixed]).requires_grad_(True)  # (N_s + N_t + n, D)
    # The rows do not interact, so the gradient of the sum holds each row's own gradient.
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradient.norm(dim=1)  # over features: over the batch (a common slip) it would mix the examples


def gradient_penalty(critic, source_emb, target_emb):
    """Penalise the critic where its input gradient's norm leaves 1, eq. (3).

        mean_z ( ||d critic / d z||_2 - 1 )^2,   z in {source, target, random mixes}

    Args:
        critic: maps (N, D) to (N,).
        source_emb, target_emb: (N_s, D), (N_t, D); no gradient flows back to either.
    Returns:
        scalar >= 0; 0 for a linear critic of unit norm.
    Raises:
        ValueError: the two differ in D.
    """
    return (critic_slope(critic, source_emb, target_emb) - 1).square().mean()


# ---------------------------------------------------------------------------- modules


class Critic(nn.Module):
    """The domain critic: an MLP with GELU that maps (N, D) embeddings to (N,) values (A.1)."""

    def __init__(self, dim, widths=(256, 128)):
        super().__init__()
        sizes = (dim, *widths)
        hidden = [layer for m, n in zip(sizes, sizes[1:]) for layer in (nn.Linear(m, n), nn.GELU())]
        self.layers = nn.Sequential(*hidden, nn.Linear(sizes[-1], 1))

    def forward(self, emb):
        return self.layers(emb).squeeze(-1)  # (N, D) -> (N,)


def tree_mask(segment_ids, position_ids, window=None):
    """Say which token may attend to which when responses share a row with their prompt.

    A response sees the prompt and itself, never another response; nothing sees what comes later. A row is
    prompt (segment 0), response (1), response (2), ..., padding (-1), and positions restart after the prompt.

    Args:
        segment_ids, position_ids: (R, L) integers.
        window: how many positions back a token sees, itself included; None for all.
    Returns:
        (R, 1, L, L) booleans, query before key, as attention layers take them.
    """
    query, key = segment_ids[:, :, None], segment_ids[:, None, :]  # (R, L, 1), (R, 1, L)
    length = segment_ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segment_ids.device).tril()
    allowed = causal & ((key == query) | ((key == 0) & (query >= 0)))  # (R, L, L)
    if window is not None:
        allowed &= position_ids[:, :, None] - position_ids[:, None, :] < window
    return allowed[:, None]


class RewardModel(nn.Module):
    """A causal transformer with LoRA and a bias-free linear reward head on the last token's embedding.

    Head and embedding are in fp32 whatever the body's precision. `scale` is what embeddings are divided by: 1, or
    their mean norm at the start (`set_scale`). `shares_prompts` says whether the backbone takes the mask that lets
    responses share a prompt; it is found by trying, and batches for other backbones hold one response a row.
    """

    def __init__(self, classifier, config):
        """Wrap `classifier`, a transformers `...ForSequenceClassification` of one label, whose own head is unused
        until `save` writes the reward there. Raises ValueError where the backbone has no `lora_modules`."""
        from peft import LoraConfig, TaskType, get_peft_model

        super().__init__()
        depth, modules = classifier.config.num_hidden_layers, config.lora_modules.split(",")
        linear = {name.rsplit(".")[-1] for name, m in classifier.base_model.named_modules()
                  if isinstance(m, nn.Linear)}
        if unknown := [name for name in modules if name not in linear]:
            raise ValueError(f"lora_modules: no linear layer {unknown[0]!r}, there are {', '.join(sorted(linear))}")
        top = range(depth - config.lora_layers, depth) if 0 < config.lora_layers < depth else None
        lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=config.lora_rank, lora_alpha=config.lora_alpha,
                          target_modules=modules,
                          layers_to_transform=list(top) if top else None)
        self.backbone = get_peft_model(classifier, lora)
        dim = classifier.config.hidden_size
        self.reward_head = nn.Linear(dim, 1, bias=False)
        nn.init.normal_(self.reward_head.weight, std=dim**-0.5)  # norm about 1, the slope that critics have
        self.register_buffer("scale", torch.ones(()))
        for name, p in self.backbone.named_parameters():
            p.requires_grad_("lora_" in name)
        self.shares_prompts = self._takes_tree_mask()

    @property
    def transformer(self):
        """The backbone without any head: no vocabulary logits are ever computed."""
        return self.backbone.get_base_model().base_model

    def _attention_mask(self, batch):
        if not batch["shared"]:
            return None  # right padding cannot reach back in a causal model
        config, dtype = self.transformer.config, self.transformer.dtype

        def mask(window):
            allowed = tree_mask(batch["segment_ids"], batch["position_ids"], window)
            return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(
                ~allowed, torch.finfo(dtype).min)

        window = getattr(config, "sliding_window", None)
        kinds = set(getattr(config, "layer_types", None) or ())
        if kinds:  # one mask for each kind of layer, as transformers itself makes them
            return {kind: mask(window if "sliding" in kind else None) for kind in kinds}
        return mask(window)

    def embed(self, batch):
        """Embed every response of a batch, with its prompt, by the last token's final hidden state.

        Args:
            batch: `input_ids`, `position_ids`, `segment_ids` (R, L), see `tree_mask`; `last`: two (N,) tensors,
                row and column of each response's last token; `shared`: False where each row is one sequence.
        Returns:
            (N, D) in fp32, divided by `scale`.
        """
        positions = batch["position_ids"] if batch["shared"] else None
        hidden = self.transformer(input_ids=batch["input_ids"], position_ids=positions, use_cache=False,
                                  attention_mask=self._attention_mask(batch)).last_hidden_state  # (R, L, D)
        row, column = batch["last"]
        return hidden[row, column].float() / self.scale  # (N, D)

    def forward(self, batch):
        """Rewards (N,) of the responses of a batch, in logits."""
        return self.reward_head(self.embed(batch)).squeeze(-1)

    @torch.no_grad()
    def set_scale(self, batch):
        """Make the mean norm of this batch's embeddings 1 from now on."""
        self.scale.mul_(self.embed(batch).norm(dim=1).mean())

    @torch.no_grad()
    def _takes_tree_mask(self):
        """Try it: two responses to one prompt must embed the same in one row and in two."""
        device = self.reward_head.weight.device
        segment = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2]], device=device)
        position = torch.tensor([[0, 1, 2, 3, 4, 3, 4, 5]], device=device)
        ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]], device=device)
        one = {"input_ids": ids, "segment_ids": segment, "position_ids": position, "shared": True,
               "last": torch.tensor([[0, 0], [4, 7]])}
        two = {"input_ids": torch.tensor([[5, 6, 7, 8, 9, 0], [5, 6, 7, 10, 11, 12]], device=device),
               "shared": False, "last": torch.tensor([[0, 1], [4, 5]])}
        training = self.training
        self.eval()
        try:
            shared, plain = self.embed(one), self.embed(two)
        except Exception:  # whatever it says, such a mask is not for this backbone
            return False
        finally:
            self.train(training)
        tolerance = 1e-4 if self.transformer.dtype == torch.float32 else 0.1
        return bool((shared - plain).norm() <= tolerance * plain.norm())


# ---------------------------------------------------------------------------- the two steps and the loop


def critic_step(critic, optimizer, source_emb, target_emb, config):
    """Train the critic to tell the domains apart: the inner maximisation of eq. (4).

    Takes `critic_steps` steps on -W + lambda_gp * penalty. The embeddings are detached: the model stays as it is.

    Args:
        critic, optimizer: the critic and its optimiser.
        source_emb, target_emb: (N_s, D), (N_t, D).
        config: `critic_steps` and `lambda_gp` are used.
    Returns:
        floats by name, after the last step: `distance`, the critic's estimate of W1; `slope`, the mean norm of its
        gradient, 1 when calibrated; `normalized_distance`, the one divided by the other.
    """
    source_emb, target_emb = source_emb.detach(), target_emb.detach()
    for _ in range(config.critic_steps):
        penalty = gradient_penalty(critic, source_emb, target_emb)
        critic_loss = -wasserstein_distance(critic, source_emb, target_emb) + config.lambda_gp * penalty
        optimizer.zero_grad()
        critic_loss.backward()
        optimizer.step()
    distance = wasserstein_distance(critic, source_emb, target_emb).item()
    slope = critic_slope(critic, source_emb, target_emb).mean().item()
    return {"distance": distance, "slope": slope, "normalized_distance": distance / max(slope, 1e-12)}


def model_step(model, critic, optimizer, emb, batch, config):
    """Train the model: the source's preferences, and closer domains under the critic as it is.

        source_loss + lambda_da * W,   eq. (5) and the outer minimisation of eq. (4)

    Args:
        model: has `reward_head`; its parameters are the optimiser's.
        emb: (N, D) = model.embed(batch), with its graph, the source's first.
        batch: `n_source`, `chosen`, `rejected` are used.
    Returns:
        floats by name: `source_loss`, `source_margin` (mean reward difference) and, with lambda_da, `domain_loss`.
    """
    rewards = model.reward_head(emb[: batch["n_source"]]).squeeze(-1)  # (N_s,)
    chosen, rejected = rewards[batch["chosen"]], rewards[batch["rejected"]]  # (P,), (P,)
    loss = source_loss = bradley_terry_loss(chosen, rejected)
    record = {"source_loss": source_loss, "source_margin": (chosen - rejected).mean()}
    if config.lambda_da:
        critic.requires_grad_(False)
        domain_loss = wasserstein_distance(critic, emb[: batch["n_source"]], emb[batch["n_source"]:])
        critic.requires_grad_(True)
        loss = source_loss + config.lambda_da * domain_loss
        record["domain_loss"] = domain_loss
    optimizer.zero_grad()
    loss.backward()
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(trained, config.clip or math.inf)
    optimizer.step()
    return {name: value.item() for name, value in record.items()}


def learning_rate_factor(step, config):
    """Warm-up, plateau, linear decay: what the learning rate of step 0, 1, ... is multiplied by, in (0, 1]."""
    rise = (step + 1) / (config.warmup_steps + 1)
    fall = (config.steps - step) / max(1.0, config.decay * config.steps)
    return min(1.0, rise, fall)


def train(model, critic, batches, config, evaluate=None, log=None, title="train"):
    """Run Algorithm 1 over `batches` and leave the trained model and critic in place.

    Args:
        model: a module with `embed(batch) -> (N, D)` and `reward_head`: (N, D) -> (N, 1).
        critic: (N, D) -> (N,); not touched while `config.lambda_da` is 0.
        batches: yields `config.steps` batches, or more.
        evaluate: called with no argument every `config.eval_every` steps; returns floats by name.
        log: called with each step's record, floats by name.
        title: what the progress bar is called.
    Returns:
        the records, one a step: `step`, those of `critic_step`, `model_step` and `evaluate`.
    Raises:
        ValueError: too few batches. FloatingPointError: the loss is no longer finite.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay)
    critic_optimizer = torch.optim.AdamW(critic.parameters(), lr=config.critic_learning_rate,
                                         weight_decay=config.critic_weight_decay,
                                         betas=(config.critic_beta1, 0.999))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, config))
    device = next(model.parameters()).device
    records, batches = [], iter(batches)
    model.train()
    bar = tqdm(range(1, config.steps + 1), desc=title, leave=False, dynamic_ncols=True)
    for step in bar:
        batch = next(batches, None)
        if batch is None:
            raise ValueError(f"{config.steps} steps need as many batches, there were {step - 1}")
        batch = {k: v.to(device) if torch.is_tensor(v) else v for k, v in batch.items()}
        emb = model.embed(batch)  # (N, D), source and target in one forward pass
        record = {"step": step}
        if config.lambda_da:
            record |= critic_step(critic, critic_optimizer, emb[: batch["n_source"]], emb[batch["n_source"]:], config)
        record |= model_step(model, critic, optimizer, emb, batch, config)
        schedule.step()
        if not math.isfinite(record["source_loss"] + record.get("domain_loss", 0.0)):
            raise FloatingPointError(f"step {step}: the loss is not finite; try a smaller learning rate")
        if evaluate and config.eval_every and (step % config.eval_every == 0 or step == config.steps):
            record |= evaluate()
        if log:
            log(record)
        records.append(record)
        bar.set_postfix_str(" ".join(f"{k} {record[k]:.3f}" for k in ("source_loss", "distance") if k in record))
    return records


# ---------------------------------------------------------------------------- evaluation


def pairwise_accuracy(chosen, rejected):
    """Fraction of pairs in which the chosen reward is the larger; a tie counts one half. (B,), (B,) -> float."""
    return ((chosen > rejected).float() + 0.5 * (chosen == rejected).float()).mean().item()


def best_of_accuracy(chosen, rejected):
    """Fraction of rows in which the chosen reward beats all K rejected ones; m tied for the best count 1 / m each.

    Args:
        chosen, rejected: (B,), (B, K) rewards; NaN in `rejected` stands for no response.
    """
    rejected = rejected.nan_to_num(nan=-math.inf, posinf=math.inf)
    tied = (rejected == chosen[:, None]).sum(dim=1)
    wins = (rejected <= chosen[:, None]).all(dim=1)
    return (wins / (1 + tied)).mean().item()


@torch.no_grad()
def predict(model, batches, title="evaluate"):
    """Rewards of all responses, in eval mode, the mode restored afterwards.

    Args:
        batches: dictionaries with what `model.embed` needs, `counts` (responses a row) and `index` (which row of the
            data each is), so that batches may come in any order.
    Returns:
        a list over the rows of the data, each a (responses,) tensor on the CPU.
    """
    training, device, rewards = model.training, next(model.parameters()).device, {}
    model.eval()
    try:
        for batch in tqdm(batches, desc=title, leave=False, dynamic_ncols=True):
            batch = {k: v.to(device) if torch.is_tensor(v) else v for k, v in batch.items()}
            values = model.reward_head(model.embed(batch)).squeeze(-1).cpu()  # (N,)
            rewards |= dict(zip(batch["index"], values.split(batch["counts"])))
    finally:
        model.train(training)
    return [rewards[i] for i in sorted(rewards)]


def evaluate(model, batches, title="evaluate"):
    """Accuracy on labelled rows, the chosen response first in each: see `predict`, `best_of_accuracy`.

    Returns:
        `accuracy`: the chosen response is the best of its row; `pairwise`: it beats a rejected one; `n`: rows.
    Raises:
        ValueError: there are no rows, or a reward is not finite.
    """
    rows = predict(model, batches, title)
    if not rows or not all(torch.isfinite(row).all() for row in rows):
        raise ValueError("nothing to evaluate" if not rows else "a reward is not finite")
    table = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=math.nan)  # (B, 1 + K)
    chosen, rejected = table[:, 0], table[:, 1:]
    pairs = ~rejected.isnan()
    return {"accuracy": best_of_accuracy(chosen, rejected), "n": len(rows),
            "pairwise": pairwise_accuracy(chosen[:, None].expand_as(rejected)[pairs], rejected[pairs])}


# ---------------------------------------------------------------------------- saving


def save(model, tokenizer, critic, config, folder, merged=False):
    """Write a reward model that transformers and peft load without this file, and check that they do.

    The folder holds the LoRA adapter with its score head (the scale folded in), the tokenizer, `critic.safetensors` and
    `dial_config.json`. With `merged`, its subfolder `merged` holds the whole model, LoRA added to the weights.

    Raises:
        RuntimeError: what was written gives other rewards when loaded (beyond 1e-4 in fp32, .05 in bf16, relative).
    """
    from peft import AutoPeftModelForSequenceClassification
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    folder = Path(folder)
    head = (model.reward_head.weight / model.scale).detach().clone()
    model.backbone.get_base_model().score.modules_to_save["default"].weight.data = head
    model.backbone.save_pretrained(folder, save_embedding_layers=False)
    tokenizer.save_pretrained(folder)
    save_file({k: v.contiguous() for k, v in critic.state_dict().items()}, folder / "critic.safetensors")
    (folder / "dial_config.json").write_text(json.dumps(asdict(config) | {"scale": model.scale.item()}, indent=1))
    dtype, device = model.transformer.dtype, head.device
    loaded = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=dtype).to(device).eval()
    check_saved(model, loaded, AutoTokenizer.from_pretrained(folder))
    if merged:
        loaded.merge_and_unload().save_pretrained(folder / "merged")
        tokenizer.save_pretrained(folder / "merged")


@torch.no_grad()
def check_saved(model, loaded, tokenizer):
    """Raise RuntimeError unless `loaded`, a transformers classifier, rewards a few texts as `model` does."""
    training = model.training
    model.eval()
    for text in ("Which is a fruit?\nApple", "Which is a fruit?\nThe carrot, I would say."):
        ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.scale.device)  # (1, L)
        last = torch.tensor([[0], [ids.shape[1] - 1]])
        ours = model({"input_ids": ids, "last": last, "shared": False}).item()
        theirs = loaded(input_ids=ids).logits.item()
        tolerance = 1e-4 if model.transformer.dtype == torch.float32 else 0.05
        if not abs(ours - theirs) <= tolerance * (1 + abs(ours)):
            raise RuntimeError(f"the saved model gives {theirs} where {ours} was expected, for {text!r}")
    model.train(training)


def load(folder, device="cpu", dtype=torch.float32):
    """Read what `save` wrote, to score or to train on.

    Returns:
        (model, tokenizer, critic, config).
    Raises:
        OSError: the folder, or the backbone it was trained from, is not there.
    """
    from peft import PeftConfig, set_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = Path(folder)
    saved = json.loads((folder / "dial_config.json").read_text())
    scale, config = saved.pop("scale"), DialConfig(**saved)
    base = PeftConfig.from_pretrained(folder).base_model_name_or_path
    model = RewardModel(AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=dtype), config)
    set_peft_model_state_dict(model.backbone, load_file(folder / "adapter_model.safetensors"))
    head = model.backbone.get_base_model().score.modules_to_save["default"].weight
    model.scale.fill_(scale)
    model.reward_head.weight.data = head.detach().float() * scale
    weights = load_file(folder / "critic.safetensors")
    widths = [len(weights[name]) for name in sorted(weights) if name.endswith("bias")][:-1]
    critic = Critic(model.reward_head.in_features, widths)
    critic.load_state_dict(weights)
    return model.to(device), AutoTokenizer.from_pretrained(folder), critic.to(device), config


# ---------------------------------------------------------------------------- methods


# What each method of the paper learns from: whose labels, and whether it aligns the domains (lambda_da as configured, or 0).
# A star marks an oracle: it sees target labels.
METHODS = {
    "Src-Pref": {"labels": ("source",), "align": False},
    "DIAL": {"labels": ("source",), "align": True},
    "Tgt-Pref*": {"labels": ("target",), "align": False},
    "Src-Tgt-Pref*": {"labels": ("source", "target"), "align": False},
}


# ---------------------------------------------------------------------------- demonstration


def main():
    """Align two Gaussian domains. Both coordinates tell the reward on the source, the second more clearly; on the target
    it says nothing. A reward learned on the source alone leans on it; DIAL finds that the domains differ there."""

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
            self.reward_head = nn.Linear(2, 1, bias=False)

        def embed(self, batch):
            return self.layers(batch["points"])  # (N, 2)

    def points(n, shortcut):
        quality = torch.randn(n)
        second = quality + 0.1 * torch.randn(n) if shortcut else 2 + 0.5 * torch.randn(n)
        return torch.stack([quality + 0.4 * torch.randn(n), second], dim=1), quality  # (n, 2), (n,)

    def batch(n):
        (source, quality), (target, _) = points(n, True), points(n, False)
        a, b = torch.arange(n).view(2, -1)  # pairs: the first half against the second
        better = quality[a] > quality[b]
        return {"points": torch.cat([source, target]), "n_source": n,
                "chosen": torch.where(better, a, b), "rejected": torch.where(better, b, a)}

    def accuracy(model, shortcut):
        test, quality = points(4000, shortcut)
        reward = model.reward_head(model.embed({"points": test})).squeeze(-1)
        a, b = torch.arange(4000).view(2, -1)
        sign = (quality[a] - quality[b]).sign()
        return pairwise_accuracy(sign * reward[a], sign * reward[b])

    print("method     source  target  distance at the start and the end")
    for method in ("Src-Pref", "DIAL"):
        torch.manual_seed(0)
        model, critic = Encoder(), Critic(2, (64, 32))
        config = DialConfig(steps=300, learning_rate=3e-3, critic_learning_rate=3e-3, lambda_da=float(method == "DIAL"))
        records = train(model, critic, (batch(128) for _ in range(config.steps)), config, title=method)
        distances = [records[i].get("normalized_distance", math.nan) for i in (10, -1)]
        with torch.no_grad():
            print(f"{method:9}  {accuracy(model, True):6.3f}  {accuracy(model, False):6.3f}  "
                  f"{distances[0]:5.2f} -> {distances[1]:.2f}")


if __name__ == "__main__":
    main()
