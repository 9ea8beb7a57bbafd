"""Draw the embeddings that a reward model learns (section 3.5, Figure 3).

    python experiments/embeddings.py                           # English -> Korean lists of desserts
    python experiments/embeddings.py --source desserts --target fruits
    python experiments/embeddings.py --paper                   # SHP's legaladvice in Korean

Src-Pref and DIAL are trained once each. At some steps the embeddings of test responses, the chosen
one and one rejected one of each record of both domains, are projected to a plane, by PCA or with
`--tsne` as in the paper's figure (pip install scikit-learn). The points are what DIAL's critic
sees. With --paper they come from 500 test records of each domain, 1000 responses, drawn at random,
and a look is taken at each epoch's end.
"""
import math
from dataclasses import replace

import harness  # noqa: F401  (first: it sets the path)
import torch

import data
import dial
from data import InputError
from domains.foods import food_domain
from domains.splits import split_items
from harness.command import count, exit_codes, given_domains, parse, run_parser
from harness.figures import plot_embeddings
from harness.flags import LAPTOP, RUNS
from harness.runs import encode_all, run
from harness.tables import make_folder, print_columns
from methods.table import METHODS
from models import backbones

# As cross_lingual.py.
PRESET = LAPTOP | {"steps": 40, "learning_rate": 2e-4, "center_prompts": True}
FLAGS = {name: flag for name, flag in RUNS.items()
         if name not in ("--overwrite", "--attention", "--checkpoint-every")}
LOOKS = 4  # besides the one before training; with --paper there is one at each epoch's end


def tsne(points):
    """(N, 2) by t-SNE of `points` (N, D)."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise InputError("--tsne needs scikit-learn: pip install scikit-learn") from None
    perplexity = min(30, (len(points) - 1) / 3)
    return torch.tensor(TSNE(random_state=0, perplexity=perplexity).fit_transform(points.numpy()))


def pca(points):
    """(N, 2): `points` (N, D) in the plane of their two largest variances."""
    points = points - points.mean(dim=0)
    return points @ torch.linalg.svd(points, full_matrices=False).Vh[:2].T


@torch.no_grad()
def embed(model, batches, config):
    """Embeddings (B, 2, D) of the first two responses of test records, the chosen one first; with
    `center_prompts` less the mean over all responses of the record."""
    training, rows = model.training, {}
    model.eval()
    for batch in batches:
        emb = model.embed(dial.to_device(batch, model)).cpu()
        for i, e in zip(batch["index"], emb.split(batch["counts"])):
            rows[i] = e[:2] - (e.mean(dim=0) if config.center_prompts else 0)
    model.train(training)
    return torch.stack([rows[i] for i in sorted(rows)])


def looks_of(args, backbone, encoded, name, seed, pair):
    """Train once; return for every look (step, source emb, target emb, target accuracy)."""
    looks, n_looks = [], LOOKS
    if args.paper:
        n_looks = args.training.get(name, args.training["others"]).epochs

    def looker(model, config, measure):
        def look(step):
            if step % math.ceil(config.steps / n_looks) == 0 or step == config.steps:
                emb = [embed(model, data.evaluation_batches(
                    encoded[id(domain.test)], **backbone.pack_options), config) for domain in pair]
                looks.append((step, *emb, measure(pair[1])["accuracy"]))

        look(0)
        return look

    run(args, backbone, encoded, name, seed, [pair], looker=looker)
    return looks


def some(domain, n, seed):
    """The domain with `n` of its test records, drawn at random, or all."""
    return replace(domain, test=split_items(domain.test, seed, (1.0,))[0][:n])


def gap(source, target):
    """How far the domains' means are apart, of the chosen and of the rejected responses, on
    average; in the unit of the embeddings' mean norm."""
    distances = (source.mean(dim=0) - target.mean(dim=0)).norm(dim=1)  # (2,)
    return (distances.mean() / torch.cat([source, target]).norm(dim=2).mean()).item()


def main(argv=None):
    p = run_parser(__doc__, "embeddings", PRESET, FLAGS, seeds=[0])
    p.add_argument("--source", default="desserts:en", help="category[:language] (%(default)s)")
    p.add_argument("--target", default="desserts:ko", help="category[:language] (%(default)s)")
    p.add_argument("--tsne", action="store_true", help="instead of PCA; needs scikit-learn")
    p.add_argument("--n-test", dest="points", type=count, default=150,
                   help="records of each domain (%(default)s)")  # goes with --paper, too
    args = parse(p, argv)
    if len(args.seeds) > 1:
        raise InputError("embeddings.py takes one seed")
    if unknown := [m for m in args.methods if not METHODS[m].step]:
        raise InputError(f"--methods {unknown[0]}: it is not trained")
    seed = args.seeds[0]
    source, target = given_domains(args)[seed][0] if args.given else (
        food_domain(name, seed, n_test=args.points) for name in (args.source, args.target))
    source, target = some(source, args.points, seed), some(target, args.points, seed)
    jobs = [(name, seed, [(source, target)]) for name in args.methods]
    if args.dry_run:
        from harness.dry_run import describe
        return describe(args, jobs)
    project = tsne if args.tsne else pca
    project(torch.randn(8, 3))  # what is missing is said before training
    args.device, args.dtype = backbones.pick_machine(args.device, args.dtype)
    backbone = backbones.load(args.model, args.device, args.dtype, args.compile)
    encoded = encode_all(args, backbone, jobs)
    make_folder(args.out)
    looks = {name: looks_of(args, backbone, encoded, name, seed, (source, target))
             for name in args.methods}
    print_columns([("method", "step", "target accuracy",
                    "distance of the groups' means, by the mean norm")] + [
        (name, str(step), f"{accuracy:.3f}", f"{gap(s, t):.3f}")
        for name, found in looks.items() for step, s, t, accuracy in found])
    plot_embeddings(looks, project, f"{source.name} to {target.name}: embeddings over training",
                    args.out / "embeddings.png")
    print(args.out / "embeddings.png")


if __name__ == "__main__":
    with exit_codes():
        main()
