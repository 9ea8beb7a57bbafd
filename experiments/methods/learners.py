"""What a method trains: the reward model and the critic of a run, in one process or in several."""
from contextlib import contextmanager

import torch

import dial
from models import backbones, processes


@contextmanager
def new_model(args, backbone, config, seed):
    """A reward model and a critic with a seed's weights; at the end LoRA leaves the backbone."""
    torch.manual_seed(seed)
    if processes.count() > 1:
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
