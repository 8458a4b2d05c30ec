"""Small functions that run beside the student's code: a scripted language model, and a few that train.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere.
"""

import contextlib
from collections.abc import Sequence

import torch
from common.tiny_lm import TinyLM


class Scripted:
    """A language model that says what stands in its script, one line after the other, and remembers what it was asked.

    texts: what generate returns; opinions: what log_probs returns for "A" and "B". generator: the one that it expects.
    """

    def __init__(self, texts: Sequence[str] = (), opinions: Sequence[Sequence[float]] = (), generator=None):
        self.texts, self.opinions, self.generator = list(texts), list(opinions), generator
        self.prompts: list[str] = []
        self.asked: list[str] = []
        self.options: list[list[str]] = []
        self.generators: list[bool] = []
        self.order: list[str] = []

    def generate(self, prompt: str, generator: torch.Generator | None = None) -> str:
        self.prompts.append(prompt)
        self.generators.append(generator is self.generator)
        self.order.append("generate")
        return self.texts.pop(0)

    def log_probs(self, prompt: str, options: Sequence[str]) -> list[float]:
        self.asked.append(prompt)
        self.options.append(list(options))
        self.order.append("log_probs")
        opinion = dict(zip("AB", self.opinions.pop(0), strict=True))
        return [opinion[option.strip()] for option in options]


def several(student, name, calls):
    """The answers of one function to several calls."""
    return [getattr(student, name)(*arguments) for arguments in calls]


def revised(student, texts, prompt, response, principle):
    """What revise returns, the prompts it used, and whether each call was given the generator."""
    generator = torch.Generator().manual_seed(1)
    lm = Scripted(texts, generator=generator)
    answer = student.revise(lm, prompt, response, principle, generator)
    return {"answer": list(answer), "prompts": lm.prompts, "generators": lm.generators}


def looped(student, texts, prompt, constitution, rounds, seed):
    """The record of a loop, the prompts it used, and the number that the generator draws next."""
    generator = torch.Generator().manual_seed(seed)
    lm = Scripted(texts, generator=generator)
    record = student.critique_revision_loop(lm, prompt, constitution, rounds, generator)
    after = int(torch.randint(10**6, (1,), generator=generator))
    return {"record": record, "prompts": lm.prompts, "generators": lm.generators, "next": after}


def judged(student, opinions, prompt, a, b, principle, clamps):
    """The chances for several clamps, each with the same two opinions; and what the judge was shown."""
    lm = Scripted(opinions=[list(each) for _ in clamps for each in opinions])
    clamps = [None if clamp is None else tuple(clamp) for clamp in clamps]
    chances = [float(student.ai_preference(lm, prompt, a, b, principle, clamp)) for clamp in clamps]
    return {"chances": chances, "asked": lm.asked}


def chances_of(student, cases, principle):
    """The unclamped chances for pairs of opinions, as numbers: (n,)."""
    found = []
    for opinions in cases:
        lm = Scripted(opinions=[list(each) for each in opinions])
        found.append(float(student.ai_preference(lm, "q", "one", "two", principle, None)))
    return torch.tensor(found, dtype=torch.float64)


def clamped_chances(student, cases, principle, clamp):
    """The same with a clamp; by the default one where it is None."""
    found = []
    for opinions in cases:
        lm = Scripted(opinions=[list(each) for each in opinions])
        asked = (lm, "q", "one", "two", principle)
        found.append(
            float(student.ai_preference(*asked) if clamp is None else student.ai_preference(*asked, tuple(clamp)))
        )
    return torch.tensor(found, dtype=torch.float64)


def pair_records(student, written, opinions, prompts, constitution, seed, clamp):
    """The preference dataset of a scripted responder and a scripted judge, and what each of them was asked."""
    generator = torch.Generator().manual_seed(seed)
    responder = Scripted(written, generator=generator)
    judge = Scripted(["the judge writes"] * 2 * len(prompts), opinions, generator=generator)
    clamp = None if clamp is None else tuple(clamp)
    records = student.build_preference_dataset(judge, responder, list(prompts), constitution, generator, clamp)
    after = int(torch.randint(10**6, (1,), generator=generator))
    return {
        "records": records, "written_for": responder.prompts, "generators": responder.generators, "shown": judge.asked,
        "next": after,
    }  # fmt: skip


def records_alone(student, *asked):
    """The records of the same dataset, in a form in which every number counts."""
    return [
        [each[key] for key in ("prompt", "a", "b", "p", "principle")]
        for each in pair_records(student, *asked)["records"]
    ]


# ------------------------------------------------------------------------------------------------------------- training

trained = {}
"""The model of this conversation, once it is trained."""


def train(student, config, weights, pairs, steps, seed):
    """Trains from these weights and keeps the model; returns how many texts were read with gradients on."""
    with _reading() as read:
        trained["model"] = student.train_ai_reward_model(_lm(config, weights), *pairs, steps, seed)
    return len(read)


def trained_weights(student):
    """The trained model's weights, by name."""
    return {name: tensor.detach().clone() for name, tensor in trained["model"].state_dict().items()}


def chances_after(student, config, weights, pairs, steps, seed):
    """The chances of the first two pairs, after a training: (2,)."""
    model = student.train_ai_reward_model(_lm(config, weights), *pairs, steps, seed)
    a, a_mask, b, b_mask, _ = pairs
    with torch.no_grad():
        return torch.sigmoid(model(a[:2], a_mask[:2]) - model(b[:2], b_mask[:2]))


def train_twice(student, config, pairs, steps, seeds):
    """For each seed: the scores of a training that began with torch's global state seeded otherwise, and the mode."""
    torch.manual_seed(4)
    weights = TinyLM(**config).state_dict()
    scores, training = [], []
    for number, seed in enumerate(seeds):
        torch.manual_seed(100 + number)
        model = student.train_ai_reward_model(_lm(config, weights), *pairs, steps, seed)
        training.append(model.training)
        with torch.no_grad():
            scores.append(model.eval()(pairs[0], pairs[1]))
    return {"scores": scores, "training": training}


def reading(student, pairs, steps, seed):
    """How many texts a training reads with gradients on, how many are not whole texts of the data, and their lengths.

    And whether the model that comes back tells the texts apart.
    """
    torch.manual_seed(4)
    lm = TinyLM(25, d_model=16, n_layers=1, n_heads=2)
    known = set(_texts(pairs[0], pairs[1])) | set(_texts(pairs[2], pairs[3]))
    with _reading() as read:
        model = student.train_ai_reward_model(lm, *pairs, steps, seed)
    with torch.no_grad():
        scores = model(pairs[0], pairs[1])
    others = [len(text) for text in read if text not in known]
    return {
        "read": len(read), "others": len(others), "from": min(others, default=0), "to": max(others, default=0),
        "apart": scores.shape == (len(pairs[0]),) and bool(scores.max() > scores.min()),
    }  # fmt: skip


def _lm(config, weights):
    lm = TinyLM(**config)
    lm.load_state_dict(weights)
    return lm


def _texts(tokens, mask):
    return [tuple(row[real].tolist()) for row, real in zip(tokens, mask, strict=True)]


@contextlib.contextmanager
def _reading():
    """Lists, while it lasts, the texts that TinyLMs read with gradients on."""
    read, hidden = [], TinyLM.hidden

    def listed(self, tokens, mask=None):
        if torch.is_grad_enabled():
            read.extend(_texts(tokens, torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask))
        return hidden(self, tokens, mask)

    TinyLM.hidden = listed
    try:
        yield read
    finally:
        TinyLM.hidden = hidden
