"""Draw the embeddings that a reward model learns (section 3.5, Figure 3).

    python experiments/embeddings.py                           # English -> Thai lists of desserts
    python experiments/embeddings.py --source desserts --target fruits --set center_prompts=false

Src-Pref and DIAL are trained once each. Before training and at four steps of it, the embeddings of
test responses are projected to a plane by PCA (the paper's figure has t-SNE): the chosen response
and one rejected response of each record of both domains. The points are what DIAL's critic sees.
"""
import math

import harness  # noqa: F401  (first: it sets the path)
import torch

import data
import dial
from domains.foods import food_domain
from harness.command import count, exit_codes, whole
from harness.figures import plot_embeddings
from harness.flags import LAPTOP, RUNS, parse, run_parser
from harness.runs import run
from harness.tables import make_folder, print_columns
from methods.learners import encode_all
from models import backbones

# As cross_lingual.py.
PRESET = LAPTOP | {"steps": 40, "learning_rate": 2e-4, "center_prompts": True}
METHODS = ["Src-Pref", "DIAL"]
FLAGS = {name: flag for name, flag in RUNS.items() if name not in (
    "--methods", "--seeds", "--overwrite", "--dry-run", "--paper", "--pairs", "--attention",
    "--checkpoint-every", "--shard")}
LOOKS = 4  # besides the one before training


def pca(points):
    """(N, 2): `points` (N, D) in the plane of their two largest variances."""
    points = points - points.mean(dim=0)
    return points @ torch.linalg.svd(points, full_matrices=False).Vh[:2].T


@torch.no_grad()
def embed(model, batches, config):
    """What the critic sees of the first two responses of each record, the chosen one first:
    (B, 2, D), in the order of the batches."""
    rows = []
    model.eval()
    for batch in batches:
        emb = model.embed(dial.to_device(batch, model)).cpu()  # (N, D)
        emb, _ = dial.critic_view(emb, batch | {"n_source": len(emb)}, config)
        rows += [of_record[:2] for of_record in emb.split(batch["counts"])]
    model.train()
    return torch.stack(rows)


def looks_of(args, backbone, encoded, name, pair):
    """Train once; return for every look (step, source emb, target emb, target accuracy)."""
    looks = []

    def looker(model, config, measure):
        def look(step):
            if step % math.ceil(config.steps / LOOKS) == 0 or step == config.steps:
                emb = [embed(model, data.evaluation_batches(
                    encoded[id(domain.test)], **backbone.pack_options), config) for domain in pair]
                looks.append((step, *emb, measure(pair[1])["accuracy"]))

        look(0)
        return look

    run(args, backbone, encoded, name, args.seed, [pair], looker=looker)
    return looks


def main(argv=None):
    p = run_parser(__doc__, "embeddings", PRESET, FLAGS, methods=METHODS, paper=None, pairs=None)
    p.add_argument("--source", default="desserts:en", help="category[:language] (%(default)s)")
    p.add_argument("--target", default="desserts:th", help="category[:language] (%(default)s)")
    p.add_argument("--n-test", type=count, default=150, help="records a domain (%(default)s)")
    p.add_argument("--seed", type=whole, default=0, help="of the split and the run (%(default)s)")
    args = parse(p, argv)
    pair = [food_domain(name, args.seed, n_test=args.n_test) for name in (args.source, args.target)]
    backbone = backbones.load(args.model, args.device, args.dtype, args.compile)
    encoded = encode_all(args, backbone, [(name, args.seed, [pair]) for name in METHODS])
    make_folder(args.out)
    looks = {name: looks_of(args, backbone, encoded, name, pair) for name in METHODS}
    print_columns([("method", "step", "target accuracy")] + [
        (name, str(step), f"{accuracy:.3f}")
        for name, found in looks.items() for step, _, _, accuracy in found])
    plot_embeddings(looks, pca, f"{args.source} to {args.target}: embeddings over training",
                    args.out / "embeddings.png")
    print(args.out / "embeddings.png")


if __name__ == "__main__":
    with exit_codes():
        main()
