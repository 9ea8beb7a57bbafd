"""--paper: what is read from which file."""
import json
from collections import Counter

import pytest
from test_paper import SECTIONS, folder  # noqa: F401  (a fixture)

import cross_lingual
import few_shot
from data import InputError
from harness.flags import RUNS, parse, run_parser
from paper import files, settings


def domains_of(experiment, flags):
    """The pairs of domains that a command reads."""
    parser = run_parser("", experiment, {"steps": 1}, RUNS)
    ((seed, pairs),) = files.domains(parse(parser, flags)).items()
    assert seed == 0
    return pairs


def files_of(rows):
    """The files that rows of `folder` come from, by their first word."""
    return {(r.prompt if r.prompt != "Text:" else r.responses[0]).split()[0] for r in rows}


@pytest.mark.parametrize("experiment", SECTIONS)
def test_every_part_is_of_its_file(experiment, folder, monkeypatch):  # noqa: F811
    monkeypatch.setitem(settings.EXPERIMENTS["few_shot"], "repeat", 2)
    names = settings.EXPERIMENTS[experiment]["pairs"]
    pairs = domains_of(experiment, folder(experiment, "tiny"))
    for (source, target), ((train, test), (target_train, target_test)) in zip(
            pairs, names.values(), strict=True):
        assert files_of(source.labeled) == {train.rpartition("/")[2]}
        assert files_of(source.test) == {test}
        assert files_of(target.unlabeled) == files_of(target.labeled) == {target_train}
        assert files_of(target.test) == {target_test}
        assert files_of(target.validation.test) == {target_train.replace("train", "val")}


def test_the_ten_are_repeated_a_thousand_times(folder, tmp_path):  # noqa: F811
    """A.4; also where the file holds them repeated already."""
    flags = [*folder("few_shot", "tiny"), "--pairs", "b"]
    ((source, target),) = domains_of("few_shot", flags)
    path = tmp_path / "split_b_sampler.json"
    path.write_text(json.dumps(json.loads(path.read_text()) * 3))
    ((again, _),) = domains_of("few_shot", flags)
    assert again.labeled == source.labeled
    assert Counter(source.labeled) == dict.fromkeys(source.labeled, 1000)
    assert len(source.labeled) == 4000 and len(target.labeled) == len(target.unlabeled) == 4


@pytest.mark.parametrize("file", ["split_b_sampler.json", "test.json", "val.json"])
def test_other_files_have_another_checksum(folder, tmp_path, monkeypatch, file):  # noqa: F811
    """It is among a run's settings: a folder with runs of other data is refused."""
    flags, sums = [*folder("few_shot", "tiny"), "--pairs", "b"], []
    monkeypatch.setattr(few_shot, "report", lambda *args: None)
    monkeypatch.setattr(few_shot, "run_all", lambda args, domains: sums.append(args.checksum))
    for new in ("yes", "yes", "Yes"):
        path = tmp_path / file
        path.write_text(path.read_text().replace("yes", new))
        few_shot.main(flags)
    assert sums[0] == sums[1] != sums[2]


def test_pairs_are_added_to_finished_ones(folder, tmp_path, capsys, undrawn):  # noqa: F811
    """In any order; a changed file is refused all the same."""
    flags = [*folder("cross_lingual", "tiny"), "--methods", "Longest"]
    korean, thai = "legaladvice-kor_Hang", "legaladvice-tha_Thai"
    cross_lingual.main([*flags, "--pairs", korean])
    cross_lingual.main([*flags, "--pairs", thai, korean])
    cross_lingual.main([*flags, "--pairs", korean, thai])
    assert "1 of 1 runs are finished" in capsys.readouterr().err
    path = tmp_path / "legaladvice_kor_Hang_test.json"
    path.write_text(path.read_text().replace("yes", "Yes"))
    with pytest.raises(InputError, match="is of other data in the same files"):
        cross_lingual.main([*flags, "--pairs", thai, korean])


def test_essays_of_the_target_are_single_texts(folder, tmp_path):  # noqa: F811
    """Pairs were chosen by their scores, so none is shown: each text once, however many it has."""
    flags = folder("simple_to_complex", "tiny")
    (tmp_path / "long_pref_train.json").write_text(json.dumps([
        {"prompt": "Rate.", "response_chosen": f"essay {i + 1}", "response_rejected": f"essay {i}"}
        for i in range(5)]))
    ((_, target),) = domains_of("simple_to_complex", flags)
    assert {row.prompt for row in target.unlabeled} == {"Rate."}
    assert sorted(row.responses for row in target.unlabeled) == [(f"essay {i}",) for i in range(6)]
    assert len(target.labeled) == 5  # for oracles
