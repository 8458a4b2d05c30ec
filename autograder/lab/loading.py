"""Loads the policy: transformers with a peft adapter on it, or Unsloth's loader. Both give the same kind of model."""

from __future__ import annotations

import importlib.util
from typing import Any

from autograder.errors import LabError
from autograder.lab.models import Base, enough_memory
from autograder.lab.settings import Settings
from autograder.lab.tokens import mended, tokenizer_of

INSTALLS = {"unsloth": "make unsloth"}


def require(*packages: str) -> None:
    """Refuses where a library is missing, with the command that installs it."""
    for name in packages:
        if importlib.util.find_spec(name) is None:
            raise LabError(f"{name} is not installed", mend=INSTALLS.get(name, "make llm"))


def device_of(settings: Settings) -> str:
    """ "cpu" or "cuda". Refuses a GPU that is asked for and not there."""
    import torch

    if settings.device == "cuda" and not torch.cuda.is_available():
        raise LabError("there is no GPU that torch can use", where="--device cuda", mend="--device cpu")
    return "cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu"


def dtype_of(settings: Settings) -> Any:
    import torch

    named = settings.model.dtype
    return getattr(torch, named if named != "auto" else "bfloat16" if device_of(settings) == "cuda" else "float32")


def policy(base: Base, settings: Settings) -> tuple[Any, Any]:
    """The model that trains, and its tokenizer. With [lora] r > 0 only an adapter trains."""
    trains = 4 + 4 + 8 if settings.lora.r == 0 else 0
    weights = {4: 1, 8: 2}.get(settings.bits, 4)
    enough_memory(base, weights + trains, "training")
    model, tokenizer = (_unsloth if settings.backend == "unsloth" else _plain)(base, settings)
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    return model, tokenizer


def lora_config(settings: Settings) -> Any:
    from peft import LoraConfig

    lora = settings.lora
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        task_type="CAUSAL_LM",
    )


def _plain(base: Base, settings: Settings) -> tuple[Any, Any]:
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    require("transformers", "peft")
    tokenizer = tokenizer_of(base, settings.model)
    torch.manual_seed(settings.optim.seed)
    try:
        model = AutoModelForCausalLM.from_pretrained(base.folder, **how_to_load(settings))
        if settings.lora.r:
            model = get_peft_model(model, lora_config(settings))
    except ValueError as error:
        raise _misfit(error, base, settings) from error
    return model, tokenizer


def how_to_load(settings: Settings) -> dict[str, Any]:
    """What from_pretrained is told: the dtype, the device, and how the weights are quantised, if they are."""
    options: dict[str, Any] = {"dtype": dtype_of(settings), "device_map": {"": device_of(settings)}}
    if settings.bits < 32:
        options["quantization_config"] = _few_bits(settings)
    return options


def _few_bits(settings: Settings) -> Any:
    require("bitsandbytes")
    from transformers import BitsAndBytesConfig

    if settings.bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=settings.qlora.quant,
        bnb_4bit_use_double_quant=settings.qlora.double_quant,
        bnb_4bit_compute_dtype=dtype_of(settings),
    )


def _unsloth(base: Base, settings: Settings) -> tuple[Any, Any]:
    """Unsloth's loader sets the tokenizer's end and padding tokens by itself, so they are set again after it."""
    require("unsloth")
    from unsloth import FastLanguageModel

    try:
        model, tokenizer = FastLanguageModel.from_pretrained(
            model_name=str(base.folder),
            max_seq_length=settings.model.max_seq_length,
            load_in_4bit=settings.bits == 4,
            load_in_8bit=settings.bits == 8,
            dtype=dtype_of(settings),
        )
        lora = settings.lora
        if lora.r:
            model = FastLanguageModel.get_peft_model(
                model,
                r=lora.r,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=list(lora.targets),
                use_gradient_checkpointing=False,
                random_state=settings.optim.seed,
            )
    except ValueError as error:
        raise _misfit(error, base, settings) from error
    return model, mended(tokenizer, base, settings.model)


def _misfit(error: ValueError, base: Base, settings: Settings) -> LabError:
    said = str(error).strip().splitlines()[0][:200]
    if "arget modules" in said:
        names = ", ".join(settings.lora.targets)
        return LabError(
            f"this model has no layers called {names}", where=str(base.folder), mend="[lora] targets = [...]"
        )
    return LabError(
        f"the model cannot be loaded: {said}", where=str(base.folder), mend="--dry-run    shows the settings"
    )
