"""RLHF under distribution shift: what each arm trains on, with what, and what is recorded."""
from argparse import Namespace
from collections import Counter

import pytest
import torch

import data
import dial
from domains import requests as domain
from support import rlhf
from support.correlation import auc
from support.policy import Policy
from support.ppo import PPOConfig
from support.rlhf_start import SUPERVISED, Start


def small(seed):
    """The domain with 12 prompts to train on, two preferences each, and 4 held out."""
    task = domain.requests(seed)
    task.train, task.test = task.train[::8], task.test[::16]
    task.pairs = [pair for pair in task.pairs[::domain.N_PAIRS // 2] if pair.prompt in task.train]
    task.spoken = [pair for pair in task.spoken if pair[0] in task.train]
    return task


@pytest.fixture
def start(cache, monkeypatch):
    """A `Start` on the small model, six epochs."""
    monkeypatch.setitem(SUPERVISED, "steps", 10)
    config = dial.DialConfig(lora_rank=4, lora_alpha=4, learning_rate=1e-3, warmup_steps=3,
                             decay=0.5, scale_embeddings=True)
    args = Namespace(model="tiny", device="cpu", dtype="float32", config=config, ppo=PPOConfig(
        passes=1, batch_size=6, learning_rate=0.01), max_length=200, batch_size=6, epochs=6,
        max_new_tokens=4, paper=False, judge=None)
    return Start(args, small(0), 3)


@pytest.fixture
def calls(monkeypatch, start):
    """What `dial.train` and `ppo_epoch` are called with from here on."""
    seen = {"train": [], "logs": [], "ppo": []}
    train, ppo_epoch = dial.train, rlhf.ppo_epoch

    def watch_train(model, critic, batches, config, step, **options):
        batches = list(batches)
        seen["train"].append((batches, config, step, options["optimizers"], critic))
        seen["logs"].append(train(model, critic, batches, config, step, **options))
        return seen["logs"][-1]

    def watch_ppo(policy, optimizer, responses, reward, config):
        assert optimizer.param_groups[0]["weight_decay"] == 0
        texts = zip(start.task.train, policy.texts(responses, start.tokenizer))
        encoded = start.encode([data.Unlabeled(p, [text]) for p, text in texts], "responses")
        torch.testing.assert_close(reward, torch.cat(start.rewards(encoded)))  # as adapted
        seen["ppo"].append((optimizer.param_groups[0]["lr"], responses, reward))
        return ppo_epoch(policy, optimizer, responses, reward, config)

    monkeypatch.setattr(rlhf.dial, "train", watch_train)
    monkeypatch.setattr(rlhf, "ppo_epoch", watch_ppo)
    return seen


def judge(task, prompts, texts):
    return torch.tensor([float(len(text) > 5) for text in texts])


def reward_state(start):
    return torch.cat([p.detach().flatten() for p in start.model.parameters() if p.requires_grad])


def test_src_pref_leaves_the_reward_model_as_it_is(start, calls):
    before = reward_state(start).clone()
    records = rlhf.run_arm(start, "Src-Pref", judge)
    assert not calls["train"] and torch.equal(reward_state(start), before)
    assert [lr for lr, *_ in calls["ppo"]] == [0.01] * 6
    assert [r["step"] for r in records] == [1, 2, 3, 4, 5, 6]
    assert records[0]["kl"] < 1e-6 < records[-1]["kl"]


def test_what_is_recorded(start, calls, monkeypatch):
    asked, judged = [], []
    respond = Policy.respond
    monkeypatch.setattr(Policy, "respond", lambda self, prompts, n, greedy=False: (
        asked.append((prompts, greedy)), respond(self, prompts, n, greedy))[1])

    def watched(task, prompts, texts):
        judged.append((prompts, torch.randint(0, 2, (len(texts),)).float()))
        return judged[-1][1]

    start.task.general = False
    records = rlhf.run_arm(start, "Src-Pref", watched)
    train, test = start.task.train, start.task.test
    kinds = torch.tensor([prompt in start.task.refuse for prompt in train])
    assert [prompts for prompts, _ in judged] == [train, test] * 6
    assert asked == [([start.prompts[p] for p in prompts], greedy)
                     for prompts, greedy in ((train, False), (test, True))] * 6
    for record, (_, right), (_, held_out), (_, responses, reward) in zip(
            records, judged[::2], judged[1::2], calls["ppo"], strict=True):
        assert record["true_reward"] == right.mean() and record["held_out"] == held_out.mean()
        assert record["auc"] == auc(reward, right, kinds)
        assert record["reward"] == pytest.approx(reward.mean().item())
        texts = start.tokenizer.batch_decode([ids[real.bool()] for ids, real in zip(
            responses.actions, responses.real)], skip_special_tokens=True)
        unclear = [start.task.kind(text) is None for text in texts]
        assert record["unclear"] == sum(unclear) / len(train) and 0 < sum(unclear)
        assert record["examples"][1] == (train[3], texts[3].strip())
        assert record["tokens"] == pytest.approx(responses.real.sum().item() / len(train))


def test_auc_of_responses_that_are_given_to_all_prompts(start, monkeypatch):
    """A reward model that reads the prompt's kind has .5; one that likes refusals, 1 of one kind
    and 0 of the other; one that likes what is right, 1: whoever wrote it."""
    task, likes = start.task, {}
    texts = ["Sure, here is how to do it."] * (len(task.train) - 2) + ["Hm", "No, I won't!"]
    own, refuse = torch.zeros(len(texts)), sum(prompt in task.refuse for prompt in task.train)
    share = refuse**2 / (refuse**2 + (len(texts) - refuse) ** 2)  # of the pairs of one kind

    def rewards(rows):
        assert [row.prompt for row in rows] == task.train
        assert all({*map(task.kind, row.responses)} == {"answer", "refuse"} for row in rows)
        return [torch.tensor([likes["model"](row.prompt, text) for text in row.responses])
                for row in rows]

    monkeypatch.setattr(start, "encode", lambda rows, name: rows)
    monkeypatch.setattr(start, "rewards", rewards)
    for expected, likes["model"] in (
            (0.5, lambda prompt, text: float(prompt in task.refuse)),
            (share, lambda prompt, text: float(task.kind(text) == "refuse")),
            (1.0, lambda prompt, text: float(task.kind(text) == task.should(prompt))),
            (0.0, lambda prompt, text: float(task.kind(text) != task.should(prompt)))):
        assert rlhf.current_auc(start, texts, own, own) == expected
    assert rlhf.current_auc(start, ["Sure!"] * len(texts), own, own) is None  # never refuses


def test_src_pref_halved(start, calls):
    rlhf.run_arm(start, "Src-Pref, halved", judge)
    assert not calls["train"] and [lr for lr, *_ in calls["ppo"]] == [0.01] * 5 + [0.005]


def test_dial_adapts_to_each_epochs_own_responses(start, calls):
    before = reward_state(start).clone()
    records = rlhf.run_arm(start, "DIAL", judge)
    assert [r["source_loss"] for r in records[1:]] == [
        log[-1]["source_loss"] for log in calls["logs"]]
    assert [lr for lr, *_ in calls["ppo"]] == [0.01] * 5 + [0.005]
    assert [c.learning_rate for _, c, *_ in calls["train"]] == [1e-3] * 4 + [5e-4]
    assert all((c.lambda_da, c.steps, c.warmup_steps, c.decay) == (
        start.args.config.lambda_da, 2, 0, 0) for _, c, *_ in calls["train"])
    assert {step for _, _, step, *_ in calls["train"]} == {dial.dial_step}
    optimizers = {id(o) for *_, pair, _ in calls["train"] for o in pair}
    assert len(optimizers) == 2 and len({id(critic) for *_, critic in calls["train"]}) == 1
    critic_steps = calls["train"][-1][3][1].state_dict()["state"][0]["step"]
    assert critic_steps == 5 * 2 * start.args.config.critic_steps  # it goes on from epoch to epoch
    assert not torch.equal(reward_state(start), before)
    for (batches, *_), (_, responses, _) in zip(calls["train"], calls["ppo"][1:], strict=True):
        texts = start.tokenizer.batch_decode([ids[real.bool()] for ids, real in zip(
            responses.actions, responses.real)], skip_special_tokens=True)
        expected = Counter(len(start.tokenizer(p + "\n" + t.strip())["input_ids"])
                           for p, t in zip(start.task.train, texts))
        seen = Counter()
        for batch in batches:  # 6 pairs, then 6 responses, one a prompt
            assert batch["counts"] == [2] * 6 + [1] * 6 and batch["n_source"] == 12
            seen.update((batch["position_ids"][0][batch["last_column"][12:]] + 1).tolist())
        assert seen == expected


def labeled_tokens(batch):
    """The source's texts of a batch, by their first token's column to their last."""
    ids = batch["input_ids"][0]
    return [ids[batch["columns"][n]].tolist() for n in range(batch["n_source"])]


def test_continued_training_sees_no_target_and_the_same_preferences(start, calls):
    rlhf.run_arm(start, "Src-Pref, continued", judge)
    assert {step for _, _, step, *_ in calls["train"]} == {dial.preference_step}
    assert all(batch["counts"] == [2] * 6 for batches, *_ in calls["train"] for batch in batches)
    continued = [list(map(labeled_tokens, batches)) for batches, *_ in calls["train"]]
    calls["train"].clear()
    rlhf.run_arm(start, "DIAL", judge)
    assert continued == [list(map(labeled_tokens, batches)) for batches, *_ in calls["train"]]
    assert all(epoch != continued[0] for epoch in continued[1:])


def test_arms_are_paired_whatever_the_penalty_draws(start):
    """A reward model that does not learn leaves DIAL as it leaves Src-Pref, in all epochs."""
    start.args.config.learning_rate = 0.0
    logs = [rlhf.run_arm(start, name, judge) for name in ("DIAL", "Src-Pref, continued")]
    for records in zip(*logs):
        for key in ("true_reward", "reward", "kl", "held_out", "examples"):
            assert records[0][key] == records[1][key]


def test_arms_of_a_seed_begin_alike_and_repeat(start):
    logs = [rlhf.run_arm(start, name, judge) for name in ("DIAL", "Src-Pref", "DIAL")]
    assert logs[0] == logs[2]
    for key in ("true_reward", "auc", "held_out", "examples"):
        assert logs[0][0][key] == logs[1][0][key]
    assert logs[0][-1]["reward"] != logs[1][-1]["reward"]
