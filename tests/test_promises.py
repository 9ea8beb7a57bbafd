"""What a command passes on, and a run: the part, the seed, the prompts, the precision; each was once
free to be ignored without a test that saw it."""
import copy
from functools import partial

import matplotlib.axes
import pytest
import torch
from test_methods import pair_of_domains
from test_report import PAPER, VALUES, runs_of
from tokenizers import processors

import clean_to_noisy
import cross_lingual
import data
import dial
import few_shot
import odd_one_out
import simple_to_complex
from data import InputError, Preference, Unlabeled
from domains import arguments
from domains.foods import food_domain
from domains.safety import few_shot_domains, read_answers
from support import backbones, baselines, figures, paper, report, untrained
from support.methods import METHODS
from support.runs import Job
from support.trainer import Trainer
from support.training import Run

LISTS = {"n_train": 9, "n_test": 5}
DOMAINS = {  # of a part and a seed
    cross_lingual: lambda **k: tuple(food_domain(f"desserts:{n}", **k, **LISTS)
                                     for n in ("en", "th")),
    odd_one_out: lambda **k: tuple(food_domain(n, **k, **LISTS) for n in ("desserts", "fruits")),
    clean_to_noisy: lambda **k: tuple(arguments.argument_domain(n, **k, **LISTS)
                                      for n in ("clean", "noisy")),
    simple_to_complex: lambda **k: tuple(arguments.argument_domain(n, **k, **LISTS)
                                         for n in ("short", "long")),
    few_shot: lambda part, seed: few_shot_domains(read_answers(), seed, part),
}


@pytest.mark.parametrize("command", DOMAINS)
@pytest.mark.parametrize("part, seed", [("validation", 3), ("test", 4)])
def test_domains_are_of_the_part_and_the_seed(cache, monkeypatch, command, part, seed):
    made = []
    monkeypatch.setattr(command, "plan", lambda args, domains: made.append(domains) or [])
    flags = [] if command is few_shot else ["--n-train", "9", "--n-test", "5"]
    command.main(["--model", "tiny", "--dry-run", "--part", part, *flags])
    assert made[0](seed) == [DOMAINS[command](part=part, seed=seed)]
    other = {"validation": "test", "test": "validation"}[part]
    for changed in (dict(part=other, seed=seed), dict(part=part, seed=seed + 1)):
        assert made[0](seed) != [DOMAINS[command](**changed)]


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
    odd_one_out.main(["--model", "tiny", "--all", "--dry-run", "--seeds", "0"])
    assert "25 runs" in capsys.readouterr().out  # Src-Pref once a source, DIAL for each pair


def test_the_papers_cells_are_in_its_tables_order():
    pairs = {name: list(paper.EXPERIMENTS[name]["pairs"]) for name in (
        "odd_one_out", "cross_lingual", "clean_to_noisy")}
    shp = ["legaladvice", "askscience", "explainlikeimfive"]
    assert pairs == {"odd_one_out": list(odd_one_out.TABLE_8), "clean_to_noisy": shp,
                     "cross_lingual": [f"{s}-{lang}" for s in shp for lang in (
                         "kor_Hang", "tha_Thai", "zho_Hans")]}


def test_files_of_another_data_set_of_the_authors(capsys, cache):
    few_shot.main(["--paper", "--dry-run"])
    files = capsys.readouterr().out.split()
    assert "hub:david9dragon9/cvalues_samples/split_a_sampler.json" in files


def test_a_seed_has_its_own_weights_and_its_own_order(args, monkeypatch):
    trainer, seeds, heads, real = Trainer(args), [], [], data.training_batches
    monkeypatch.setattr(data, "training_batches",
                        lambda *a, **k: seeds.append(a[4]) or real(*a, **k))
    for seed in (0, 1):
        run = Run(trainer, Job("Src-Pref", seed, [pair_of_domains()]))
        heads.append(run.model.reward_head.weight.detach().clone())
        run.train(evaluate=lambda step: None)
        run.close()
    assert seeds == [0, 1] and not torch.equal(*heads)


def test_source_and_target_of_one_size_come_in_orders_of_their_own():
    rows = [data.Encoded(1, [[2, 3 + i]]) for i in range(20)]
    labeled = [data.Encoded(1, [[2, 3 + i], [2, 50 + i]]) for i in range(20)]
    batch = next(data.training_batches([labeled], rows, 20, 1))
    last = batch["input_ids"][batch["last_row"], batch["last_column"]].tolist()
    assert last[:40:2] != last[40:] and sorted(last[:40:2]) == sorted(last[40:])


def test_the_distance_is_of_the_last_ten_steps_and_of_the_last_state(args):
    run = Run(Trainer(args), Job("DIAL", 0, [pair_of_domains()]))
    log = [{"distance": float(i), "slope": 2.0} for i in range(1, 31)]
    (result,) = run.results(log, run.job.pairs)
    assert result["metrics"]["distance"] == sum(range(21, 31)) / 20
    assert run.pack_options["share"] is True  # one row for all texts of a batch


def test_the_best_snapshots_row_has_no_distance(args):
    source, target = pair_of_domains()
    target.validation = copy.copy(target)
    results, *_ = Trainer(args).run(Job("DIAL", 0, [(source, target)]))
    assert [("distance" in r["metrics"]) for r in results] == [True, False]


def test_correlations_are_taken_within_prompts(args, monkeypatch):
    source, target = pair_of_domains()
    run = Run(Trainer(args), Job("Src-Pref", 0, [(source, target)]))
    target.test = [Unlabeled(p, (p,)) for p in "aabb"]
    target.scores = [1, 2, 3, 4]
    rewards = [torch.tensor([r]) for r in (11.0, 12.0, 1.0, 2.0)]
    monkeypatch.setattr(dial, "predict", lambda *_: rewards)
    assert run.measure(target)["pearson"] == pytest.approx(1)


def test_letters_go_back_to_their_responses(args, monkeypatch):
    source, target = pair_of_domains()
    target.test = [Preference("Q", "a", ("b", "c"))]
    monkeypatch.setattr(untrained, "ask", lambda *_: ("Q", [2, 0, 1]))  # A is the third's letter
    monkeypatch.setattr(untrained, "think", lambda *_: ["Hm."])
    monkeypatch.setattr(dial, "predict", lambda *_: [torch.tensor([-1.0, -2.0, -3.0])])
    run = Run(Trainer(args), Job("Base LM", 0, [(source, target)]))
    assert METHODS["Base LM"].rewards(run, target)[0].tolist() == [-2, -3, -1]


def test_test_texts_are_encoded_before_anything_is_trained(args):
    source, target = pair_of_domains()
    target.test = [Preference("Q", "a" * 5000, ("b",))]
    with pytest.raises(InputError, match="target, test: row 1, 'Q' and 'a*', has"):
        Trainer(args).check([Job("Src-Pref", 0, [(source, target)])])


def test_a_tokenizer_without_bos(tiny):
    tokenizer = copy.deepcopy(tiny[1])
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    tokenizer.bos_token = None
    rows = [Preference("x" * 20, "yes", ("no",))]
    ((_, texts),) = data.encode(rows, tokenizer, 10, truncate=True)
    assert texts == [tokenizer(f"{'x' * 6}\n{r}")["input_ids"] for r in ("yes", "no")]


def test_the_precision_that_is_asked_for(cache):
    load = partial(backbones.load, "tiny", "cpu")
    assert load("bfloat16")[0].dtype == torch.bfloat16 and load("float32")[0].dtype == torch.float32


def test_the_baselines_constants_are_those_of_the_documents():
    assert (baselines.LAMBDA_TASK, baselines.LAMBDA_LM, baselines.LM_TOKENS) == (1.0, 0.01, 128)


def test_the_papers_gain_is_of_the_means():
    more = PAPER | {("Src-Pref", "s", "u", "accuracy"): (0.1, None),
                    ("DIAL", "s", "u", "accuracy"): (0.7, None)}
    row = report.gain(report.summarize(runs_of(VALUES), more), "accuracy")
    assert row["paper"] == pytest.approx((0.5 + 0.7) / 2 - (0.3 + 0.1) / 2)


def test_a_seed_counts_where_it_has_all_pairs():
    values = VALUES | {("Src-Pref", 3): {"t": 0.1}, ("DIAL", 3): {"t": 0.9}}
    row = report.gain(report.summarize(runs_of(values), {}), "accuracy")
    assert row["seeds"] == [0, 1]
    assert report.gain(report.summarize(runs_of(
        {("Src-Pref", 0): {"t": 1.0}, ("DIAL", 0): {"t": 0.5}, ("Src-Pref", 1): {"u": 0.0},
         ("DIAL", 1): {"u": 0.5}}), {}), "accuracy") is None


def test_the_picture_of_pairs(tmp_path, monkeypatch):
    drawn, scatter = [], matplotlib.axes.Axes.scatter
    monkeypatch.setattr(matplotlib.axes.Axes, "scatter", lambda self, x, y, **options: (
        drawn.append((list(x), options.get("color"))), scatter(self, x, y, **options))[1])
    rows = report.summarize(runs_of(VALUES), PAPER)
    means = [next(r["mean"] for r in rows if (r["method"], r["target"], r["metric"]) == (
        method, "t", "accuracy")) for method in ("Src-Pref", "DIAL")]
    figures.plot_pairs(rows, tmp_path / "a.png", "t", 0.5)
    assert (means, ["tab:orange", "tab:blue"]) in drawn


def test_a_pair_of_domains_twice(cache):
    with pytest.raises(InputError, match="twice the same pair of domains"):
        odd_one_out.main(["--model", "tiny", "--dry-run", "--target", "fruits", "fruits:en"])
