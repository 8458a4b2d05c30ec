"""Addition as text: "37+58=" is asked, "095." is right. Fourteen characters, and a split that leaks nothing.

"." ends an answer, "_" is padding. Operands are 0 to 99, always written with two digits, answers with three. Held out is a
tenth of the *unordered* pairs {a, b}: a+b and b+a stand on one side, so that no held-out sum is seen mirrored in training.
"""

import torch
from torch import Tensor

CHARACTERS = "0123456789+=._"
EOS, PAD = CHARACTERS.index("."), CHARACTERS.index("_")
ID = {character: i for i, character in enumerate(CHARACTERS)}
PROMPT, ANSWER = 6, 4
"""Characters of a prompt and of a right answer, its end included."""


def encode(text: str) -> list[int]:
    """The ids of a text."""
    for character in text:
        if character not in ID:
            raise ValueError(f"{character!r} is no character of this language")
    return [ID[character] for character in text]


def decode(ids: list[int] | Tensor) -> str:
    """The text of these ids, without padding."""
    return "".join(CHARACTERS[int(i)] for i in ids if int(i) != PAD)


def split() -> tuple[Tensor, Tensor]:
    """All problems as rows (a, b): those to train on (9090, 2) or so, and those held out."""
    a, b = torch.triu_indices(100, 100)  # (5050,) each, a <= b
    shuffled = torch.randperm(len(a), generator=torch.Generator().manual_seed(37 + 58))  # the same at all times
    held_out = torch.zeros(100, 100, dtype=torch.bool)
    chosen = shuffled[: len(a) // 10]
    held_out[a[chosen], b[chosen]] = True
    held_out = held_out | held_out.T
    return (~held_out).nonzero(), held_out.nonzero()


def sample_problems(n: int, generator: torch.Generator, held_out: bool = False) -> Tensor:
    """n problems (a, b) of one side of the split, drawn with replacement: (n, 2)."""
    problems = split()[held_out]
    return problems[torch.randint(len(problems), (n,), generator=generator)]


def prompts(problems: Tensor) -> Tensor:
    """The tokens of "37+58=" for each problem: (n, 2) -> (n, 6)."""
    return torch.tensor([encode(f"{a:02d}+{b:02d}=") for a, b in problems.tolist()])


def answers(problems: Tensor) -> Tensor:
    """The tokens of "095." for each problem: (n, 2) -> (n, 4)."""
    return torch.tensor([encode(f"{a + b:03d}.") for a, b in problems.tolist()])


def demonstrations(problems: Tensor) -> tuple[Tensor, Tensor]:
    """Problems with their answers to learn from: tokens (n, 10), mask (n, 9), True where tokens[:, t+1] is an answer's."""
    tokens = torch.cat([prompts(problems), answers(problems)], dim=1)  # (n, 10)
    mask = (torch.arange(1, PROMPT + ANSWER) >= PROMPT).repeat(len(tokens), 1)  # (n, 9)
    return tokens, mask


def exact(problems: Tensor, completions: Tensor) -> Tensor:
    """Which completions (n, R) are the answer and its end, and nothing else: (n,) bool."""
    wanted = answers(problems)  # (n, 4)
    width = completions.shape[1]
    if width < ANSWER:
        return torch.zeros(len(completions), dtype=torch.bool)
    return (completions[:, :ANSWER] == wanted).all(1) & (completions[:, ANSWER:] == PAD).all(1)
