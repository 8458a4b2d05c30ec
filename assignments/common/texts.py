"""Technical English to train on, from every CPython: the topics of its own documentation, in disguise.

A disguise renames the characters, anew for each seed, and writes letters that begin a word in another alphabet than
those inside of it. What learns from the text it sees does not mind. Weights that were trained elsewhere, or tables that were
counted there, do not fit, and renaming their characters does not make them fit.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

WANTED = 40_000
"""Characters to hold out, at least."""


@dataclass(frozen=True)
class Reading:
    """Ids to train on, ids of whole topics that were held out, and how many ids there are."""

    training: Tensor
    held_out: Tensor
    vocab_size: int


def disguised_topics(seed: int) -> Reading:
    """Python's documentation, cut and disguised by `seed`.

    Held out are topics of plain prose only (tables are easier, and luck would decide). The others are trained on, except
    for paragraphs that stand in a held-out topic as well: this documentation says many things twice.
    """
    from pydoc_data.topics import topics

    draw = np.random.default_rng([seed, 0x7E87])
    prose = [name for name in sorted(topics) if _is_prose(topics[name])]
    held_out: list[str] = []
    for i in draw.permutation(len(prose)):
        if sum(len(topics[name]) for name in held_out) < WANTED:
            held_out.append(prose[i])
    others = [name for name in sorted(topics) if name not in held_out]
    unseen = "".join(topics[name] for name in held_out)
    known = set(map(_words, unseen.split("\n\n")))
    paragraphs = "\n\n".join(topics[others[i]] for i in draw.permutation(len(others))).split("\n\n")
    training = "\n\n".join(paragraph for paragraph in paragraphs if _words(paragraph) not in known)

    characters = sorted(set("".join(topics.values())))
    disguise = _Disguise(characters, draw)
    return Reading(disguise.ids(training), disguise.ids(unseen), len(characters))


def _words(paragraph: str) -> str:
    """A paragraph however it is indented and broken into lines."""
    return " ".join(paragraph.split())


def _is_prose(text: str) -> bool:
    return 1_500 < len(text) < 13_000 and sum(map(str.isalpha, text)) > 0.7 * len(text)


class _Disguise:
    """Two alphabets, one for the letters that begin a word and one for those inside; then a new number for everything."""

    def __init__(self, characters: list[str], draw: np.random.Generator) -> None:
        self.place = {character: i for i, character in enumerate(characters)}
        self.is_letter = np.array([character.isalpha() for character in characters])
        letters = np.flatnonzero(self.is_letter)
        self.first, self.inside = np.arange(len(characters)), np.arange(len(characters))
        self.first[letters], self.inside[letters] = draw.permutation(letters), draw.permutation(letters)
        self.number = draw.permutation(len(characters))

    def ids(self, text: str) -> Tensor:
        places = np.array([self.place[character] for character in text])  # (n,)
        within = np.append(False, self.is_letter[places[:-1]])  # (n,)  whether a letter stands before
        return torch.from_numpy(self.number[np.where(within, self.inside[places], self.first[places])])  # (n,)
