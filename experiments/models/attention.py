"""Attention for packed rows (`data.pack`), known to transformers as "blocks".

A row of L tokens holds many texts. A mask of (L, L) would cost the square of the row, nearly all
of it for tokens that do not see each other. So attention goes block by block: a block has the
tokens that a text, or several short ones, add to the row. Their keys are the tokens of the block
and those that its first token has before it in its text.
"""
import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from data import Blocks


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
    if blocks is None:
        column = torch.arange(query.shape[2], device=query.device)
        blocks = Blocks([(len(column), len(column), True)], column, column,
                        torch.full_like(column, len(column)))
    groups, out = query.shape[1] // key.shape[1], []
    key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    parts = (x.index_select(2, blocks.keys).split([k for _, k, _ in blocks.sizes], 2)
             for x in (query, key, value))
    for (n, *_), mask, q, k, v in zip(blocks.sizes, blocks.masks(sliding_window), *parts):
        q = q if mask is None else q[:, :, -n:]  # the block's own are the last of its keys
        out.append(attend(q, k, v, mask, scaling, softcap, dropout)[:, :, -n:])
    return torch.cat(out, 2).transpose(1, 2), None


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


AttentionInterface.register("blocks", block_attention)
