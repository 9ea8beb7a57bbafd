"""Several processes: Algorithm 1 on the whole batch, as in one process. Each pair of processes is a
fork, which starts at once; torchrun itself is started once."""
import json
import multiprocessing
import os
import socket
from argparse import Namespace

import pytest
import torch
import torch.distributed as dist
from conftest import ROWS, random_classifier

import data
import dial
from data import InputError
from methods.table import METHODS
from models import backbones, distributed, processes

TRAINED = ["Src-Pref", "DIAL", "DEAL", "Tgt-Pref*", "Src-Tgt-Pref*"]
OTHERS = [data.Preference(f"Name {i} colours.", f"red{', blue' * i}", ("GREEN", "!")) for i in range(7)]
CONFIG = dial.DialConfig(steps=3, learning_rate=1e-2, lambda_da=1.0, lora_rank=4, lora_alpha=4,
                         critic_learning_rate=1e-2, scale_embeddings=True, center_prompts=True)


@pytest.fixture
def pair(tmp_path):
    """A function that calls another in two processes. It returns what each of them returned, read
    from JSON, and leaves their exit codes in `codes`."""
    def pair(function, *args, several=True):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def child(rank):
            os.environ.update(WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", RANK=str(rank),
                              LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            with processes.together(several):
                (tmp_path / f"{rank}.json").write_text(json.dumps(function(*args)))

        children = [multiprocessing.get_context("fork").Process(target=child, args=(rank,))
                    for rank in range(2)]
        for process in children:
            process.start()
        for process in children:
            process.join(20)
        pair.codes = [process.exitcode for process in children]
        for process in children:
            process.kill()
        if pair.codes == [0, 0]:
            return [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]

    return pair


def learn(method, kind=distributed.RewardModel, pack=distributed.pack_part, shard=False):
    """Three steps of a method, with 3 + 3 records each, on a random Gemma 3: the losses, the
    gradients before they are clipped, and the rewards of all records afterwards."""
    tokenizer, gradients = backbones.load_tokenizer("tiny"), []
    source = data.encode(ROWS, tokenizer, 512)
    target = data.encode(OTHERS, tokenizer, 512)
    labeled = [{"source": source, "target": target}[name] for name in METHODS[method].labels]
    unlabeled = METHODS[method].reads_target and target
    torch.manual_seed(0)
    args = Namespace(shard=shard, checkpoint=False, device="cpu")
    classifier = random_classifier("gemma3_text")
    torch.manual_seed(0)
    model = (kind(classifier, CONFIG) if kind is dial.RewardModel
             else distributed.reward_model(args, classifier, CONFIG))
    critic, clip = dial.Critic(32), torch.nn.utils.clip_grad_norm_

    def spy(parameters, norm):
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]).tolist())
        return clip(parameters, norm)

    batches = data.training_batches(labeled, unlabeled, 3, 3, pack=pack, share=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", spy)
        log = dial.train(model, critic, batches, CONFIG, METHODS[method].step)
    rewards = dial.predict(model, data.evaluation_batches(source, 60, pack=pack, share=True))
    divided = sorted({type(p).__name__ for p in model.parameters() if not p.requires_grad})
    return [log, gradients, [r.tolist() for r in rewards], divided]


def learn_all(shard):
    return {method: learn(method, shard=shard) for method in TRAINED}


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
    return {method: learn(method, dial.RewardModel, data.pack) for method in TRAINED}


@pytest.mark.parametrize("shard", [False, True])
def test_two_processes_learn_as_one(alone, pair, shard):
    """The losses, the gradients and the rewards of one process, to rounding."""
    first, second = pair(learn_all, shard)
    for method in TRAINED:
        print(method, off(alone[method], first[method]))
        assert max(off(alone[method], first[method])) < 1e-5, method
        assert first[method] == second[method]
        assert first[method][3] == ["DTensor"] * shard + ["Parameter"]
