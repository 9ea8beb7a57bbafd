"""Models and tokenizers as people have them: what is saved gives the rewards of training, by the
README's snippet; what cannot be used is said in one line."""
import copy
import json

import pytest
import torch
from conftest import FAST, SMALL, random_classifier
from peft import AutoPeftModelForSequenceClassification
from tokenizers import processors
from transformers import AutoModel, AutoTokenizer, BertConfig, GPT2Config

import cross_lingual
import data
import dial
from data import InputError, Preference
from models import backbones, saving
from models.backbones import load, load_tokenizer

CHATML = ("{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}"
          "{% if add_generation_prompt %}<|assistant|>\n{% endif %}")
INST = ("<bos>{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% else %} {{ m.content }}<eos>{% endif %}{% endfor %}")
ROWS = [Preference("Which?", "It is 1.", ("No.",)), Preference("Assistant:", " yes", (" no, no",))]


def folder_of(tmp_path, tokenizer, kind, bos=None, template=None):
    """A model folder. bos: None as it is, "forgotten": there and not written, "without": none."""
    tokenizer, folder = copy.deepcopy(tokenizer), tmp_path / "model"
    if bos:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    if bos == "without":
        tokenizer.bos_token = None
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    random_classifier(kind).base_model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind, bos, template", [
    ("gemma", None, None), ("gemma2", None, INST), ("gemma3_text", "forgotten", None),
    ("gemma3_text", None, CHATML), ("llama", "forgotten", CHATML), ("llama", None, INST),
    ("mistral", None, INST), ("mistral", "forgotten", None), ("qwen2", "without", CHATML),
    ("qwen3", "without", None), ("neox", "forgotten", None), ("neox", None, CHATML)])
def test_the_snippet_gives_the_rewards_of_training(tiny, config, tmp_path, kind, bos, template):
    folder = folder_of(tmp_path, tiny[1], kind, bos, template)
    config.lora_modules = "query_key_value" if kind == "neox" else config.lora_modules
    classifier, tokenizer, options = load(str(folder), "cpu", "float32")
    rows, chats = list(ROWS), []
    if template:
        chats = [[{"role": "user", "content": "Q"}, {"role": "assistant", "content": text}]
                 for text in ("Indeed", "Indirectly")]
        whole = [tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats]
        rows.append(Preference(whole[0][:8], whole[0][8:], (whole[1][8:],), template=True))
    encoded = data.encode(rows, tokenizer, 512)
    torch.manual_seed(0)
    model = dial.RewardModel(classifier, config)
    dial.train(model, dial.Critic(32), data.training_batches([encoded], encoded, 2, 3, **options),
               config)
    rewards = torch.cat(dial.predict(model, data.evaluation_batches(encoded, **options)))
    saving.save(model, tokenizer, config, tmp_path / "saved")

    loaded = AutoPeftModelForSequenceClassification.from_pretrained(
        tmp_path / "saved", num_labels=1).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    loaded.config.pad_token_id = tokenizer.pad_token_id
    inputs = [tokenizer(text, return_tensors="pt") for text in (
        "Which?\nIt is 1.", "Which?\nNo.", "Assistant: yes", "Assistant: no, no")]
    inputs += [tokenizer.apply_chat_template(chat, return_dict=True, return_tensors="pt")
               for chat in chats]
    with torch.no_grad():
        theirs = torch.tensor([loaded(**x).logits.item() for x in inputs])
    torch.testing.assert_close(theirs, rewards, atol=1e-4, rtol=1e-4)
    assert rewards.std() > 1e-3


def test_a_saved_tokenizer_that_forgets_bos_is_noticed(tiny, config, tmp_path):
    model = dial.RewardModel(tiny[0], config)
    saving.save(model, tiny[1], config, tmp_path)
    loaded = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path, num_labels=1).eval()
    loaded.config.pad_token_id = 0
    other = copy.deepcopy(tiny[1])
    other.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    with pytest.raises(RuntimeError, match="saved tokenizer gives 'Which.*, not '<bos>Which"):
        saving.check_same_rewards(model, loaded, tiny[1], other)


@pytest.mark.parametrize("kind", ["gemma3_text", "neox", "qwen2", "llama"])
def test_a_folder_without_its_tokenizer(cache, tmp_path, kind):
    random_classifier(kind).save_pretrained(tmp_path)
    with pytest.raises(InputError) as error:
        load(str(tmp_path), "cpu", "float32")
    assert "no tokenizer in this folder" in str(error.value) or "cannot be loaded" in str(
        error.value)
    assert "\n" not in str(error.value)


def test_padding_is_not_the_end_of_a_conversation(tiny, tmp_path):
    """A tokenizer that pads with eos, as many chat models' do, pads with a token to spare."""
    tokenizer = copy.deepcopy(tiny[1])
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|reserved_0|>"]})
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(tmp_path)
    classifier = random_classifier("llama")
    classifier.config.pad_token_id = tokenizer.eos_token_id
    classifier.save_pretrained(tmp_path)
    classifier, tokenizer, options = load(str(tmp_path), "cpu", "float32")
    assert tokenizer.pad_token == "<|reserved_0|>"
    assert classifier.config.pad_token_id == options["pad_id"] == tokenizer.pad_token_id


@pytest.mark.parametrize("kind, message", [
    ("bert", "DIAL takes a causal language model"),
    ("gpt2", "there are none that LoRA takes in this kind of model")])
def test_kinds_of_models_that_cannot_be_trained(tiny, config, tmp_path, kind, message):
    """BERT reads both ways; GPT-2's layers are convolutions, not linear."""
    sizes = dict(vocab_size=300, pad_token_id=0)
    configs = {"bert": lambda: BertConfig(hidden_size=32, intermediate_size=48, **sizes,
                                          num_hidden_layers=2, num_attention_heads=2),
               "gpt2": lambda: GPT2Config(n_embd=32, n_layer=2, n_head=2, **sizes)}
    tiny[1].save_pretrained(tmp_path)
    AutoModel.from_config(configs[kind]()).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=message):
        backbones.reward_model(load(str(tmp_path), "cpu", "float32").classifier, config)


def test_a_trained_head_is_said_to_be_left(tiny, config, tmp_path, capsys):
    saving.save(dial.RewardModel(tiny[0], config), tiny[1], config, tmp_path, merged=True)
    load(str(tmp_path / "merged"), "cpu", "float32")
    assert "its trained reward head is not used" in capsys.readouterr().err
    load("tiny", "cpu", "float32")
    assert capsys.readouterr().err == ""


def test_a_relative_model_is_remembered_by_its_whole_path(tiny, config, tmp_path, monkeypatch):
    folder_of(tmp_path, tiny[1], "llama")
    monkeypatch.chdir(tmp_path)
    model = backbones.reward_model(load("model", "cpu", "float32").classifier, config)
    saving.save(model, load_tokenizer("model"), config, tmp_path / "m")
    saved = json.loads((tmp_path / "m" / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == str(tmp_path / "model")


def test_code_of_a_model_folder_is_not_run(tiny, tmp_path, monkeypatch):
    tiny[1].save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(
        {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}}))
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(InputError):
        cross_lingual.main([*FAST[2:], *SMALL, "--model", str(tmp_path), "--out",
                            str(tmp_path / "out")])
