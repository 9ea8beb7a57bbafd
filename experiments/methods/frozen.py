"""A policy that changes only the output layer of a frozen language model, for policies that are
trained many times over the same texts.

The states h of the last layer are computed once. What is trained is theta, (R, Q):

    log pi(. | context) = log softmax(W h + O theta^T z)

W (K, D) is the model's output layer, restricted to the K tokens that occur in the responses. z (R,)
is a 1 and the principal components of h, each of variance 1; O (K, Q) is those of W's rows. So the
change of the output layer has a low rank, theta = 0 is the model itself, and what is convex in
logits is convex in theta. (rlhf/policy.py trains LoRA inside the model, which takes a pass through
all layers at every step.)
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
    probability. So the policy is log softmax(W h') with the states h' = h + to_output theta^T z."""
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
    layer: "Layer" = None

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
    encoded = {name: data.encode(rows, backbone.tokenizer, args.max_length, name=str(name))
               for name, rows in parts.items()}
    tokens = torch.tensor(sorted({token for rows in encoded.values() for n_prompt, texts in rows
                                  for text in texts for token in text[n_prompt:]}))
    weight = backbone.classifier.get_input_embeddings().weight.detach()[tokens].float().cpu()
    model = backbones.reward_model(backbone.classifier, dial.DialConfig())  # its LoRA is 0
    texts = {name: states(model, rows, tokens, weight, backbone.pack_options, str(name))
             for name, rows in encoded.items()}
    model.backbone.unload()
    to_z = components(torch.cat([t.z for t in texts.values()]), RANKS[0])
    center, basis = components(weight, RANKS[1])
    basis = basis / basis.shape[1] ** 0.5
    layer = Layer((weight - center) @ basis, *to_z, basis)
    return {name: replace(t, z=layer.z(t.z), layer=layer) for name, t in texts.items()}


@torch.no_grad()
def states(model, encoded, tokens, weight, pack_options, title):
    """`Texts` with the states themselves, (T, D), in the place of z."""
    rows, records, model = [], [], model.eval()
    batches = data.evaluation_batches(encoded, **pack_options)
    for batch in tqdm(batches, f"states of {title}", leave=False):
        batch = dial.to_device(batch, model)
        hidden, found = model.hidden_states(batch), tokens_to_predict(batch)
        own = found["response"] >= 0
        before = hidden[found["row"][own], found["before"][own]].float().cpu()  # (t, D)
        length = found["response"][own].bincount().cpu()  # (n,)
        means = [hidden[row, columns[-n:]].float().mean(0).cpu() for row, columns, n in zip(
            batch["last_row"], batch["columns"], length.tolist())]
        token = torch.searchsorted(tokens, found["token"][own].cpu())
        rows.append((before @ weight.T, before, token, length, model.embed(batch, hidden).cpu(),
                     torch.stack(means)))
        records += zip(batch["index"], batch["counts"])
    texts = Texts(*map(torch.cat, zip(*rows)), [count for _, count in records])
    return texts.select(sorted(range(len(records)), key=lambda i: records[i][0]))  # as they came


@torch.no_grad()
def alone(backbone, texts):
    """The mean state of each text without a prompt, (N, D)."""
    rows = [data.Encoded(1, [ids]) for ids in backbone.tokenizer(texts)["input_ids"]]  # 1: BOS
    weight = backbone.classifier.get_input_embeddings().weight.detach()[:1].float().cpu()
    model = backbones.reward_model(backbone.classifier, dial.DialConfig())
    mean = states(model, rows, torch.arange(1), weight, backbone.pack_options, "responses").mean
    model.backbone.unload()
    return mean
