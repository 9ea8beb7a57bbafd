"""A language model as a policy with a value head: it answers prompts, and says how probable each
token of an answer was and what it expects to be rewarded with from there on.

Policy and value share a body: one forward pass gives both, and a second body would double the
memory. With LoRA off the same body is the policy that training began with, so that costs none.
"""
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from dial import add_lora


class Responses(NamedTuple):
    """Prompts, padded on the left, and responses, padded on the right: they meet at a column."""

    ids: torch.Tensor  # (B, P + T)
    mask: torch.Tensor  # (B, P + T), 1 for what is not padding
    n_prompt: int  # P

    @property
    def real(self):
        """(B, T), 1 for each action, the end of sequence among them."""
        return self.mask[:, self.n_prompt:]

    @property
    def actions(self):
        """(B, T), token numbers."""
        return self.ids[:, self.n_prompt:]

    def select(self, index):
        return Responses(self.ids[index], self.mask[index], self.n_prompt)


class Policy(nn.Module):
    """A causal language model with LoRA that chooses among `tokens`, and a value head."""

    def __init__(self, model, config, tokens=None, ends=()):
        """Wrap a transformers `...ForCausalLM`.

        Args:
            config: a DialConfig, for LoRA. tokens: (K,), the numbers of those that responses are
                made of, all if not given. ends: numbers of tokens that end a response.
        """
        super().__init__()
        output = model.get_output_embeddings().weight.detach()
        place = torch.full((len(output),), -1)  # of a token among `tokens`
        chosen = torch.arange(len(output)) if tokens is None else torch.as_tensor(tokens)
        place[chosen] = torch.arange(len(chosen))
        self.register_buffer("place", place)  # (V,)
        self.register_buffer("tokens", chosen)  # (K,)
        # Logits are of fp32, whatever the body's precision: rounded, they would be noise in PPO's
        # ratios.
        output = output[chosen].float()
        self.register_buffer("output", output)  # (K, D)
        self.ends, self.softcap = ends, getattr(model.config, "final_logit_softcapping", None)
        self.model = add_lora(model, config, "CAUSAL_LM")
        self.value_head = nn.Linear(output.shape[1], 1)
        nn.init.zeros_(self.value_head.weight), nn.init.zeros_(self.value_head.bias)
        self.to(output.device)

    @property
    def body(self):
        """The language model without the logits of its whole vocabulary."""
        return self.model.get_base_model().base_model

    def hidden_states(self, ids, mask, cache=None):
        """(B, L, D), of the last L tokens of texts; `mask` (B, all of them), 0 for padding."""
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1]:]
        dtype = self.body.dtype
        with torch.autocast(ids.device.type, dtype, enabled=dtype != torch.float32):
            return self.body(input_ids=ids, attention_mask=mask, position_ids=positions,
                             cache=cache, use_cache=cache is not None).last_hidden_state

    def log_policy(self, hidden):
        """Log probabilities (..., K) of the next action."""
        logits = (hidden.to(self.output.dtype) @ self.output.T).float()
        if self.softcap:  # of Gemma 2
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits.log_softmax(-1)

    def forward(self, responses):
        """At every action log probabilities of all (B, T, K), and the values (B, T)."""
        hidden = self.hidden_states(responses.ids, responses.mask)
        hidden = hidden[:, responses.n_prompt - 1: -1]  # (B, T, D), before each action
        return self.log_policy(hidden), self.value_head(hidden.float()).squeeze(-1)

    def taken(self, log_policy, responses):
        """Of log probabilities (B, T, K) those of the actions: (B, T). An action that the policy
        cannot choose is an error."""
        index = self.place[responses.actions] * responses.real  # 0 for padding
        return log_policy.gather(2, index[..., None]).squeeze(2)

    @torch.no_grad()
    def respond(self, prompts, max_new_tokens, greedy=False, batch_size=64):
        """Answer every prompt, at temperature 1 or greedily, until a token of `ends`.

        Args:
            prompts: lists of token numbers. max_new_tokens: T. batch_size: prompts at a time.
        """
        ids, mask = (x.to(self.output.device) for x in pad(prompts, "left"))
        parts = [self.go_on(*part, max_new_tokens, greedy)
                 for part in zip(ids.split(batch_size), mask.split(batch_size))]
        return Responses(*map(torch.cat, zip(*parts)), ids.shape[1])

    def go_on(self, ids, mask, max_new_tokens, greedy):
        """(ids, mask) of texts (B, P), with their continuations (B, P + T)."""
        new, alive, cache = ids, mask.new_ones(len(ids)), DynamicCache(config=self.body.config)
        length = ids.shape[1] + max_new_tokens
        while ids.shape[1] < length and alive.any():
            hidden = self.hidden_states(new, mask, cache)[:, -1]  # (B, D)
            probabilities = self.log_policy(hidden).exp()  # (B, K)
            chosen = probabilities.argmax(-1) if greedy else probabilities.multinomial(1)[:, 0]
            new = (self.tokens[chosen] * alive)[:, None]
            ids, mask = torch.cat([ids, new], 1), torch.cat([mask, alive[:, None]], 1)
            alive = alive * ~torch.isin(new[:, 0], new.new_tensor(self.ends))
        return [nn.functional.pad(x, (0, length - x.shape[1])) for x in (ids, mask)]


def join(prompts, actions, device="cpu"):
    """`Responses` of given prompts and actions, lists of token numbers."""
    left, right = pad(prompts, "left"), pad(actions, "right")
    ids, mask = (torch.cat(pair, 1).to(device) for pair in zip(left, right))
    return Responses(ids, mask, left[0].shape[1])


def pad(rows, side):
    """Lists of token numbers as (ids, mask), (B, L) each."""
    ids, ones = [torch.tensor(row) for row in rows], [torch.ones(len(row)).long() for row in rows]
    return pad_sequence(ids, True, 0, side), pad_sequence(ones, True, 0, side)
