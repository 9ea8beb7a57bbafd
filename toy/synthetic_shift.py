"""A target that moves away from the source: the reward's errors and bounds as the shift grows.

    python toy/synthetic_shift.py                   # shift 0, 0.5, 1, 2, 3
    python toy/synthetic_shift.py --kind rotate     # or scale, noise
    python toy/synthetic_shift.py --shift 1.5       # one setting, also 1 2 3

A response is a point, whose coordinates are its length and its style. In the source the best
length is .5, and style does not matter. The target's pairs are drawn and labelled in the same way,
then moved; which response of a pair is better does not change. The source suggests a reward of
length alone, which is soon wrong: in the target `shift` is added to every length. It is added to
every style, too, so length minus style has the same distribution in both domains.
"""
import math
import time
from dataclasses import asdict
from itertools import product
from pathlib import Path

import torch
from tqdm import tqdm

from mlp import METHODS, ToyModel  # comes first, because it sets the path

from bound import error_bounds, preference_error
from data import InputError
from dial import Critic, DialConfig, accuracy, train
from harness.command import PARSER, Parser, exit_codes, whole
from harness.figures import COLORS, figure
from harness.tables import make_folder, mean_and_error, plus_minus, print_columns, write_results

SETTINGS = DialConfig(steps=300, learning_rate=2e-3, decay=0.5, lambda_da=1.0,
                      critic_learning_rate=3e-3, critic_beta1=0.5, clip=0.0)
BATCH_SIZE = 64
METRICS = ("source_error", "target_error", "bound", "stated", "accuracy")
KINDS = {
    "shift": lambda points, s: points + s,
    "rotate": lambda points, s: points @ rotation(s * math.pi / 3),
    "scale": lambda points, s: points * (1 + s),
    "noise": lambda points, s: points + s * torch.randn_like(points),
}


def rotation(angle):
    return torch.tensor([[math.cos(angle), math.sin(angle)],
                         [-math.sin(angle), math.cos(angle)]])


def preferences(n):
    """Draw n pairs of responses, (n, 2, 2): the better one first, each as (length, style)."""
    pairs = torch.randn(n, 2, 2) * torch.tensor([1.0, 0.3])
    off = (pairs[..., 0] - 0.5).abs()  # (n, 2): minus the true reward
    return pairs.gather(1, off.argsort(dim=1)[..., None].expand_as(pairs))


def batches(kind, shift, size=BATCH_SIZE):
    """Yield batches without end: `size` labelled source pairs, and as many target points without
    labels."""
    while True:
        source, target = preferences(size), KINDS[kind](preferences(size), shift)
        points = torch.cat([source.view(-1, 2), target.view(-1, 2)])  # (4 size, 2)
        yield {"points": points, "n_source": 2 * size, "chosen": torch.arange(0, 2 * size, 2),
               "rejected": torch.arange(1, 2 * size, 2)}


def fit(step, kind, shift, seed, title="train"):
    torch.manual_seed(seed)
    model, critic = ToyModel(2, 64, 64, 4), Critic(4, (64, 32))
    train(model, critic, batches(kind, shift), SETTINGS, step=step, title=title)
    return model


@torch.no_grad()
def measure(model, kind, shift, n=300):
    """Compute a model's errors, its accuracy and the bounds of its target error on n new pairs.

    Distances are taken between embeddings. The reward is linear in the embedding, so K is the norm
    of the reward head.
    """
    torch.manual_seed(12345)
    source = preferences(n)
    target = KINDS[kind](preferences(n), shift)
    emb = [model.layers(pairs) for pairs in (source, target)]  # (n, 2, 4) each
    rewards = [model.reward_head(e).squeeze(-1) for e in emb]  # (n, 2) each
    errors = [preference_error(r[:, 0], r[:, 1]).item() for r in rewards]
    stated, bound = error_bounds(errors[0], model.reward_head.weight.norm().item(), *emb)
    return dict(zip(METRICS, (*errors, bound, stated, accuracy(rewards[1]))))


def draw(rows, shifts, kind, path):
    """Plot the errors, and the target error with its bounds, against the shift."""
    with figure(path, f"A target that is moved: {kind}", (9, 3.8), 2) as axes:
        for method in METHODS:
            def plot(ax, metric, **style):
                values = [row["mean"] for row in rows
                          if (row["method"], row["metric"]) == (method, metric)]
                ax.plot(shifts, values, color=COLORS[method], **style)

            for ax in axes:
                plot(ax, "target_error", marker="o", label=method)
            plot(axes[0], "source_error", ls=":", lw=1)
            plot(axes[1], "bound", ls="--")
            plot(axes[1], "stated", ls=":", lw=1)
        axes[0].axhline(0.5, color="gray", lw=0.5)
        axes[0].set(title="preference error (dotted: source)", ylim=(0, None))
        axes[1].set(title="target error, bound (dashed), as stated (dotted)", yscale="log")
        axes[1].axhline(1, color="gray", lw=0.5)
        for ax in axes:
            ax.set_xlabel("shift")
            ax.legend(frameon=False)


def main(argv=None):
    p = Parser(description=__doc__, **PARSER)
    p.add_argument("--kind", choices=KINDS, default="shift", help="(%(default)s)")
    p.add_argument("--shift", nargs="+", type=float, default=[0, 0.5, 1, 2, 3],
                   help="how far, 0 to 3; rotate: times 60 degrees (0 0.5 1 2 3)")
    p.add_argument("--seeds", nargs="+", type=whole, default=[0, 1, 2], help="(0 1 2)")
    p.add_argument("--out", type=Path, default=Path("runs/synthetic_shift"), help="(%(default)s)")
    args, start = p.parse_args(argv), time.time()
    if not all(0 <= s <= 3 for s in args.shift):
        raise InputError("--shift takes numbers from 0 to 3")
    make_folder(args.out)
    kind, shifts, rows = args.kind, sorted(set(args.shift)), []
    table = [("shift", "method", "source error", "target error", "bound", "as stated", "accuracy")]
    for s, (method, step) in tqdm(list(product(shifts, METHODS.items())), desc="models"):
        models = [fit(step, kind, s, seed, f"{method}, seed {seed}") for seed in args.seeds]
        measured = [measure(model, kind, s) for model in models]
        own = [{"method": method, "source": "source", "target": f"{kind} {s:g}", "metric": metric,
                **mean_and_error([m[metric] for m in measured]), "n_test": 300, "paper": None}
               for metric in METRICS]
        rows += own
        table.append((f"{s:g}", method, *map(plus_minus, own)))
    config = asdict(SETTINGS) | {"batch_size": BATCH_SIZE, "seeds": args.seeds}
    write_results(args.out, "synthetic_shift", "MLP", config, rows, time.time() - start)
    draw(rows, shifts, kind, args.out / "synthetic_shift.png")
    print_columns(table)


if __name__ == "__main__":
    with exit_codes():
        main()
