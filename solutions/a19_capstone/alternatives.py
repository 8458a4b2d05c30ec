"""Other right implementations, written differently. They must pass everything, and are never called a mistake."""

import copy
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from common.sums import EOS, PAD, encode
from common.tiny_lm import TinyLM

from autograder.testing import alternative


@alternative("build_model", note="one wide layer, and no more room than is needed")
def wide_and_flat(vocab_size):
    if not vocab_size > 0:
        raise ValueError("a language needs characters")
    return TinyLM(vocab_size, 96, 1, 6, context=14)


@alternative("warm_start", note="large portions, looked at by writing out greedy answers")
def by_writing(model, demonstrations, steps, seed):
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    left = 256 * steps
    while left >= 128:
        tokens, mask = demonstrations(128)
        left -= 128
        columns = mask.any(0).nonzero()[:, 0]
        with torch.no_grad():
            row = tokens[:, : int(columns[0]) + 1]
            for _ in columns:
                row = torch.cat([row, model(row)[:, -1].argmax(-1, keepdim=True)], 1)
        width = row.shape[1]
        if (row == tokens[:, :width]).all(1).float().mean() > 0.42:
            break
        logp = model(tokens)[:, :-1].log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0]
        optimizer.zero_grad()
        (-(logp * mask).sum() / mask.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    return model


@alternative("evaluate", note="token by token, keeping entropies on the way")
def on_the_way(model, prompts, answers, max_new_tokens=8):
    if not len(prompts) or len(answers) != len(prompts):
        raise ValueError("answers and prompts do not fit")
    was = model.training
    model.eval()
    rows, running, total, count = prompts, [True] * len(prompts), 0.0, 0
    texts = [[] for _ in range(len(prompts))]
    with torch.no_grad():
        for _ in range(max_new_tokens):
            logits = model(rows)[:, -1].clone()
            logits[:, PAD] = -1e9
            entropy = torch.distributions.Categorical(logits=logits).entropy()
            chosen = logits.argmax(-1)
            for i, token in enumerate(chosen.tolist()):
                if running[i]:
                    texts[i].append(token)
                    total, count = total + entropy[i].item(), count + 1
                    running[i] = token != EOS
            rows = torch.cat([rows, chosen[:, None]], 1)
    model.train(was)
    right = [text == encode(str(answer).zfill(3) + ".") for text, answer in zip(texts, answers, strict=True)]
    return {"exact": float(np.mean(right)), "ended": 1 - sum(running) / len(running), "entropy": total / count}


def _drawn(model, prompts, generator, width=5):
    """Completions with their log-probabilities, token by token, by the Gumbel trick."""
    rows, running, written, mask, logps = prompts, torch.ones(len(prompts), dtype=torch.bool), [], [], []
    with torch.no_grad():
        for _ in range(width):
            logits = model(rows)[:, -1].clone()
            logits[:, PAD] = -1e9
            logp = F.log_softmax(logits, -1)
            noise = -torch.log(-torch.log(torch.rand(logp.shape, generator=generator).clamp(1e-9, 1 - 1e-7)))
            token = torch.where(running, (logp + noise).argmax(-1), PAD)
            written.append(token)
            mask.append(running)
            logps.append(logp.gather(1, token[:, None])[:, 0])
            rows = torch.cat([rows, token[:, None]], 1)
            running = running & (token != EOS)
    return torch.stack(written, 1), torch.stack(mask, 1), torch.stack(logps, 1)


def _logp(model, prompts, written):
    logits = model(torch.cat([prompts, written], 1))[:, prompts.shape[1] - 1 : -1].clone()
    logits[..., PAD] = -1e9
    return F.log_softmax(logits, -1).gather(2, written[..., None])[..., 0]


@alternative("improve_grpo", note="more prompts with fewer answers, no division by the spread, a copy is trained")
def many_small_groups(model, problems, reward_fn, iterations, seed):
    model = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-4, betas=(0.9, 0.99))
    for i in range(iterations):
        for group in optimizer.param_groups:
            group["lr"] = 6e-4 * min(1.0, 2 - 2 * i / iterations)
        prompts = problems(256).repeat_interleave(4, 0)
        written, mask, old = _drawn(model, prompts, generator)
        paid = reward_fn(prompts, written, mask).view(256, 4)
        adv = (paid - paid.mean(1, keepdim=True)).view(-1)
        adv = torch.where((paid.amax(1) > paid.amin(1)).repeat_interleave(4), adv, 0.0)
        keep = adv.nonzero()[:, 0]
        if len(keep) == 0:
            continue
        for _ in range(4):
            for rows in keep[torch.randperm(len(keep), generator=generator)].tensor_split(2):
                if len(rows) == 0:
                    continue
                ratio = (_logp(model, prompts[rows], written[rows]) - old[rows]).exp()
                gain = torch.min(ratio * adv[rows, None], ratio.clamp(0.8, 1.28) * adv[rows, None])
                optimizer.zero_grad()
                (-(gain * mask[rows]).sum() / mask[rows].sum()).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
    return model


class _Critic(torch.nn.Module):
    """A small network of its own: what will this answer earn, before its next token is known?"""

    def __init__(self, config):
        super().__init__()
        self.lm = TinyLM(**config)
        self.out = torch.nn.Linear(config["d_model"], 1)

    def forward(self, prompts, written):
        hidden = self.lm.hidden(torch.cat([prompts, written], 1))[:, prompts.shape[1] - 1 : -1]
        return self.out(hidden)[..., 0]


@alternative(
    "improve_ppo", note="Monte Carlo returns (lambda 1), two optimisers, a critic in which only the body is copied"
)
def with_returns(model, problems, reward_fn, iterations, seed):
    torch.manual_seed(seed)
    critic = _Critic(model.config)
    critic.lm.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(seed)
    actor_steps = torch.optim.Adam(model.parameters(), lr=6e-4)
    critic_steps = torch.optim.Adam(critic.parameters(), lr=1e-3)
    model.eval()
    for i in range(iterations):
        actor_steps.param_groups[0]["lr"] = 6e-4 * min(1.0, 2 - 2 * i / iterations)
        prompts = problems(1024)
        written, mask, old = _drawn(model, prompts, generator)
        paid = reward_fn(prompts, written, mask)[:, None].expand(mask.shape)
        with torch.no_grad():
            adv = paid - critic(prompts, written)
        adv = (adv - adv[mask].mean()) / (adv[mask].std() + 1e-8)
        for _ in range(3):
            for rows in torch.randperm(1024, generator=generator).split(512):
                m = mask[rows]
                ratio = (_logp(model, prompts[rows], written[rows]) - old[rows]).exp()
                gain = torch.min(ratio * adv[rows], ratio.clamp(0.8, 1.2) * adv[rows])
                actor_steps.zero_grad()
                (-gain[m].mean()).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                actor_steps.step()
                critic_steps.zero_grad()
                F.mse_loss(critic(prompts[rows], written[rows])[m], paid[rows][m]).backward()
                torch.nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
                critic_steps.step()
    return model


@alternative("write_report", note="numpy, os.path, one figure after the other with styling")
def by_numpy(results, folder):
    n, L = len(results["seeds"]), len(results["completions"])
    if n < 2:
        raise ValueError("at least two seeds")
    accuracy = {name: np.asarray(shares, dtype=float) for name, shares in results["accuracy"].items()}
    for shares in accuracy.values():
        if shares.shape != (n,):
            raise ValueError("an accuracy for each seed")
    curves = {}
    for what in ("reward", "surprise"):
        for name, runs in results[what].items():
            if [len(run) for run in runs] != [L] * n:
                raise ValueError("a number for each seed and look")
            curves[what, name] = np.asarray(runs, dtype=float)

    def both(x):
        return {"mean": np.mean(x, axis=0).tolist(), "std": np.std(x, axis=0, ddof=1).tolist()}

    numbers = {"completions": list(results["completions"]), "reward": {}, "surprise": {}}
    numbers["accuracy"] = {name: both(x) for name, x in accuracy.items()}
    for (what, name), x in curves.items():
        numbers[what][name] = both(x)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for what in ("accuracy", "reward", "surprise"):
        fig = plt.figure(figsize=(7, 4))
        ax = fig.add_subplot()
        if what == "accuracy":
            for i, (name, each) in enumerate(numbers[what].items()):
                ax.text(i, each["mean"], name)
            ax.bar(range(len(accuracy)), [each["mean"] for each in numbers[what].values()])
            ax.set_xlabel("before and after")
        else:
            for name, each in numbers[what].items():
                m, s = np.array(each["mean"]), np.array(each["std"])
                ax.fill_between(results["completions"], m + s, m - s, alpha=0.3, linewidth=0)
                ax.plot(results["completions"], m, marker="o", label=name)
            ax.legend()
            ax.set_xlabel("completions that were paid for")
        ax.set_ylabel(what)
        fig.savefig(place / (what + ".png"), dpi=110)
        plt.close(fig)
    with (place / "report.json").open("w") as file:
        json.dump(numbers, file)
    return ["accuracy.png", "reward.png", "surprise.png", "report.json"]
