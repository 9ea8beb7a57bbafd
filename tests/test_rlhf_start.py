"""What the arms of RLHF begin with: a policy that speaks, a reward model after one epoch."""
import pytest
import torch
from test_rlhf import small, small_args, start  # noqa: F401  (a fixture)

import dial
from rlhf import arms
from rlhf.policy import join
from rlhf.ppo import supervised_loss
from rlhf.start import SUPERVISED, Start


def test_a_start_is_the_seeds_own_whatever_came_before(start, monkeypatch):  # noqa: F811
    """An arm that is trained later begins as the others did: with a reward model after one epoch,
    whose scale stays."""
    monkeypatch.setitem(SUPERVISED, "steps", 10)
    steps, train = [], dial.train
    monkeypatch.setattr(dial, "train", lambda model, critic, batches, config, *rest, **options: (
        steps.append(config.steps), train(model, critic, batches, config, *rest, **options))[1])
    torch.rand(7)
    again = Start(start.args, start.task, 3)
    assert steps == [len(start.task.pairs) / 6] == [4]
    for ours, earlier in ((again.model, start.model), (again.lm, start.lm)):
        assert all(map(torch.equal, ours.state_dict().values(), earlier.state_dict().values()))
    scale, again.args = again.model.scale.item(), small_args(epochs=2)
    assert scale > 1.5
    arms.run_arm(again, "DIAL")
    assert again.model.scale.item() == scale and steps == [4, 2]
    monkeypatch.setitem(SUPERVISED, "steps", 1)
    other = Start(start.args, start.task, 4)
    assert not torch.equal(other.model.reward_head.weight, start.model.reward_head.weight)


def test_the_policy_chooses_among_the_tokens_of_the_texts(start):  # noqa: F811
    found = set(start.ends)
    for text in start.task.texts:
        found |= set(start.tokenizer(text, add_special_tokens=False)["input_ids"])
    assert start.policy().output.shape[0] == len(found) == len(start.tokens) > 20
    assert set(start.tokens) == found


def test_supervision_teaches_the_policy_to_speak(cache, monkeypatch):
    config = dial.DialConfig(lora_rank=8, lora_alpha=8,
                             lora_modules="q_proj,k_proj,v_proj,o_proj,up_proj,down_proj")
    args = small_args(config=config, batch_size=48, max_new_tokens=8)
    task, losses, ends = small(0), [], []
    task.spoken = [(prompt, "No. No!") for prompt in task.train]
    monkeypatch.setitem(SUPERVISED, "learning_rate", 5e-3)
    for steps in (20, 0):
        monkeypatch.setitem(SUPERVISED, "steps", steps)
        start = Start(args, task, 0)  # noqa: F811
        ids = [[*start.tokenize(["No. No!"])[0], start.ends[0]]] * len(task.test)
        responses = join([start.prompts[p] for p in task.test], ids)
        policy = start.policy()
        losses.append(supervised_loss(policy, responses).item())
        ends.append(policy.taken(policy(responses)[0], responses)[:, -1].mean().item())
    assert losses[0] < losses[1] - 0.3, losses
    assert ends[0] > ends[1] + 0.3, ends  # it is taught to end as well


def test_supervision_whose_gradient_is_infinite_ends(cache):
    args = small_args(config=dial.DialConfig(lora_rank=4, lora_alpha=1e30, lora_layers=1))
    with pytest.raises(FloatingPointError, match="supervising the policy, step 1: .*lora_alpha"):
        Start(args, small(0), 0)
