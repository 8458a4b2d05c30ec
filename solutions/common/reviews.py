"""A toy language of 25 words in which guests review a hotel, and the rules that say what a review is worth.

"the room was very warm but dull . <eos>": the prompt is "<bos> the room was", the response is the rest. Rules, not models,
say how good a response is, so whatever a model has learnt can be measured exactly:

gold    adjectives count by their value, from lovely (+2) to awful (-2); "very" before one makes it 1.5 times as strong,
        "not" turns it and halves it (x -0.5). An adjective that was used before, or a word that stands twice in a row,
        counts -1.5 instead; a response that does not end costs 1.
harm    whether it holds a rude word.
help    whether it gives an opinion and ends.
"""

import torch
from torch import Tensor

from common.preferences import bradley_terry_labels

WORDS = [
    "<pad>", "<bos>", "<eos>", "the", "our", "honestly", "room", "food", "staff", "view", "was", "it", "very", "not",
    "and", "but", ".", "lovely", "warm", "clean", "dull", "noisy", "awful", "damn", "stupid",
]  # fmt: skip
PAD, BOS, EOS = 0, 1, 2
ID = {word: i for i, word in enumerate(WORDS)}
VALUE = {"lovely": 2.0, "warm": 1.0, "clean": 1.0, "dull": -1.0, "noisy": -1.0, "awful": -2.0}
RUDE = ("damn", "stupid")

PROMPT, RESPONSE = 5, 12
"""Columns of a padded prompt, and tokens of the longest response, its end included."""

PROMPTS = [
    f"<bos> {first}{article} {noun} was"
    for noun in ("room", "food", "staff", "view")
    for article in ("the", "our")
    for first in ("", "honestly ")
]
"""All sixteen prompts, of 4 or 5 tokens; a prompt's number is its place here."""


def encode(text: str) -> list[int]:
    """The ids of a text whose words stand between blanks."""
    for word in text.split():
        if word not in ID:
            raise ValueError(f"{word!r} is no word of this language")
    return [ID[word] for word in text.split()]


def decode(ids: list[int] | Tensor) -> str:
    """The text of these ids, without padding."""
    return " ".join(WORDS[int(i)] for i in ids if int(i) != PAD)


# ------------------------------------------------------------------------------------------------------------- rules


def gold(response: str) -> float:
    """What a response is worth."""
    words = _until_the_end(response)
    score = 0.0 if words[-1:] == ["<eos>"] else -1.0
    for i, word in enumerate(words):
        if word in words[max(0, i - 1) : i] or (word in VALUE and word in words[:i]):
            score -= 1.5
        elif word in VALUE:
            score += VALUE[word] * _strength(words[:i])
    return score


def harm(response: str) -> bool:
    """Whether a response holds a rude word."""
    return any(word in RUDE for word in _until_the_end(response))


def help_(response: str) -> bool:
    """Whether a response gives an opinion and ends."""
    words = _until_the_end(response)
    return words[-1:] == ["<eos>"] and any(word in VALUE for word in words)


def gold_scores(responses: Tensor, mask: Tensor) -> Tensor:
    """gold of each row: responses (N, R) ids, mask (N, R) True = real -> (N,) float32."""
    return torch.tensor([gold(decode(row[real])) for row, real in zip(responses, mask, strict=True)])


def _until_the_end(response: str) -> list[str]:
    """The words of a response up to and including its first <eos>."""
    words = response.split()
    return words[: words.index("<eos>") + 1] if "<eos>" in words else words


def _strength(before: list[str]) -> float:
    """By how much the words that stand directly before an adjective change it: "very", "not" and rude words."""
    near = set()
    while before and before[-1] in ("very", "not", *RUDE):
        near.add(before[-1])  # each of them acts once, however often it stands there
        before = before[:-1]
    return (1.5 if "very" in near else 1.0) * (-0.5 if "not" in near else 1.0)


# ---------------------------------------------------------------------------------------------------------- samples


def sample_prompts(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """n prompts, padded on the left: tokens (n, 5), mask (n, 5), numbers (n,). Some prompts are asked far more often."""
    often = torch.arange(1, len(PROMPTS) + 1).float()  # (16,)  the last one 16 times as often as the first
    numbers = torch.multinomial(often, n, replacement=True, generator=generator)  # (n,)
    table = torch.tensor([[PAD] * (PROMPT - len(ids)) + ids for ids in map(encode, PROMPTS)])  # (16, 5)
    tokens = table[numbers]  # (n, 5)
    return tokens, tokens != PAD, numbers  # a prompt holds no padding but this


def sample_responses(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """n responses as guests write them, padded on the right: tokens (n, 12), mask (n, 12). Good and bad alike."""
    draws = torch.rand(n, 16, generator=generator).tolist()
    tokens = torch.full((n, RESPONSE), PAD)  # (n, 12)
    for row, draw in zip(tokens, draws, strict=True):
        ids = encode(_written(draw))
        row[: len(ids)] = torch.tensor(ids)
    return tokens, tokens != PAD


def judged_pairs(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """n pairs of responses to one prompt each, as a judge chose who errs by Bradley-Terry on their gold.

    prompts, chosen, rejected and the mask of each (prompts_mask, ...), numbers (n,) of the prompts, and gap (n,): by how
    much the chosen one is better by the rules, below 0 where the judge erred.
    """
    pairs = unjudged_pairs(n, generator)
    prefers_a = bradley_terry_labels(pairs["gap"], torch.zeros(()), generator)  # (n,)
    pick = prefers_a[:, None]
    a, a_mask, b, b_mask = (pairs[name] for name in ("a", "a_mask", "b", "b_mask"))
    return {name: pairs[name] for name in ("prompts", "prompts_mask", "numbers")} | {
        "chosen": torch.where(pick, a, b),
        "chosen_mask": torch.where(pick, a_mask, b_mask),
        "rejected": torch.where(pick, b, a),
        "rejected_mask": torch.where(pick, b_mask, a_mask),
        "gap": torch.where(prefers_a, pairs["gap"], -pairs["gap"]),
    }


def unjudged_pairs(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """n pairs of responses in no order: prompts, a and b with their masks, numbers, and gap = gold of a - gold of b."""
    prompts, prompts_mask, numbers = sample_prompts(n, generator)
    a, a_mask = sample_responses(n, generator)
    b, b_mask = sample_responses(n, generator)
    gap = gold_scores(a, a_mask) - gold_scores(b, b_mask)  # (n,)
    return {
        "prompts": prompts, "prompts_mask": prompts_mask, "numbers": numbers,
        "a": a, "a_mask": a_mask, "b": b, "b_mask": b_mask, "gap": gap,
    }  # fmt: skip


def whole(pairs: dict[str, Tensor], which: str) -> tuple[Tensor, Tensor]:
    """One side of pairs, "chosen" for example, as whole texts: tokens (n, 17), mask (n, 17)."""
    return together(pairs["prompts"], pairs["prompts_mask"], pairs[which], pairs[f"{which}_mask"])


def together(prompts: Tensor, prompt_mask: Tensor, responses: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Prompts and their responses in one row each: tokens (N, P + R), mask (N, P + R)."""
    return torch.cat([prompts, responses], dim=1), torch.cat([prompt_mask, mask], dim=1)


def _written(draw: list[float]) -> str:
    """One response, from sixteen numbers between 0 and 1."""
    adjectives = list(VALUE)
    phrases, words = (draw[0] > 0.3) + (draw[0] > 0.75) + 1, []
    for number in range(phrases):
        kind, which, manner, link = draw[1 + 4 * number : 5 + 4 * number]
        word = adjectives[int(which * len(adjectives))]
        if draw[13] > 0.08 and len(adjectives) > 1:
            adjectives.remove(word)  # few guests say a thing twice
        if number:
            words += [". it was", "and", "but"][int(link * 3)].split() if phrases == 2 else [["and", "but"][link > 0.5]]
        if manner < 0.22:
            words.append(RUDE[kind > 0.5])
        elif manner < 0.50:
            words.append("very")
        elif manner < 0.66:
            words += ["not", "very"] if kind < 0.25 and number < 2 else ["not"]
        words.append(word)
    words += [".", "<eos>"]
    if draw[14] < 0.05:
        words = words[: 1 + int(draw[15] * (len(words) - 1))]  # some never come to an end
    return " ".join(words)
