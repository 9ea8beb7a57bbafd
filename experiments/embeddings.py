"""What embeddings a reward model learns (section 3.5, Figure 3).

    python experiments/embeddings.py                           # English -> Korean lists of desserts
    python experiments/embeddings.py --source desserts --target fruits
    python experiments/embeddings.py --paper                   # SHP's legaladvice in Korean

Src-Pref and DIAL are trained once each and looked at on the way: every chosen and one rejected
response of the test, of source and target, projected to a plane: by PCA, or with `--tsne` as in the
paper's figure (pip install scikit-learn). Points are what DIAL's critic sees. With --paper they are
of 500 test records, 1000 of each domain, drawn at random, and the looks at the ends of epochs.
"""
import math
from dataclasses import replace

import support  # noqa: F401  (first: it sets the path)
import torch

import dial
from data import InputError
from domains.foods import food_domain
from domains.splits import split_items
from support.cli import LAPTOP, generated_flag, parse, run_flags
from support.figures import plot_embeddings
from support.flags import command_line, count, make_folder
from support.methods import METHODS
from support.own import given_domains
from support.runs import describe, plan
from support.tables import print_columns
from support.trainer import Trainer
from support.training import Run

# As cross_lingual.py.
PRESET = LAPTOP | {"steps": 40, "learning_rate": 2e-4, "center_prompts": True}
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
def embed(run, domain):
    """Embeddings (B, 2, D) of the first two responses of the test records, the chosen one first;
    with `center_prompts` less the mean over all responses of the record."""
    model, rows = run.model, {}
    training = model.training
    model.eval()
    for batch in run.batches(run.encode(domain, "test")):
        emb = model.embed(dial.to_device(batch, model)).cpu()
        for i, e in zip(batch["index"], emb.split(batch["counts"])):
            rows[i] = e[:2] - (e.mean(dim=0) if run.config.center_prompts else 0)
    model.train(training)
    return torch.stack([rows[i] for i in range(len(rows))])


def looks_of(trainer, job):
    """Train once; return for every look (step, source emb, target emb, target accuracy)."""
    run = Run(trainer, job)
    looks, steps = [], run.config.steps
    every = math.ceil(steps / (run.epochs or LOOKS))

    def look(step):
        if step % every == 0 or step == steps:
            emb = [embed(run, domain) for domain in (run.source, run.target)]
            accuracy = run.measure(run.target)["accuracy"]
            looks.append((step, *emb, accuracy))

    look(0)
    run.train(look)
    run.close()
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
    p = run_flags(__doc__, "embeddings", PRESET, seeds=[0], without=("--save", "--resume"))
    generated_flag(p, "--source", default="desserts:en", help="category[:language] (%(default)s)")
    generated_flag(p, "--target", default="desserts:ko", help="category[:language] (%(default)s)")
    p.add_argument("--tsne", action="store_true", help="instead of PCA; needs scikit-learn")
    p.add_argument("--n-test", type=count, default=150, help="records of each domain (%(default)s)")
    args = parse(p, argv)
    if len(args.seeds) > 1:
        raise InputError("embeddings.py takes one seed")
    if unknown := [m for m in args.methods if not METHODS[m].step]:
        raise InputError(f"--methods {unknown[0]}: it is not trained")

    given = given_domains(args)

    def domains(seed):
        if given:
            return [(some(source, args.n_test, seed), some(target, args.n_test, seed))
                    for source, target in given(seed)]
        return [tuple(food_domain(name, seed, n_test=args.n_test)
                      for name in (args.source, args.target))]

    jobs = plan(args, domains)
    if args.dry_run:
        return describe(args, jobs)
    project = tsne if args.tsne else pca
    project(torch.randn(8, 3))  # what is missing is said before training
    trainer = Trainer(args)
    trainer.check(jobs)
    make_folder(args.out)
    looks = {job.method: looks_of(trainer, job) for job in jobs}
    lines = [("method", "step", "target accuracy",
              "distance of the groups' means, by the mean norm")]
    for method, found in looks.items():
        for step, source, target, accuracy in found:
            lines.append((method, str(step), f"{accuracy:.3f}", f"{gap(source, target):.3f}"))
    print_columns(lines)
    source, target = jobs[0].names[0]
    plot_embeddings(looks, project, f"{source} to {target}: embeddings over training",
                    args.out / "embeddings.png")
    print(args.out / "embeddings.png")


if __name__ == "__main__":
    command_line(main)
