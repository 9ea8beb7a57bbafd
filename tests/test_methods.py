"""The baselines, DEAL and the untrained rewards, against transformers, autograd and brute force."""
import copy
from dataclasses import replace

import pytest
import scipy.stats
import torch
import transformers
from conftest import ROWS, random_classifier
from test_model import random_encoded
from test_training import build, same, state

import baselines
import data
import dial


def brute_force_next_tokens(encoded):
    """Each (token before, token, response or -1) by reading every text from left to right."""
    found, number = [], 0
    for prefix, suffixes in encoded:
        found += [(a, b, -1) for a, b in zip(prefix, prefix[1:])]
        for suffix in suffixes:
            text = [*prefix[-1:], *suffix]
            found += [(a, b, number) for a, b in zip(text, text[1:])]
            number += 1
    return sorted(found)


def test_next_tokens_are_those_of_each_text():
    encoded = random_encoded(3)
    batch = data.pack(encoded)
    row, before, token, which = data.next_tokens(batch)
    found = zip(batch["input_ids"][row, before].tolist(), token.tolist(), which.tolist())
    assert sorted(found) == brute_force_next_tokens(encoded)


def causal_model(kind="gemma2"):
    """A RewardModel as yet untrained, and the causal language model with the same weights."""
    classifier = random_classifier(kind)
    causal = transformers.AutoModelForCausalLM.from_config(classifier.config)
    causal.model.load_state_dict(classifier.model.state_dict())
    causal.tie_weights()
    return dial.RewardModel(classifier, dial.DialConfig(lora_rank=4)).eval(), causal.eval()


@pytest.mark.parametrize("kind", ["gemma", "gemma2", "gemma3"])  # Gemma 2 limits its logits
@pytest.mark.parametrize("share", [True, False])
def test_language_losses_are_those_of_transformers(kind, share):
    model, causal = causal_model(kind)
    encoded = random_encoded(4)
    batch = data.pack(encoded, share=share)
    found = data.next_tokens(batch)
    found = found[:, found[3] >= 0]
    with torch.no_grad():
        losses = model.language_losses(model.hidden_states(batch), found[:3])
        number = 0
        for prefix, suffixes in encoded:
            for suffix in suffixes:
                ids = torch.tensor([prefix + suffix])
                labels = ids.clone()
                labels[:, : len(prefix)] = -100
                expected = causal(input_ids=ids, labels=labels).loss.item()
                assert losses[found[3] == number].mean().item() == pytest.approx(expected, abs=1e-4)
                number += 1


def test_chunks_change_nothing():
    torch.manual_seed(0)
    hidden, embeddings = torch.randn(50, 8), torch.randn(30, 8)
    tokens, gradients = torch.randint(30, (50,)), []
    for chunk in (7, 50):
        h = hidden.clone().requires_grad_(True)
        loss = dial.language_model_losses(h, tokens, embeddings, chunk=chunk).mean()
        loss.backward()
        gradients.append((loss.detach(), h.grad))
    expected = torch.nn.functional.cross_entropy(hidden @ embeddings.T, tokens)
    torch.testing.assert_close(gradients[0][0], expected)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_untied_backbones_are_refused():
    model = dial.RewardModel(random_classifier("llama"), dial.DialConfig(lora_rank=4))
    batch = data.pack(random_encoded())
    with pytest.raises(ValueError, match="tied"):
        model.language_losses(model.hidden_states(batch), data.next_tokens(batch)[:3])


@pytest.mark.parametrize("share", [True, False])
def test_what_is_predicted_is_of_the_right_domain(tiny, share):
    """Src-Pref-SFT: the source's chosen responses. Src-Pref-Tgt-NTP: all of the target's text."""
    encoded = data.encode(ROWS, tiny[1], 512)
    target = data.encode([data.Unlabeled("Target?", ("zz", "yy"))] * 4, tiny[1], 512)

    def texts(language, **options):
        batch = next(data.training_batches(encoded, target if language == "target" else None, 2, 1,
                                           0, language, share=share, **options))
        row, before, token = batch["predict"]
        return batch, tiny[1].decode(token.tolist())

    batch, text = texts("source")
    chosen = {row.chosen for row in ROWS}
    assert text.count("I am sure.") == 2 and "No idea" not in text and "Which" not in text
    assert any(text.startswith(c) for c in chosen)
    batch, text = texts("target")
    assert "Which" not in text and text.count("zz") == text.count("yy") == 2
    assert text.count("Target?") == (2 if share else 4)  # a prompt by itself, or with each response
    assert texts("target", lm_tokens=5)[0]["predict"].shape == (3, 5)


@pytest.mark.parametrize("method, language", [("Src-Pref-SFT", "source"),
                                              ("Src-Pref-Tgt-NTP", "target")])
def test_the_language_loss_reaches_the_model(config, batches, method, language):
    """The authors' release adds a number here, so that nothing is learned from it."""
    weights = {}
    for weight in (0.0, 1.0):
        c = dial.method_config(method, replace(config, lambda_sft=weight, lambda_ntp=weight,
                                                    clip=0.0, steps=2))
        model, critic = build(config)
        torch.manual_seed(0)
        records = dial.train(model, critic, batches(language=language), c)
        weights[weight] = torch.cat([p.flatten() for p in model.parameters() if p.requires_grad])
        assert records[0]["language_loss"] == pytest.approx(5.6, abs=1)  # about log of 259 bytes
    assert not torch.equal(weights[0.0], weights[1.0])


def test_methods_have_their_own_term_only(config):
    for method in dial.METHODS:
        c = dial.method_config(method, config)
        on = {name for name in ("lambda_da", "lambda_sft", "lambda_ntp") if getattr(c, name)}
        assert on == {dial.METHODS[method]["term"]} - {None}
        assert c.gradient_reversal == (method == "DEAL")


def test_reversal_step_is_one_step_of_both(config, batches):
    """DEAL: the critic goes down its own loss while the model goes down source loss + lambda W."""
    model, critic = build(config)
    batch = next(batches())
    twin, critic_twin = copy.deepcopy(model), copy.deepcopy(critic)
    n = batch["n_source"]
    config.clip = 0.0
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizers = [torch.optim.SGD(p, lr=0.1) for p in (trained, critic.parameters())]
    torch.manual_seed(1)
    dial.reversal_step(model, critic, *optimizers, model.embed(batch), batch, config, ramp=0.5)
    emb = twin.embed(batch)
    rewards = twin.reward_head(emb[:n]).squeeze(-1)
    distance = critic_twin(emb[:n]).mean() - critic_twin(emb[n:]).mean()
    loss = dial.bradley_terry_loss(rewards[batch["chosen"]], rewards[batch["rejected"]])
    parameters = [p for p in twin.parameters() if p.requires_grad]
    of_model = torch.autograd.grad(loss + 0.5 * config.lambda_da * distance, parameters,
                                   retain_graph=True)
    torch.manual_seed(1)
    penalty = dial.gradient_penalty(critic_twin, emb[:n], emb[n:])
    critic_loss = config.lambda_gp * penalty - distance
    of_critic = torch.autograd.grad(critic_loss, list(critic_twin.parameters()))
    for new, old, gradient in zip([*trained, *critic.parameters()],
                                  [*parameters, *critic_twin.parameters()],
                                  [*of_model, *of_critic], strict=True):
        torch.testing.assert_close(new, old - 0.1 * gradient, atol=1e-5, rtol=1e-4)


def test_train_with_reversal_moves_the_critic(config, batches):
    model, critic = build(config)
    before = state(critic)
    dial.train(model, critic, batches(), dial.method_config("DEAL", config))
    assert not same(state(critic), before)


def test_correlations_are_scipys():
    torch.manual_seed(0)
    x, y = torch.randn(50), torch.randint(5, (50,)).float()  # y has ties
    y += (x > 0).float()
    assert dial.pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-6)
    assert dial.spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-6)
    assert dial.pearson(x, torch.ones(50)) == 0


def test_correlation_within_prompts():
    """Independent: with a constant added to all rewards of a prompt nothing changes, and a mean by
    hand of scipy's correlations of each."""
    torch.manual_seed(0)
    x, y, prompts = torch.randn(31), torch.randn(31), ["a"] * 10 + ["b"] * 20 + ["alone"]
    parts = [scipy.stats.spearmanr(x[i], y[i]).statistic for i in (slice(0, 10), slice(10, 30))]
    expected = pytest.approx((10 * parts[0] + 20 * parts[1]) / 30, abs=1e-6)
    moved = x + torch.tensor([5.0] * 10 + [0.0] * 21)
    for rewards in (x, moved):
        assert dial.within_prompts(dial.spearman, rewards, y, prompts) == expected
    for prompts in (["a"] * 31, list(range(31))):  # one prompt, or as many as texts
        assert dial.within_prompts(dial.pearson, x, y, prompts) == pytest.approx(
            dial.pearson(x, y))
    perfect = dial.within_prompts(dial.pearson, [1, 2, 3, 4], [1, 2, 5, 5], "aabb")
    assert perfect == pytest.approx(1)  # nothing to order in b


def test_untrained_rewards():
    """Likelihood against the causal model, text by text; length against counting."""
    model, causal = causal_model("gemma3")
    encoded = random_encoded(5)
    likelihood = torch.cat(dial.predict(baselines.Likelihood(model),
                                        data.evaluation_batches(encoded)))
    expected = []
    for prefix, suffixes in encoded:
        for suffix in suffixes:
            with torch.no_grad():
                logits = causal(input_ids=torch.tensor([prefix + suffix])).logits[0]
            logp = logits.log_softmax(-1)[len(prefix) - 1:-1]
            expected.append(logp.gather(1, torch.tensor(suffix)[:, None]).mean())
    torch.testing.assert_close(likelihood, torch.stack(expected), atol=1e-4, rtol=1e-4)
    lengths = torch.cat(dial.predict(baselines.Likelihood(model, length=True),
                                     data.evaluation_batches(encoded)))
    assert lengths.tolist() == [len(s) for _, suffixes in encoded for s in suffixes]


def test_a_single_response_shares_its_prompt_only(tiny):
    """Its likelihood and length are those of all its tokens, not of what follows a common start."""
    rows = [data.Unlabeled("Say:", ("hello",)), data.Unlabeled("Say:", ("good bye",))]
    encoded = data.encode(rows, tiny[1], 100)
    assert [tiny[1].decode(suffixes[0]) for _, suffixes in encoded] == ["hello", "good bye"]
    model = dial.RewardModel(tiny[0], dial.DialConfig(lora_rank=4))
    lengths = dial.predict(baselines.Likelihood(model, length=True),
                           data.evaluation_batches(encoded))
    assert torch.cat(lengths).tolist() == [5, 8]


def test_examples_stand_before_every_prompt():
    rows = baselines.with_examples(ROWS[:2], ROWS, seed=0)
    shots = rows[0].prompt.removesuffix(ROWS[0].prompt)
    assert shots == rows[1].prompt.removesuffix(ROWS[1].prompt) and shots.count("I am sure.") == 8
    assert "No idea" not in shots
