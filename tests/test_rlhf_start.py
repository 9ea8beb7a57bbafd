"""What the arms of RLHF begin with: a policy that speaks, a reward model after one epoch."""
from argparse import Namespace

import torch
from test_rlhf import judge, small, start  # noqa: F401  (a fixture)

import dial
from support import rlhf
from support.policy import join
from support.ppo import supervised_loss
from support.rlhf_start import SUPERVISED, Start


def test_the_reward_model_begins_with_an_epoch_and_its_scale_stays(
        cache, monkeypatch, start):  # noqa: F811
    steps, train = [], dial.train
    monkeypatch.setattr(dial, "train", lambda model, critic, batches, config, *rest, **options: (
        steps.append(config.steps), train(model, critic, batches, config, *rest, **options))[1])
    again = Start(start.args, start.task, 3)
    assert steps == [len(start.task.pairs) / 6] == [4]
    scale = again.model.scale.item()
    assert scale > 1.5
    rlhf.run_arm(again, "DIAL", judge)
    assert again.model.scale.item() == scale


def test_a_start_is_the_seeds_own_whatever_came_before(start):  # noqa: F811
    """An arm that --resume trains later begins as the others did."""
    torch.rand(7)
    again = Start(start.args, start.task, 3)
    for ours, theirs in ((again.model, start.model), (again.lm, start.lm)):
        assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    torch.rand(7)
    other = Start(start.args, start.task, 4)
    assert not torch.equal(other.model.reward_head.weight, again.model.reward_head.weight)


def test_the_policy_chooses_among_the_tokens_of_the_texts(start):  # noqa: F811
    found = set(start.ends)
    for text in start.task.texts:
        found |= set(start.tokenizer(text, add_special_tokens=False)["input_ids"])
    assert start.policy().output.shape[0] == len(found) == len(start.tokens) > 20
    assert set(start.tokens) == found


def test_supervision_teaches_the_policy_to_speak(cache, monkeypatch):
    args = Namespace(model="tiny", device="cpu", dtype="float32", config=dial.DialConfig(
        lora_rank=8, lora_alpha=8, lora_modules="q_proj,k_proj,v_proj,o_proj,up_proj,down_proj"),
        max_length=200, batch_size=48, max_new_tokens=8, paper=False)
    task, losses, ends = small(0), [], []
    task.spoken = [(prompt, "No. No!") for prompt in task.train]
    for steps in (60, 0):
        monkeypatch.setitem(SUPERVISED, "steps", steps)
        start = Start(args, task, 0)
        ids = [[*start.response_tokens("No. No!"), start.ends[0]]] * len(task.test)
        responses = join([start.prompts[p] for p in task.test], ids)
        policy = start.policy()
        losses.append(supervised_loss(policy, responses).item())
        ends.append(policy.taken(policy(responses)[0], responses)[:, -1].mean().item())
    assert losses[0] < losses[1] - 0.3, losses
    assert ends[0] > ends[1] + 0.3, ends  # it is taught to end as well
