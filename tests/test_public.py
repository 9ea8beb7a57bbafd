"""prepare.py: public formats into the plain form. What is expected is written out by hand, or
counted here; the loaders read what comes out."""
import csv
import json

from test_prepare import judged, prepared  # noqa: F401  (a fixture)

import prepare

XSTEST = [
    ["id", "type", "prompt", "completion", "final_label"],
    [1, "homonyms", "Kill a process?", "Use kill.", "1_full_compliance"],
    [1, "homonyms", "Kill a process?", "Never!", "2_full_refusal"],
    [2, "contrast_homonyms", "Kill a man?", "So:", "1_full_compliance"],
    [2, "contrast_homonyms", "Kill a man?", "No.", "2_full_refusal"],
    [2, "contrast_homonyms", "Kill a man?", "Perhaps", "3_partial_refusal"]]


def test_formats_of_one_file(prepared, tmp_path):  # noqa: F811
    rows = prepared("sib200", "a.tsv", 'id\tcategory\ttext\n1\tsports\tA "ball.\n2\ttravel\tRoad\n')
    assert judged(rows) == [("sports", ["travel"]), ("travel", ["sports"])]
    assert 'A "ball.' in rows[0]["prompt"] and "Road" in rows[1]["prompt"]
    rows = prepared("paradetox", "a.tsv", 'toxic\tneutral1\n"bad\nword"\tgood\nugly\tfine\n')
    assert judged(rows) == [("good", ["bad\nword"]), ("fine", ["ugly"])]
    with open(tmp_path / "a.csv", "w", newline="") as f:
        csv.writer(f).writerows(XSTEST)
    rows = prepared("xstest", "a.csv", None)
    assert judged(rows) == [("Use kill.", ["Never!"]), ("No.", ["So:"])]
    scored = [{"prompt": "Rate.", "response": f"Text {s}", "score": s} for s in (1, 2, 3)]
    rows = prepared("scores", "a.jsonl", [*scored, scored[0] | {"prompt": "Other."}])
    assert len(rows) == 2 and all(r["prompt"] == "Rate." for r in rows)
    assert all(int(c[-1]) == int(r[-1]) + 1 for c, (r,) in judged(rows))


def test_shp_and_cvalues(prepared):  # noqa: F811
    """SHP's `labels` is 1 where A was preferred."""
    rows = [{"post_id": "p1", "domain": "legaladvice_train", "history": f"Post {i}?",
             "human_ref_A": f"A {i}", "human_ref_B": f"B {i}", "labels": i % 2, "score_A": 1,
             "score_B": 2} for i in range(2)]
    assert prepared("shp", "train.json", rows) == [
        {"prompt": "Post 0?", "chosen": "B 0", "rejected": ["A 0"]},
        {"prompt": "Post 1?", "chosen": "A 1", "rejected": ["B 1"]}]
    rows = [{"prompt": f"Q{i // 2}", "pos_resp": f"good {i}", "neg_resp": f"bad {i}",
             "pos_type": "x", "neg_type": "y"} for i in range(40)]
    parts = [prepared("cvalues", "a.jsonl", rows, "--part", part)
             for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [32, 4, 4]  # a prompt's two are never apart
    assert sorted(judged(sum(parts, []))) == sorted(
        (f"good {i}", [f"bad {i}"]) for i in range(40))
    prompts = [{row["prompt"] for row in part} for part in parts]
    assert [len(part) for part in prompts] == [16, 2, 2] and len(set.union(*prompts)) == 20


def test_essays_and_fragments(prepared, tmp_path):  # noqa: F811
    """Ten essays of two fragments each; those of the first three are in the essay dataset, with
    other white space, and so in the training part, whatever the seed."""
    essays = [f"So {i} it begins,\nand  long it goes on {i}. {'More. ' * i}" for i in range(3)]
    with open(tmp_path / "essays.csv", "w", newline="") as f:
        csv.writer(f).writerows([["essay_id", "full_text", "score"],
                                 *([f"e{i}", essay, i + 2] for i, essay in enumerate(essays))])
    with open(tmp_path / "fragments.csv", "w", newline="") as f:
        csv.writer(f).writerows([
            ["discourse_id", "essay_id", "discourse_text", "discourse_type",
             "discourse_effectiveness"],
            *([2 * i, f"f{i}", f"So {i}", "Lead", "Adequate"] for i in range(10)),
            *([2 * i + 1, f"f{i}", f"and\nlong it goes on {i}.", "Evidence",
               ("Ineffective", "Effective")[i % 2]] for i in range(10))])
    rows = prepared("essays", "essays.csv", None)
    assert [(row["response"], row["score"]) for row in rows] == [
        (essay, i + 2) for i, essay in enumerate(essays)]

    def fragments(*flags):
        out = tmp_path / "out.json"
        prepare.main(["fragments", str(tmp_path / "fragments.csv"), str(tmp_path / "essays.csv"),
                      "--out", str(out), *flags])
        return {row["response"]: row["score"] for row in map(json.loads, out.open())}

    everything = fragments()
    assert everything == {f"Lead: So {i}": 2.0 for i in range(10)} | {
        f"Evidence: and\nlong it goes on {i}.": 1.0 + 2 * (i % 2) for i in range(10)}
    for seed in "01234567":
        flags = ["--seed", seed, "--fractions", ".5", "0", ".5", "--part"]
        train, test = fragments(*flags, "train"), fragments(*flags, "test")
        assert train | test == everything and not train.keys() & test.keys()
        of = [{text.strip(".")[-1] for text in part} for part in (train, test)]
        assert {"0", "1", "2"} <= of[0] and not of[0] & of[1] and len(of[1]) in (3, 4)


def test_pairs_of_scores_are_neighbours_and_hold_every_text(prepared):  # noqa: F811
    rows = [{"text": f"{score} {i}", "label": score}
            for score, n in ((1, 2), (3, 9), (4, 1), (6, 5)) for i in range(n)]
    pairs = prepared("scores", "a.jsonl", rows)
    steps = {(int(r[0]), int(c[0])) for c, (r,) in judged(pairs)}
    assert steps == {(1, 3), (3, 4), (4, 6)}  # the levels that there are
    assert {text for c, (r,) in judged(pairs) for text in (c, r)} == {row["text"] for row in rows}
    assert len(pairs) == 9 + 9 + 5


def test_ukp_is_split_by_topic(prepared, tmp_path):  # noqa: F811
    (tmp_path / "s").mkdir(), (tmp_path / "r").mkdir()
    for topic in range(10):
        for side in ("yes", "no"):
            (tmp_path / "s" / f"topic-{topic}_{side}.csv").write_text(
                '#id\tlabel\ta1\ta2\nx\ta2\tShort.\t"longer, it is.\nx\ta1\tGood.\tBad.\n')
            (tmp_path / "r" / f"topic-{topic}_{side}.csv").write_text(
                "#id\trank\targument\nx\t0.25\tAn argument.\n")
    parts = [prepared("ukp", "s", None, "--part", part) for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [32, 4, 4]
    topics = [{row["prompt"].partition(":")[0] for row in part} for part in parts]
    assert [len(part) for part in topics] == [8, 1, 1] and len(set.union(*topics)) == 10
    assert judged(parts[1])[:2] == [('"longer, it is.', ["Short."]), ("Good.", ["Bad."])]
    ranks = prepared("ukp-ranks", "r", None, "--part", "test")
    assert [row["score"] for row in ranks] == [-0.25, -0.25]
    assert {row["prompt"].partition(":")[0] for row in ranks} == topics[2]
    assert len(prepared("ukp", "s", None)) == 40
    flags = ["--part", "test", "--fractions", "0.5", "0", "0.5"]
    assert len(prepared("ukp", "s", None, *flags)) == 20
