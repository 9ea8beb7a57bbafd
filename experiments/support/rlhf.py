"""RLHF, epoch by epoch, for rlhf_shift.py: a policy that is supervised and then trained by PPO, and
the reward model that it is trained by, which may be adapted to it on the way."""
import math
from dataclasses import dataclass, replace
from itertools import count, islice

import torch
import transformers
from tqdm import tqdm

import data
import dial

from support import backbones, rewriting
from support.correlation import auc
from support.policy import Policy, join
from support.ppo import ppo_epoch, supervised_loss
from support.training import Snapshot

HALVE_EVERY = 5  # epochs, in arms with halved learning rates (A.8)
SUPERVISED = {"steps": 60, "batch_size": 16, "learning_rate": 5e-4}  # of the policy, to begin with


@dataclass(frozen=True)
class Arm:
    step: callable = None  # what the reward model is trained with after each epoch, if at all
    halved: bool = True  # whether all learning rates are halved every HALVE_EVERY epochs


ARMS = {
    "Src-Pref": Arm(halved=False),
    "Src-Pref, halved": Arm(),
    "Src-Pref, continued": Arm(dial.preference_step),
    "DIAL": Arm(dial.dial_step),
}


class Start:
    """What the arms of a seed have in common: the policy and the reward model that they begin
    with, and the texts."""

    def __init__(self, args, task, seed):
        self.args, self.task, self.seed = args, task, seed
        torch.manual_seed(seed)
        device = backbones.pick_device(args.device)
        self.lm, self.tokenizer = rewriting.load(args.model, transformers.AutoModelForCausalLM,
                                                 device, args.dtype)
        self.ends = end_tokens(self.lm, self.tokenizer)
        self.tokens = None if args.all_tokens else sorted(
            {*self.ends, *(token for text in task.texts for token in self.response_tokens(text))})
        self.prompts = {prompt: self.prompt_tokens(prompt) for prompt in (*task.train, *task.test)}
        if args.supervised:
            self.supervise()
        classifier, _ = backbones.load(args.model, args.device, args.dtype)
        self.model = dial.RewardModel(classifier, args.config)
        self.pairs = self.encode(task.pairs)
        steps = math.ceil(len(self.pairs) / args.batch_size)
        config = replace(args.config, steps=steps)
        if args.config.scale_embeddings:
            self.model.set_scale(dial.to_device(next(self.batches(1, seed)), self.model))
        critic = dial.Critic(self.model.reward_head.in_features)  # not used by Src-Pref
        dial.train(self.model, critic, self.batches(steps, seed), config, dial.preference_step,
                   title=f"reward model, seed {seed}")
        self.trained = Snapshot(self.model)
        self.trained.keep(0)

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

    def encode(self, rows):
        """Encode Preferences or Unlabeled; for an instruction-tuned model in its chat template."""
        rows = [replace(row, prompt=self.framed(row.prompt)) for row in rows]
        return data.encode(rows, self.tokenizer, self.args.max_length, True, "responses")

    def framed(self, prompt):
        """The prompt as the model is asked."""
        if not self.tokenizer.chat_template:
            return prompt
        return self.tokenizer.apply_chat_template([{"role": "user", "content": prompt}],
                                                  tokenize=False, add_generation_prompt=True)

    def prompt_tokens(self, prompt):
        return self.encode([data.Unlabeled(prompt, [""])])[0].texts[0]

    def response_tokens(self, text):
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def batches(self, steps, seed, unlabeled=None):
        return data.training_batches([self.pairs], unlabeled, self.args.batch_size, steps, seed,
                                     **self.pack_options)

    @property
    def pack_options(self):
        kind = self.model.transformer.config.model_type
        return {"pad_id": self.tokenizer.pad_token_id, "share": kind in backbones.SHARE_ROWS}


def end_tokens(lm, tokenizer):
    """The numbers of the tokens that end a response: of the tokenizer, and of a chat."""
    ends = getattr(lm.generation_config, "eos_token_id", None)
    ends = ends if isinstance(ends, list) else [ends]
    turn = tokenizer.get_vocab().get("<end_of_turn>") if tokenizer.chat_template else None
    return list(dict.fromkeys(e for e in (turn, tokenizer.eos_token_id, *ends) if e is not None))


def run_arm(start, name, judge):
    """Train a policy; return a record for each epoch: before its PPO the true reward of its
    responses, the reward model's AUC between right and wrong ones, and the divergence; after it the
    true reward of greedy answers to held-out prompts. The reward model is adapted after PPO, to the
    responses that PPO was trained on.

    Args:
        judge: a `judge.Judge`.
    """
    args, arm, task, model = start.args, ARMS[name], start.task, start.model
    start.trained.restore()
    torch.manual_seed(start.seed)
    policy = start.policy()
    critic = dial.Critic(model.reward_head.in_features).to(model.scale.device)
    optimizers = dial.make_optimizers(model, critic, args.config)
    optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad],
                                  args.ppo.learning_rate, weight_decay=0.0)
    train, test = ([start.prompts[p] for p in prompts] for prompts in (task.train, task.test))
    kinds = torch.tensor([prompt in task.refuse for prompt in task.train])
    steps, records = math.ceil(len(train) / args.batch_size), []
    for epoch in tqdm(range(args.epochs), f"{name}, seed {start.seed}", leave=False):
        torch.manual_seed(start.seed * 1000 + epoch)
        factor = 0.5 ** (epoch // HALVE_EVERY) if arm.halved else 1.0
        responses = policy.respond(train, args.max_new_tokens)
        texts = policy.texts(responses, start.tokenizer)
        encoded = start.encode([data.Unlabeled(p, [text])
                                for p, text in zip(task.train, texts)])
        rewards = torch.cat(dial.predict(model, data.evaluation_batches(
            encoded, **start.pack_options)))  # (B,)
        right = judge(task, task.train, texts)
        for group in optimizer.param_groups:
            group["lr"] = args.ppo.learning_rate * factor
        record = ppo_epoch(policy, optimizer, responses, rewards.to(policy.output.device), args.ppo)
        record |= {"step": epoch + 1, "true_reward": right.mean().item(),
                   "auc": auc(rewards, right, kinds), "reward": rewards.mean().item(),
                   "tokens": responses.real.sum(1).float().mean().item()}
        if arm.step:
            config = replace(args.config, steps=steps, warmup_steps=0, decay=0.0,
                             learning_rate=args.config.learning_rate * factor)
            unlabeled = encoded if arm.step is dial.dial_step else None
            log = dial.train(model, critic, start.batches(steps, start.seed * 1000 + epoch,
                                                          unlabeled), config, arm.step,
                             title="reward model", optimizers=optimizers)
            record |= {k: v for k, v in log[-1].items() if k != "step"}
        answers = policy.texts(policy.respond(test, args.max_new_tokens, greedy=True),
                               start.tokenizer)
        record["held_out"] = judge(task, task.test, answers).mean().item()
        record["examples"] = [[p, t] for p, t in zip(task.train, texts)][:4]
        records.append(record)
    policy.model.unload()
    return records
