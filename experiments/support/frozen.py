"""Compute the frozen layers of a backbone once for each text.

With LoRA in the top layers only (`--lora-layers`), what the layers below make of a text never
changes. Every later pass over that text, in another epoch, evaluation, method or seed, starts from
it: with 6 of 18 layers trained, an evaluation costs a third and a training step about half. It
takes 2 * hidden size bytes a token in bf16: 60 KB for a list of foods. At LIMIT bytes no more is
remembered.
"""
from contextlib import contextmanager

import torch

LIMIT = 2 * 2**30


def remember_frozen_layers(transformer, trained, pad_id):
    """From now on, `transformer` computes all but its `trained` topmost layers at most once a row.

    Args:
        transformer: a transformers decoder with `.layers`, called with `input_ids` (R, L), padded
            on the right, and optionally `position_ids` (R, L) and `attention_mask`: None, a
            (R, 1, L, L) tensor or a dictionary of such.
        trained: how many layers may change.
        pad_id: the padding token.
    """
    layers, run, memory, used = transformer.layers, transformer.forward, {}, 0
    lower, first = layers[: len(layers) - trained], layers[len(layers) - trained]

    def forward(input_ids, position_ids=None, attention_mask=None, **kwargs):
        nonlocal used
        keys, lengths, hidden = [], [], {}
        for r, ids in enumerate(input_ids.tolist()):
            length = max(i for i, token in enumerate(ids, 1) if token != pad_id)
            positions = () if position_ids is None else position_ids[r, :length].tolist()
            keys.append((*ids[:length], *positions)), lengths.append(length)
        if missing := [r for r, key in enumerate(keys) if key not in memory]:
            seen = []
            part = torch.tensor(missing, device=input_ids.device)
            with torch.no_grad(), passing(layers[len(lower):]), before(first, seen.append):
                run(input_ids[part], position_ids=select(position_ids, part),
                    attention_mask=select(attention_mask, part), **kwargs)
            hidden = {keys[r]: row[: lengths[r]] for row, r in zip(seen[0], missing)}
            for key, row in hidden.items():
                if used + row.numel() * row.element_size() <= LIMIT:
                    memory[key] = row.clone()  # (length, D)
                    used += row.numel() * row.element_size()
        rows = [memory.get(key, hidden.get(key)) for key in keys]
        states = rows[0].new_zeros(*input_ids.shape, rows[0].shape[-1])  # (R, L, D)
        for r, row in enumerate(rows):
            states[r, : len(row)] = row
        with passing(lower), before(first, lambda _: states):
            return run(input_ids, position_ids=position_ids, attention_mask=attention_mask,
                       **kwargs)

    transformer.forward = forward


def select(tensor, rows):
    """Some rows of a tensor, of each tensor in a dictionary, or of None."""
    if isinstance(tensor, dict):
        return {name: select(value, rows) for name, value in tensor.items()}
    return None if tensor is None else tensor[rows]


@contextmanager
def passing(layers):
    """For a while these layers hand on what they are given."""
    for layer in layers:
        layer.forward = lambda hidden_states, *args, **kwargs: hidden_states
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


@contextmanager
def before(layer, look):
    """For a while `look` sees the hidden states that enter a layer, and may return others."""

    def hook(module, args, kwargs):
        hidden = look(args[0] if args else kwargs["hidden_states"])
        if hidden is None:
            return None
        if args:
            return (hidden, *args[1:]), kwargs
        return args, kwargs | {"hidden_states": hidden}

    handle = layer.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
