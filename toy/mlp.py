"""What the toys train: an MLP in a language model's place, by the same `train` and the same steps.

Importing this file puts the project's folder and experiments/ on the path of the toys that train;
of experiments/ they use tables, figures and flags.
"""
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("", "experiments")]

import torch  # noqa: E402
from torch import nn  # noqa: E402

from dial import dial_step, preference_step  # noqa: E402

torch.set_num_threads(1)  # the models are tiny: more threads only wait for each other
METHODS = {"Src-Pref": preference_step, "DIAL": dial_step}  # by their labels in tables


class ToyModel(nn.Module):
    """An MLP with a linear, bias-free reward head: `train` asks for no more than `embed` and
    `reward_head`."""

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
