"""The formats that prepare.py reads: each takes files and yields (where, group, row): where the row
stands, for errors; what it is split by, None for its prompt; the row, for records.py to read."""
import csv
import random

from data import InputError

from domains.arguments import neighbouring_pairs
from domains.files import read_rows
from domains.records import read_scored
from reading.tables import read_table

IN_TRAINING = "\0"  # what rows are split by that must be in the part to train on
LEVELS = {"Ineffective": 1, "Adequate": 2, "Effective": 3}


def tables(files, columns, delimiter="\t", quoting=csv.QUOTE_NONE):
    """The rows of all files, each as (where, dictionary)."""
    for file in files:
        yield from read_table(file, delimiter, columns, quoting)


def objects(files, names):
    """The rows of all JSON files, each as (where, dictionary)."""
    for file in files:
        for where, row in read_rows(file):
            if missing := [name for name in names if name not in row]:
                raise InputError(f"{where}: no '{missing[0]}'; there are: {', '.join(row)}")
            yield where, row


def shp(files):
    """SHP, a subreddit's .json: the comment that was preferred; its own parts (A.2)"""
    for where, row in objects(files, ("history", "human_ref_A", "human_ref_B", "labels")):
        if row["labels"] not in (0, 1):
            raise InputError(f"{where}: 'labels' must be 1 (A) or 0 (B), not {row['labels']!r}")
        a, b = row["human_ref_A"], row["human_ref_B"]
        chosen, rejected = (a, b) if row["labels"] else (b, a)
        yield where, None, {"prompt": row["history"], "chosen": chosen, "rejected": rejected}


def cvalues(files):
    """CValues-Comparison, .jsonl: the better answer; to be translated from zho_Hans (A.4)"""
    for where, row in objects(files, ("prompt", "pos_resp", "neg_resp")):
        yield where, None, {"prompt": row["prompt"], "chosen": row["pos_resp"],
                            "rejected": row["neg_resp"]}


def essays(files):
    """Kaggle's Automated Essay Scoring 2.0, train.csv: an essay with its score, 1 to 6 (A.5)"""
    columns = ("essay_id", "full_text", "score")
    for where, row in tables(files, columns, ",", csv.QUOTE_MINIMAL):
        yield where, row["essay_id"], {"response": row["full_text"], "score": row["score"]}


def fragments(files):
    """Kaggle's Predicting Effective Arguments, train.csv, and after it the essays': a fragment with
    its score, 1 to 3; those of these essays are in training (A.5); split by essay"""
    columns = ("essay_id", "discourse_text", "discourse_type", "discourse_effectiveness")
    corpus = "\n".join(" ".join(row["response"].split()) for _, _, row in essays(files[1:]))
    by_essay = {}
    for where, row in tables(files[:1], columns, ",", csv.QUOTE_MINIMAL):
        by_essay.setdefault(row["essay_id"], []).append((where, row))
    for essay, rows in by_essay.items():
        longest = max((" ".join(row["discourse_text"].split()) for _, row in rows), key=len)
        for where, row in rows:
            level = row["discourse_effectiveness"]
            if level not in LEVELS:
                raise InputError(f"{where}: 'discourse_effectiveness' must be one of "
                                 f"{', '.join(LEVELS)}, not {level!r}")
            text = f"{row['discourse_type']}: {row['discourse_text']}"
            yield where, IN_TRAINING if longest in corpus else essay, {
                "text": text, "label": LEVELS[level]}


def sib200(files):
    """SIB-200, .tsv: a text; its topic beats the other topics"""
    rows = list(tables(files, ("category", "text")))
    topics = sorted({row["category"] for _, row in rows})
    for where, row in rows:
        yield where, row["text"], {"prompt": f"{row['text']}\nThe topic of this text is:",
                                   "chosen": row["category"],
                                   "rejected": [t for t in topics if t != row["category"]]}


def paradetox(files):
    """ParaDetox, .tsv: the civil wording beats the toxic one"""
    for where, row in tables(files, ("toxic", "neutral1"), quoting=csv.QUOTE_MINIMAL):
        yield where, row["toxic"], {"prompt": "Which of these comments is civil?",
                                    "chosen": row["neutral1"], "rejected": row["toxic"]}


def xstest_answers(files):
    """{(prompt, whether it is unsafe): (compliances, refusals)} of XSTest's .csv files with
    completions, of all models."""
    answers = {}
    columns = ("prompt", "completion", "type", "final_label")
    for _, row in tables(files, columns, ",", csv.QUOTE_MINIMAL):
        kinds = answers.setdefault((row["prompt"], row["type"].startswith("contrast")), ([], []))
        for kind, label in zip(kinds, ("1_full_compliance", "2_full_refusal")):
            if row["final_label"] == label and (text := row["completion"].strip()):
                kind.append(text)
    return answers


def xstest(files):
    """XSTest, .csv with completions, a file a model: answering safe questions, refusing others"""
    for (prompt, unsafe), (comply, refuse) in xstest_answers(files).items():
        for chosen, rejected in zip(refuse, comply) if unsafe else zip(comply, refuse):
            yield f"prompt {prompt!r}", prompt, {"prompt": prompt, "chosen": chosen,
                                                 "rejected": rejected}


def ukp_rows(folders, *columns):
    """The rows of folders' topic_side.csv as (where, topic, prompt, row)."""
    for folder in folders:
        for file in sorted(folder.glob("*.csv")) if folder.is_dir() else [folder]:
            topic, _, side = file.stem.partition("_")
            topic, side = (part.replace("-", " ").strip() for part in (topic, side))
            for where, row in tables([file], columns):
                yield where, topic, f"{topic}: {side}. How convincing is this?", row


def ukp(folders):
    """UKPConvArg1Strict, folder of .csv: the more convincing of two arguments; split by topic"""
    for where, topic, prompt, row in ukp_rows(folders, "label", "a1", "a2"):
        if row["label"] not in ("a1", "a2"):
            raise InputError(f"{where}: 'label' must be a1 or a2, not {row['label']!r}")
        other = "a2" if row["label"] == "a1" else "a1"
        yield where, topic, {"prompt": prompt, "chosen": row[row["label"]], "rejected": row[other]}


def ukp_ranks(folders):
    """UKPConvArg1-Ranking, folder of .csv: an argument with its rank as a score; split by topic"""
    for where, topic, prompt, row in ukp_rows(folders, "rank", "argument"):
        row = {"prompt": prompt, "response": row["argument"], "score": row["rank"]}
        yield where, topic, row | {"score": -read_scored(row, where)[1]}  # the best is first


def scores(files):
    """texts with scores: pairs of neighbouring scores of a prompt, with every text (A.5)"""
    by_prompt = {}
    for where, _, row in plain(files):
        item, score = read_scored(row, where)
        by_prompt.setdefault(item.prompt, []).append((item.responses[0], score))
    for prompt, items in by_prompt.items():
        if len({score for _, score in items}) > 1:  # of a single score there are no pairs
            for pair in neighbouring_pairs(*zip(*items), prompt, None, random.Random(0)):
                yield f"prompt {prompt!r}", prompt, vars(pair) | {"rejected": [*pair.rejected]}


def plain(files):
    """what the commands read already (HH-RLHF too; no conversations)"""
    return ((where, None, row) for file in files for where, row in read_rows(file))


FORMATS = {"shp": shp, "cvalues": cvalues, "essays": essays, "fragments": fragments,
           "sib200": sib200, "paradetox": paradetox, "xstest": xstest, "ukp": ukp,
           "ukp-ranks": ukp_ranks, "scores": scores, "plain": plain}
