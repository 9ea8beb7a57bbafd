"""The model of the toys: an MLP in place of a language model, with the same `train` and steps.

Importing this file puts the project's folder and experiments/ on the path. The toys use the tables,
figures and flags of experiments/.
"""
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("", "experiments")]

import torch  # noqa: E402
from torch import nn  # noqa: E402

from dial import accuracy, dial_step, preference_step  # noqa: E402

torch.set_num_threads(1)  # the models are so small that more threads make them slower
METHODS = {"Src-Pref": preference_step, "DIAL": dial_step}  # by their names in tables


class ToyModel(nn.Module):
    """An MLP with a linear reward head without bias. `train` needs only `embed` and
    `reward_head` of a model."""

    def __init__(self, *widths):
        super().__init__()
        layers = [m for a, b in zip(widths, widths[1:]) for m in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*layers[:-1])  # no ReLU on the embedding
        self.reward_head = nn.Linear(widths[-1], 1, bias=False)

    def embed(self, batch):
        return self.layers(batch["points"])  # (N, widths[0]) -> (N, widths[-1])

    def forward(self, points):
        """Rewards (N,) of points (N, widths[0])."""
        return self.reward_head(self.layers(points)).squeeze(-1)

    def slopes(self, points):
        """How much the reward rises per unit of each coordinate, a list: means over points."""
        points = points.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self(points).sum(), points)
        return gradient.flatten(0, -2).mean(dim=0).tolist()


def report(name, model, source, target):
    """Print a model's accuracy on pairs of both domains, the better response of each first: (N, 2,
    D); and how its reward rises over the target."""
    content, style = model.slopes(target)
    print(f"{name}: accuracy {accuracy(model(source)):.3f} in the source, "
          f"{accuracy(model(target)):.3f} in the target, where a unit of content adds {content:.2f} "
          f"to the reward, of style {style:.2f}")
