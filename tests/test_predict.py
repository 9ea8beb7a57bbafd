"""`predict` on the small model: rewards in the records' order, read from the device once."""
import torch
from conftest import ROWS
from test_training import build

import data
import dial
from dial import predict


def test_predict_restores_the_mode_and_keeps_the_order(config, tiny):
    model, _ = build(config)
    encoded = data.encode([*ROWS, data.Preference("long " * 20, "a", ("b",))][::-1], tiny[1], 512)
    for mode in (True, False):
        model.train(mode)
        rewards = predict(model, data.evaluation_batches(encoded, tokens=300))
        assert model.training is mode
    model.eval()
    with torch.no_grad():
        expected = [model(data.pack([row])) for row in encoded]
    for a, b in zip(rewards, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_predict_waits_for_the_device_once_and_counts_records(config, tiny, monkeypatch):
    (model, _), reads, cpu, bars = build(config), [], torch.Tensor.cpu, []

    class Bar(dial.tqdm):
        def close(self):
            bars.append((self.total, self.n))
            super().close()

    monkeypatch.setattr(dial, "tqdm", Bar)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda *args: reads.append(1) or cpu(*args))
    encoded = data.encode(ROWS, tiny[1], 512)
    rewards = predict(model, data.evaluation_batches(encoded, tokens=99), n_records=len(encoded))
    assert len(rewards) == len(encoded) and len(reads) == 1 and bars[0] == (8, 8)
    assert predict(model, iter([])) == []


def test_nothing_is_dropped_where_rewards_are_predicted():
    class Dropping(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout, self.reward_head = torch.nn.Dropout(0.5), torch.nn.Linear(64, 1)

        def embed(self, batch):
            return self.dropout(batch["x"])

    model, x = Dropping(), torch.ones(2, 64)
    (rewards,) = predict(model, [{"x": x, "counts": [2], "index": [0]}])
    assert torch.equal(rewards, model.reward_head(x).squeeze(-1).detach())
