"""What a run trains, in one process or in several, and what it reads, as tokens."""
from contextlib import contextmanager

import torch
import torch.distributed as dist

import data
import dial
from methods.table import METHODS
from models import backbones


@contextmanager
def new_model(args, backbone, config, seed):
    """A reward model and a critic with a seed's weights; at the end LoRA leaves the backbone."""
    torch.manual_seed(seed)
    if dist.is_initialized():
        from models.distributed import reward_model
        model = reward_model(args, backbone.classifier, config)
    else:
        model = backbones.reward_model(backbone.classifier, config, args.gradient_checkpointing)
    try:
        yield model, dial.Critic(model.reward_head.in_features).to(model.scale.device)
    finally:
        if args.gradient_checkpointing:  # peft would differentiate the embeddings of the next run
            model.transformer.activation_checkpointing_disable()
        model.backbone.unload()


def encode_all(args, backbone, jobs):
    """All that the jobs will read as tokens, {id(rows): encoded}; the domains hold the rows, so an
    id stays theirs. Raises InputError for what cannot be used, before anything is trained."""
    encoded = {}
    for name, _, pairs in jobs:
        for source, target in pairs:
            METHODS[name].check(name, args, backbone.classifier, target)
            for domain, part in METHODS[name].reads(source, target):
                if id(rows := getattr(domain, part)) not in encoded:
                    encoded[id(rows)] = data.encode(
                        rows, backbone.tokenizer, args.max_length, args.truncate,
                        f"{domain.name}, {part}")
                    domain.check(part, encoded[id(rows)], backbone.classifier)
    return encoded
