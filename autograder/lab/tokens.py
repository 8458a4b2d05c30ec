"""The tokens that a lab depends on: which one ends an answer, which one fills rows, and how a question is put."""

from __future__ import annotations

from typing import Any

from autograder.errors import LabError
from autograder.lab.models import Base
from autograder.lab.settings import Model

PROBE = "\u2042"
"""A character that no template contains: where it stands in a rendered chat, an answer stands."""


def tokenizer_of(base: Base, settings: Model) -> Any:
    """The base's tokenizer, with the end and padding tokens that its answers need, padding prompts on the left."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(base.folder)
    except Exception as error:
        said = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise LabError(f"the tokenizer cannot be read: {said}", where=str(base.folder), mend="save it again") from error
    return mended(tokenizer, base, settings)


def mended(tokenizer: Any, base: Base, settings: Model) -> Any:
    """Sets what a loader may have set otherwise; called again after Unsloth's."""
    turn_end = end_of_turn(tokenizer)
    wanted = turn_end if settings.eos == "turn_end" else settings.eos
    if wanted is None:
        wanted = tokenizer.eos_token
    if wanted is None or _id(tokenizer, wanted) is None:
        raise LabError(
            "this tokenizer has no end token" if wanted is None else f"this tokenizer has no token {wanted!r}",
            where=str(base.folder),
            mend='[model] eos = "<the token that closes an answer>"',
        )
    if turn_end is not None and wanted != turn_end:
        raise LabError(
            f"the chat template closes a turn with {turn_end}, and the end token is {wanted}: answers would never end",
            where=str(base.folder),
            mend='[model] eos = "turn_end"',
        )
    tokenizer.eos_token = wanted
    tokenizer.pad_token = _padding(tokenizer, base, settings, wanted)
    tokenizer.padding_side = "left"
    return tokenizer


def end_of_turn(tokenizer: Any) -> str | None:
    """The special token that closes an assistant's turn in the chat template; None where there is no template."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": PROBE}]
    after = str(tokenizer.apply_chat_template(messages, tokenize=False)).rpartition(PROBE)[2].lstrip()
    special = sorted(set(tokenizer.all_special_tokens) | set(tokenizer.get_added_vocab()), key=len, reverse=True)
    return next((token for token in special if after.startswith(token)), None)


def _padding(tokenizer: Any, base: Base, settings: Model, eos: str) -> str:
    """A token for padding that is not the end token, or the end of an answer could not be told from padding."""
    if settings.pad != "unused":
        if _id(tokenizer, settings.pad) is None:
            raise LabError(f"this tokenizer has no token {settings.pad!r}", where="[model] pad", mend='pad = "unused"')
        if settings.pad == eos:
            raise LabError(
                f"pad and end token are both {eos}: an end could not be told from padding",
                where="[model] pad",
                mend='pad = "unused"',
            )
        return settings.pad
    own = [tokenizer.pad_token, "<|finetune_right_pad_id|>", "<pad>", "<|endoftext|>", tokenizer.unk_token]
    reserved = sorted(token for token in tokenizer.get_added_vocab() if "reserved" in token or "unused" in token)
    for token in [*own, *reserved]:
        if token is not None and token != eos and _id(tokenizer, token) is not None:
            return str(token)
    raise LabError(
        "this tokenizer has no token that could fill rows beside its end token",
        where=str(base.folder),
        mend='[model] pad = "<a token that no text contains>"',
    )


def _id(tokenizer: Any, token: str) -> int | None:
    known: dict[str, int] = tokenizer.get_vocab()
    return known.get(token)


def question(tokenizer: Any, text: str) -> str:
    """The question as the model is used to being asked: one user turn, and the beginning of an answer."""
    if not getattr(tokenizer, "chat_template", None):
        return text + "\n"
    return str(
        tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True)
    )
