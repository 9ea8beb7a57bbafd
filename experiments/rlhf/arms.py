"""RLHF, epoch by epoch, for rlhf_shift.py: a policy is trained by PPO, and the reward model that it
is trained by may be adapted to it on the way."""
import math
import random
from dataclasses import replace

import torch
from tqdm import tqdm

import data
import dial
from rlhf.ppo import ppo_epoch

HALVE_EVERY = 5  # epochs, where the reward model goes on training: its rate, the policy's (A.8)
EXAMPLES = 13  # every so many responses one is kept; odd, so that prompts of both kinds come
ARMS = {  # what the reward model is trained with after each epoch, if at all
    "Src-Pref": None, "Src-Pref, continued": dial.preference_step, "DIAL": dial.dial_step}


def run_arm(start, name):
    """Train a policy; return a record for each epoch: before its PPO the true reward of its
    responses, the reward model's AUC between right and wrong ones, and the divergence; after it the
    true reward of greedy answers to held-out prompts. From the second epoch on the reward model is
    adapted first, to the responses that PPO is then trained on."""
    args, step, task, model = start.args, ARMS[name], start.task, start.model
    start.restore()
    torch.manual_seed(start.seed)
    policy = start.policy()
    critic = dial.Critic(model.reward_head.in_features).to(model.scale.device)
    optimizers = dial.make_optimizers(model, critic, args.config)
    optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad],
                                  args.ppo.learning_rate, weight_decay=0.0)
    records = []
    for epoch in tqdm(range(args.epochs), f"{name}, seed {start.seed}", leave=False):
        torch.manual_seed(start.seed * 1000 + epoch)
        responses, texts = start.answers(policy, task.train)
        encoded = start.encode([data.Unlabeled(p, [text]) for p, text in zip(task.train, texts)],
                               "responses")
        factor = 0.5 ** (epoch // HALVE_EVERY) if step else 1.0
        record = adapt(start, step, factor, critic, optimizers, encoded,
                       epoch) if step and epoch else {}
        rewards = start.rewards(encoded)  # (B,)
        for group in optimizer.param_groups:
            group["lr"] = args.ppo.learning_rate * factor
        torch.manual_seed(start.seed * 1000 + epoch)  # whatever the penalty drew: arms are paired
        kl = ppo_epoch(policy, optimizer, responses, rewards.to(policy.output.device), args.ppo,
                       f"PPO, epoch {epoch + 1}")
        right = true_rewards(task, task.train, texts)  # (B,)
        _, answers = start.answers(policy, task.test, greedy=True)
        records.append(record | {
            "step": epoch + 1, "kl": kl, "reward": rewards.mean().item(),
            "true_reward": right.mean().item(), "auc": current_auc(start, texts, rewards, right),
            "held_out": true_rewards(task, task.test, answers).mean().item(),
            "examples": [*zip(task.train, texts)][::EXAMPLES]})
    policy.model.unload()
    return records


def true_rewards(task, prompts, texts):
    """(B,), 1.0 for each text that answers or refuses as its prompt should be, else 0.0."""
    return torch.tensor([float(task.kind(text) == task.should(prompt))
                         for prompt, text in zip(prompts, texts)])


def adapt(start, step, factor, critic, optimizers, encoded, epoch):
    """Train the reward model further; return the last step's losses.

    Args:
        step: of ARMS. factor: of the learning rates.
        encoded: the policy's responses, which DIAL's critic sees beside the preferences.
    """
    config, steps = start.args.config, math.ceil(len(encoded) / start.args.batch_size)
    config = replace(config, steps=steps, warmup_steps=0, decay=0.0,
                     learning_rate=config.learning_rate * factor)
    batches = start.batches(steps, start.seed * 1000 + epoch,
                            encoded if step is dial.dial_step else None)
    return dial.train(start.model, critic, batches, config, step, title="reward model",
                      optimizers=optimizers)[-1]


def current_auc(start, texts, rewards, right):
    """The AUC of the reward model between right and wrong responses of the policy as it is, to
    prompts of one kind; None where there are no two to compare.

    Where responses would do for any prompt (`general`), each prompt is paired with one of the
    policy's answers and one of its refusals, whoever got them: a good policy makes few mistakes of
    its own, and those are the ones that its reward model likes. What is an answer, phrases say.

    Args:
        texts: of the responses. rewards, right: (B,), theirs.
    """
    task, rng, pairs = start.task, random.Random(start.seed), []
    harmful = torch.tensor([prompt in task.refuse for prompt in task.train])  # (B,)
    if task.general:
        said = {kind: [text for text in texts if task.kind(text) == kind]
                for kind in ("answer", "refuse")}
        if not all(said.values()):
            return None
        for prompt in task.train:
            best, other = sorted(said, key=lambda kind: kind != task.should(prompt))
            pairs.append(data.Preference(prompt, rng.choice(said[best]),
                                         (rng.choice(said[other]),)))
        rewards = start.rewards(start.encode(pairs, "responses"))  # (2 B,)
        right, harmful = torch.tensor([1, 0]).repeat(len(pairs)), harmful.repeat_interleave(2)
    return auc(rewards, right, harmful)


def auc(rewards, right, harmful):
    """How often a right response has the larger reward than a wrong one to a prompt of the same
    kind, ties counting half; None where there are no two to compare.

    A reward model that only tells harmful prompts from others would have a high AUC over all of
    them, and yet may know nothing of the responses: so only prompts of one kind are compared. They
    are compared with each other because PPO subtracts one mean from the rewards of all prompts.

    Args: (B,) tensors; `right` is 1 or 0, `harmful` says of which kind the prompt is.
    """
    difference = rewards[right == 1][:, None] - rewards[right == 0]  # (right, wrong)
    difference = difference[harmful[right == 1][:, None] == harmful[right == 0]]
    wins = (difference > 0).double() + (difference == 0).double() / 2
    return wins.mean().item() if len(wins) else None
