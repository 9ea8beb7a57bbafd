"""The losses of next tokens in packed batches, and how probable a response is."""
import torch
import torch.nn.functional as F
from torch import nn


def tokens_to_predict(batch):
    """All that a language model has to predict of a batch of `data.pack`, (T,) each: `token`, its
    `row`, the column `before` it, its `record`, and its `response`, -1 in a prompt."""
    found, n = [], 0
    for record, (count, n_prompt) in enumerate(zip(batch["counts"], batch["n_prompts"])):
        for k in range(count):  # the prompt with the first; nothing comes before BOS
            columns = batch["columns"][n]
            found += [(n, columns[i], columns[i - 1], record, n if i >= n_prompt else -1)
                      for i in range(1 if k == 0 else max(1, n_prompt), len(columns))]
            n += 1
    found = torch.tensor(found, device=batch["input_ids"].device).view(-1, 5)
    text, column, before, record, response = found.T
    row = batch["last_row"][text]
    return {"token": batch["input_ids"][row, column], "row": row, "before": before,
            "record": record, "response": response}


def token_losses(model, hidden, tokens, places):
    """Cross-entropy in nats, (T,), of `tokens_to_predict` at `places`, under tied embeddings.

        - log softmax(hidden @ embeddings^T)[token]
    """
    before = hidden[tokens["row"][places], tokens["before"][places]]  # (T, D)
    embeddings = model.transformer.get_input_embeddings().weight  # (V, D)
    logits = before.to(embeddings.dtype) @ embeddings.T  # (T, V)
    if softcap := getattr(model.transformer.config, "final_logit_softcapping", None):
        logits = softcap * torch.tanh(logits / softcap)  # Gemma 2's
    return F.cross_entropy(logits.float(), tokens["token"][places], reduction="none")


class Likelihood(nn.Module):
    """What `dial.predict` needs to reward a response by its tokens' mean log probability."""

    def __init__(self, model):
        super().__init__()
        self.model, self.reward_head = model, nn.Identity()

    def embed(self, batch):
        """The rewards themselves, (N, 1)."""
        tokens = tokens_to_predict(batch)
        (places,) = (tokens["response"] >= 0).nonzero(as_tuple=True)
        response = tokens["response"][places]  # (T,)
        losses = token_losses(self.model, self.model.hidden_states(batch), tokens, places)  # (T,)
        total = losses.new_zeros(sum(batch["counts"])).index_add(0, response, losses)
        return -(total / response.bincount(minlength=len(total)))[:, None]
