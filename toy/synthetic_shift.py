"""A shift that the reader turns up: reward error, Wasserstein distance and the bounds as it grows.

    python toy/synthetic_shift.py                   # shift 0, 0.5, 1, 2, 3
    python toy/synthetic_shift.py --kind rotate     # or scale, noise
    python toy/synthetic_shift.py --shift 1.5       # one setting, also 1 2 3
    python toy/synthetic_shift.py --bound           # Theorem 2.1: counterexamples, and what holds

A response is a point: its length and its style. The best length is .5: neither too short nor too
long. Style tells nothing of quality. The target's responses are the source's, moved; which of two
is better does not change. A reward that looks at length alone, as the source suggests, is soon
wrong: in the target everything is `shift` longer, and its style differs by as much. So length
minus style is what the two domains have in common.
"""
import math
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("", "experiments")]

import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

import counterexamples  # noqa: E402
import dial  # noqa: E402
from common import Parser, command_line, make_folder, whole  # noqa: E402
from data import InputError  # noqa: E402
from dial import Critic, DialConfig, ToyModel, preference_error, wasserstein_1  # noqa: E402
from figures import COLORS, figure  # noqa: E402
from report import mean_and_error, plus_minus, print_columns, write_results  # noqa: E402

SETTINGS = DialConfig(steps=300, batch_size=64, learning_rate=2e-3, decay=0.5, lambda_da=1.0,
                      critic_learning_rate=3e-3, critic_beta1=0.5, clip=0.0)
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
    """n pairs of responses (n, 2, 2): the better and the worse, each (length, style)."""
    pairs = torch.randn(n, 2, 2) * torch.tensor([1.0, 0.3])
    off = (pairs[..., 0] - 0.5).abs()  # (n, 2): minus the known reward
    return pairs.gather(1, off.argsort(dim=1)[..., None].expand_as(pairs))


def batches(kind, shift, size):
    """Endless batches of fresh source pairs and as many target points, which carry no labels."""
    while True:
        source, target = preferences(size), KINDS[kind](preferences(size), shift)
        points = torch.cat([source.view(-1, 2), target.view(-1, 2)])
        yield {"points": points, "n_source": 2 * size, "chosen": torch.arange(0, 2 * size, 2),
               "rejected": torch.arange(1, 2 * size, 2)}


def fit(kind, shift, seed, lambda_da):
    torch.manual_seed(seed)
    model, critic = ToyModel(2, 64, 64, 4), Critic(4, (64, 32))
    config = DialConfig(**vars(SETTINGS) | {"lambda_da": lambda_da, "seed": seed})
    dial.train(model, critic, batches(kind, shift, config.batch_size), config,
               title=f"shift {shift:g}")
    return model


@torch.no_grad()
def measure(model, kind, shift, n=300):
    """Errors and accuracy of a model, and the bounds of its target error, on n fresh pairs.

    The reward is linear in the embedding, so the bounds are taken there: K is the head's norm.
    """
    torch.manual_seed(12345)
    source = preferences(n)
    target = KINDS[kind](preferences(n), shift)
    emb = [model.layers(pairs) for pairs in (source, target)]  # (n, 2, 4) each
    rewards = [model.reward_head(e).squeeze(-1) for e in emb]  # (n, 2)
    errors = [preference_error(r[:, 0], r[:, 1]).item() for r in rewards]
    k = dial.lipschitz_constant(model.reward_head)
    return {"source_error": errors[0], "target_error": errors[1],
            "accuracy": dial.pairwise_accuracy(rewards[1][:, 0], rewards[1][:, 1]),
            "bound": dial.target_error_bound(errors[0], k, wasserstein_1(*emb)),
            "stated": dial.stated_error_bound(errors[0], k, wasserstein_1(
                *(e.flatten(0, 1) for e in emb)))}


def estimate_distance(kind, shift, lambda_gp, seed=0, n=300, steps=200):
    """What a critic trained on n points of both domains says their distance is: as it is, and
    divided by the critic's slope; beside the exact value for the same points."""
    torch.manual_seed(seed)
    source = preferences(n).view(-1, 2)[:n]
    target = KINDS[kind](preferences(n).view(-1, 2)[:n], shift)
    critic = Critic(2, (64, 32))
    config = DialConfig(**vars(SETTINGS) | {"lambda_gp": lambda_gp, "critic_steps": steps})
    optimizer = torch.optim.AdamW(critic.parameters(), lr=config.critic_learning_rate,
                                  betas=(config.critic_beta1, 0.999))
    record = dial.critic_step(critic, optimizer, source, target, config)
    return {"exact": wasserstein_1(source, target), "estimate": record["distance"],
            "normalized": record["normalized_distance"]}


def draw(found, distances, shifts, kind, path):
    """Errors, distances, and errors with their bounds, as the shift grows."""
    with figure(path, f"A target that is moved: {kind}", (13, 3.8), 3) as axes:
        for method, color in (("Src-Pref", COLORS["Src-Pref"]), ("DIAL", COLORS["DIAL"])):
            def mean(name):
                return [mean_and_error([m[name] for m in found[method, s]])["mean"] for s in shifts]

            axes[0].plot(shifts, mean("target_error"), color=color, marker="o", label=method)
            axes[0].plot(shifts, mean("source_error"), color=color, ls=":", lw=1)
            axes[2].plot(shifts, mean("target_error"), color=color, marker="o", label=method)
            axes[2].plot(shifts, mean("bound"), color=color, ls="--")
            axes[2].plot(shifts, mean("stated"), color=color, ls=":", lw=1)
        axes[0].axhline(0.5, color="gray", lw=0.5)
        axes[0].set(title="preference error (dotted: source)", ylim=(0, None))
        exact = [distances[1.0, s]["exact"] for s in shifts]
        axes[1].plot(shifts, exact, color="black", lw=2, label="W1, exact")
        for gp, color in zip((1.0, 10.0, 100.0), ("tab:red", "tab:purple", "tab:cyan")):
            for name, style in (("estimate", ":"), ("normalized", "-")):
                axes[1].plot(shifts, [distances[gp, s][name] for s in shifts], color=color,
                             ls=style, label=f"$\\lambda_{{gp}}$ = {gp:g}" * (style == "-"))
        axes[1].set(title="critic: W (dotted), W / slope", ylim=(0, 2 * max(exact) + 0.5))
        axes[2].set(title="target error, bound (dashed), as stated (dotted)", yscale="log")
        axes[2].axhline(1, color="gray", lw=0.5)
        for ax in axes:
            ax.set_xlabel("shift")
            ax.legend(frameon=False)


def main(argv=None):
    p = Parser(description=__doc__)
    p.add_argument("--kind", choices=KINDS, default="shift", help="(%(default)s)")
    p.add_argument("--shift", nargs="+", type=float, default=[0, 0.5, 1, 2, 3],
                   help="0 to 3 (0 0.5 1 2 3)")
    p.add_argument("--seeds", nargs="+", type=whole, default=[0, 1, 2], help="(0 1 2)")
    p.add_argument("--bound", action="store_true", help="print the counterexamples, and stop")
    p.add_argument("--out", type=Path, default=Path("runs/synthetic_shift"), help="(%(default)s)")
    args, start = p.parse_args(argv), time.time()
    if args.bound:
        return counterexamples.print_bounds()
    if not all(0 <= s <= 3 for s in args.shift):
        raise InputError("--shift takes numbers from 0 to 3")
    torch.set_num_threads(1)  # the models are tiny: more threads only wait for each other
    shifts, found = sorted(set(args.shift)), {}
    for seed in tqdm(args.seeds, desc="seeds"):
        plain = fit(args.kind, 0.0, seed, 0.0)  # sees no target
        for s in shifts:
            adapted = fit(args.kind, s, seed, SETTINGS.lambda_da)
            for method, model in (("Src-Pref", plain), ("DIAL", adapted)):
                found.setdefault((method, s), []).append(measure(model, args.kind, s))
    distances = {(gp, s): estimate_distance(args.kind, s, gp)
                 for gp in (1.0, 10.0, 100.0) for s in tqdm(shifts, desc=f"critic, {gp:g}")}
    rows = [{"method": method, "source": "source", "target": f"{args.kind} {s:g}", "metric": name}
            | mean_and_error([m[name] for m in found[method, s]]) | {"n_test": 300, "paper": None}
            for method, s in found for name in found[method, s][0]]
    print_errors(rows, distances, shifts, args.kind)
    make_folder(args.out)
    write_results(args.out, "synthetic_shift", "MLP", SETTINGS, args.seeds, rows,
                  time.time() - start)
    draw(found, distances, shifts, args.kind, args.out / "synthetic_shift.png")


def print_errors(rows, distances, shifts, kind):
    """Two tables: errors and bounds by method and shift; exact and estimated distances."""
    cells = {(row["method"], row["target"], row["metric"]): row for row in rows}
    names = ("source_error", "target_error", "bound", "stated", "accuracy")
    table = [("shift", "method", "source error", "target error", "bound", "as stated", "accuracy")]
    for s in shifts:
        for method in ("Src-Pref", "DIAL"):
            table.append((f"{s:g}", method, *(plus_minus(cells[method, f"{kind} {s:g}", name])
                                              for name in names)))
    print_columns(table)
    print()
    gps = (1.0, 10.0, 100.0)
    table = [("shift", "W1", *(f"critic, lambda_gp {gp:g}" for gp in gps))]
    for s in shifts:
        values = [distances[gp, s] for gp in gps]
        table.append((f"{s:g}", f"{values[0]['exact']:.2f}", *(
            f"{v['estimate']:.2f}, by slope {v['normalized']:.2f}" for v in values)))
    print_columns(table)


if __name__ == "__main__":
    command_line(main)
