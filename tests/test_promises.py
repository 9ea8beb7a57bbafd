"""What a command passes on, and a run: the part, the seed, the prompts, the precision; each was
once free to be ignored without a test that saw it."""
import copy
import itertools
from functools import partial

import matplotlib.axes
import pytest
import torch
from conftest import FAST, pair_of_domains, run_once
from test_report import PAPER, VALUES, runs_of
from tokenizers import processors

import clean_to_noisy
import cross_lingual
import data
import few_shot
import odd_one_out
import simple_to_complex
from data import InputError, Preference, Unlabeled
from domains import arguments
from domains.foods import by_odd_item, food_domain
from domains.safety import few_shot_domains, read_answers
from domains.splits import Domain
from harness import figures, report, runs
from methods import baselines
from models import backbones
from paper import settings

LISTS = {"n_train": 9, "n_test": 5}
DOMAINS = {  # of a part and a seed
    cross_lingual: lambda **k: tuple(food_domain(f"desserts:{n}", **k, **LISTS)
                                     for n in ("en", "th")),
    odd_one_out: lambda **k: (source := food_domain("desserts", **k, **LISTS), by_odd_item(
        food_domain("fruits", **k, **LISTS), source)),
    clean_to_noisy: lambda **k: tuple(arguments.argument_domain(n, **k, **LISTS)
                                      for n in ("clean", "noisy")),
    simple_to_complex: lambda **k: tuple(arguments.argument_domain(n, **k, **LISTS)
                                         for n in ("short", "long")),
    few_shot: lambda part, seed: few_shot_domains(read_answers(), seed, part),
}


@pytest.mark.parametrize("command", DOMAINS)
def test_domains_are_of_the_part_and_the_seed(cache, monkeypatch, command):
    made = []
    monkeypatch.setattr(command, "run_all", lambda args, domains: made.append(domains) or [])
    flags = ["--model", "tiny", "--dry-run"] + (
        [] if command is few_shot else ["--n-train", "9", "--n-test", "5"])
    command.main([*flags, "--part", "validation", "--seeds", "3", "4"])
    command.main([*flags, "--seeds", "4"])
    assert [list(domains) for domains in made] == [[3, 4], [4]]
    own = [made[0][3], made[0][4], made[1][4]]
    assert own == [[DOMAINS[command](part=part, seed=seed)] for part, seed in (
        ("validation", 3), ("validation", 4), ("test", 4))]
    assert own[0] != own[1] != own[2]


def test_noisy_answers_are_noisy(monkeypatch):
    def answers(form):
        domain = arguments.argument_domain(form, n_train=20, n_test=20)
        return domain.labeled + domain.test

    clean, noisy = answers("clean"), answers("noisy")
    add_noise = arguments.add_noise  # of the same draws, but the text stays
    monkeypatch.setattr(arguments, "add_noise", lambda text, rng: (add_noise(text, rng), text)[1])
    assert clean == answers("clean")
    tidy = answers("noisy")
    for before, after in zip(tidy, noisy, strict=True):
        assert before.chosen != after.chosen and before.rejected != after.rejected
    assert {row.prompt for row in tidy} < {row.prompt for row in tidy + noisy}


def test_all_pairs_of_foods(cache, capsys):
    odd_one_out.main(["--model", "tiny", "--target", "all", "--dry-run", "--seeds", "0"])
    assert "25 runs" in capsys.readouterr().out  # Src-Pref once a source, DIAL for each pair


def test_the_papers_cells_are_in_its_tables_order():
    pairs = {name: list(settings.EXPERIMENTS[name]["pairs"]) for name in (
        "odd_one_out", "cross_lingual", "clean_to_noisy")}
    shp = ["legaladvice", "askscience", "explainlikeimfive"]
    assert pairs == {
        "odd_one_out": [f"{a}-{b}" for a, b in itertools.permutations(
            ("desserts", "fruits", "sauces", "vegetables", "snacks"), 2)], "clean_to_noisy": shp,
        "cross_lingual": [f"{s}-{lang}" for s in shp for lang in (
            "kor_Hang", "tha_Thai", "zho_Hans")]}


def test_files_of_another_data_set_of_the_authors(capsys, cache):
    few_shot.main(["--paper", "--dry-run"])
    files = capsys.readouterr().out.split()
    assert "hub:david9dragon9/cvalues_samples/split_a_sampler.json" in files


def test_source_and_target_of_one_size_come_in_orders_of_their_own():
    rows = [data.Encoded(1, [[2, 3 + i]]) for i in range(20)]
    labeled = [data.Encoded(1, [[2, 3 + i], [2, 50 + i]]) for i in range(20)]
    batch = next(data.training_batches([labeled], rows, 20, 1))
    last = batch["input_ids"][batch["last_row"], batch["last_column"]].tolist()
    assert last[:40:2] != last[40:] and sorted(last[:40:2]) == sorted(last[40:])


def test_correlations_are_taken_within_prompts():
    domain = Domain("d", test=[Unlabeled(p, (p,)) for p in "aabb"], scores=[1, 2, 3, 4])
    rewards = [torch.tensor([r]) for r in (11.0, 12.0, 1.0, 2.0)]
    assert domain.measure(rewards) == pytest.approx({"pearson": 1, "spearman": 1})


def test_a_tokenizer_without_bos(tiny):
    tokenizer = copy.deepcopy(tiny[1])
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    tokenizer.bos_token = None
    rows = [Preference("x" * 20, "yes", ("no",))]
    ((_, texts),) = data.encode(rows, tokenizer, 10, truncate=True)
    assert texts == [tokenizer(f"{'x' * 6}\n{r}")["input_ids"] for r in ("yes", "no")]


def test_the_precision_that_is_asked_for(args, monkeypatch, tmp_path):
    load = partial(backbones.load, "tiny", "cpu")
    assert load("bfloat16")[0].dtype == torch.bfloat16 and load("float32")[0].dtype == torch.float32
    args.dtype = "bfloat16"  # trains
    assert len(run_once(args, "DIAL", pair_of_domains())["log"]) == 3
    asked, real = [], backbones.load
    monkeypatch.setattr(backbones, "load", lambda *a: asked.append(a) or real(*a))
    monkeypatch.setattr(runs, "run", lambda args, *_, **__: 1 / 0)
    for flags in (["--dtype", "bfloat16"], ["--dtype", "float32"]):
        with pytest.raises(ZeroDivisionError):
            cross_lingual.main([*FAST, "--n-train=2", "--n-test=2", "--out", str(tmp_path), *flags])
    assert asked == [("tiny", "cpu", "bfloat16", False), ("tiny", "cpu", "float32", False)]


def test_the_baselines_constants_are_those_of_the_documents():
    assert (baselines.LAMBDA_TASK, baselines.LAMBDA_LM, baselines.LM_TOKENS) == (1.0, 0.01, 128)


def test_the_picture_of_pairs(tmp_path, monkeypatch, undrawn):
    drawn, scatter = [], matplotlib.axes.Axes.scatter
    monkeypatch.setattr(matplotlib.axes.Axes, "scatter", lambda self, x, y, **options: (
        drawn.append((list(x), options.get("color"))), scatter(self, x, y, **options))[1])
    rows = report.summarize(runs_of(VALUES), paper=PAPER)
    means = [next(r["mean"] for r in rows if (r["method"], r["target"], r["metric"]) == (
        method, "t", "accuracy")) for method in ("Src-Pref", "DIAL")]
    figures.plot_pairs(rows, tmp_path / "a.png", "t", 0.5)
    assert (means, ["tab:orange", "tab:blue"]) in drawn
    assert ([0.3, 0.5], ["tab:orange", "tab:blue"]) in drawn  # the paper's


def test_a_pair_of_domains_twice(cache):
    with pytest.raises(InputError, match="twice the same pair of domains"):
        odd_one_out.main(["--model", "tiny", "--dry-run", "--target", "fruits", "fruits:en"])
