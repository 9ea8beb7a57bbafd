"""What the toys draw with: colours that the colour-blind can tell apart, maps of a function of the
plane, and the moons, still and as a film. Every group has its own marker beside its colour.
"""
from pathlib import Path

import torch

BLUE, WRONG = "#0072B2", "#D55E00"  # the second is vermilion (these are Okabe and Ito's colours)
STYLES = {"source": (BLUE, "o"), "target": ("#E69F00", "^"),  # orange
          "better": ("#222222", "o"), "worse": ("#CC79A7", "v")}  # reddish purple
REGIONS, MOONS = ["#ececec", "#b5d3ea"], ["#444444", BLUE]  # of the first and the second class
LIMITS = {"xlim": (-3.3, 4.3), "ylim": (-3.1, 3.8)}  # of content and of style


def on_grid(f, x, y, n=200):
    """Compute f: (N, 2) -> (N,) on a grid between the limits x and y: the grid's coordinates and
    the values, (n, n) each."""
    grid = torch.meshgrid(torch.linspace(*x, n), torch.linspace(*y, n), indexing="xy")
    with torch.no_grad():
        return *grid, f(torch.stack(grid, dim=-1).view(-1, 2)).view(n, n)


def panels(columns, rows=1):
    """Make the axes of a figure, a list of columns * rows."""
    from matplotlib import pyplot as plt  # here: a command should not wait for it at its start
    plt.rcParams["font.size"] = 12
    size = 0.8 + (4.2 if columns < 3 else 3.5) * columns, 4.3 * rows
    _, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    return list(axes.flat)


def draw_plane(ax, title, first, second, f=None, names=("source", "target"), embeddings=False):
    """Scatter two groups of points (N, 2), over contours of f, the darker the larger. Points are
    responses, (content, style), or `embeddings`."""
    for points, name in zip((first, second), names):
        color, marker = STYLES[name]
        ax.scatter(*points.detach().T, s=20, color=color, marker=marker, edgecolor="white",
                   linewidth=0.3, label=name, zorder=3)
    if f:
        grid = on_grid(f, *LIMITS.values())
        ax.contourf(*grid, levels=10, cmap="Greys", alpha=0.5)
        lines = ax.contour(*grid, levels=10, colors="black", linewidths=0.8)
        for label in ax.clabel(lines, fontsize=10, zorder=4):
            x, y = label.get_position()  # left out where the frame cuts it or the legend hides it
            label.set(bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
                      visible=-2.8 < x < 3.8 and -2.7 < y < 3.3 and not (x > 0.7 and y < -1.5))
    ax.legend(loc="lower right", framealpha=1, handletextpad=0.2, borderpad=0.3)
    what = ("embedding, first", "embedding, second") if embeddings else ("content", "style")
    ax.set(title=title, xlabel=what[0], ylabel=what[1], **{} if embeddings else LIMITS)


def keep(name, folder=Path("runs/lesson")):
    """Write the lesson's current figure to a file, for those who run it as a script."""
    from matplotlib import pyplot as plt
    folder.mkdir(parents=True, exist_ok=True)
    plt.savefig(folder / f"lesson_{name}.png", dpi=100)


def draw_pairs(ax, title, rewards, pairs):
    """Draw responses a, b, ..., the truly better the higher, at their rewards, (N,), and an arrow
    from the worse to the better of each pair, (P, 2) positions, the better first."""
    for i, reward in enumerate(rewards.tolist()):
        ax.scatter(reward, -i, s=400, color="#ececec", edgecolor="black", zorder=3)
        ax.text(reward, -i, "abcd"[i], ha="center", va="center", zorder=4)
    for better, worse in pairs.tolist():
        right = rewards[better] > rewards[worse]
        ax.annotate("", (rewards[better], -better), (rewards[worse], -worse), arrowprops={
            "arrowstyle": "-|>", "color": BLUE if right else WRONG, "lw": 3 if right else 2,
            "ls": "-" if right else "--", "shrinkA": 11, "shrinkB": 11})
    ax.set(title=title, xlabel="reward (arrow: to the better; dashed: wrong)", ylabel="true rank",
           xticks=[0, 1, 2], xlim=(-0.4, 2.4), yticks=[0, -1, -2, -3],
           yticklabels=["best", "", "", "worst"])


def draw_moons(ax, title, regions, labeled, target, wrong, accuracy, share):
    """Draw what `two_moons.fit` returns: the second class's region, the labelled points (large),
    the target's, and a cross on each that is given the wrong class."""
    ax.contourf(*regions, levels=[-0.5, 0.5, 1.5], colors=REGIONS)
    ax.scatter(*target[~wrong].T, s=4, color="gray")
    ax.scatter(*target[wrong].T, s=16, color=WRONG, marker="x", linewidth=1)
    for points, color, marker in zip(labeled.view(2, -1, 2), MOONS, "so"):
        ax.scatter(*points.T, s=60, color=color, marker=marker, edgecolor="white", zorder=3)
    ax.set(title=f"{title}: accuracy {accuracy:.3f},\ncalled second: {share:.3f}",
           xticks=[], yticks=[])


def film_moons(runs, path):
    """Write a GIF of methods that train beside one another. `runs`: {method: [(step, what
    `draw_moons` draws), ...]}, all of the same steps. It holds the last frame."""
    from matplotlib import animation
    from matplotlib import pyplot as plt

    axes, writer = panels(len(runs)), animation.PillowWriter(fps=5)
    with writer.saving(axes[0].figure, path, dpi=90):
        for frame in zip(*runs.values()):
            for ax, name, (step, run) in zip(axes, runs, frame):
                ax.clear()
                draw_moons(ax, f"{name}, step {step}", **run)
            writer.grab_frame()
        for _ in range(10):
            writer.grab_frame()
    plt.close(axes[0].figure)
