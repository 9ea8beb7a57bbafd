"""A policy that changes only the output layer of a frozen language model.

The states h of the last layer are computed once. What is trained is theta, (R, Q):

    log pi(. | context) = log softmax(W h + O theta^T z)

W (K, D) is the model's output layer, restricted to the K tokens that occur in the responses. z (R,)
is a 1 and the principal components of h, each of variance 1; O (K, Q) is those of W's rows. So the
change of the output layer has a low rank, theta = 0 is the model itself, and what is convex in
logits is convex in theta.

The policy of rlhf/policy.py does not fit here: it trains LoRA inside the model, so that every step
takes a pass through all layers. Here dozens of policies are trained on the same texts.
"""
from dataclasses import dataclass, replace

import torch
from tqdm import tqdm

import data
import dial
from data import InputError
from models import backbones
from models.language import tokens_to_predict

RANKS = (128, 64)  # principal components in z and in O


@dataclass
class Layer:
    """What turns states into z, and O = W to_output up to a constant row, which changes no
    probability: the policy is log softmax(W h') with the states h' = h + to_output theta^T z."""
    output: torch.Tensor  # O, (K, Q)
    center: torch.Tensor  # (D,)
    to_z: torch.Tensor  # (D, R - 1)
    to_output: torch.Tensor  # (D, Q)

    def z(self, states):
        """(N, R) of states (N, D)."""
        return torch.cat([torch.ones(len(states), 1), (states - self.center) @ self.to_z], 1)

    def moved(self, states, theta):
        """h', (N, D); of mean states it is their mean."""
        return states + self.z(states) @ theta @ self.to_output.T


@dataclass
class Texts:
    """The responses of some records, N in all, of T tokens in all."""
    base: torch.Tensor  # (T, K), the frozen model's logits before each token
    z: torch.Tensor  # (T, R)
    token: torch.Tensor  # (T,), its place among the K
    length: torch.Tensor  # (N,), in tokens
    last: torch.Tensor  # (N, D), the state of the last token, which is DIAL's embedding
    mean: torch.Tensor  # (N, D), the mean state of a response's tokens
    counts: list  # responses of each record
    layer: Layer = None

    def log_probs(self, theta):
        """log pi(y|x) in nats, (N,), without an end of sequence. theta: (R, Q)."""
        logits = self.base + (self.z @ theta) @ self.layer.output.T  # (T, K)
        taken = logits.log_softmax(1).gather(1, self.token[:, None]).squeeze(1)  # (T,)
        text = torch.arange(len(self.length)).repeat_interleave(self.length)
        return taken.new_zeros(len(self.length)).index_add(0, text, taken)

    def select(self, index):
        """The records of these numbers, in this order."""
        text = torch.arange(len(self.length)).split(self.counts)
        return self.responses(torch.cat([text[i] for i in index]), [self.counts[i] for i in index])

    def responses(self, text, counts):
        """The responses of these numbers (n,), as records of `counts` responses each."""
        place = torch.arange(len(self.token)).split(self.length.tolist())
        place = torch.cat([place[i] for i in text])
        return Texts(self.base[place], self.z[place], self.token[place], self.length[text],
                     self.last[text], self.mean[text], counts, self.layer)


def components(rows, rank):
    """(center (D,), basis (D, rank)): (rows - center) @ basis are the first principal components of
    rows (N, D), each of variance 1."""
    values, vectors = torch.linalg.eigh(rows.T.cov())
    rank = min(rank, len(rows) - 1, int((values > 1e-6 * values[-1]).sum()))
    return rows.mean(0), vectors[:, -rank:] / values[-rank:].sqrt()


def read(args, backbone, parts):
    """{name: Texts} of {name: records}; all have the same K tokens and the same components. Raises
    InputError as `encode`, and for a model whose output layer is not its embeddings."""
    config = backbone.classifier.config
    if not config.tie_word_embeddings or getattr(config, "final_logit_softcapping", None):
        raise InputError(f"--model {args.model}: its output layer is not that of its embeddings "
                         "alone, which this policy takes; gemma-3-270m is one that will do")
    texts = {name: states(backbone, data.encode(rows, backbone.tokenizer, args.max_length,
                                                args.truncate, str(name)), f"states of {name}")
             for name, rows in parts.items()}
    tokens = torch.cat([t.token for t in texts.values()]).unique()  # (K,), sorted
    weight = backbone.classifier.get_input_embeddings().weight.detach()[tokens].float().cpu()
    to_z = components(torch.cat([t.z for t in texts.values()]), RANKS[0])
    center, basis = components(weight, RANKS[1])
    basis = basis / basis.shape[1] ** 0.5
    layer = Layer((weight - center) @ basis, *to_z, basis)
    return {name: replace(t, base=t.z @ weight.T, z=layer.z(t.z), layer=layer,
                          token=torch.searchsorted(tokens, t.token)) for name, t in texts.items()}


def alone(backbone, texts):
    """The mean state of each text without a prompt, (N, D). Before it stands BOS, or where a
    tokenizer has none the end of a text, or padding."""
    tokenizer = backbone.tokenizer
    end = tokenizer.pad_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    first = (tokenizer("")["input_ids"] or [end])[:1]
    rows = [data.Encoded(1, [first + ids]) for ids in tokenizer(
        texts, add_special_tokens=False)["input_ids"]]
    return states(backbone, rows, "states of responses").mean


@torch.no_grad()
def states(backbone, encoded, title):
    """`Texts` with the states themselves, (T, D), for base and z, and the tokens' own numbers."""
    model = backbones.reward_model(backbone.classifier, dial.DialConfig()).eval()  # its LoRA is 0
    parts, index, counts = [], [], []
    for batch in tqdm(data.evaluation_batches(encoded, **backbone.pack_options), title,
                      leave=False):
        batch = dial.to_device(batch, model)
        hidden, found = model.hidden_states(batch), tokens_to_predict(batch)
        own = found["response"] >= 0
        before = hidden[found["row"][own], found["before"][own]].float()  # (t, D)
        length = found["response"][own].bincount()  # (n,)
        means = [hidden[row, columns[-n:]].float().mean(0) for row, columns, n in zip(
            batch["last_row"], batch["columns"], length.tolist())]
        parts.append((before, before, found["token"][own], length, model.embed(batch, hidden),
                      torch.stack(means)))
        index += batch["index"]
        counts += batch["counts"]
    model.backbone.unload()
    order = sorted(range(len(index)), key=index.__getitem__)  # as the records came
    return Texts(*(torch.cat(part).cpu() for part in zip(*parts)), counts).select(order)


def iterates(start, losses, rate, decay=0.0):
    """Go from `start`, a tensor, down `losses`, functions of it, with a step of AdamW for each.

    Args: rate, decay: the learning rate and the weight decay.
    Yields after each step the value, and for the log the step, the loss and the gradient's norm.
    Raises FloatingPointError.
    """
    value = start.clone().requires_grad_()
    optimizer = torch.optim.AdamW([value], rate, weight_decay=decay)
    for step, loss in enumerate(losses, 1):
        optimizer.zero_grad()
        total = loss(value)
        total.backward()
        optimizer.step()
        if not (total.isfinite() and value.isfinite().all()):
            raise FloatingPointError(f"step {step}: not finite; lower the rates")
        yield value.detach(), {"step": step, "loss": total.item(),
                               "gradient": value.grad.norm().item()}
