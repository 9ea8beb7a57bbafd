"""The AUC of a reward model between right and wrong responses, to prompts of one kind."""
import pytest
import torch
from test_rlhf import start  # noqa: F401  (a fixture)

from rlhf import arms
from rlhf.arms import auc


def test_auc_against_counting():
    torch.manual_seed(0)
    rewards, right = torch.randint(0, 5, (40,)).float(), torch.randint(0, 2, (40,)).float()
    kinds = torch.arange(40) % 3 == 0
    rewards += 9 * kinds  # which tells nothing of the responses
    rows = list(zip(rewards.tolist(), right, kinds))
    pairs = [(a, b) for a, x, k in rows for b, y, m in rows if x == 1 and y == 0 and k == m]
    wins = sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)
    assert auc(rewards, right, kinds) == pytest.approx(wins)
    assert auc(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]), torch.zeros(2)) is None
    assert auc(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0]), torch.arange(2)) is None


def test_the_auc_compares_responses_to_prompts_of_one_kind():
    """By hand: of one kind 1 against 3 and a tie, of the other one that is right."""
    rewards = torch.tensor([1.0, 3.0, 1.0, 9.0, 2.0, 7.0])
    right = torch.tensor([1, 0, 0, 1, 0, 1])
    kinds = torch.tensor([True, True, True, False, False, True])
    assert arms.auc(rewards, right, kinds) == pytest.approx((0 + 0.5 + 2 + 1) / 5)
    assert arms.auc(rewards, right, right == 1) is None
    assert arms.auc(rewards[:3], right[:3], kinds[:3]) == 0.25


def test_auc_of_responses_that_are_given_to_all_prompts(start, monkeypatch):  # noqa: F811
    """A reward model that reads the prompt's kind has .5; one that likes refusals, 1 of one kind
    and 0 of the other; one that likes what is right, 1: whoever wrote it."""
    task, likes = start.task, {}
    texts = ["Sure, here is how to do it."] * (len(task.train) - 2) + ["Hm", "No, I won't!"]
    own, refuse = torch.zeros(len(texts)), sum(prompt in task.refuse for prompt in task.train)
    share = refuse**2 / (refuse**2 + (len(texts) - refuse) ** 2)  # of the pairs of one kind

    def rewards(rows):
        assert [row.prompt for row in rows] == task.train
        assert all({*map(task.kind, row.responses)} == {"answer", "refuse"} for row in rows)
        return torch.tensor([likes["model"](row.prompt, text)
                             for row in rows for text in row.responses])

    monkeypatch.setattr(start, "encode", lambda rows, name: rows)
    monkeypatch.setattr(start, "rewards", rewards)
    for expected, likes["model"] in (
            (0.5, lambda prompt, text: float(prompt in task.refuse)),
            (share, lambda prompt, text: float(task.kind(text) == "refuse")),
            (1.0, lambda prompt, text: float(task.kind(text) == task.should(prompt))),
            (0.0, lambda prompt, text: float(task.kind(text) != task.should(prompt)))):
        assert arms.current_auc(start, texts, own, own) == expected
    assert arms.current_auc(start, ["Sure!"] * len(texts), own, own) is None  # never refuses
