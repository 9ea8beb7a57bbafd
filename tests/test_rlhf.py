"""RLHF under distribution shift: what each arm trains on, with what, and what is recorded."""
from argparse import Namespace
from collections import Counter, defaultdict
from copy import copy
from dataclasses import replace

import pytest
import torch

import data
import dial
from rlhf import arms, requests
from rlhf.policy import Policy
from rlhf.ppo import PPOConfig
from rlhf.start import SUPERVISED, Start

EPOCHS, HALVE_EVERY = 3, 2


def small(seed, part="test"):
    """The domain with 12 prompts to train on, two preferences each, and 4 held out."""
    task = requests.requests(seed, part)
    train, test = task.train[::8], task.test[::8]
    return replace(
        task, train=train, test=test, spoken=[pair for pair in task.spoken if pair[0] in train],
        pairs=[pair for pair in task.pairs[::requests.N_PAIRS // 2] if pair.prompt in train])


def small_args(**changes):
    """Flags of a start on the small model."""
    config = dial.DialConfig(lora_rank=4, lora_alpha=4, lora_layers=1, learning_rate=1e-3,
                             warmup_steps=3, decay=0.5, scale_embeddings=True)
    ppo = PPOConfig(passes=1, batch_size=12, learning_rate=0.01)
    return Namespace(**{
        "model": "tiny", "device": "cpu", "dtype": "float32", "config": config, "ppo": ppo,
        "max_length": 200, "batch_size": 6, "epochs": EPOCHS, "max_new_tokens": 4, "paper": False} | changes)


@pytest.fixture(scope="module")
def start(cache):
    """A `Start` of seed 3; who runs an arm finds it as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SUPERVISED, "steps", 10)
        yield Start(small_args(), small(0), 3)


def judge(task, prompts, texts):
    return torch.tensor([float(len(text) > 5) for text in texts])


def reward_state(start):
    return torch.cat([start.model.get_parameter(name).detach().flatten() for name in start.trained])


def texts_of(start, responses):
    return start.tokenizer.batch_decode([ids[real.bool()] for ids, real in zip(
        responses.actions, responses.real)], skip_special_tokens=True)


def watched_arm(start, name, judge=judge):
    """Run an arm; return what it recorded, what `dial.train` and `ppo_epoch` were called with, and
    the reward model at the end."""
    run, train, ppo_epoch = Namespace(train=[], logs=[], ppo=[]), dial.train, arms.ppo_epoch

    def watch_train(model, critic, batches, config, step, **options):
        batches = list(batches)
        run.train.append((batches, config, step, options["optimizers"], critic))
        run.logs.append(train(model, critic, batches, config, step, **options))
        return run.logs[-1]

    def watch_ppo(policy, optimizer, responses, reward, config, title):
        assert optimizer.param_groups[0]["weight_decay"] == 0
        texts = zip(start.task.train, texts_of(start, responses))
        encoded = start.encode([data.Unlabeled(p, [t.strip()]) for p, t in texts], "responses")
        torch.testing.assert_close(reward, start.rewards(encoded))  # as adapted
        run.ppo.append((optimizer.param_groups[0]["lr"], responses, reward))
        return ppo_epoch(policy, optimizer, responses, reward, config, title)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms.dial, "train", watch_train)
        patch.setattr(arms, "ppo_epoch", watch_ppo)
        patch.setattr(arms, "HALVE_EVERY", HALVE_EVERY)
        patch.setattr(arms, "EXAMPLES", 3)
        patch.setattr(arms, "true_rewards", judge)
        run.records, run.reward_state = arms.run_arm(start, name), reward_state(start)
    return run


@pytest.fixture(scope="module")
def ran(start):
    """All arms of a start, one after the other, DIAL first and again at the end."""
    found = defaultdict(list)
    for name in ("DIAL", "Src-Pref", "Src-Pref, continued", "DIAL"):
        found[name].append(watched_arm(start, name))
    return {name: runs[0] for name, runs in found.items()} | {"again": found["DIAL"][1]}


def test_src_pref_leaves_the_reward_model_as_it_began(start, ran):
    """Though DIAL's arm, before it, has trained the same model."""
    began = torch.cat([p.flatten() for p in start.trained.values()])
    run = ran["Src-Pref"]
    assert not run.train and torch.equal(run.reward_state, began)
    assert [lr for lr, *_ in run.ppo] == [0.01] * EPOCHS
    assert [r["step"] for r in run.records] == [1, 2, 3]
    assert run.records[0]["kl"] < 1e-6 < run.records[-1]["kl"]
    assert not torch.equal(ran["DIAL"].reward_state, began)


def test_what_is_recorded(start, monkeypatch):
    asked, judged = [], []
    respond = Policy.respond
    monkeypatch.setattr(Policy, "respond", lambda self, prompts, n, greedy=False: (
        asked.append((prompts, greedy)), respond(self, prompts, n, greedy))[1])

    def watched(task, prompts, texts):
        judged.append((prompts, torch.randint(0, 2, (len(texts),)).float()))
        return judged[-1][1]

    start = copy(start)
    start.task, start.args = replace(start.task, general=False), small_args(epochs=2)
    run = watched_arm(start, "Src-Pref", watched)
    train, test = start.task.train, start.task.test
    kinds = torch.tensor([prompt in start.task.refuse for prompt in train])
    assert [prompts for prompts, _ in judged] == [train, test] * 2
    assert asked == [([start.prompts[p] for p in prompts], greedy)
                     for prompts, greedy in ((train, False), (test, True))] * 2
    for record, (_, right), (_, held_out), (_, responses, reward) in zip(
            run.records, judged[::2], judged[1::2], run.ppo, strict=True):
        assert record["true_reward"] == right.mean() and record["held_out"] == held_out.mean()
        assert record["auc"] == arms.auc(reward, right, kinds)
        assert record["reward"] == pytest.approx(reward.mean().item())
        texts = texts_of(start, responses)
        assert record["examples"][1] == (train[3], texts[3].strip())


def test_rates_are_halved_every_five_epochs(ran):
    assert arms.HALVE_EVERY == 5
    for name in ("Src-Pref, continued", "DIAL"):
        assert [lr for lr, *_ in ran[name].ppo] == [0.01, 0.01, 0.005], name
        assert [c.learning_rate for _, c, *_ in ran[name].train] == [1e-3, 5e-4], name


def test_dial_adapts_to_each_epochs_own_responses(start, ran):
    run = ran["DIAL"]
    assert [r["source_loss"] for r in run.records[1:]] == [
        log[-1]["source_loss"] for log in run.logs]
    assert "source_loss" not in run.records[0]
    assert all((c.lambda_da, c.steps, c.warmup_steps, c.decay) == (
        start.args.config.lambda_da, 2, 0, 0) for _, c, *_ in run.train)
    assert {step for _, _, step, *_ in run.train} == {dial.dial_step}
    optimizers = {id(o) for *_, pair, _ in run.train for o in pair}
    assert len(optimizers) == 2 and len({id(critic) for *_, critic in run.train}) == 1
    critic_steps = run.train[-1][3][1].state_dict()["state"][0]["step"]
    assert critic_steps == 2 * 2 * start.args.config.critic_steps  # it goes on from epoch to epoch
    for (batches, *_), (_, responses, _) in zip(run.train, run.ppo[1:], strict=True):
        expected = Counter(len(start.tokenizer(p + "\n" + t.strip())["input_ids"])
                           for p, t in zip(start.task.train, texts_of(start, responses)))
        seen = Counter()
        for batch in batches:  # 6 pairs, then 6 responses, one a prompt
            assert batch["counts"] == [2] * 6 + [1] * 6 and batch["n_source"] == 12
            seen.update((batch["position_ids"][0][batch["last_column"][12:]] + 1).tolist())
        assert seen == expected


def labeled_tokens(batch):
    """The source's texts of a batch."""
    return [batch["input_ids"][0][batch["columns"][n]].tolist() for n in range(batch["n_source"])]


def test_continued_training_sees_no_target_and_the_same_preferences(ran):
    run = ran["Src-Pref, continued"]
    assert {step for _, _, step, *_ in run.train} == {dial.preference_step}
    assert all(batch["counts"] == [2] * 6 for batches, *_ in run.train for batch in batches)
    continued, adapted = ([list(map(labeled_tokens, batches)) for batches, *_ in r.train]
                          for r in (run, ran["DIAL"]))
    assert continued == adapted and continued[0] != continued[1]


def test_arms_are_paired_whatever_the_penalty_draws(start):
    """A reward model that does not learn leaves DIAL as it leaves Src-Pref, in all epochs."""
    start = copy(start)
    start.args = small_args(config=replace(start.args.config, learning_rate=0.0),
                            ppo=replace(start.args.ppo, batch_size=6))  # of which the order counts
    logs = [arms.run_arm(start, name) for name in ("DIAL", "Src-Pref, continued")]
    for records in zip(*logs):
        for key in ("true_reward", "reward", "kl", "held_out", "examples"):
            assert records[0][key] == records[1][key]


def test_arms_of_a_seed_begin_alike_and_repeat(ran):
    first, again, base = (ran[name].records for name in ("DIAL", "again", "Src-Pref"))
    assert first == again
    for key in ("true_reward", "auc", "held_out", "examples"):
        assert first[0][key] == base[0][key]
    assert first[-1]["reward"] != base[-1]["reward"]
