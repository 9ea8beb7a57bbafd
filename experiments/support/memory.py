"""What a training step would take, estimated without loading a model (`--dry-run`)."""
import torch
import transformers

from support.backbones import locate


def memory_line(args):
    """An estimate of what a training step takes, in words."""
    try:
        config = transformers.AutoConfig.from_pretrained(locate(args.model))
        sizes = [f"{memory(config, args, kept) / 2**30:.1f} GiB" for kept in (False, True)]
    except (OSError, ValueError, AttributeError):
        return f"memory: not known without the configuration of a text model, {args.model}"
    return (f"memory: about {sizes[0]} in bf16 where all are pairs of texts of --max-length, "
            f"{sizes[1]} with --checkpoint")


def memory(config, args, checkpoint=False):
    """Bytes of a training step with the longest texts, roughly: weights in bf16, LoRA with its
    gradients and AdamW's two moments in fp32, and activations."""
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(config)
    layers = args.config.lora_layers or config.num_hidden_layers
    top = range(config.num_hidden_layers - layers, config.num_hidden_layers)
    names = args.config.lora_modules.split(",")
    lora = sum(args.config.lora_rank * (m.in_features + m.out_features)
               for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)
               and name.rsplit(".")[-1] in names
               and any(f"layers.{i}." in name for i in top))
    records = [2 * args.batch_size] if not args.training else [
        line.batch_size * (2 if line.epoch_of == "larger" else 1)
        for line in args.training.values()]  # of both domains where the method reads both
    tokens = max(records) * 2 * args.max_length
    return (2 * sum(p.numel() for p in model.parameters()) + 16 * lora
            + tokens * activations(config, layers, checkpoint))


def activations(config, layers, checkpoint):
    """Bytes that the backward pass keeps of a token in bf16: in each layer at most 22 vectors of
    the hidden size (counted on Gemma 3, with its four norms; Gemma 1 has 12) and three of the
    MLP's; with --checkpoint those of one layer at a time, and of each its input."""
    layer = 2 * (22 * config.hidden_size + 3 * config.intermediate_size)
    return layer + layers * 2 * config.hidden_size if checkpoint else layers * layer
