"""Several processes train one reward model: torchrun --nproc_per_node N experiments/COMMAND.

A batch is that of one process, and Algorithm 1 is run on the whole of it. Only the backbone's work
is divided, because what comes after the embeddings is cheap:

  1. Every process draws the same records and packs its part of them (`pack_part`).
  2. Each process embeds its part, and all get the embeddings of the whole batch (`gather`). Each
     computes critic, penalty and losses in full, with the same random numbers. So head and critic
     have the gradient of the whole batch everywhere.
  3. The backbone has the gradient of a process's own rows. The processes add theirs up before the
     gradient is clipped (`RewardModel.sum_gradients`, which `dial.descend` calls).

The losses are then those of one process, to rounding. PyTorch's DistributedDataParallel would
average the gradients of a loss for each part, and a distance between samples has no such parts.
Rewards are measured in the same parts.

With --shard the processes also divide the backbone's frozen weights, for a model that does not fit
on one device (`shard`).
"""
import copy
from itertools import accumulate

import torch
import torch.distributed as dist

import data
import dial
from data import InputError
from models import backbones, processes

ALIKE_EVERY = 100  # steps: on a GPU, sums in another order let heads and critics drift apart


def pack_part(records, **options):
    """`data.pack` of this process's part of a batch, every n-th record.

    Returns its batch with the `counts` of the whole batch, and `rows`: (R,), which of the whole
    batch's responses are in it. A process without a record packs the first one and has no rows,
    since all processes have to run a sharded backbone together.
    """
    counts = [len(record.texts) for record in records]
    starts = [0, *accumulate(counts)]
    own = range(processes.rank(), len(records), processes.count())
    rows = [row for i in own for row in range(starts[i], starts[i + 1])]
    return data.pack([records[i] for i in own] or records[:1], **options) | {
        "counts": counts, "rows": torch.tensor(rows, dtype=torch.long)}


def gather(emb, rows, n):
    """The embeddings of the whole batch, in its order, from those of each process.

    Args: emb: (R, D), this process's. rows: (R,), where they belong among the n.
    Returns (n, D). Own rows carry gradient; the others' are constants.
    """
    whole = emb.new_zeros(n, emb.shape[1]).index_copy(0, rows, emb.detach())  # others' rows are 0
    dist.all_reduce(whole)  # their sum: each row is one process's, and 0 in all others
    return whole.index_copy(0, rows, emb)


class RewardModel(dial.RewardModel):
    """A `dial.RewardModel` that embeds a batch of `pack_part` with the other processes."""

    def embed(self, batch, hidden=None):
        emb = super().embed(batch, hidden)
        if "rows" not in batch:
            return emb
        return gather(emb[:len(batch["rows"])], batch["rows"], sum(batch["counts"]))

    def sum_gradients(self):
        """Add up the processes' gradients of the backbone, each of own rows. The head's is that of
        the whole batch already."""
        for p in self.backbone.parameters():
            if p.requires_grad:
                dist.all_reduce(p.grad)


def keep_alike(model, critic, evaluate=None):
    """`evaluate` for `dial.train`, which also copies process 0's head and critic now and then."""
    def look(step):
        if step % ALIKE_EVERY == 0:
            for p in (*model.reward_head.parameters(), *critic.parameters()):
                dist.broadcast(p.data, 0)
        return evaluate(step) if evaluate else {}

    return look


# ------------------------------------------------------------------ the model of a run


def reward_model(args, classifier, config):
    """The `RewardModel` of a run; with --shard its backbone is a divided copy of the classifier,
    which stays on the CPU."""
    if args.shard:
        classifier = copy.deepcopy(classifier)
    model = backbones.reward_model(classifier, config, args.gradient_checkpointing, RewardModel)
    return shard(model, args.device) if args.shard else model


def shard(model, device):
    """Divide the frozen weights of a model's backbone among the processes. A layer is put together
    while it is run. LoRA and head stay whole, to be clipped together."""
    from torch.distributed.fsdp import fully_shard

    if not hasattr(model.transformer, "layers"):
        raise InputError(f"--shard takes a model of {', '.join(backbones.SHARE_ROWS)}")
    mesh = dist.init_device_mesh(device, (processes.count(),))
    trained = {p for p in model.parameters() if p.requires_grad}
    for module in (*model.transformer.layers, model.transformer):
        fully_shard(module, mesh=mesh, ignored_params=trained)
    return model.to(device)


def whole(model, classifier, config):
    """The trained weights of a divided model on the whole classifier, on the CPU, to be saved."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    copied = dial.RewardModel(copy.deepcopy(classifier), config)
    copied.load_state_dict(trained | {"scale": model.scale}, strict=False)
    return copied
