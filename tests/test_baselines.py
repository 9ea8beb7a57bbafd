"""The baselines' steps and the untrained rewards, against transformers, autograd and counting."""
import copy
import math
from dataclasses import replace

import pytest
import torch
import transformers
from conftest import random_classifier
from test_algorithm import FACTORS, HARD, AdamW, losses_by_hand, toy, toy_batches
from test_batches import random_encoded

import data
import dial
from data import Preference, Unlabeled
from domains.splits import Domain
from methods import baselines, untrained
from models import language


@pytest.mark.parametrize("critic_steps, center", [(1, False), (3, False), (3, True)])
def test_deal_by_hand(critic_steps, center, monkeypatch):
    """The critic goes down penalty - gamma W, so many times, the last from where the model, too,
    goes down lambda source loss + gamma W."""
    monkeypatch.setattr(baselines, "LAMBDA_TASK", 0.7)
    (model, critic), (other, other_critic) = toy(), toy()
    torch.manual_seed(2)
    config = replace(HARD, critic_steps=critic_steps, center_prompts=center)
    records = dial.train(model, critic, toy_batches(), config, baselines.deal_step)
    torch.manual_seed(2)
    ours, critics = AdamW(other, 0.02, 0.9, 0.3), AdamW(other_critic, 0.03, 0.5, 0.2)
    for i, batch in enumerate(toy_batches()):
        emb, gamma = other.embed(batch), 2
        for _ in range(critic_steps):
            twin = copy.deepcopy(other_critic)
            _, distance, penalty = losses_by_hand(other, other_critic, emb.detach(), batch,
                                                  center)
            critics.step(10 * penalty() - gamma * distance)
        source_loss, distance, _ = losses_by_hand(other, twin, emb, batch, center)
        ours.step(0.7 * source_loss + gamma * distance, FACTORS[i], clip=0.05)
        assert records[i]["distance"] == pytest.approx(distance.item(), rel=1e-9)
    for a, b in zip([*model.parameters(), *critic.parameters()],
                    [*other.parameters(), *other_critic.parameters()], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def language_batch(tokenizer, share):
    """Two records of the source and one of the target, with what their texts are as tokens."""
    source = [Preference("Src?", "good", ("bad", "worse")), Preference("Source?", "yes", ("no",))]
    target = [Unlabeled("Tgt?", ("some", "thing"))]
    encoded = data.encode(source + target, tokenizer, 100)
    batch = data.pack(encoded, share=share) | {
        "n_source": 5, "n_source_records": 2,
        "chosen": torch.tensor([0, 0, 3]), "rejected": torch.tensor([1, 2, 4])}
    n_prompt, texts = encoded[2]
    target = [(texts[0][:n_prompt], 1)] + [(text, n_prompt) for text in texts]
    return batch, {baselines.sft_step: [(texts[0], n) for n, texts in encoded[:2]],
                   baselines.ntp_step: target}


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("step", [baselines.sft_step, baselines.ntp_step])
def test_a_language_step_by_hand(tiny, config, step, share):
    """SFT: the chosen responses. NTP: all of the target's text. One step of SGD, text by text. The
    authors' release adds a number here, so that nothing is learned from it."""
    model = dial.RewardModel(tiny[0], config)
    config.clip = 0.0
    batch, texts = language_batch(tiny[1], share)
    embeddings = model.transformer.get_input_embeddings().weight
    losses = []
    for ids, start in texts[step]:
        hidden = model.transformer(input_ids=torch.tensor([ids])).last_hidden_state[0]
        losses.append(torch.nn.functional.cross_entropy(
            hidden[start - 1:-1] @ embeddings.T, torch.tensor(ids[start:]), reduction="none"))
    language_loss = torch.cat(losses).mean()
    rewards = model(batch)
    source_loss = -(rewards[[0, 0, 3]] - rewards[[1, 2, 4]]).sigmoid().log().mean()
    trained = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(source_loss + 0.01 * language_loss, trained, retain_graph=True)
    expected = [p - 10 * g for p, g in zip(trained, gradients)]
    rounding = [3e-5 * g.abs().max().item() for g in gradients]  # 3e-6 of the largest change
    of_language = torch.autograd.grad(0.01 * losses[0].mean() + 0 * rewards.sum(), trained)
    record = step(model, None, torch.optim.SGD(trained, lr=10.0), None, batch, config)
    assert record["language_loss"].item() == pytest.approx(language_loss.item(), rel=1e-5)
    assert record["source_loss"].item() == pytest.approx(source_loss.item(), rel=1e-5)
    for a, b, tolerance in zip(trained, expected, rounding, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)
    assert sum(g.abs().max().item() > tolerance > 0  # they would show if missing, ten times over,
               for g, tolerance in zip(of_language, rounding)) == 8  # in each of the matrices B


def test_tokens_are_drawn_among_the_wanted(tiny, config, monkeypatch):
    model, losses, draws = dial.RewardModel(tiny[0], config), baselines.token_losses, []
    batch, _ = language_batch(tiny[1], True)
    monkeypatch.setattr(baselines, "LM_TOKENS", 4)
    monkeypatch.setattr(baselines, "token_losses",
                        lambda *a: draws.append(a[-1].tolist()) or losses(*a))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for _ in range(10):
        baselines.sft_step(model, None, optimizer, None, batch, config)
    wanted = [i for i, r in enumerate(
        baselines.tokens_to_predict(batch)["response"].tolist()) if r in (0, 3)]
    assert all(len(set(draw)) == 4 for draw in draws) and len(set(map(tuple, draws))) > 1
    assert set(sum(draws, [])) == set(wanted)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("kind", ["gemma", "gemma2", "gemma3_text"])  # Gemma 2 limits its logits
def test_likelihoods_are_those_of_transformers(kind, share):
    classifier = random_classifier(kind)
    causal = transformers.AutoModelForCausalLM.from_config(classifier.config).eval()
    causal.model.load_state_dict(classifier.model.state_dict())
    causal.tie_weights()
    model, encoded = dial.RewardModel(classifier, dial.DialConfig(lora_rank=4)), random_encoded(4)
    rewards = dial.predict(language.Likelihood(model),
                           data.evaluation_batches(encoded, share=share))
    for (n_prompt, texts), found in zip(encoded, rewards, strict=True):
        for text, reward in zip(texts, found, strict=True):
            ids = torch.tensor([text])
            labels = ids.clone()
            labels[:, :n_prompt] = -100
            with torch.no_grad():
                expected = -causal(input_ids=ids, labels=labels).loss.item()
            assert reward.item() == pytest.approx(expected, abs=1e-4)


def test_lengths_and_counts_by_hand():
    source = Domain("source", [Preference("p", "A b. C", ("A b.", "d")),
                               Preference("p", "c", ("b c.",))])
    target = Domain("target", test=[Preference("p", "A b.  c new", ("d",)),
                                    Preference("p", "b", ("a\nb. C",))])

    def rewards(f):
        return [values.tolist() for values in f(target, source=source)]

    assert rewards(untrained.longest) == [[4, 1], [1, 3]]
    # Chosen a 1, b. 1, c 2; rejected a 1, b. 1, d 1, b 1, c. 1.
    assert rewards(untrained.seen_words) == [
        pytest.approx([math.log(3), -math.log(2)]), pytest.approx([-math.log(2), math.log(3)])]


def test_token_losses_of_bf16_states_are_fp32(tiny):
    model = dial.RewardModel(tiny[0].bfloat16(), dial.DialConfig(lora_rank=4))
    embeddings = model.transformer.get_input_embeddings().weight.detach()
    torch.manual_seed(0)
    hidden, tokens = torch.randn(1, 40, 32).bfloat16(), torch.randint(259, (40,))
    expected = -(hidden[0] @ embeddings.T).double().log_softmax(-1)[range(40), tokens]
    every = torch.arange(40)
    losses = language.token_losses(model, hidden, {"token": tokens, "row": every * 0,
                                                   "before": every}, every)
    torch.testing.assert_close(losses, expected.float(), rtol=1e-5, atol=1e-5)
