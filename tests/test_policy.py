"""The policy against the plain language model, with and without padding, cache and sampling."""
import pytest
import torch
import transformers
from conftest import random_classifier

import dial
from rlhf.policy import Policy, Responses, join

CONFIG = dial.DialConfig(lora_rank=4, lora_alpha=4)
PROMPTS, ACTIONS, END = [[2, 5, 6, 7, 8], [2, 9]], [[10, 11, 1], [12, 11, 13, 14, 1]], 1
TOKENS = [1, 10, 11, 12, 13, 14]


def language_model(kind="gemma3_text", **changes):
    config = random_classifier(kind, **changes).config
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for p in model.parameters():
        if p.ndim == 2:
            torch.nn.init.normal_(p, std=0.2)
    return model


def policy_of(model, tokens=TOKENS):
    """A policy whose LoRA and value head do something."""
    policy = Policy(model, CONFIG, tokens, [END])
    for name, p in policy.named_parameters():
        if "lora_B" in name or "value_head" in name:
            torch.nn.init.normal_(p, std=0.1)
    return policy


@pytest.mark.parametrize("kind", ["gemma3_text", "gemma2", "llama"])
def test_log_probs_are_the_language_models_among_the_tokens(kind):
    model = language_model(kind)
    responses = join(PROMPTS, ACTIONS)
    expected = []
    for prompt, actions in zip(PROMPTS, ACTIONS):  # each alone, by the model's own head
        with torch.no_grad():
            logits = model(torch.tensor([prompt + actions])).logits[0, len(prompt) - 1: -1]
        log_probs = logits[:, TOKENS].log_softmax(-1)
        expected.append(log_probs[range(len(actions)), [TOKENS.index(a) for a in actions]])
    policy = Policy(model, CONFIG, TOKENS, [END])
    log_policy, values = policy(responses)
    taken = policy.taken(log_policy, responses)
    for row, real, own in zip(taken, responses.real, expected):
        torch.testing.assert_close(row[real.bool()], own, atol=1e-4, rtol=1e-4)
    assert (values == 0).all()


@pytest.mark.parametrize("kind", ["gemma3_text", "llama"])
def test_a_padded_batch_equals_its_rows_one_by_one(kind):
    policy = policy_of(language_model(kind))
    together = join(PROMPTS, ACTIONS)
    log_policy, values = policy(together)
    for i, (prompt, actions) in enumerate(zip(PROMPTS, ACTIONS)):
        alone_policy, alone_values = policy(join([prompt], [actions]))
        n = len(actions)
        torch.testing.assert_close(log_policy[i, :n], alone_policy[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(values[i, :n], alone_values[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["gemma3_text", "gemma2", "llama"])
def test_greedy_answers_with_a_cache_are_those_without(kind):
    policy = policy_of(language_model(kind))
    prompts = [[2, *range(5, 5 + n)] for n in (3, 12, 1)]  # one longer than the window
    responses = policy.respond(prompts, 6, greedy=True, batch_size=2)
    for i, prompt in enumerate(prompts):
        ids = list(prompt)
        for _ in range(6):
            log_policy, _ = policy(join([ids], [[END]]))
            ids.append(TOKENS[log_policy[0, 0].argmax()])
            if ids[-1] == END:
                break
        answer = responses.actions[i][responses.real[i].bool()]
        assert answer.tolist() == ids[len(prompt):]
    assert responses.n_prompt == 13


def test_an_action_that_cannot_be_chosen_is_an_error():
    policy, responses = policy_of(language_model()), join([[2, 5]], [[77]])
    with pytest.raises((IndexError, RuntimeError)):
        policy.taken(policy(responses)[0], responses)


def test_sampling_follows_the_policy():
    policy = policy_of(language_model())
    torch.manual_seed(0)
    responses = policy.respond([[2, 5]] * 4000, 1, batch_size=1000)
    log_policy, _ = policy(join([[2, 5]], [[END]]))
    share = torch.stack([(responses.actions[:, 0] == token).float().mean() for token in TOKENS])
    torch.testing.assert_close(share, log_policy[0, 0].exp(), atol=0.025, rtol=0)


def test_nothing_is_said_after_the_end():
    policy = policy_of(language_model())
    torch.manual_seed(1)
    responses = policy.respond([[2, 5]] * 100, 8)
    lengths = responses.real.sum(1)
    assert 1 <= lengths.min() < lengths.max() == 8
    for actions, real, n in zip(responses.actions, responses.real, lengths):
        assert real[:n].all() and not real[n:].any() and END not in actions[: n - 1]
        assert n == 8 or actions[n - 1] == END


def test_only_lora_and_the_value_head_are_trained():
    policy = Policy(language_model(), CONFIG, TOKENS, [END])
    trained = {name for name, p in policy.named_parameters() if p.requires_grad}
    assert all("lora_" in name or "value_head" in name for name in trained)
    assert {name for name in trained if "value_head" in name}


def test_responses_meet_at_a_column():
    responses = join(PROMPTS, ACTIONS)
    assert isinstance(responses, Responses) and responses.n_prompt == 5
    assert responses.ids[1].tolist() == [0, 0, 0, 2, 9, 12, 11, 13, 14, 1]
    assert responses.mask[0].tolist() == [1] * 8 + [0] * 2
    assert responses.select(torch.tensor([1])).actions.tolist() == [[12, 11, 13, 14, 1]]


@pytest.mark.parametrize("tokens", [TOKENS, None])
def test_in_bf16_log_probs_are_not_rounded(tokens):
    """Of few tokens and of all; rounded, they would be noise in PPO's ratios."""
    model = language_model().bfloat16()
    policy, responses = Policy(model, CONFIG, tokens, [END]), join(PROMPTS, ACTIONS)
    hidden = 30 * torch.randn(2, 5, model.config.hidden_size).bfloat16()
    output = model.get_output_embeddings().weight[tokens or slice(None)].double()
    expected = (hidden.double() @ output.T).log_softmax(-1).float()
    torch.testing.assert_close(policy.log_policy(hidden), expected, atol=1e-3, rtol=1e-4)
    assert policy(responses)[0].dtype == torch.float32
