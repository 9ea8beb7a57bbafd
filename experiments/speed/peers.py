"""One training step each of what benchmark.py compares: ours, the authors' recipe, and TRL.

All train LoRA, the head and the critic of a `DialConfig` on the same backbone and records. Each is
a function of encoded records, labelled and unlabelled, that returns how many positions it computed.

    ours            one row a step, whose texts share what they begin with
    padded_dial     DIAL as the authors' release describes it: a forward for each response of each
                    domain, padded to the longest, all layers' hidden states returned, and a loss
                    read by the host every step
    trl_preference  Src-Pref by TRL's RewardTrainer: a list of K rejected responses is K pairs
"""
from dataclasses import asdict

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

import data
import dial

from harness.flags import LAPTOP
from models import backbones

CONFIG = dial.DialConfig(**LAPTOP | {"lora_modules": "q_proj,v_proj", "lora_layers": 0,
                                     "center_prompts": True})


def settings(args):
    """What a measurement depends on, for results.json."""
    device, dtype = backbones.pick_machine(args.device, args.dtype)
    return asdict(CONFIG) | {"device": device, "dtype": dtype} | {
        "threads": torch.get_num_threads(), "repeats": args.repeats, "compile": args.compile,
        "gradient_checkpointing": args.gradient_checkpointing}


class Learner:
    """A reward model and a critic with their optimisers, on a backbone of their own."""

    def __init__(self, args, attention):
        classifier, self.tokenizer, _ = backbones.load(args.model, args.device, args.dtype,
                                                       args.compile)
        classifier.set_attn_implementation(attention)
        self.model = backbones.reward_model(classifier, CONFIG, args.gradient_checkpointing).train()
        self.device = self.model.scale.device
        self.critic = dial.Critic(self.model.reward_head.in_features).to(self.device)
        self.optimizers = dial.make_optimizers(self.model, self.critic, CONFIG)


def ours(learner, step):
    """`dial.dial_step` or `dial.preference_step` as in training."""
    def run(labeled, unlabeled):
        target = unlabeled if step is dial.dial_step else None
        batch = next(data.training_batches([labeled], target, len(labeled), 1))
        step(learner.model, learner.critic, *learner.optimizers,
             dial.to_device(batch, learner.model), CONFIG)
        return batch["input_ids"].numel()

    return run


def padded_dial(learner):
    """The authors' recipe; `learner` must have an attention of transformers' own."""
    model, critic, config = learner.model, learner.critic, CONFIG
    dtype, positions = model.transformer.dtype, []

    def embed(texts):
        ids = pad_sequence([*map(torch.tensor, texts)], True).to(learner.device)
        mask = pad_sequence([torch.ones(len(text)).long() for text in texts], True
                            ).to(learner.device)
        positions.append(ids.numel())
        with torch.autocast(learner.device.type, dtype, enabled=dtype != torch.float32):
            hidden = model.transformer(input_ids=ids, attention_mask=mask, use_cache=False,
                                       output_hidden_states=True).hidden_states[-1]
        return hidden[torch.arange(len(ids)), mask.sum(dim=1) - 1].float()

    def run(labeled, unlabeled):
        positions.clear()
        source, target = ([embed(texts) for texts in zip(*(r.texts for r in records))]
                          for records in (labeled, unlabeled))
        detached = [torch.cat(embs).detach() for embs in (source, target)]
        for _ in range(config.critic_steps):
            penalty, _ = dial.gradient_penalty(critic, *detached)
            distance = dial.wasserstein_distance(critic, *detached)
            dial.descend(config.lambda_gp * penalty - distance, learner.optimizers[1])
        chosen, *rejected = (model.reward_head(emb).squeeze(-1) for emb in source)
        source_loss = dial.bradley_terry_loss(chosen.repeat(len(rejected)), torch.cat(rejected))
        domain_loss = dial.wasserstein_distance(critic, torch.cat(source), torch.cat(target))
        loss = source_loss + config.lambda_da * domain_loss
        dial.descend(loss, learner.optimizers[0], config.clip)
        loss.item()
        return sum(positions)

    return run


def trl_preference(args):
    """TRL's RewardTrainer, without its loop around the steps. Raises ImportError without TRL."""
    import pyarrow
    from datasets import Dataset
    from peft import LoraConfig, TaskType
    from trl import RewardConfig, RewardTrainer

    classifier, tokenizer, _ = backbones.load(args.model, args.device, args.dtype, args.compile)
    classifier.set_attn_implementation("sdpa")
    settings = RewardConfig(
        output_dir=str(args.out / "trl"), activation_checkpointing=args.gradient_checkpointing,
        bf16=classifier.dtype == torch.bfloat16, use_cpu=classifier.device.type == "cpu",
        learning_rate=1e-5, report_to="none", disable_tqdm=True, max_length=None)
    trainer = RewardTrainer(
        classifier, settings, processing_class=tokenizer,
        train_dataset=Dataset(pyarrow.table({"chosen_ids": [[2, 3]], "rejected_ids": [[2, 4]]}),
                              fingerprint="not read"),  # the records come with each step
        peft_config=LoraConfig(task_type=TaskType.SEQ_CLS, r=CONFIG.lora_rank,
                               lora_alpha=CONFIG.lora_alpha,
                               target_modules=CONFIG.lora_modules.split(",")))
    optimizer, model = trainer.create_optimizer(), trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1

    def run(labeled, unlabeled):
        pairs = [{"chosen_ids": chosen, "rejected_ids": text}
                 for _, (chosen, *rejected) in labeled for text in rejected]
        inputs = trainer.data_collator(pairs)
        positions = inputs["input_ids"].numel()
        optimizer.zero_grad()
        trainer.training_step(model, inputs)
        nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        optimizer.step()
        return positions

    return run
