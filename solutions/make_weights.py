"""Makes the weights that come with the course, and measures them: python solutions/make_weights.py

Deterministic on one machine and one thread: the same command gives the same numbers. It stands outside of the shared
package, because one of the models is trained as a09 asks its students to.
"""

import importlib.util
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from common import reviews, sums
from common.preferences import RewardModel, ShippedHead, generate, order_and_calibration
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
    """What 4,000 judged pairs of reviews teach in 300 steps of 64, from reviews_base: as the reference of a09 trains."""
    generator = torch.Generator().manual_seed(3)
    pairs = reviews.judged_pairs(4000, generator)
    given = (*reviews.whole(pairs, "chosen"), *reviews.whole(pairs, "rejected"), pairs["numbers"])
    trained = reference_of_a09().train_reward_model(pretrained("reviews_base"), *given, 300, 3)
    model = RewardModel(trained.lm, ShippedHead(trained.config["d_model"]))
    model.head.load_state_dict(trained.head.state_dict())

    fresh = reviews.unjudged_pairs(1000, generator)
    with torch.no_grad():
        chances = torch.sigmoid(model(*reviews.whole(fresh, "a")) - model(*reviews.whole(fresh, "b")))  # (1000,)
    order, error = order_and_calibration(chances, fresh["gap"])
    print(f"reviews_rm: {order:.3f} of fresh pairs in the order of gold, calibration error {error:.3f}")
    return model


def reference_of_a09():
    spec = importlib.util.spec_from_file_location("a09", HERE / "a09_reward_model" / "source.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(HERE / "a09_reward_model"))  # its tests, which are not run, import its asks
    spec.loader.exec_module(module)
    return module


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
