"""The loop on the small model: who moves, that runs repeat, and what is said when they fail."""
import itertools
import math
from dataclasses import replace

import pytest
import torch
from conftest import ROWS

import data
import dial
from dial import Critic, DialConfig, RewardModel, predict, train
from models import backbones

BY_TEN = DialConfig(steps=10, warmup_steps=3, decay=0.5)


def build(config, seed=0):
    torch.manual_seed(seed)
    model = RewardModel(backbones.load("tiny", "cpu", "float32")[0], config)
    return model, Critic(model.reward_head.in_features, (16, 8))


def state(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def test_only_lora_head_and_critic_move_and_runs_repeat(config, batches):
    runs, config.steps = [], 2
    for seed in (0, 0, 1):
        model, critic = build(config, seed)
        before, critic_before = state(model), state(critic)
        records = train(model, critic, batches(2, seed), config)
        after = state(model)
        moved = {k for k, v in after.items() if not torch.equal(v, before[k])}
        assert "reward_head.weight" in moved and any("lora_A" in k for k in moved)
        assert all("lora_" in k or k in ("reward_head.weight", "scale") for k in moved)
        assert not torch.equal(critic.layers[0].weight, critic_before["layers.0.weight"])
        runs.append((records, [after[k] for k in sorted(moved)]))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    assert all(torch.equal(a, b) for a, b in zip(runs[0][1], runs[1][1], strict=True))


def test_training_learns(config, tiny):
    config.steps, encoded = 15, data.encode(ROWS, tiny[1], 512)
    model, critic = build(config)
    train(model, critic, data.training_batches([encoded], None, 4, 15), config,
          dial.preference_step)
    assert dial.accuracy(predict(model, data.evaluation_batches(encoded))) == 1.0


def test_evaluate_sees_each_step_and_adds_to_its_record(config, batches):
    model, critic = build(config)
    steps, modes = [], []

    def step(*args):
        modes.append(args[0].training)
        return dial.dial_step(*args)

    def evaluate(step):
        steps.append(step)
        predict(model, [])
        return {"more": 1.0} if step == 2 else None

    log = train(model.eval(), critic, batches(), config, step, evaluate)
    assert steps == [1, 2, 3] and modes == [True] * 3
    assert [r["step"] for r in log] == steps and [r.get("more") for r in log] == [None, 1.0, None]
    assert all(type(r[name]) is float for r in log for name in ("source_loss", "distance"))


def test_losses_are_read_every_ten_steps(monkeypatch):
    """Reading one makes the host wait for the device; none is left unread, nor unchecked."""
    config, reads, read = DialConfig(steps=13), [], dial.to_floats
    monkeypatch.setattr(dial, "to_floats", lambda records: reads.append(
        [r["step"] for r in records if torch.is_tensor(r["source_loss"])]) or read(records))

    def losses(*values):
        rest = iter(values)
        return train(torch.nn.Linear(1, 1), Critic(1), [{}] * 13, config, lambda *_: {
            name: torch.tensor(value) for name, value in (
                ("source_loss", next(rest)), ("distance", 2.0))})

    log = losses(*map(float, range(13)))
    assert reads == [list(range(1, 11)), [11, 12, 13]]
    assert log == [{"step": i + 1, "source_loss": float(i), "distance": 2.0} for i in range(13)]
    assert all(type(r["distance"]) is float for r in log)
    for value in (math.nan, math.inf):
        with pytest.raises(FloatingPointError, match="step 12: "):
            losses(*[1.0] * 11, value, 1.0)


def test_what_is_not_finite_or_too_short_is_said(config, batches, tiny):
    model, critic = build(config)
    with pytest.raises(ValueError, match="3 steps need as many batches, there were 2"):
        train(model, critic, itertools.islice(batches(), 2), config)
    torch.nn.init.constant_(model.reward_head.weight, float("inf"))
    with pytest.raises(FloatingPointError, match="step 1: "):
        train(model, critic, batches(), config)
    with pytest.raises(FloatingPointError, match="not finite"):
        predict(model, data.evaluation_batches(data.encode(ROWS, tiny[1], 512)))
    assert model.training


RATES = "learning_rate, lora_alpha, lambda_da or critic_learning_rate"


@pytest.mark.parametrize("changes, where, setting", [
    ({"lora_alpha": 1e30}, "step 1: gradient_norm", RATES),
    ({"lora_alpha": 1e30, "clip": 0.0}, "step 1: gradient_norm", RATES),
    ({"lambda_da": 1e30}, "step 1: gradient_norm", RATES),
    ({"learning_rate": 1e30}, "step 2: gradient_norm", RATES),
    ({"critic_learning_rate": 1e30}, "step 1: domain_loss", "critic_learning_rate"),
    ({"lambda_gp": 1e30}, "step 1: critic_gradient_norm", "critic_learning_rate")])
def test_a_gradient_that_is_not_finite_stops_the_run(config, batches, changes, where, setting):
    """An infinite norm would move nothing: clipping multiplies by 0, and so does AdamW."""
    config = replace(config, **changes)
    with pytest.raises(FloatingPointError, match=f"^{where} is not finite; lower {setting}"):
        train(*build(config), batches(), config)


@pytest.mark.parametrize("config, expected", [
    (BY_TEN, [0.25, 0.5, 0.75, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]),
    (DialConfig(steps=4), [1] * 4),
])
def test_learning_rate_rises_and_falls(config, expected):
    rates = []

    def step(model, critic, optimizer, *_):
        rates.append(optimizer.param_groups[0]["lr"] / config.learning_rate)
        return {"source_loss": torch.zeros(())}

    train(torch.nn.Linear(1, 1), Critic(1), [{}] * config.steps, config, step)
    assert rates == pytest.approx(expected)


def test_defaults_are_the_papers():
    """Of A.1."""
    config = DialConfig()
    assert (config.learning_rate, config.lambda_da, config.lambda_gp) == (5e-5, 0.01, 1.0)
    assert (config.critic_steps, config.critic_learning_rate) == (3, 1e-4)
    assert (config.critic_weight_decay, config.lora_rank) == (1e-3, 64)
    assert (config.lora_alpha, config.lora_modules, config.lora_layers) == (64, "q_proj,v_proj", 0)
    assert (config.clip, config.weight_decay, config.warmup_steps, config.decay) == (1.0, 0, 0, 0)
    assert config.critic_beta1 == 0.9  # AdamW's
    assert not config.scale_embeddings and not config.center_prompts


def test_optimizers_that_outlive_a_call_go_on(config, batches):
    """Two calls of 2 steps with the same optimisers are one of 4, where the rate is constant."""
    ends = []
    for parts in ((4,), (2, 2)):
        model, critic = build(config)
        torch.manual_seed(5)
        optimizers, rest = dial.make_optimizers(model, critic, config), batches(4)
        for steps in parts:
            config.steps = steps
            train(model, critic, itertools.islice(rest, steps), config, optimizers=optimizers)
        ends.append(state(model) | {f"critic {k}": v for k, v in state(critic).items()})
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    config.learning_rate = 0.0  # a later call's rate is its own
    train(model, critic, batches(2), config, optimizers=optimizers)
    assert all(torch.equal(v, ends[1][name]) for name, v in state(model).items())
