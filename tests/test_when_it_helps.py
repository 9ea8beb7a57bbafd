"""when_it_helps.py: the two numbers of a pair of domains, from files of results."""
import json

import pytest

import when_it_helps
from data import InputError


def results(values, domains=("a", "b"), metric="accuracy"):
    """A results.json of {method: (source accuracies, target accuracies)}, by seed."""
    def mean(numbers):
        return sum(numbers) / len(numbers)

    rows = []
    for method, (source, target) in values.items():
        gains = [x - y for x, y in zip(target, values["Src-Pref"][1])]
        for name, numbers in (("source_accuracy", source), (metric, target)):
            rows.append({"method": method, "source": domains[0], "target": domains[1],
                         "metric": name, "mean": mean(numbers), "values": numbers,
                         "gain": {"mean": mean(gains), "se": 0.125, "values": gains}})
    return json.dumps({"experiment": "few_shot", "rows": rows})


@pytest.fixture
def command(tmp_path, capsys):
    """A function that runs the command on files of such texts; it returns what was printed."""
    def run(*texts, out=tmp_path / "x.png"):
        files = [tmp_path / f"{i}.json" for i in range(len(texts))]
        for file, text in zip(files, texts):
            file.write_text(text)
        when_it_helps.main([*map(str, files), "--out", str(out)])
        return capsys.readouterr()

    return run


VALUES = {"DIAL": ([0.5, 0.5], [0.75, 0.5]), "Src-Pref": ([1.0, 0.75], [0.25, 0.5])}


def test_loss_and_gain(command, tmp_path):
    """.875 - .375 = .5 are lost, (.5 + 0) / 2 = .25 gained; DIAL's source does not count."""
    out = command(results(VALUES), results(VALUES, metric="pearson"))
    assert [line.split() for line in out.out.splitlines()[1:]] == [
        ["few_shot", "a", "b", "0.500", "+0.250", "±", "0.125", "2"]]
    assert out.err == f"{tmp_path / '1.json'}: passed over, it has no accuracies of both methods\n"
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_a_table_of_gains_on_dial_is_passed_over(command, tmp_path):
    """As ablation.py writes it."""
    table = json.loads(results(VALUES))
    for row in table["rows"]:
        row["gain"] = None if row["method"] == "DIAL" else row["gain"]
    out = command(json.dumps(table), results(VALUES))
    assert len(out.out.splitlines()) == 2 and out.err.startswith(f"{tmp_path / '0.json'}: passed o")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [1], "experiment": "x"}',
                                  '{"rows": [{"method": "DIAL"}], "experiment": "x"}'])
def test_other_files_are_refused(command, text):
    with pytest.raises(InputError, match="0.json: not a results.json of this program"):
        command(text)


def test_the_folder_of_the_picture_is_made(command, tmp_path):
    command(results(VALUES), out=tmp_path / "a" / "b.png")
    assert (tmp_path / "a" / "b.png").exists()


def test_nothing_to_draw(command):
    with pytest.raises(InputError, match="none of the files has accuracies"):
        command(results({"Src-Pref": VALUES["Src-Pref"]}))
