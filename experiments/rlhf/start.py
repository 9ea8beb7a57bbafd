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
from rlhf.policy import Policy, join
from rlhf.ppo import supervised_loss

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
            {*self.ends, *(token for text in task.texts for token in self.response_tokens(text))})
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
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.trained = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def restore(self):
        """Give the reward model the weights that every arm begins with."""
        for p, trained in zip(self.parameters, self.trained):
            p.copy_(trained)

    def supervise(self):
        """Train the policy on responses of both kinds to every prompt, and add what it learned to
        its weights: the reference of PPO is this one."""
        policy, (prompts, texts) = self.policy(), zip(*self.task.spoken)
        actions = [(self.response_tokens(text) + self.ends[:1])[: self.args.max_new_tokens]
                   for text in texts]
        responses = join([self.prompts[p] for p in prompts], actions, policy.output.device)
        optimizer = torch.optim.AdamW(policy.model.parameters(), SUPERVISED["learning_rate"],
                                      weight_decay=0.0)
        orders = (index for _ in count() for index in torch.randperm(len(texts)).split(
            SUPERVISED["batch_size"]))
        for index in tqdm(islice(orders, SUPERVISED["steps"]), f"policy, seed {self.seed}",
                          SUPERVISED["steps"], leave=False):
            dial.descend(supervised_loss(policy, responses.select(index)), optimizer, 1.0)
        policy.model.merge_and_unload()

    def policy(self):
        return Policy(self.lm, self.args.config, self.tokens, self.ends)

    def encode(self, rows, name):
        """Encode Preferences or Unlabeled; for an instruction-tuned model in its chat template."""
        rows = [replace(row, prompt=self.framed(row.prompt)) for row in rows]
        return data.encode(rows, self.tokenizer, self.args.max_length, True, name)

    def rewards(self, encoded):
        """Of all responses: for each record a tensor."""
        batches = data.evaluation_batches(encoded, **self.pack_options)
        return dial.predict(self.model, batches, n_records=len(encoded))

    def framed(self, prompt):
        """The prompt as the model is asked."""
        if not self.tokenizer.chat_template:
            return prompt
        return self.tokenizer.apply_chat_template([{"role": "user", "content": prompt}],
                                                  tokenize=False, add_generation_prompt=True)

    def response_tokens(self, text):
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def batches(self, steps, seed, unlabeled=None):
        return data.training_batches([self.pairs], unlabeled, self.args.batch_size, steps, seed,
                                     **self.pack_options)


def end_tokens(lm, tokenizer):
    """The numbers of the tokens that end a response: of the tokenizer, and of a chat."""
    ends = getattr(lm.generation_config, "eos_token_id", None)
    ends = ends if isinstance(ends, list) else [ends]
    turn = tokenizer.get_vocab().get("<end_of_turn>") if tokenizer.chat_template else None
    return list(dict.fromkeys(e for e in (turn, tokenizer.eos_token_id, *ends) if e is not None))
