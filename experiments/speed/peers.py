"""One training step each of what benchmark.py compares: ours, the authors' recipe, and TRL.

All train LoRA, the head and the critic of a `DialConfig` on the same backbone and records. Each is
a function of encoded records, labelled and unlabelled, that returns how many positions it computed.

    ours            one row a step, which holds a beginning that several texts share once
    padded_dial     DIAL as the authors' release describes it: a forward for each response of each
                    domain, padded to the longest, all layers' hidden states returned, and a loss
                    read by the host every step
    trl_preference  Src-Pref by TRL's RewardTrainer: a list of K rejected responses is K pairs
"""
from dataclasses import replace
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

import data
import dial
from harness.flags import LAPTOP
from models import backbones

CONFIG = dial.DialConfig(**LAPTOP | {"lora_modules": "q_proj,v_proj", "lora_layers": 0,
                                     "center_prompts": True})


def load(args, attention):
    """(classifier, tokenizer) of --model, with this attention of transformers, or ours."""
    classifier, tokenizer, _ = backbones.load(args.model, args.device, args.dtype, args.compile)
    classifier.set_attn_implementation(attention)
    return classifier, tokenizer


class Learner:
    """A reward model and a critic with their optimisers, on a backbone of their own."""

    def __init__(self, args, attention):
        classifier, self.tokenizer = load(args, attention)
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
    model, config = learner.model, replace(CONFIG, center_prompts=False)
    dtype = model.transformer.dtype

    def embed(texts):
        ids, mask = (pad_sequence([make(text) for text in texts], True).to(learner.device)
                     for make in (torch.tensor, lambda text: torch.ones(len(text)).long()))
        with torch.autocast(learner.device.type, dtype, enabled=dtype != torch.float32):
            hidden = model.transformer(input_ids=ids, attention_mask=mask, use_cache=False,
                                       output_hidden_states=True).hidden_states[-1]
        return hidden[torch.arange(len(ids)), mask.sum(dim=1) - 1].float(), ids.numel()

    def run(labeled, unlabeled):
        source, target = ([*zip(*(record.texts for record in records))]
                          for records in (labeled, unlabeled))  # first responses, second ones, ...
        embs, positions = zip(*map(embed, source + target))
        n, n_source = len(labeled), len(labeled) * len(source)
        batch = {"n_source": n_source, "rejected": torch.arange(n, n_source),
                 "chosen": torch.arange(n).repeat(len(source) - 1)}
        embedded = SimpleNamespace(embed=lambda batch: torch.cat(embs),
                                   reward_head=model.reward_head)
        log = dial.dial_step(embedded, learner.critic, *learner.optimizers, batch, config)
        log["source_loss"].item()
        return sum(positions)

    return run


def trl_preference(args):
    """TRL's RewardTrainer, without its loop around the steps. Raises ImportError without TRL."""
    import pyarrow
    from datasets import Dataset
    from peft import LoraConfig
    from trl import RewardConfig, RewardTrainer

    classifier, tokenizer = load(args, "sdpa")
    trainer = RewardTrainer(
        classifier, RewardConfig(
            output_dir=str(args.out / "trl"), activation_checkpointing=args.gradient_checkpointing,
            bf16=classifier.dtype == torch.bfloat16, use_cpu=classifier.device.type == "cpu",
            learning_rate=1e-5, report_to="none", disable_tqdm=True, max_length=None),
        processing_class=tokenizer,
        train_dataset=Dataset(pyarrow.table({"chosen_ids": [[2, 3]], "rejected_ids": [[2, 4]]}),
                              fingerprint="not read"),  # the records come with each step
        peft_config=LoraConfig(task_type="SEQ_CLS", r=CONFIG.lora_rank,
                               lora_alpha=CONFIG.lora_alpha,
                               target_modules=CONFIG.lora_modules.split(",")))
    optimizer, model = trainer.create_optimizer(), trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1

    def run(labeled, unlabeled):
        inputs = trainer.data_collator([
            {"chosen_ids": chosen, "rejected_ids": text}
            for _, (chosen, *rejected) in labeled for text in rejected])
        positions = inputs["input_ids"].numel()
        optimizer.zero_grad()
        trainer.training_step(model, inputs)
        nn.utils.clip_grad_norm_(model.parameters(), trainer.args.max_grad_norm)
        optimizer.step()
        return positions

    return run
