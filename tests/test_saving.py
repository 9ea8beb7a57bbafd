"""A saved model gives the same rewards to peft and transformers without this code."""
import json

import pytest
import torch
from conftest import ROWS, random_classifier
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import data
import dial
from models import backbones, saving


def rewards_of(classifier, tokenizer, texts):
    """Of several texts at once, which takes a padding token."""
    inputs = tokenizer(texts, return_tensors="pt", padding=True)
    assert (inputs["attention_mask"] == 0).any()
    with torch.no_grad():
        return classifier.eval()(**inputs).logits[:, 0].float()


def trained_model(classifier, tokenizer, config):
    """Trained a little, its scale not 1, and its rewards of ROWS with their texts."""
    torch.manual_seed(0)
    model, rows = dial.RewardModel(classifier, config), data.encode(ROWS, tokenizer, 512)
    pack = {"pad_id": tokenizer.pad_token_id}
    model.set_scale(data.pack(rows, **pack))
    dial.train(model, dial.Critic(32), data.training_batches([rows], rows, 2, 3, **pack), config)
    rewards = torch.cat(dial.predict(model, data.evaluation_batches(rows, **pack)))
    assert abs(model.scale - 1) > 0.5 and rewards.std() > 1e-3
    return model, rewards, [f"{row.prompt}\n{r}" for row in ROWS for r in row.responses]


def load_both(folder, tokenizer):
    """(adapter over its backbone, merged model), each by its own library."""
    adapter = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    adapter.config.pad_token_id = tokenizer.pad_token_id  # a Llama's own has none
    return adapter, AutoModelForSequenceClassification.from_pretrained(folder / "merged")


def test_rewards_of_adapter_and_merged_model_are_ours(tiny, config, tmp_path):
    model, rewards, texts = trained_model(*tiny, config)
    saving.save(model, tiny[1], config, tmp_path / "m", merged=True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    for classifier in load_both(tmp_path / "m", tokenizer):
        torch.testing.assert_close(rewards_of(classifier, tokenizer, texts), rewards,
                                   atol=1e-4, rtol=1e-4)
    assert model.training
    settings = json.loads((tmp_path / "m" / "dial_config.json").read_text())
    assert dial.DialConfig(**settings) == config
    assert not (tmp_path / "m" / "merged" / "adapter_config.json").exists()


def test_without_merged_there_is_the_adapter_only(tiny, config, tmp_path):
    """In bf16, and small: no weights of the backbone."""
    model = dial.RewardModel(tiny[0].bfloat16(), config)
    saving.save(model, tiny[1], config, tmp_path / "m")
    assert not (tmp_path / "m" / "merged").exists()
    weights = tmp_path / "m" / "adapter_model.safetensors"
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert weights.stat().st_size < 4 * trained + 10_000


@pytest.fixture
def llama(tiny, tmp_path):
    """The folder of a Llama without a padding token, as they come."""
    folder, tokenizer = tmp_path / "llama", tiny[1]
    tokenizer.add_tokens(["<|reserved_special_token_0|>", "<|other|>"])
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    random_classifier("llama", pad_token_id=None).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("lora_layers", [0, 1])
def test_a_llama_without_a_padding_token(llama, config, tmp_path, lora_layers):
    assert AutoTokenizer.from_pretrained(llama).pad_token is None
    config.lora_layers = lora_layers
    classifier, tokenizer, _ = backbones.load(str(llama), "cpu", "float32")
    assert tokenizer.pad_token == "<|reserved_special_token_0|>"
    model, rewards, texts = trained_model(classifier, tokenizer, config)
    saving.save(model, tokenizer, config, tmp_path / "m", merged=True)
    for folder in (tmp_path / "m", tmp_path / "m" / "merged"):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer.pad_token == "<|reserved_special_token_0|>"
    for classifier in load_both(tmp_path / "m", tokenizer):
        for part in (slice(0, 2), slice(0, 24)):
            torch.testing.assert_close(rewards_of(classifier, tokenizer, texts[part]),
                                       rewards[part], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scaled", [True, False])
def test_bf16_is_checked_as_closely_as_it_rounds(tiny, config, tmp_path, scaled):
    """Of a right head any passes, of a wrong one, drawn anew, few do."""
    model = dial.RewardModel(tiny[0].bfloat16(), config)
    batch = data.pack(data.encode(ROWS, tiny[1], 512))
    model.scale.fill_(model.embed(batch).norm(dim=1).mean().item() if scaled else 1.0)
    saving.save(model, tiny[1], config, tmp_path / "m")
    loaded = AutoPeftModelForSequenceClassification.from_pretrained(
        tmp_path / "m", num_labels=1, dtype=torch.bfloat16).eval()
    loaded.config.pad_token_id = 0
    seen = 0
    for seed in range(8):
        torch.manual_seed(seed)
        torch.nn.init.normal_(model.reward_head.weight, std=32**-0.5)
        try:
            saving.check_same_rewards(model, loaded, tiny[1], tiny[1])
        except RuntimeError:
            seen += 1
    assert seen >= 7


def test_a_model_takes_the_place_of_an_earlier_commands(tiny, config, tmp_path):
    (tmp_path / "m" / "merged").mkdir(parents=True)
    (tmp_path / "m.part").mkdir()  # of a command that was killed
    (tmp_path / "m.part" / "x").touch()
    saving.save(dial.RewardModel(tiny[0], config), tiny[1], config, tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert not {"merged", "x"} & {path.name for path in (tmp_path / "m").iterdir()}


@pytest.mark.parametrize("stop, where", [
    (KeyboardInterrupt, "check_same_rewards"), (OSError, "put"), (RuntimeError, "put")])
def test_a_save_that_stops_leaves_nothing(tiny, config, tmp_path, monkeypatch, stop, where):
    """And until it is whole, nothing has its name."""
    def stops(*_):
        seen.extend(path.name for path in tmp_path.iterdir())
        raise stop("no space")

    seen, model = [], dial.RewardModel(tiny[0], config)
    monkeypatch.setattr(saving, where, stops)
    if stop is KeyboardInterrupt:
        with pytest.raises(stop):
            saving.try_to_save(model, tiny[1], config, tmp_path / "m")
    else:
        assert saving.try_to_save(model, tiny[1], config, tmp_path / "m") == "no space"
    assert seen == ["m.part"] and not [*tmp_path.iterdir()]


def test_a_whole_model_is_checked(tiny, config, tmp_path, monkeypatch):
    load = AutoModelForSequenceClassification.from_pretrained

    def other(*args, **options):
        model = load(*args, **options)
        model.score.weight.data += 1
        return model

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", other)
    with pytest.raises(RuntimeError, match="the whole model has other weights"):
        saving.save(dial.RewardModel(tiny[0], config), tiny[1], config, tmp_path / "m", merged=True)
    assert not [*tmp_path.iterdir()]


def test_save_notices_other_rewards(tiny, config, tmp_path, monkeypatch):
    """The head changed after saving, and while saving; the model stays in the mode it was in."""
    model, _, _ = trained_model(*tiny, config)
    saving.save(model, tiny[1], config, tmp_path / "m")
    loaded = AutoPeftModelForSequenceClassification.from_pretrained(
        tmp_path / "m", num_labels=1).eval()
    loaded.config.pad_token_id = 0
    saving.check_same_rewards(model.eval(), loaded, tiny[1], tiny[1])
    assert not model.training
    model.reward_head.weight.data += 1
    with pytest.raises(RuntimeError, match="saved model gives"):
        saving.check_same_rewards(model, loaded, tiny[1], tiny[1])
    embed = dial.RewardModel.embed
    monkeypatch.setattr(dial.RewardModel, "embed", lambda *a: embed(*a) + 0.01)
    with pytest.raises(RuntimeError, match="saved model gives"):
        saving.save(model, tiny[1], config, tmp_path / "m")
