"""A tiny model in a folder, as a lab finds a real one: two layers, a tokenizer of single characters, a chat template."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def save_tiny(folder: Path, template: str | None = TEMPLATE) -> Path:
    """Writes the model; its tokenizer names the wrong end token and no padding, as the converted SmolLM2 does."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = [chr(code) for code in range(32, 127)] + ["\n"]
    vocabulary = {token: i for i, token in enumerate(["<|fill|>", "<|start|>", "<|end|>", *letters])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<|fill|>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    raw.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|start|>", unk_token="<|fill|>", additional_special_tokens=["<|end|>"]
    )
    tokenizer.chat_template = template
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,  # a block of NF4: on some processors bitsandbytes packs no narrower matrix
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("transformers", "tokenizers"):
        pytest.importorskip(package, reason="the labs' packages are not installed: make llm")
    return save_tiny(tmp_path_factory.mktemp("tiny") / "model")
