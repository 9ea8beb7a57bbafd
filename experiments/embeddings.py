"""What embeddings a reward model learns (section 3.5, Figure 3; Figure 4 of DEAL).

    python experiments/embeddings.py                           # English -> Korean lists of desserts
    python experiments/embeddings.py --target fruits --source desserts
    python experiments/embeddings.py --few-shot A              # ten labelled answers

Src-Pref and DIAL are trained once each and looked at on the way: every chosen and one rejected
response of the test, of source and target, projected to a plane. t-SNE by default, as the paper's
Figure 3 (it needs scikit-learn: pip install scikit-learn); `--projection pca` needs nothing; with
--few-shot it is a PCA fitted on the ten labelled pairs, as DEAL's Figure 4. Points are what DIAL's
critic sees: embeddings less the mean over their prompt's responses, unless --no-center-prompts.
"""
import time

import torch

from common import command_line, configure, count, make_folder, parser  # first: sets the path
import cross_lingual
import data
import dial
from figures import figure_grid
from foods import food_domain
from report import print_columns
from safety import few_shot_domains, read_answers
from methods import check_methods
from trainer import Run, Trainer

PRESET = cross_lingual.PRESET
GROUPS = {"source, chosen": ("tab:blue", "o"), "source, rejected": ("tab:red", "o"),
          "target, chosen": ("tab:cyan", "^"), "target, rejected": ("tab:orange", "^")}


def tsne(fit, points):
    """(N, 2) by t-SNE of `points` (N, D); it has no use for `fit`."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise data.InputError("--projection tsne needs scikit-learn: pip install scikit-learn, or "
                              "--projection pca") from None
    perplexity = min(30, (len(points) - 1) / 3)
    return torch.tensor(TSNE(random_state=0, perplexity=perplexity).fit_transform(points.numpy()))


def pca(fit, points):
    """(N, 2): `points` (N, D) in the plane of the two largest variances of `fit` (M, D)."""
    mean = fit.mean(dim=0)
    _, _, directions = torch.linalg.svd(fit - mean, full_matrices=False)
    return (points - mean) @ directions[:2].T


@torch.no_grad()
def embed(model, encoded, options, center):
    """Embeddings (B, 2, D) of the first two responses of each record, the chosen one first; with
    `center`, less the mean over all responses of the record."""
    training, found = model.training, {}
    model.eval()
    for batch in data.evaluation_batches(encoded, **options):
        emb = model.embed(dial.to_device(batch, model)).cpu().split(batch["counts"])
        found |= zip(batch["index"], (e[:2] - (e.mean(dim=0) if center else 0) for e in emb))
    model.train(training)
    return torch.stack([found[i] for i in range(len(found))])


def look(args, trainer, method, source, target):
    """Train once; return for every look (step, source emb, target emb, target accuracy)."""
    run = Run(trainer, method, [(source, target)], args.seeds[0])
    part = "labeled" if args.few_shot else "test"  # of the source: what is labelled, or new lists
    texts = [trainer.encode(source, part)[:args.n_test],
             trainer.encode(target, "test")[:args.n_test]]
    looks = []

    def evaluate(record=None):
        accuracy = run.measure(run.model, target, args.n_test)["accuracy"]
        seen = [embed(run.model, t, run.options, args.center_prompts) for t in texts]
        looks.append((len(looks) * run.config.eval_every, *seen, accuracy))
        return {}

    evaluate()
    run.train(evaluate, log=None)
    run.close()
    return looks


def draw(ax, source, target, project):
    """Scatter embeddings (B, 2, D) of both domains in one plane."""
    points = torch.cat([source, target])
    plane = project(source.flatten(0, 1), points.flatten(0, 1)).view(len(points), 2, 2)
    parts = plane.split([len(source), len(target)])
    for (name, (color, marker)), emb in zip(GROUPS.items(),
                                            (part[:, k] for part in parts for k in (0, 1))):
        ax.scatter(emb[:, 0], emb[:, 1], s=60 if len(emb) < 20 else 10, c=color, marker=marker,
                   alpha=0.6, linewidths=0, label=name, zorder=3 if len(emb) < 20 else 2)
    ax.set(xticks=[], yticks=[])


def main(argv=None):
    p = parser(__doc__, "embeddings", PRESET)
    p.add_argument("--source", default="desserts:en", help="category[:language] (%(default)s)")
    p.add_argument("--target", default="desserts:ko", help="category[:language] (%(default)s)")
    p.add_argument("--few-shot", metavar="SPLIT", default="",
                   help="a split of the safety answers instead of lists")
    p.add_argument("--projection", choices=["tsne", "pca"], help="(tsne; pca with --few-shot)")
    p.add_argument("--n-test", type=count, default=150, help="records of each domain (%(default)s)")
    p.set_defaults(seeds=[0])
    args, start = p.parse_args(argv), time.time()
    methods = check_methods(args.methods)
    if unknown := [m for m in methods if m not in dial.METHODS]:
        raise data.InputError(f"--methods {unknown[0]}: it is not trained")
    p.refuse(args, "for embeddings.py", "choose", "epochs", "save", "merge", "resume")
    if len(args.seeds) > 1:
        raise data.InputError("--seeds: embeddings.py takes one")
    if args.dry_run:
        print(f"{args.model}: {', '.join(methods)}, {args.steps} steps each")
        return
    if args.few_shot:
        source, target = few_shot_domains(read_answers(), args.few_shot)
    else:
        source, target = (food_domain(d, n_test=args.n_test) for d in (args.source, args.target))
    project = {"tsne": tsne, "pca": pca}[args.projection or ("pca" if args.few_shot else "tsne")]
    if project is tsne:
        tsne(None, torch.randn(8, 3))  # what is missing is said before training
    trainer = Trainer(args, configure(args))
    trainer.check({(m,): [(source, target)] for m in methods})
    looks = {m: look(args, trainer, m, source, target) for m in methods}
    make_folder(args.out)
    columns = len(next(iter(looks.values())))
    title = f"{source.name} to {target.name}: embeddings over training"
    table = [("method", "step", "target accuracy",
              "distance of the groups' means, by the mean norm")]
    with figure_grid(args.out / "embeddings.png", title, len(looks), columns) as axes:
        for row, (method, found) in zip(axes, looks.items()):
            for ax, (step, s, t, accuracy) in zip(row, found):
                draw(ax, s, t, project)
                ax.set_title(f"{method}, step {step}: {accuracy:.2f}", fontsize=10)
                gap = (s.mean(dim=0) - t.mean(dim=0)).norm(dim=1).mean()
                gap = gap / torch.cat([s, t]).norm(dim=2).mean()
                table.append((method, str(step), f"{accuracy:.3f}", f"{gap:.3f}"))
        axes[0, 0].figure.legend(*axes[0, 0].get_legend_handles_labels(), ncols=4,
                                 loc="outside lower center", frameon=False)
    print_columns(table)
    print(f"{args.out / 'embeddings.png'}, {time.time() - start:.0f} s")


if __name__ == "__main__":
    command_line(main)
