"""prepare.py: public formats into the plain form. What is expected is written out by hand, or
counted here; the loaders read what comes out."""
from test_prepare import judged, prepared  # noqa: F401  (a fixture)


def test_formats_of_one_file(prepared):  # noqa: F811
    rows = prepared("sib200", "a.tsv", 'id\tcategory\ttext\n1\tsports\tA "ball.\n2\ttravel\tRoad\n')
    assert judged(rows) == [("sports", ["travel"]), ("travel", ["sports"])]
    assert 'A "ball.' in rows[0]["prompt"] and "Road" in rows[1]["prompt"]
    rows = prepared("paradetox", "a.tsv", 'toxic\tneutral1\n"bad\nword"\tgood\nugly\tfine\n')
    assert judged(rows) == [("good", ["bad\nword"]), ("fine", ["ugly"])]
    lines = "".join(f"ugly {i // 2}\tfine {i}\n" for i in range(40))
    parts = [prepared("paradetox", "a.tsv", f"toxic\tneutral1\n{lines}", "--part", part)
             for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [32, 4, 4]  # the two of a toxic text are never apart
    assert sum(len({row["rejected"][0] for row in part}) for part in parts) == 20


def test_shp(prepared):  # noqa: F811
    """SHP's `labels` is 1 where A was preferred."""
    rows = [{"post_id": "p1", "domain": "legaladvice_train", "history": f"Post {i}?",
             "human_ref_A": f"A {i}", "human_ref_B": f"B {i}", "labels": i % 2, "score_A": 1,
             "score_B": 2} for i in range(2)]
    assert prepared("shp", "train.json", rows) == [
        {"prompt": "Post 0?", "chosen": "B 0", "rejected": ["A 0"]},
        {"prompt": "Post 1?", "chosen": "A 1", "rejected": ["B 1"]}]
