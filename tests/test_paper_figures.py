"""embeddings.py and scaling.py with --paper, on small files."""
import json

from test_paper import folder  # noqa: F401  (a fixture)

import data
import embeddings
import scaling
from harness import figures


def test_figures_3_and_4(folder, tmp_path, monkeypatch, capsys):  # noqa: F811
    """Of legaladvice in Korean: looks at the ends of three epochs, at records drawn at random, by
    t-SNE; mixes and sizes of what there is, 20,000 records (here 10), drawn at random too. All runs
    of Figure 4 take as many steps as DIAL's three epochs on all of them."""
    monkeypatch.setattr(embeddings, "tsne", embeddings.pca)  # which takes scikit-learn
    drawn, draw, sized = [], figures.scatter, scaling.sized
    monkeypatch.setattr(figures, "scatter", lambda *a: drawn.append(a[1:3]) or draw(*a))
    monkeypatch.setattr(scaling, "sized", lambda *a: drawn.append(sized(*a)) or drawn[-1])
    for command in (embeddings, scaling):
        command.main(["--paper", "--dry-run"])
        out = capsys.readouterr().out
        assert "legaladvice_english_train -> " in out and "legaladvice_kor_Hang_train" in out
        assert out.count("askscience") == 0
    assert "Src-Tgt-Pref*, seed 2, 15000 steps: legaladvice_english_train -> 6000 legal" in out
    drawn.clear()
    flags = [*folder("embeddings", "tiny", n=10, long=1), "--set", "lora_layers=1"]
    embeddings.main([*flags, "--n-test", "7"])
    table = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:8]]
    assert table == [["Src-Pref", s] for s in ("0", "2", "4")] + [
        ["DIAL", s] for s in ("0", "3", "6", "8")]
    assert {tuple(emb.shape[:2]) for pair in drawn for emb in pair} == {(7, 2)}
    drawn.clear()
    monkeypatch.setattr(scaling, "SHARES", (0.1, 0.5))
    monkeypatch.setattr(scaling, "SIZES", (0.3, 1))
    scaling.main(flags)
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    names = [(row["method"], row["source"].split()[0], row["target"].split()[0]) for row in rows]
    legal = "legaladvice_english_train"
    assert names == [("DIAL", "9", "1"), ("DIAL", "5", "5")] + [
        (m, legal, n) for m in ("DIAL", "Src-Tgt-Pref*") for n in ("3", "10")]
    logs = [json.loads(path.read_text())["log"] for path in (tmp_path / "out/runs").iterdir()]
    assert [len(log) for log in logs] == [8] * 6
    assert any(domain.labeled[0].prompt.split()[1] != "0" for domain in drawn)
    small, large = drawn[-2:]
    assert large.labeled[:3] == small.labeled and len(large.labeled) == 10
    assert data.unlabel(large.labeled) == list(large.unlabeled)
