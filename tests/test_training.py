"""The two steps and the loop: who moves, who does not, and that runs repeat."""
import copy
import itertools
from dataclasses import replace

import pytest
import torch
from conftest import ROWS

import backbones
import data
import dial
from dial import (Critic, DialConfig, RewardModel, critic_step, evaluate, model_step, predict,
                  ramp_factor, train)


def build(config, seed=0):
    torch.manual_seed(seed)
    model = RewardModel(backbones.load("tiny", "cpu", "float32")[0], config)
    return model, Critic(model.reward_head.in_features, (16, 8))


def state(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


def test_critic_step_moves_the_critic_only(config, batches):
    model, critic = build(config)
    batch = next(batches())
    emb = model.embed(batch)
    n, before, critic_before = batch["n_source"], state(model), state(critic)
    optimizer = torch.optim.AdamW(critic.parameters(), lr=1e-2)
    record = critic_step(critic, optimizer, emb[:n], emb[n:], config)
    assert same(state(model), before) and all(p.grad is None for p in model.parameters())
    assert not same(state(critic), critic_before)
    assert record["normalized_distance"] == pytest.approx(record["distance"] / record["slope"])


def test_model_step_moves_the_model_only(config, batches):
    model, critic = build(config)
    batch = next(batches())
    before, critic_before = state(model), state(critic)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model_step(model, critic, optimizer, model.embed(batch), batch, config)
    assert same(state(critic), critic_before) and all(p.grad is None for p in critic.parameters())
    assert all(p.requires_grad for p in critic.parameters())
    changed = {k for k, v in state(model).items() if not torch.equal(v, before[k])}
    assert "reward_head.weight" in changed and any("lora_" in k for k in changed)
    assert all("lora_" in k or k == "reward_head.weight" for k in changed)


def test_the_model_gets_the_gradient_of_the_distance(config, batches):
    """Against autograd on the definition: the gradient gains lambda_da times that of W."""
    model, critic = build(config)
    batch = next(batches())
    n = batch["n_source"]
    parameter = next(p for name, p in model.named_parameters() if "lora_B" in name)
    gradients = {}
    for weight in (0.0, 1.0, 3.0):
        config.lambda_da, config.clip = weight, 0.0
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0)
        model_step(model, critic, optimizer, model.embed(batch), batch, config)
        gradients[weight] = parameter.grad.clone()
    emb = model.embed(batch)
    (expected,) = torch.autograd.grad(critic(emb[:n]).mean() - critic(emb[n:]).mean(), parameter)
    assert expected.norm() > 0
    torch.testing.assert_close(gradients[1.0] - gradients[0.0], expected, atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(gradients[3.0] - gradients[0.0], 3 * expected, atol=1e-6, rtol=1e-3)


def test_the_ramp_scales_the_distance_only(config, batches):
    model, critic = build(config)
    batch = next(batches())
    config.clip, gradients = 0.0, []
    parameter = next(p for name, p in model.named_parameters() if "lora_B" in name)
    for weight, ramp in ((2.0, 0.25), (0.5, 1.0)):
        config.lambda_da = weight
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0)
        model_step(model, critic, optimizer, model.embed(batch), batch, config, ramp)
        gradients.append(parameter.grad.clone())
    torch.testing.assert_close(*gradients)


def test_both_domains_get_a_domain_gradient(config, batches):
    model, critic = build(config)
    batch = next(batches())
    emb = model.embed(batch).detach().requires_grad_(True)
    model_step(model, critic, torch.optim.SGD([emb], lr=0.0), emb, batch, config)
    n = batch["n_source"]
    assert emb.grad[:n].norm() > 0 and emb.grad[n:].norm() > 0


def run_twice_with(target_rows, config, tokenizer, seed=0):
    model, critic = build(config, seed)
    source = data.encode(ROWS, tokenizer, 512)
    target = data.encode(data.unlabel(target_rows), tokenizer, 512)
    records = train(model, critic, data.training_batches(source, target, 2, 3, seed), config)
    return records, state(model), state(critic)


def test_target_labels_cannot_matter(config, tiny):
    """Swap what is chosen and rejected in the target: not a bit of the training changes."""
    swapped = [data.Preference(r.prompt, r.rejected[-1], (r.chosen, *r.rejected[:-1]))
               for r in ROWS]
    a, b = (run_twice_with(rows, config, tiny[1]) for rows in (ROWS, swapped))
    assert a[0] == b[0] and same(a[1], b[1]) and same(a[2], b[2])


def test_runs_with_one_seed_agree_and_with_another_differ(config, tiny):
    a, b, c = (run_twice_with(ROWS, config, tiny[1], seed) for seed in (0, 0, 1))
    assert a[0] == b[0] and same(a[1], b[1])
    assert a[0] != c[0]


def test_epochs_differ_in_order_and_hold_everything(tiny):
    encoded = [([2], [[3 + i]]) for i in range(8)]
    pairs = [([2], [[3 + i], [3 + i]]) for i in range(8)]
    batches = list(data.training_batches(pairs, encoded, 4, 4))
    first, second = ([batch["input_ids"][4:, 1].tolist() for batch in part]
                     for part in (batches[:2], batches[2:]))
    assert sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(3, 11))
    assert first != second


def test_source_batches_do_not_depend_on_the_target(tiny):
    pairs = [([2], [[3 + i], [20 + i]]) for i in range(8)]
    target = [([2], [[40 + i]]) for i in range(5)]
    for a, b in zip(data.training_batches(pairs, None, 4, 5),
                    data.training_batches(pairs, target, 4, 5)):
        assert torch.equal(a["input_ids"], b["input_ids"][:4])
        assert torch.equal(a["chosen"], b["chosen"])


def test_without_lambda_da_neither_critic_nor_target_is_touched(config, tiny):
    config.lambda_da = 0.0
    model, critic = build(config)
    before = state(critic)
    encoded = data.encode(ROWS, tiny[1], 512)
    records = train(model, critic, data.training_batches(encoded, None, 2, 3), config)
    assert same(state(critic), before) and "distance" not in records[0]


def test_training_learns(config, tiny):
    config.steps, config.lambda_da = 30, 0.0
    model, critic = build(config)
    encoded = data.encode(ROWS, tiny[1], 512)
    train(model, critic, data.training_batches(encoded, None, 4, 30), config)
    assert evaluate(model, data.evaluation_batches(encoded))["accuracy"] == 1.0


def test_evaluate_restores_the_mode_and_keeps_the_order(config, tiny):
    model, _ = build(config)
    encoded = data.encode(ROWS, tiny[1], 512)
    for mode in (True, False):
        model.train(mode)
        rewards = predict(model, data.evaluation_batches(encoded, tokens=300))
        assert model.training is mode
    model.eval()
    with torch.no_grad():
        expected = [model(data.pack([row])) for row in encoded]
    for a, b in zip(rewards, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_evaluate_refuses_nan(config, tiny):
    model, _ = build(config)
    torch.nn.init.constant_(model.reward_head.weight, float("nan"))
    with pytest.raises(FloatingPointError, match="not finite"):
        evaluate(model, data.evaluation_batches(data.encode(ROWS, tiny[1], 512)))


def test_train_reports_divergence_and_too_few_batches(config, batches):
    model, critic = build(config)
    with pytest.raises(ValueError, match="there were 2"):
        train(model, critic, itertools.islice(batches(), 2), config)
    torch.nn.init.constant_(model.reward_head.weight, float("inf"))
    with pytest.raises(FloatingPointError, match="step 1"):
        train(model, critic, batches(), config)


def test_learning_rate_rises_and_falls():
    config = dial.DialConfig(steps=10, warmup_steps=3, decay=0.5)
    factors = [dial.learning_rate_factor(step, config) for step in range(10)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_a_saved_model_gives_the_same_rewards_without_this_code(config, batches, tiny, tmp_path):
    """The independent reader: peft and transformers on plain text."""
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, critic = build(config)
    model.set_scale(next(batches()))
    train(model, critic, batches(), config)
    dial.save(model, tiny[1], critic, config, tmp_path / "m", merged=True)
    theirs = AutoPeftModelForSequenceClassification.from_pretrained(
        tmp_path / "m", num_labels=1).eval()
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "m" / "merged").eval()
    again, tokenizer, critic_again, config_again = dial.load(tmp_path / "m")
    assert config_again == config and same(state(critic_again), state(critic))
    ours = predict(model, data.evaluation_batches(data.encode(ROWS, tiny[1], 512)))
    reloaded = predict(again, data.evaluation_batches(data.encode(ROWS, tokenizer, 512)))
    assert max(r.std() for r in ours) > 1e-3
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    for row, rewards, rewards_again in zip(ROWS, ours, reloaded):
        torch.testing.assert_close(rewards_again, rewards, atol=1e-4, rtol=1e-4)
        texts = tokenizer([f"{row.prompt}\n{r}" for r in row.responses],
                          return_tensors="pt", padding=True)
        with torch.no_grad():
            for other in (theirs, merged):
                found = other(**texts).logits[:, 0]
                torch.testing.assert_close(found, rewards, atol=1e-4, rtol=1e-4)


def test_save_notices_a_wrong_head(config, tiny, tmp_path):
    model, critic = build(config)
    good = copy.deepcopy(model.reward_head.weight.data)
    dial.save(model, tiny[1], critic, config, tmp_path)
    from peft import AutoPeftModelForSequenceClassification

    loaded = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path, num_labels=1).eval()
    model.reward_head.weight.data = good + 1
    with pytest.raises(RuntimeError, match="saved model gives"):
        dial.check_same_rewards(model, loaded, tiny[1])


def test_ramp_by_hand():
    config = DialConfig(steps=10, source_steps=2, lambda_ramp=0.4)
    found = [ramp_factor(step, config) for step in range(1, 11)]
    assert found == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert {ramp_factor(step, DialConfig(steps=10)) for step in range(1, 11)} == {1.0}


def test_source_steps_are_src_pref(config, tiny):
    """Until they are over, DIAL's model is Src-Pref's, bit for bit."""
    weights = []
    for changes in ({"lambda_da": 1.0, "source_steps": 3}, {"lambda_da": 0.0}):
        chosen = replace(config, steps=3, **changes)
        torch.manual_seed(0)
        model = RewardModel(tiny[0], chosen)
        rows = data.encode(ROWS, tiny[1], 512)
        batches = data.training_batches(rows, rows, 2, 3)
        train(model, Critic(model.reward_head.in_features), batches, chosen)
        weights.append([p.detach().clone() for p in model.parameters() if p.requires_grad])
        model.backbone.unload()
    for a, b in zip(*weights):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("ratio, expected", [(0.0, 5.0), (2.0, None), (1e6, 5.0)])
def test_domain_weight_by_hand(ratio, expected):
    """Linear critic and head: both gradients at the embeddings have a closed form."""
    torch.manual_seed(0)
    emb, head, direction = torch.randn(10, 3, requires_grad=True), torch.randn(3), torch.randn(3)
    chosen, rejected = emb[:3], emb[3:6]  # six of the source, four of the target
    source_loss = dial.bradley_terry_loss(chosen @ head, rejected @ head)
    domain_loss = dial.wasserstein_distance(lambda x: x @ direction, emb[:6], emb[6:])
    found = dial.domain_weight(source_loss, domain_loss, emb,
                               DialConfig(lambda_da=5.0, gradient_ratio=ratio))
    slopes = torch.sigmoid((rejected - chosen) @ head).detach() / 3  # of the loss in each margin
    ours = head.norm() * (2 * slopes.square().sum()).sqrt()
    theirs = direction.norm() * (6 * (1 / 6) ** 2 + 4 * (1 / 4) ** 2) ** 0.5
    assert found == pytest.approx(expected or (ratio * ours / theirs).item(), rel=1e-5)
    assert expected or found < 5.0


def test_evaluate_gives_the_error_of_eq_8():
    """Margins of -log 3 and log 3: wrong with chance 3/4 and 1/4."""
    model = torch.nn.Module()
    model.embed, model.reward_head = lambda batch: batch["x"], torch.nn.Linear(1, 1, bias=False)
    model.reward_head.weight.data.fill_(1.0)
    three = torch.log(torch.tensor(3.0))
    batch = {"x": torch.stack([0 * three, three, three, 0 * three])[:, None], "counts": [2, 2],
             "index": [0, 1]}
    found = evaluate(model, [batch])
    assert found["error"] == pytest.approx(0.5) and found["accuracy"] == 0.5
    batch["x"] = torch.stack([0 * three, three, 0 * three, three])[:, None]
    assert evaluate(model, [batch])["error"] == pytest.approx(0.75)
