"""The model of the toys: an MLP in place of a language model, with the same `train` and steps.

Importing this file puts the project's folder and experiments/ on the path. The toys use the tables,
figures and flags of experiments/.
"""
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("", "experiments")]

import torch  # noqa: E402
from torch import nn  # noqa: E402

from dial import dial_step, preference_step  # noqa: E402

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
