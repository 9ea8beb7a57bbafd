"""What the arms of rlhf_shift.py begin with: a policy, supervised on both kinds of responses, and a
reward model, trained on the off-policy preferences."""
import math
from dataclasses import replace
from itertools import count, islice

import torch
import transformers
from tqdm import tqdm

import data
import dial
from models import backbones, generation
from reading.conversations import dated
from rlhf.policy import Policy, join
from rlhf.ppo import checked_step, supervised_loss

SUPERVISED = {"steps": 60, "batch_size": 16, "learning_rate": 5e-4}  # of the policy, to begin with


class Start:
    """What the arms of a seed have in common: the policy and the reward model that they begin
    with, and the texts."""

    def __init__(self, args, task, seed):
        self.args, self.task, self.seed = args, task, seed
        torch.manual_seed(seed)
        self.lm, self.tokenizer = generation.load(args.model, transformers.AutoModelForCausalLM,
                                                  args.device, args.dtype)
        backbone = backbones.load(args.model, args.device, args.dtype)
        self.model = backbones.reward_model(backbone.classifier, args.config)
        self.pack_options = backbone.pack_options
        self.ends = end_tokens(self.lm, self.tokenizer)
        self.tokens = None if args.paper else sorted(
            {*self.ends, *(token for ids in self.tokenize(task.texts) for token in ids)})
        prompts = [*task.train, *task.test]
        asked = self.encode([data.Unlabeled(prompt, [""]) for prompt in prompts], "prompts")
        self.prompts = {prompt: record.texts[0] for prompt, record in zip(prompts, asked)}
        if not args.paper:
            self.supervise()
        self.pairs = self.encode(task.pairs, "preferences")
        steps = math.ceil(len(self.pairs) / args.batch_size)
        config = replace(args.config, steps=steps)
        critic = dial.Critic(self.model.reward_head.in_features)  # not used by Src-Pref
        dial.train(self.model, critic, self.batches(steps, seed), config, dial.preference_step,
                   title=f"reward model, seed {seed}")
        self.trained = {name: p.detach().clone() for name, p in self.model.named_parameters()
                        if p.requires_grad}

    def restore(self):
        """Give the reward model the weights that every arm begins with."""
        self.model.load_state_dict(self.trained, strict=False)

    def supervise(self):
        """Train the policy on responses of both kinds to every prompt, and add what it learned to
        its weights: the reference of PPO is this one."""
        policy, (prompts, texts) = self.policy(), zip(*self.task.spoken)
        actions = [(ids + self.ends[:1])[: self.args.max_new_tokens]
                   for ids in self.tokenize(texts)]
        responses = join([self.prompts[p] for p in prompts], actions, policy.output.device)
        optimizer = torch.optim.AdamW(policy.model.parameters(), SUPERVISED["learning_rate"],
                                      weight_decay=0.0)
        orders = (index for _ in count() for index in torch.randperm(len(texts)).split(
            SUPERVISED["batch_size"]))
        bar = tqdm(islice(orders, SUPERVISED["steps"]), f"policy, seed {self.seed}",
                   SUPERVISED["steps"], leave=False)
        for step, index in enumerate(bar, 1):
            checked_step(supervised_loss(policy, responses.select(index)), optimizer, 1.0,
                         f"supervising the policy, step {step}")
        policy.model.merge_and_unload()

    def policy(self):
        return Policy(self.lm, self.args.config, self.tokens, self.ends)

    def answers(self, policy, prompts, greedy=False):
        """A policy's `Responses` to prompts, and their texts."""
        responses = policy.respond([self.prompts[prompt] for prompt in prompts],
                                   self.args.max_new_tokens, greedy)
        texts = [self.tokenizer.decode(ids[real.bool()], skip_special_tokens=True).strip()
                 for ids, real in zip(responses.actions, responses.real)]
        return responses, texts

    def tokenize(self, texts):
        """The tokens of responses, without their prompts."""
        return self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]

    def encode(self, rows, name):
        """Encode Preferences or Unlabeled; for an instruction-tuned model in its chat template."""
        if self.tokenizer.chat_template:
            rows = [replace(row, prompt=self.tokenizer.apply_chat_template(
                [{"role": "user", "content": row.prompt}], tokenize=False,
                add_generation_prompt=True, chat_template=dated(self.tokenizer)), template=True)
                for row in rows]
        return data.encode(rows, self.tokenizer, self.args.max_length, True, name)

    def rewards(self, encoded):
        """The rewards (N,) of all responses of encoded records."""
        batches = data.evaluation_batches(encoded, **self.pack_options)
        return torch.cat(dial.predict(self.model, batches, n_records=len(encoded)))

    def batches(self, steps, seed, unlabeled=None):
        return data.training_batches([self.pairs], unlabeled, self.args.batch_size, steps, seed,
                                     **self.pack_options)


def end_tokens(lm, tokenizer):
    """The numbers of the tokens that end a response: of the tokenizer, and of a chat."""
    ends = lm.generation_config.eos_token_id
    turn = tokenizer.get_vocab().get("<end_of_turn>") if tokenizer.chat_template else None
    ends = [turn, tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])]
    return list(dict.fromkeys(end for end in ends if end is not None))
