"""Several processes: Algorithm 1 on the whole batch, as in one process. Two processes are forks of
this one, which start at once."""
import json
import multiprocessing
import os
import sys
import threading
from argparse import Namespace
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from conftest import ROWS, random_classifier
from tqdm import tqdm

import data
import dial
from harness.command import exit_codes
from methods.learners import new_model
from methods.table import METHODS
from models import backbones, distributed, processes

# Methods, and records of each domain a step. Of 1 + 1, a process has the source or the target.
TRAINED = [("Src-Pref", 3), ("DIAL", 3), ("DEAL", 3), ("Tgt-Pref*", 3), ("Src-Tgt-Pref*", 3),
           ("DIAL", 1)]
OTHERS = [data.Preference(f"Name {i} colours.", f"red{', blue' * i}", ("GREEN", "!"))
          for i in range(7)]
CONFIG = dial.DialConfig(steps=3, learning_rate=1e-2, lambda_da=1.0, lora_rank=4, lora_alpha=4,
                         critic_learning_rate=1e-2, scale_embeddings=True, center_prompts=True)


@pytest.fixture
def pair(tmp_path):
    """A function that calls another in two processes, as a command does under torchrun. It returns
    what each of them returned, read from JSON, and their exit codes."""
    children = []

    def child(rank, store, function, args, several):
        os.environ.update(WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", RANK=str(rank),
                          LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1",
                          MASTER_PORT=str(store.port), TORCHELASTIC_USE_AGENT_STORE="True")
        tqdm.set_lock(threading.RLock())  # another thread may have held the parent's at the fork
        sys.stdout, sys.stderr = (open(fd, "w", buffering=1, closefd=False) for fd in (1, 2))
        with exit_codes(several):
            (tmp_path / f"{rank}.json").write_text(json.dumps(function(*args)))

    def pair(function, *args, several=True, meanwhile=None):
        store = dist.TCPStore("127.0.0.1", 0, is_master=True)  # in torchrun's own process
        for rank in range(2):
            (tmp_path / f"{rank}.json").write_text("null")
            children.append(multiprocessing.get_context("fork").Process(
                target=child, args=(rank, store, function, args, several)))
            children[-1].start()
        if meanwhile:
            meanwhile(children[-2:])
        for process in children[-2:]:
            process.join(30)
        return ([json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)],
                [process.exitcode for process in children[-2:]])

    yield pair
    for process in children:
        process.kill()


def learn(method, n, shard=False, steps=3):
    """Train a method with n records of each domain a step on a random Gemma 3. Returns, for JSON,
    the losses, the gradients before they are clipped, the rewards of all records afterwards, and
    the types of the weights."""
    tokenizer, gradients = backbones.load_tokenizer("tiny"), []
    source, target = (data.encode(rows, tokenizer, 512) for rows in (ROWS, OTHERS))
    labeled = [{"source": source, "target": target}[name] for name in METHODS[method].labels]
    unlabeled = METHODS[method].reads_target and target
    args = Namespace(shard=shard, gradient_checkpointing=False, device="cpu")
    options = {"make": distributed.pack_part} if processes.count() > 1 else {}
    config = replace(CONFIG, steps=steps)
    backbone = backbones.Backbone(random_classifier("gemma3_text"), tokenizer, {})
    clip = torch.nn.utils.clip_grads_with_norm_

    def spy(parameters, *how):
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]).tolist())
        return clip(parameters, *how)

    with new_model(args, backbone, config, 0) as (model, critic), \
            pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grads_with_norm_", spy)
        batches = data.training_batches(labeled, unlabeled or None, n, steps, **options)
        log = dial.train(model, critic, batches, config, METHODS[method].step)
        rewards = dial.predict(model, data.evaluation_batches(source, 60, **options))
        kinds = sorted({type(p).__name__ for p in model.parameters() if not p.requires_grad})
    return [log, gradients, [r.tolist() for r in rewards], kinds]


def off(one, two):
    """The largest difference of losses, of gradients and of rewards, relative to the largest of
    each loss over the steps, and to the largest gradient and reward."""
    def relative(a, b):
        a, b = torch.tensor(a), torch.tensor(b)
        return ((a - b).abs().max() / a.abs().max()).item()

    losses = max(relative([step[name] for step in one[0]], [step[name] for step in two[0]])
                 for name in one[0][0])
    gradients = max(map(relative, one[1], two[1]))
    rewards = max(relative(a, b) for a, b in zip(one[2], two[2], strict=True))
    return losses, gradients, rewards


@pytest.fixture(scope="module")
def alone(cache):
    return [learn(*kind) for kind in TRAINED]


def learn_all(kinds, shard):
    return [learn(*kind, shard) for kind in kinds]


@pytest.mark.parametrize("shard", [False, True])
def test_two_processes_learn_as_one(alone, pair, shard):
    """The losses, the gradients and the rewards of one process, to rounding."""
    kinds = TRAINED[:2] if shard else TRAINED
    (first, second), codes = pair(learn_all, kinds, shard)
    assert codes == [0, 0] and first == second
    for kind, run, expected in zip(kinds, first, alone):
        assert max(off(expected, run)) < 1e-5, kind
        assert run[3] == ["DTensor"] * shard + ["Parameter"]


def averaged(model, sum_up=distributed.RewardModel.sum_gradients):
    sum_up(model)
    for p in model.backbone.parameters():
        p.grad = p.grad / 2 if p.requires_grad else None


def with_the_head(model):
    for p in model.parameters():
        if p.requires_grad:
            dist.all_reduce(p.grad)


def disordered(records, pack_part=distributed.pack_part, **options):
    batch = pack_part(records, **options)
    return batch | {"rows": batch["rows"].flip(0)}


MODEL = distributed.RewardModel
DEFECTS = {
    "gradients are averaged": (MODEL, "sum_gradients", averaged),
    "gradients stay where they are": (MODEL, "sum_gradients", lambda model: None),
    "the head's is summed, too": (MODEL, "sum_gradients", with_the_head),
    "own rows are constants": (distributed, "gather", lambda emb, *where, gather=distributed.gather:
                               gather(emb, *where).detach().requires_grad_()),
    "rows are in another order": (distributed, "pack_part", disordered),
    "random numbers differ": (dial, "gradient_penalty",
                              lambda *args, penalty=dial.gradient_penalty: (
                                  torch.rand(1 + processes.rank()), penalty(*args))[1]),
}


def learn_with_defects():
    found = []
    for where, name, defect in DEFECTS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(where, name, defect)
            try:
                found.append(learn("DIAL", 3, steps=1))
            except TypeError as error:  # nothing to differentiate
                found.append(str(error))
    return found


def test_defects_are_seen(alone, pair):
    (found, _), _ = pair(learn_with_defects)
    losses, gradients, *_ = alone[TRAINED.index(("DIAL", 3))]
    for defect, run in zip(DEFECTS, found, strict=True):
        assert isinstance(run, str) or max(off([losses[:1], gradients[:1], run[2]], run)) > 1e-3, (
            defect)


def drift():
    """The heads and critics of two processes that are not alike, before and after steps."""
    torch.manual_seed(processes.rank())
    model, critic = torch.nn.Module(), dial.Critic(3)
    model.reward_head = torch.nn.Linear(3, 1)
    parts, found = [*model.reward_head.parameters(), *critic.parameters()], []
    look = distributed.keep_alike(model, critic, lambda step: {"step": float(step)})
    for step in (99, 100):
        assert look(step) == {"step": float(step)}
        found.append(torch.cat([p.flatten() for p in parts]).tolist())
    return found


def test_heads_and_critics_are_kept_alike(pair):
    (first, second), _ = pair(drift)
    assert first[0] == first[1] == second[1] != second[0]
