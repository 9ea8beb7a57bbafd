"""What a training step would take, estimated without loading a model (`--dry-run`)."""
import torch
import transformers

from support.backbones import locate


def memory_line(args):
    """An estimate of what a training step takes, in words."""
    try:
        size = memory(transformers.AutoConfig.from_pretrained(locate(args.model)), args)
    except (OSError, ValueError, AttributeError):
        return f"memory: not known without the configuration of a text model, {args.model}"
    return f"memory: about {size / 2**30:.1f} GiB with texts of --max-length"


def memory(config, args):
    """Bytes of a training step with the longest texts, roughly: weights in bf16, LoRA with its
    gradients and AdamW's two moments in fp32, and the activations that a backward pass keeps, some
    ten vectors of the hidden size and three of the MLP's a token and layer."""
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(config)
    layers = args.config.lora_layers or config.num_hidden_layers
    top = range(config.num_hidden_layers - layers, config.num_hidden_layers)
    names = args.config.lora_modules.split(",")
    lora = sum(args.config.lora_rank * (m.in_features + m.out_features)
               for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)
               and name.rsplit(".")[-1] in names
               and any(f"layers.{i}." in name for i in top))
    tokens = 2 * args.batch_size * 2 * args.max_length  # pairs of both domains
    activations = tokens * layers * 2 * (10 * config.hidden_size + 3 * config.intermediate_size)
    return 2 * sum(p.numel() for p in model.parameters()) + 16 * lora + activations
