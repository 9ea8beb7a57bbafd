"""Attention for packed rows (`data.pack`), known to transformers as "blocks" and as "flex".

A row of L tokens holds many texts. A mask of (L, L) would cost the square of the row, nearly all
of it for tokens that do not see each other. So attention goes block by block: a block has the
tokens that a text, or several short ones, add to the row. Their keys are the tokens of the block
and those that its first token has before it in its text.

On CUDA, `--attention flex` does it in one call a layer, in a kernel that PyTorch compiles and that
passes over the parts of the row in which no token sees another. No GPU has run it yet.
"""
from functools import cache

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from data import Blocks, InputError

# The kinds of model that take rows of several texts (a test tries them). Others get one a row.
SHARE_ROWS = ("gemma", "gemma2", "gemma3_text", "llama", "mistral", "qwen2", "qwen3")


@torch.compiler.disable  # --compile: blocks differ from batch to batch
def block_attention(module, query, key, value, attention_mask, scaling, dropout=0.0,
                    sliding_window=None, softcap=None, blocks=None, **kwargs):
    """Attend within `blocks`; without them each row is one text, padded on the right.

    Args:
        query: (R, H, L, D). key, value: (R, H_kv, L, D). scaling, dropout, sliding_window, softcap:
            the backbone's own; the last is Gemma 2's limit of the logits. attention_mask: not read.
    Returns:
        (R, L, H, D), and None for the attention's weights.
    """
    blocks = blocks or one_text(query)
    groups, out = query.shape[1] // key.shape[1], []
    key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    parts = (x.index_select(2, blocks.keys).split([k for _, k, _ in blocks.sizes], 2)
             for x in (query, key, value))
    for (n, *_), mask, q, k, v in zip(blocks.sizes, blocks.masks(sliding_window), *parts):
        q = q if mask is None else q[:, :, -n:]  # the block's own are the last of its keys
        out.append(attend(q, k, v, mask, scaling, softcap, dropout)[:, :, -n:])
    return torch.cat(out, 2).transpose(1, 2), None


def one_text(query):
    """The `Blocks` of a row that is one text, (R, H, L, D)."""
    column = torch.arange(query.shape[2], device=query.device)
    return Blocks([(len(column), len(column), True)], column, column,
                  torch.full_like(column, len(column)))


def attend(query, key, value, mask, scaling, softcap, dropout):
    """softmax(mask(query key^T * scaling)) value, (R, H, Q, D); without a mask, causal."""
    # In bf16 on a CPU, at Gemma's head size, the fused kernel takes up to twice as long.
    if not softcap and (query.dtype == torch.float32 or query.device.type != "cpu"):
        return F.scaled_dot_product_attention(query, key, value, mask, dropout, scale=scaling,
                                              is_causal=mask is None)
    logits = query @ key.transpose(2, 3) * scaling  # (R, H, Q, K)
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    mask = torch.ones_like(logits, dtype=torch.bool).tril() if mask is None else mask
    logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
    return F.dropout(logits.softmax(-1), dropout) @ value


def use_flex(classifier, device):
    """Let a backbone of `backbones.load` use `flex_rows`. Raises InputError where it cannot."""
    if torch.device(device).type != "cuda":
        raise InputError(f"--attention flex takes --device cuda, not {device}")
    if classifier.config._attn_implementation != "blocks":
        raise InputError("--attention flex takes a model whose rows hold several texts, such as a "
                         "Gemma, Llama, Mistral or Qwen")
    if getattr(classifier.config, "attention_dropout", 0):
        raise InputError("--attention flex takes a model without attention_dropout")
    classifier.set_attn_implementation("flex")


@torch.compiler.disable  # --compile: it is compiled by itself
def flex_rows(module, query, key, value, attention_mask, scaling, dropout=0.0,
              sliding_window=None, softcap=None, blocks=None, **kwargs):
    """`block_attention` by `flex_attention`, without dropout. Rows are filled up to a power of two,
    so that it is compiled for a few lengths only."""
    length, blocks = query.shape[2], blocks or one_text(query)
    extra = max(128, 1 << (length - 1).bit_length()) - length
    if ("flex", sliding_window) not in blocks.made:  # once for all layers
        blocks.made["flex", sliding_window] = flex_mask(blocks, extra, sliding_window)
    query, key, value = (F.pad(x, (0, 0, 0, extra)) for x in (query, key, value))
    out = flex(query.is_cuda)(
        query, key, value, limit(softcap) if softcap else None, scale=scaling, enable_gqa=True,
        block_mask=blocks.made["flex", sliding_window])
    return out[:, :, :length].transpose(1, 2), None


@cache
def flex(compiled):
    """`flex_attention`; not compiled it is slow, and takes the square of the row in memory."""
    from torch.nn.attention.flex_attention import flex_attention
    if not compiled:
        return flex_attention
    torch._dynamo.config.recompile_limit = 64  # lengths, windows, training and measuring
    return torch.compile(flex_attention, dynamic=False)


def flex_mask(blocks, extra, window):
    """Which token sees which, as `Blocks.masks`, for a row with `extra` columns, each of which sees
    itself alone."""
    from torch.nn.attention.flex_attention import create_block_mask
    column = torch.arange(len(blocks.end) + extra, device=blocks.end.device)
    end = torch.cat([blocks.end, column[len(blocks.end):] + 1])
    position, length, far = F.pad(blocks.position, (0, extra)), len(end), window or len(end)

    def sees(row, head, i, j):
        return (j <= i) & (i < end[j]) & (position[i] - position[j] < far)

    return create_block_mask(sees, None, None, length, length, end.device)


@cache  # another function each time would be compiled again
def limit(softcap):
    return lambda logit, row, head, i, j: softcap * torch.tanh(logit / softcap)


def compile_layers(classifier):
    """Let PyTorch join a layer's many small operations, for texts of any length; attention stays as
    it is. Raises InputError where that cannot be done."""
    if classifier.config.model_type not in SHARE_ROWS:
        raise InputError(f"--compile takes a model of {', '.join(SHARE_ROWS)}")
    try:
        torch.compile(torch.neg)(torch.ones(1, device=classifier.device))
    except Exception as error:  # without a C++ compiler, of several types
        raise InputError(f"--compile: PyTorch cannot: {str(error).splitlines()[0]}") from None
    torch._dynamo.config.recompile_limit = 64  # training and measuring, with LoRA and without
    for layer in classifier.base_model.layers:
        layer.compile(dynamic=True)


AttentionInterface.register("blocks", block_attention)
AttentionInterface.register("flex", flex_rows)
