"""One run after the other: the scale, the backbone they share, the best state, what is refused."""
from dataclasses import replace

import pytest
import torch
from test_methods import pair_of_domains, preferences, train, weights

from data import InputError, Preference, Unlabeled
from domains.splits import Domain
from support.methods import METHODS
from support.runs import Job
from support.trainer import Trainer
from support.training import Run


@pytest.mark.parametrize("scale", [True, False])
def test_the_scale_is_that_of_the_first_batch(args, scale, monkeypatch):
    args.config = replace(args.config, scale_embeddings=scale)
    batches, (source, target) = [], pair_of_domains()

    def step(*step_args):
        batches.append(step_args[4])
        return dial_step(*step_args)

    dial_step = METHODS["DIAL"].step
    monkeypatch.setitem(METHODS, "DIAL", replace(METHODS["DIAL"], step=step))
    run, _ = train(args, "DIAL", source, target)
    trained = run.model.scale.item()
    run.close()
    untrained = Run(run.trainer, run.job).model
    norm = untrained.embed(batches[0]).norm(dim=1).mean().item()
    assert trained == pytest.approx(norm if scale else 1.0) and norm > 2


@pytest.mark.parametrize("lora_layers", [0, 1])
def test_runs_do_not_see_each_other(args, lora_layers):
    """The backbone comes back as it was, and a run is the same after others as alone."""
    args.config = replace(args.config, lora_layers=lora_layers)
    trainer, domains = Trainer(args), pair_of_domains()
    before = {k: v.clone() for k, v in trainer.classifier.state_dict().items()}
    jobs = [Job(method, seed, [domains]) for method, seed in
            (("DIAL", 0), ("Src-Pref", 0), ("Base LM", 0), ("DIAL", 1), ("DIAL", 0))]
    outcomes = [trainer.run(job) for job in jobs]
    after = trainer.classifier.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    assert outcomes[0] == outcomes[4] == Trainer(args).run(jobs[0])
    assert outcomes[0][1] != outcomes[3][1]
    (result,), log, failure = outcomes[0]
    assert failure is None
    ratios = [r["distance"] / r["slope"] for r in log]
    assert result["metrics"]["distance"] == pytest.approx(sum(ratios) / 3)
    assert result["n_test"] == 6 and result["metrics"].keys() == {
        "accuracy", "source_accuracy", "distance"}


def test_the_best_on_validation_comes_back(args, monkeypatch):
    """Of equals the later; the results of the last step stand beside those of the best."""
    source, target = pair_of_domains()
    target.validation = Domain("validation", test=preferences("TV", 4))
    values, states, measure = iter([0.2, 0.8, 0.8, 0.1]), [], Run.measure

    def measured(run, domain):
        if domain is not target.validation:
            states.append(weights(run))
            return measure(run, domain)
        states.append(weights(run))
        return {"accuracy": next(values)}

    monkeypatch.setattr(Run, "measure", measured)
    args.config = replace(args.config, steps=4)
    results, log, _ = Trainer(args).run(Job("Src-Pref", 0, [(source, target)]))
    assert [r["target_validation"] for r in log] == [0.2, 0.8, 0.8, 0.1]
    assert [r["method"] for r in results] == ["Src-Pref", "Src-Pref, best*"]
    best, last = states[-1], states[-3]  # two measurements, of source and target, for each
    third = states[2]
    assert all(torch.equal(a, b) for a, b in zip(best, third, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(best, last, strict=True))


def test_what_cannot_be_run_is_said_at_the_start(args):
    source, target = pair_of_domains()
    trainer, job = Trainer(args), Job("DIAL", 0, [(source, target)])
    trainer.args.config = replace(args.config, center_prompts=True)
    trainer.check([job])
    target.unlabeled = [*target.unlabeled, Unlabeled("TU?", ("yes",))]
    for method in ("DIAL", "DEAL"):
        with pytest.raises(InputError, match="target: 'TU.' has a single response; center_prompts"):
            trainer.check([Job(method, 0, [(source, target)])])
    trainer.args.config = replace(args.config, center_prompts=False)
    trainer.check([job])
    trainer.classifier.config.tie_word_embeddings = False
    for method in ("Src-Pref-SFT", "Src-Pref-Tgt-NTP", "Base LM", "Few-shot LM",
                   "Base LM likelihood", "Few-shot LM likelihood"):
        with pytest.raises(InputError, match=f"{method} predicts tokens"):
            trainer.check([Job(method, 0, [(source, target)])])
    trainer.args.max_length = 5
    with pytest.raises(InputError, match="source, labeled: row 1, .*, has"):
        Trainer(args).check([Job("Src-Pref", 0, [(source, target)])])
    trainer.args.max_length, source.test = 200, [Preference("Q", "a" * 999, ("b",))]
    with pytest.raises(InputError, match="source, test: row 1, .*, has"):
        Trainer(args).check([Job("Src-Pref", 0, [(source, target)])])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_is_in_the_precision_that_is_asked_for(args, dtype):
    args.dtype = dtype
    assert Trainer(args).classifier.dtype == getattr(torch, dtype)
