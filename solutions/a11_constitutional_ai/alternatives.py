"""Other right answers, written differently. Each must pass everything, and none is ever called a mistake."""

import copy
import math

import torch
import torch.nn.functional as F
from common.preferences import RewardModel, ShippedHead
from reference import critique_prompt

from autograder.testing import alternative


@alternative("critique_prompt", note="pieces joined")
def joined(prompt, response, principle):
    parts = (
        "Question:",
        prompt,
        "",
        "Answer:",
        response,
        "",
        "Critique request: " + principle["critique"],
        "",
        "Critique:",
    )
    return "\n".join(parts)


@alternative("revise", note="the generator by position, an f-string")
def by_position(lm, prompt, response, principle, generator=None):
    start = critique_prompt(prompt, response, principle)
    critique = str.strip(lm.generate(start, generator))
    revision = lm.generate(f"{start} {critique}\n\nRevision request: {principle['revision']}\n\nRevision:", generator)
    return [critique, revision.strip()]


@alternative("critique_revision_loop", note="lists first, the record at the end")
def record_at_the_end(lm, prompt, constitution, rounds, generator):
    assert rounds > 0, "rounds"
    assert len(constitution) > 0, "constitution"
    answers, ids, critiques = [lm.generate(prompt, generator).strip()], [], []
    while len(ids) < rounds:
        number = torch.randint(0, len(constitution), size=(1,), generator=generator).item()
        rule = constitution[number]
        asked = critique_prompt(prompt, answers[-1], rule)
        said = lm.generate(asked, generator).strip()
        asked = f"{asked} {said}\n\nRevision request: {rule['revision']}\n\nRevision:"
        answers.append(lm.generate(asked, generator).strip())
        ids.append(rule["id"])
        critiques.append(said)
    return {
        "revisions": answers[1:], "critiques": critiques, "principles": ids, "initial": answers[0], "prompt": prompt,
    }  # fmt: skip


@alternative("ai_preference", note="a logistic function of the difference, and the second order asked first")
def logistic(lm, prompt, a, b, principle, clamp=(0.4, 0.6)):
    chances = {}
    for first, second in ((a, b), (b, a)):
        text = f"Question:\n{prompt}\n\nA: {first}\n\nB: {second}\n\n{principle['preference']}\nBetter answer:"
        log_a, log_b = lm.log_probs(text, ("A", "B"))
        chances[len(chances)] = 1 / (1 + math.exp(log_b - log_a)) if log_b - log_a < 700 else 0.0
    mean = 0.5 * chances[0] + 0.5 * (1 - chances[1])
    if clamp is not None:
        low, high = clamp
        mean = low if mean < low else high if mean > high else mean
    return mean


@alternative("build_sl_dataset", note="refusals first, then one filter")
def filtered(records):
    for each in records:
        assert each["revisions"], "no revisions"
    last = [(each["prompt"], each["revisions"][-1], [c for c in each["critiques"] if c != ""]) for each in records]
    return [
        {"prompt": prompt, "response": text}
        for prompt, text, critiques in last
        if len(text) and all(text.find(critique) < 0 for critique in critiques)
    ]


@alternative("build_preference_dataset", note="everything is written first where the order of draws allows it")
def step_by_step(lm, responder, prompts, constitution, generator, clamp=(0.4, 0.6)):
    if len(constitution) < 1:
        raise ValueError("a constitution needs principles")
    rows = []
    for prompt in prompts:
        first = responder.generate(prompt, generator).strip()
        second = responder.generate(prompt, generator).strip()
        rows.append(
            (prompt, first, second, constitution[torch.randint(len(constitution), (1,), generator=generator).item()])
        )
    rows = [row for row in rows if row[1] != row[2]]
    return [
        {
            "prompt": prompt,
            "a": a,
            "b": b,
            "p": logistic.implementation(lm, prompt, a, b, rule, clamp),
            "principle": rule["id"],
        }
        for prompt, a, b, rule in rows
    ]


@alternative("train_ai_reward_model", note="two log-sigmoids, a copy of the model, Adam, a cosine")
def two_log_sigmoids(lm, a, a_mask, b, b_mask, p, steps, seed):
    draw = torch.Generator().manual_seed(seed + 3)
    torch.manual_seed(seed)
    model = RewardModel(copy.deepcopy(lm), ShippedHead(lm.config["d_model"]))
    torch.nn.init.normal_(model.head.score.weight, std=(lm.config["d_model"] + 1) ** -0.5, generator=draw)
    optimizer = torch.optim.Adam(model.parameters(), lr=9e-4, betas=(0.9, 0.98))
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 9e-4 * min((step + 1) / 10, 0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)
        rows = torch.randint(len(p), (64,), generator=draw)
        r_a, r_b = model(torch.cat([a[rows], b[rows]]), torch.cat([a_mask[rows], b_mask[rows]])).chunk(2)
        q = p[rows]
        loss = -(q * F.logsigmoid(r_a - r_b) + (1 - q) * F.logsigmoid(r_b - r_a)).sum() / 64
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    return model
