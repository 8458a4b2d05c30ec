"""Runs a trained model again, in plain transformers and peft, on problems that it was not trained on.

Who trained it, and what its log says, counts for nothing here: the adapter's tensors are checked, put onto the base
that this machine holds, and the model answers greedily.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autograder.errors import LabError
from autograder.lab.models import read_header
from autograder.lab.settings import Settings
from autograder.lab.sums import Problem, split, verify
from autograder.lab.tokens import question

LARGEST = 25_000_000
"""Bytes of an adapter: more than that is no adapter for these models."""

CHUNK = 32
"""Answers decoded at a time."""


def check_adapter(folder: Path, base_model: Any) -> dict[str, Any]:
    """The tensors of an adapter in peft's layout, once they fit the base.

    Raises LabError where a file is missing, is no safetensors, is too large, holds a name or shape that the base has no
    place for, or a number that is none.
    """
    import torch
    from safetensors.torch import load_file

    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        others = [p.name for p in folder.glob("*.bin")] if folder.is_dir() else []
        held = f", only {others[0]}, which is never opened" if others else ""
        raise LabError(
            f"there is no adapter_model.safetensors{held}", where=str(folder), mend="autograder lab … saves one"
        )
    if path.stat().st_size > LARGEST:
        raise LabError(f"the adapter is larger than {LARGEST // 10**6} MB", where=str(path), mend="a smaller [lora] r")
    read_header(path)
    tensors = load_file(path)
    places = {name: p.shape for name, p in base_model.named_parameters()}
    for name, tensor in tensors.items():
        layer, _, rest = name.removeprefix("base_model.model.").partition(".lora_")
        shape = places.get(f"{layer}.weight")
        if shape is None or not _fits(rest, tuple(tensor.shape), tuple(shape)):
            said = f"the adapter does not fit this base: {name} {tuple(tensor.shape)}"
            raise LabError(said, where=str(path), mend="the base that it was trained on")
        if not bool(torch.isfinite(tensor).all()):
            raise LabError(
                f"the adapter holds numbers that are none: {name}",
                where=str(path),
                mend="train again, with a smaller lr",
            )
    if not tensors:
        raise LabError("the adapter is empty", where=str(path), mend="[lora] r = 8")
    return dict(tensors)


def _fits(factor: str, shape: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Whether a factor, A (r, in) or B (out, r), belongs to a weight (out, in)."""
    if len(shape) != 2 or len(weight) != 2:
        return False
    return {"A.weight": shape[1] == weight[1], "B.weight": shape[0] == weight[0]}.get(factor, False)


def measure(
    model: Any, tokenizer: Any, settings: Settings, on_progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How base and trained model do on held-out problems: exact, ended, length, and what the training changed.

    model: a peft model; its base is the same one with the adapter switched off. KL(trained || base) and entropy are
    nats a token, exact over the vocabulary, on the trained model's own greedy answers. Returns the figures, and those
    answers.
    """
    problems = split(settings.data)[1]
    trained = answers(model, tokenizer, problems, settings, on_progress)
    with switched_off(model):
        before = answers(model, tokenizer, problems, settings)
    distance = _distance(model, trained)
    found: dict[str, Any] = {
        "problems": len(problems),
        "before": figures(before, problems),
        "after": {**figures(trained, problems), **distance},
    }
    # LLM.int8() chooses its outliers over all tokens, so that a later token may change earlier logits: nothing to ask.
    if not getattr(model, "is_loaded_in_8bit", False):
        found["causal"] = is_causal(model, trained)
    if settings.kind == "qlora":
        found["loss"] = losses(model, tokenizer, settings)
    return found, trained


def losses(model: Any, tokenizer: Any, settings: Settings) -> dict[str, float]:
    """Mean negative log-likelihood of the right answers to held-out problems, before and after, nats a token.

    The end token counts as one of the answer's tokens, the question's do not.
    """
    with switched_off(model):
        before = _loss(model, tokenizer, settings)
    return {"before": before, "after": _loss(model, tokenizer, settings)}


def _loss(model: Any, tokenizer: Any, settings: Settings) -> float:
    import torch

    total = tokens = 0.0
    model.eval()
    for problem in split(settings.data)[1]:
        asked = tokenizer(question(tokenizer, problem.question), add_special_tokens=False)["input_ids"]
        answer = tokenizer(f"{problem.answer}{tokenizer.eos_token}", add_special_tokens=False)["input_ids"]
        logp = _log_probs(model, asked, answer)  # (answer, V)
        total -= float(logp[torch.arange(len(answer)), answer].sum())
        tokens += len(answer)
    return total / tokens


def memory_of(model: Any, parameters: int) -> dict[str, float]:
    """Bytes: of the base as it is held here (counted), of it in float32, of what is trained, of training everything.

    A number that AdamW trains in float32 takes 16 bytes: itself, its gradient, two moments. Activations are left out.
    """
    held = {id(t): t for t in [*model.parameters(), *model.buffers()]}.values()
    adapter = {id(p): p for name, p in model.named_parameters() if "lora_" in name}
    trained = sum(p.numel() for p in adapter.values())
    base = sum(t.numel() * t.element_size() for t in held if id(t) not in adapter)
    base += sum(_beside(getattr(t, "quant_state", None)) for t in held)
    return {"base": base, "float32": 4.0 * parameters, "trained": 16.0 * trained, "everything": 16.0 * parameters}


def _beside(state: Any) -> int:
    """Bytes of what bitsandbytes keeps beside a weight of four bits: its scales, and the scales of those."""
    if state is None:
        return 0
    own: int = sum(t.numel() * t.element_size() for t in (state.absmax, state.offset) if t is not None)
    return own + _beside(getattr(state, "state2", None))


def figures(rows: list[dict[str, Any]], problems: list[Problem]) -> dict[str, Any]:
    """Share exact with its 95% interval (Wilson, 1927), share ended, mean length in tokens."""
    right = sum(verify(row["text"], p.answer) for row, p in zip(rows, problems, strict=True))
    low, high = wilson(right, len(rows))
    return {
        "exact": right / len(rows),
        "exact_low": low,
        "exact_high": high,
        "ended": sum(row["ended"] for row in rows) / len(rows),
        "length": sum(len(row["tokens"]) for row in rows) / len(rows),
    }


def wilson(successes: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """The score interval of a share (Wilson, 1927)."""
    share, spread = successes / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def answers(
    model: Any,
    tokenizer: Any,
    problems: list[Problem],
    settings: Settings,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Each problem's greedy answer: its text, its tokens (the end token included), whether it ended."""
    found = _generated(model, tokenizer, problems, settings, {"do_sample": False}, on_progress)
    return [row for (row,) in found]


def drawn(
    model: Any,
    tokenizer: Any,
    problems: list[Problem],
    settings: Settings,
    each: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[list[dict[str, Any]]]:
    """`each` answers to each problem, drawn as [generate] says; the same ones every time, by the seed of [optim]."""
    import torch

    generate = settings.generate
    how = {
        "do_sample": True,
        "temperature": generate.temperature,
        "top_p": generate.top_p,
        "top_k": 0,
        "num_return_sequences": each,
    }
    with torch.random.fork_rng():
        torch.manual_seed(settings.optim.seed)
        return _generated(model, tokenizer, problems, settings, how, on_progress)


def _generated(
    model: Any,
    tokenizer: Any,
    problems: list[Problem],
    settings: Settings,
    how: dict[str, Any],
    on_progress: Callable[[int, int], None] | None,
) -> list[list[dict[str, Any]]]:
    """What `model.generate` gives for each problem; `how` may ask for several answers to each."""
    import torch

    each = how.get("num_return_sequences", 1)
    at_once = max(CHUNK // each, 1)
    rows: list[list[dict[str, Any]]] = []
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(problems), at_once):
            asked = [question(tokenizer, p.question) for p in problems[start : start + at_once]]
            batch = tokenizer(asked, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
            with torch.no_grad():
                out = model.generate(
                    **batch,
                    **how,
                    max_new_tokens=settings.generate.max_new_tokens,
                    eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.pad_token_id,
                )
            given = out.view(len(asked), each, -1)
            for ids, mask, several in zip(batch["input_ids"], batch["attention_mask"], given, strict=True):
                prompt = ids[mask.bool()].tolist()
                rows.append([_row(prompt, full[ids.shape[0] :].tolist(), tokenizer) for full in several])
            if on_progress:
                on_progress(len(rows), len(problems))
    finally:
        model.train(was_training)
    return rows


def _row(prompt: list[int], answer: list[int], tokenizer: Any) -> dict[str, Any]:
    ended = tokenizer.eos_token_id in answer
    kept = answer[: answer.index(tokenizer.eos_token_id) + 1] if ended else answer
    text = tokenizer.decode(kept[:-1] if ended else kept, skip_special_tokens=False)
    return {"prompt": prompt, "tokens": kept, "text": text, "ended": ended}


@contextmanager
def switched_off(model: Any) -> Iterator[None]:
    """The base without its adapter. A model trained whole has none: then before and after are the same."""
    if hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            yield
    else:
        yield


def _distance(model: Any, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean KL(trained || base) and entropy, nats a token, over the answers' tokens."""
    kl = entropy = tokens = 0.0
    for row in rows:
        new = _log_probs(model, row["prompt"], row["tokens"])
        with switched_off(model):
            old = _log_probs(model, row["prompt"], row["tokens"])
        kl += float((new.exp() * (new - old)).sum())
        entropy -= float((new.exp() * new).sum())
        tokens += len(row["tokens"])
    return {"kl": kl / tokens, "entropy": entropy / tokens}


def _log_probs(model: Any, prompt: list[int], answer: list[int]) -> Any:
    """What the model says of each token of an answer before it comes: (answer, V) float32 log-probabilities."""
    import torch

    ids = torch.tensor([prompt + answer], device=model.device)
    with torch.no_grad():
        return model(ids).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)


def is_causal(model: Any, rows: list[dict[str, Any]]) -> bool:
    """Whether logits before a changed token stay as they were: a model that looks ahead is none."""
    import torch

    ids = torch.tensor([rows[0]["prompt"]], device=model.device)
    other = ids.clone()
    other[0, -1] = (other[0, -1] + 1) % model.config.vocab_size
    with torch.no_grad():
        a, b = model(ids).logits[0, :-1], model(other).logits[0, :-1]
    return bool(torch.allclose(a.float(), b.float(), atol=1e-3))
