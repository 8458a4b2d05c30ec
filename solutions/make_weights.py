"""Makes the weights that come with the course, and measures them: python solutions/make_weights.py

Deterministic on one machine and one thread: the same command gives the same numbers. It stands outside of the shared
package, because one of the models is trained as a09 asks its students to.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from common import reviews, sums
from common.preferences import RewardModel, ShippedHead, bradley_terry_labels, generate
from common.tiny_lm import WEIGHTS, TinyLM, pretrained, save_weights


def supervised(lm, batch, steps, lr):
    """Trains on batches of tokens (B, T), which of them are real (B, T), and which are to be predicted (B, T-1)."""
    optimizer = torch.optim.AdamW(lm.parameters(), lr=lr, weight_decay=0.01)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min((step + 1) / 50, 1.0, (steps - step) / (0.5 * steps))
        tokens, real, wanted = batch()
        logits = lm(tokens, real)[:, :-1]  # (B, T-1, V)  column t predicts token t+1
        loss = F.cross_entropy(logits[wanted], tokens[:, 1:][wanted])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
        optimizer.step()
    return loss.item()


def reviews_base():
    """400 steps of 128 reviews: a model that writes as guests do, good and bad alike."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    lm = TinyLM(len(reviews.WORDS))

    def batch():
        prompts, prompt_mask, _ = reviews.sample_prompts(128, generator)
        responses, mask = reviews.sample_responses(128, generator)
        tokens, real = reviews.together(prompts, prompt_mask, responses, mask)
        wanted = real[:, 1:].clone()
        wanted[:, : reviews.PROMPT - 1] = False
        return tokens, real, wanted

    loss = supervised(lm, batch, 400, 1e-3)
    prompts, prompt_mask, _ = reviews.sample_prompts(1000, generator)
    responses, mask = generate(
        lm, prompts, prompt_mask, reviews.RESPONSE, reviews.EOS, reviews.PAD, generator=generator
    )
    texts = [reviews.decode(row) for row in responses]
    print(f"reviews_base: loss {loss:.3f}, gold {reviews.gold_scores(responses, mask).mean():.2f}, " + shares(texts))
    print("   ", *texts[:5], sep="\n    ")
    return lm


def reviews_rm():
    """What 4,000 pairs of reviews teach, judged by a judge who errs: 300 steps of 64, from reviews_base."""
    generator = torch.Generator().manual_seed(3)
    (a, a_mask), (b, b_mask), gap = pairs(4000, generator)
    prefer_a = bradley_terry_labels(gap, torch.zeros(()), generator)
    sign = torch.where(prefer_a, 1.0, -1.0)  # (N,)
    torch.manual_seed(3)
    lm = pretrained("reviews_base").train()
    model = RewardModel(lm, ShippedHead(lm.config["d_model"]))
    torch.nn.init.normal_(model.head.score.weight, std=(lm.config["d_model"] + 1) ** -0.5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RM_LR, weight_decay=0.01)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = RM_LR * min(1.0, (step + 1) / 30, (300 - step) / 100)
        rows = torch.randint(len(a), (64,), generator=generator)
        difference = model(a[rows], a_mask[rows]) - model(b[rows], b_mask[rows])  # (64,)
        loss = -F.logsigmoid(sign[rows] * difference).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    model.eval()
    (a, a_mask), (b, b_mask), gap = pairs(1000, generator)
    with torch.no_grad():
        difference = model(a, a_mask) - model(b, b_mask)  # (1000,)
    apart = gap != 0
    right = ((difference > 0) == (gap > 0))[apart].float().mean()
    print(f"reviews_rm: loss {loss.item():.3f}, {right:.3f} of {int(apart.sum())} fresh pairs in the order of gold")
    return model


def pairs(n, generator):
    """n pairs of responses to one prompt each, as whole texts; and by how much the first is better by the rules."""
    prompts, prompt_mask, _ = reviews.sample_prompts(n, generator)
    texts, scores = [], []
    for _ in range(2):
        responses, mask = reviews.sample_responses(n, generator)
        texts.append(reviews.together(prompts, prompt_mask, responses, mask))
        scores.append(reviews.gold_scores(responses, mask))
    return *texts, scores[0] - scores[1]


def shares(texts):
    """Of texts: how many are polite, helpful, and end."""
    polite = sum(not reviews.harm(text) for text in texts) / len(texts)
    helpful = sum(map(reviews.help_, texts)) / len(texts)
    ended = sum("<eos>" in text for text in texts) / len(texts)
    return f"polite {polite:.2f}, helpful {helpful:.2f}, ended {ended:.2f}"


def sums_warm():
    """500 steps of 256 demonstrations: a model that is right about a third of the time."""
    generator = torch.Generator().manual_seed(2)
    torch.manual_seed(2)
    lm = TinyLM(len(sums.CHARACTERS))

    def batch():
        tokens, wanted = sums.demonstrations(sums.sample_problems(256, generator))
        return tokens, torch.ones_like(tokens, dtype=torch.bool), wanted

    loss = supervised(lm, batch, 500, SUMS_LR)
    problems = sums.split()[1]
    asked = sums.prompts(problems)
    mask = torch.ones_like(asked, dtype=torch.bool)
    written, _ = generate(lm, asked, mask, 8, sums.EOS, sums.PAD, temperature=0)
    exact = sums.exact(problems, written).float().mean()
    print(f"sums_warm: loss {loss:.3f}, {exact:.3f} of {len(problems)} held-out sums exact")
    return lm


SUMS_LR = 1.05e-3
RM_LR = 1e-3


def main():
    torch.set_num_threads(1)
    WEIGHTS.mkdir(exist_ok=True)
    which = sys.argv[1:] or ["reviews_base", "reviews_rm", "sums_warm"]
    for name in which:
        path = WEIGHTS / f"{name}.safetensors"
        save_weights(globals()[name](), path)
        path.chmod(0o644)


if __name__ == "__main__":
    main()
