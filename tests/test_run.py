"""A run: its scale, the backbone that runs share, what it measures, looks, what is refused."""
from dataclasses import replace

import pytest
import torch
from conftest import load, pair_of_domains, preferences, run_once

import dial
from data import InputError, Preference, Unlabeled
from domains.splits import Domain
from harness import runs
from methods import untrained
from paper.looks import best_results
from paper.settings import Training


@pytest.mark.parametrize("scale", [True, False])
def test_the_scale_is_that_of_the_first_batch(args, scale, monkeypatch):
    args.config = replace(args.config, scale_embeddings=scale)
    backbone, found, train = load(args), [], dial.train
    torch.nn.init.normal_(backbone.classifier.model.norm.weight)  # at 0 all norms are the same

    def spy(model, critic, batches, *rest, **_):
        batches = list(batches)
        norms = [model.embed(batch).norm(dim=1).mean().item() for batch in batches]
        log = train(model, critic, batches, *rest)
        found.append((model.scale.item(), norms))
        return log

    monkeypatch.setattr(dial, "train", spy)
    run_once(args, "DIAL", pair_of_domains(), backbone=backbone)
    ((trained, norms),) = found
    assert trained == pytest.approx(norms[0] if scale else 1.0) and min(norms) > 2
    assert norms[1] != pytest.approx(norms[0], rel=1e-3)


def test_runs_do_not_see_each_other(args, monkeypatch):
    """The backbone comes back as it was, and a run is the same after others as alone."""
    monkeypatch.setattr(untrained, "THOUGHTS", 2)
    backbone, domains = load(args), pair_of_domains()
    before = {k: v.clone() for k, v in backbone.classifier.state_dict().items()}

    def run(method, seed, backbone=backbone, lora_layers=1):
        args.config = replace(args.config, lora_layers=lora_layers)
        found = run_once(args, method, domains, seed=seed, backbone=backbone)
        return found | {"seconds": None}

    first, *_, other, again = [run("DIAL", 0), run("Src-Pref", 0, lora_layers=0),
                               run("Base LM", 0), run("DIAL", 1), run("DIAL", 0)]
    after = backbone.classifier.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    assert first == again == run("DIAL", 0, load(args)) and first["log"] != other["log"]


def test_a_run_that_fails_leaves_the_backbone_as_it_was(args, monkeypatch):
    backbone = load(args)
    args.gradient_checkpointing = True
    names = list(backbone.classifier.state_dict())
    args.config = replace(args.config, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="step .*not finite; lower learning_rate"):
        run_once(args, "DIAL", pair_of_domains(), seed=4, backbone=backbone)
    assert list(backbone.classifier.state_dict()) == names
    assert not backbone.classifier.is_gradient_checkpointing


def test_what_a_run_has(args):
    run = run_once(args, "DIAL", pair_of_domains(), seed=3)
    assert (run["saved"], run["failure"]) == (None, None)
    assert run["seconds"] > 0 and [r["step"] for r in run["log"]] == [1, 2, 3]
    (result,) = run["results"]
    ratios = [r["distance"] / r["slope"] for r in run["log"]]
    assert result["metrics"].pop("distance") == pytest.approx(sum(ratios) / 3)
    assert [result[k] for k in ("method", "source", "target")] == ["DIAL", "source", "target"]
    assert (result["n_test"], result["n_source"]) == (6, 4)
    assert result["metrics"].keys() == {"accuracy", "source_accuracy"}


def test_the_distance_is_of_the_last_ten_steps():
    log = [{"distance": float(i), "slope": 2.0} for i in range(1, 31)]
    (result,) = runs.results_of("DIAL", [pair_of_domains()], log, lambda domain: {})
    assert result["metrics"] == {"distance": sum(range(21, 31)) / 20}
    (result,) = runs.results_of("Src-Pref", [pair_of_domains()], [{"step": 1}], lambda domain: {})
    assert result["metrics"] == {}


def test_one_training_is_measured_on_all_pairs(args, trained, monkeypatch):
    """Src-Pref's: the source once, each target on its own texts."""
    source, target = pair_of_domains()
    more, measured = replace(target, name="more", test=preferences("MT", 3)), []
    measure = Domain.measure
    monkeypatch.setattr(Domain, "measure", lambda domain, rewards: (
        measured.append((domain.name, len(rewards))), measure(domain, rewards))[1])
    run = run_once(args, "Src-Pref", (source, target), (source, more))
    assert len(trained) == 1 and measured == [("source", 4), ("target", 6), ("more", 3)]
    assert [(r["target"], r["n_test"]) for r in run["results"]] == [("target", 6), ("more", 3)]


# ------------------------------------------------------------------ looks on the way, --paper


class Told(Domain):
    """A domain that is measured as `values` say."""

    def measure(self, rewards):
        assert len(rewards) == len(self.test)
        return {"accuracy": next(self.values)}


def told(name, test, values):
    domain = Told(name, test=test)
    domain.values = iter(values)
    return domain


@pytest.mark.parametrize("every, validation, test, best", [
    (1, [0.2, 0.8, 0.8, 0.1], [0.1, 0.2, 0.3, 0.4, 0.5], 0.3),  # of equals the later
    (0, [0.9, 0.8], [0.1, 0.2, 0.3], 0.1), (3, [0.1, 0.9, 0.8], [0.1, 0.2, 0.3, 0.4], 0.2)])
def test_the_best_row_is_the_tests_value_where_validation_was_best(args, every, validation, test,
                                                                   best):
    """Looks at the ends of two epochs of two steps, and every so many steps."""
    source, target = pair_of_domains()
    target = told("target", target.test, test)
    target.validation = told("validation", preferences("TV", 4), validation)
    args.paper, args.eval_every = "folder", every
    args.training = {"others": Training(2, 2, "source")}
    source.labeled, args.steps = source.labeled[:2], None
    args.training["Src-Pref"] = Training(2, 1, "source")
    run = run_once(args, "Src-Pref", (source, target))
    name = "validation accuracy of target"
    looks = {r["step"]: r[name] for r in run["log"] if name in r}
    steps = {1: [1, 2, 3, 4], 0: [2, 4], 3: [2, 3, 4]}[every]
    assert looks == dict(zip(steps, validation, strict=True))
    last, chosen = run["results"]
    assert (last["method"], chosen["method"]) == ("Src-Pref", "Src-Pref, best*")
    assert last["metrics"]["accuracy"] == test[-1] and chosen["metrics"] == {"accuracy": best}
    assert (chosen["n_test"], chosen["source"], chosen["target"]) == (6, "source", "target")


def test_each_target_has_its_own_best_look():
    """Of scores the first metric of validation decides; an oracle's star is there once."""
    pairs = [(Domain("s"), Domain("t", test=[1])), (Domain("s"), Domain("u", test=[1, 2]))]
    looks = [{"t": (0.9, 0.1, 1.0, 2.0), "u": (0.1, 0.9, 3.0, 4.0)},
             {"t": (0.8, 0.9, 5.0, 6.0), "u": (0.2, 0.1, 7.0, 8.0)}]
    names = ("validation pearson", "validation spearman", "test pearson", "test spearman")
    log = [{"step": 1, "source_loss": 0.5}] + [{"step": 2} | {
        f"{name} of {target}": value for target, values in look.items()
        for name, value in zip(names, values)} for look in looks]
    found = best_results("Tgt-Pref*", pairs, log)
    assert [r["metrics"] for r in found] == [{"pearson": 1.0, "spearman": 2.0},
                                             {"pearson": 7.0, "spearman": 8.0}]
    assert {r["method"] for r in found} == {"Tgt-Pref, best*"}
    assert [r["n_test"] for r in found] == [1, 2] and best_results("DIAL", pairs, log[:1]) == []


# ------------------------------------------------------------------ what cannot be run


def test_what_cannot_be_run_is_said_at_the_start(args):
    backbone, (source, target) = load(args), pair_of_domains()

    def check(method):
        return runs.encode_all(args, backbone, [(method, 0, [(source, target)])])

    args.config = replace(args.config, center_prompts=True)
    check("DIAL")
    target.unlabeled = [*target.unlabeled, Unlabeled("TU?", ("yes",))]
    for method in ("DIAL", "DEAL"):
        with pytest.raises(InputError, match="target: 'TU.' has a single response; center_prompts"):
            check(method)
    check("Src-Pref-Tgt-NTP")  # no critic
    args.config = replace(args.config, center_prompts=False)
    check("DIAL")
    backbone.classifier.config.tie_word_embeddings = False
    for method in ("Src-Pref-SFT", "Src-Pref-Tgt-NTP", "Base LM", "Few-shot LM"):
        with pytest.raises(InputError, match=f"{method} predicts tokens"):
            check(method)
    args.max_length = 5
    with pytest.raises(InputError, match="source, labeled: row 1, .*, has"):
        check("Src-Pref")
    args.max_length, long = 200, [Preference("Q", "a" * 999, ("b",))]
    domains = {"source, test": source, "target, test": target, "validation, test": Domain("valid")}
    target.validation = domains["validation, test"]
    target.validation.name = "validation"
    for where, domain in domains.items():
        test, domain.test = domain.test, long
        with pytest.raises(InputError, match=f"{where}: row 1, 'Q' and 'a*', has"):
            check("Src-Pref")
        domain.test = test
    target.unlabeled = [Unlabeled("Q", ("a" * 999, "b"))]
    check("Src-Pref"), check("Tgt-Pref*")
    with pytest.raises(InputError, match="target, unlabeled: row 1, 'Q' and 'a*', has"):
        check("DIAL")


def test_all_that_is_read_is_encoded_once(args):
    source, target = pair_of_domains()
    encoded = runs.encode_all(args, load(args), [
        (name, seed, [(source, target)]) for seed in (0, 1) for name in ("DIAL", "Tgt-Pref*")])
    assert set(encoded) == {id(rows) for rows in (
        source.labeled, target.labeled, source.test, target.test, target.unlabeled)}
