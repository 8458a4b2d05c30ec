"""Tokens per second of our GRPO iteration against TRL's GRPOTrainer: one tiny model, one batch, one run.

    python benchmarks/grpo_speed.py [--steps 8] [--rounds 3] [--prompts 2 16 128]     (needs `make llm`; three minutes)

Both get the same model: a TinyLM of two layers, four heads and width 64 over the fourteen characters of the sums, and
transformers' GPT-2 with the same weights, which says the same. Both get as many prompts as is said with 8 answers each
of at most 4 tokens, the same rule as reward, and take one step of AdamW on all completions. They take turns on one
thread; counted are generated tokens (the first end among them) over the seconds of whole iterations, of which the first
of each turn is left out. `plain` is ours as a13 writes it, a row for each answer and no cache; `ours` writes and reads
with common/groups.py, which computes a prompt once for its whole group.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from ppo_and_grpo import grpo as a13
from ppo_cartpole import processor
from torch import Tensor

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
from common import groups, sums
from common.tiny_lm import TinyLM

GROUP, WIDTH = 8, sums.ANSWER


def tiny() -> TinyLM:
    """A fresh model of the course's own class."""
    torch.manual_seed(0)
    return TinyLM(len(sums.CHARACTERS)).eval()


def gpt2(own: TinyLM) -> Any:
    """The same model in transformers' own class."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=len(sums.CHARACTERS), n_positions=32, n_embd=64, n_layer=2, n_head=4, activation_function="gelu",
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, tie_word_embeddings=False,
        bos_token_id=sums.EOS, eos_token_id=sums.EOS, pad_token_id=sums.PAD,
    )  # fmt: skip
    theirs = GPT2LMHeadModel(config).eval()
    trunk = theirs.transformer
    pairs = [(trunk.wte, own.embed), (trunk.wpe, own.pos), (trunk.ln_f, own.norm), (theirs.lm_head, own.lm_head)]
    for block, mine in zip(trunk.h, own.blocks, strict=True):
        pairs += [(block.ln_1, mine.norm1), (block.ln_2, mine.norm2)]
        pairs += [(block.attn.c_attn, mine.qkv), (block.attn.c_proj, mine.out)]
        pairs += [(block.mlp.c_fc, mine.up), (block.mlp.c_proj, mine.down)]
    for there, here in pairs:
        weights = here.state_dict()
        if isinstance(here, torch.nn.Linear) and there is not theirs.lm_head:
            weights["weight"] = weights["weight"].T  # GPT-2's layers keep inputs first
        there.load_state_dict(weights)
    prompts = sums.prompts(sums.split()[0][:4])
    torch.testing.assert_close(theirs(prompts).logits, own(prompts))
    return theirs


def tokenizer() -> Any:
    """The language of the sums, character by character."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel(sums.ID, unk_token="_"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    raw.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=".", pad_token="_", unk_token="_")


def rate(tokens: list[int], seconds: list[float]) -> float:
    """Tokens per second, without the first iteration."""
    return sum(tokens[1:]) / sum(seconds[1:])


def ours(model: TinyLM, prompts_a_step: int, steps: int, shared: bool) -> float:
    """Our iterations: draw, ask, compare, one step. Tokens per second. shared: a prompt is computed once for all."""
    generator, training = torch.Generator().manual_seed(0), sums.split()[0]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)  # as TRL's
    prompts = sums.prompts(training)
    tokens_of, seconds = [], []
    for _ in range(steps):
        began = time.perf_counter()
        chosen = torch.randint(len(training), (prompts_a_step,), generator=generator)
        written, mask, old_logp, log_probs = (with_groups if shared else one_by_one)(model, prompts[chosen], generator)
        rewards = sums.exact(training[chosen].repeat_interleave(GROUP, 0), written).float()
        # A reward on the way as well, as TRL's below: at first nothing is exact, and no group would differ.
        rewards = rewards + (written[:, 0] == 0).float()
        adv = a13.group_advantages(rewards, GROUP)
        loss = a13.grpo_loss(log_probs(), old_logp, None, adv, mask, aggregate="token")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - began)
        tokens_of.append(int(mask.sum()))
    return rate(tokens_of, seconds)


Written = tuple[Tensor, Tensor, Tensor, Callable[[], Tensor]]
"""Tokens, mask, log-probabilities as they were drawn, and a function that gives them again with gradients."""


def with_groups(model: TinyLM, asked: Tensor, generator: torch.Generator) -> Written:
    written, mask, logp = groups.write(model, asked, GROUP, WIDTH, sums.EOS, sums.PAD, generator)
    return written, mask, logp, lambda: groups.log_probs(model, asked, written, sums.PAD)


def one_by_one(model: TinyLM, asked: Tensor, generator: torch.Generator) -> Written:
    real = torch.ones_like(asked, dtype=torch.bool)
    drawn = a13.rollout(model, asked, real, GROUP, WIDTH, sums.EOS, sums.PAD, generator=generator)
    tokens, mask = drawn["tokens"], drawn["mask"]
    written = tokens[:, sums.PROMPT :]
    everything = torch.cat([real.repeat_interleave(GROUP, 0), mask], 1)

    def log_probs() -> Tensor:
        logits = model(tokens, everything)[:, sums.PROMPT - 1 : -1]
        logits = logits.masked_fill(torch.arange(logits.shape[2]) == sums.PAD, -torch.inf)
        return logits.log_softmax(-1).gather(2, written.masked_fill(~mask, sums.EOS)[..., None])[..., 0]

    return written, mask, drawn["logp"], log_probs


def theirs(prompts_a_step: int, steps: int) -> float:
    """TRL's iterations on the same model. Tokens per second."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    ends, tokens_of = [], []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if not ends:
                ends.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    def reward(completions: list[str], completion_ids: list[list[int]], answer: list[str], **_: Any) -> list[float]:
        tokens_of.append(sum(map(len, completion_ids)))
        pairs = zip(completions, answer, strict=True)
        return [float(text == right) + float(text[:1] == "0") for text, right in pairs]

    problems = sums.split()[0][: prompts_a_step * (steps + 1)].tolist()
    rows = [{"prompt": f"{a:02d}+{b:02d}=", "answer": f"{a + b:03d}"} for a, b in problems]
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=gpt2(tiny()),
            args=GRPOConfig(
                output_dir=folder, max_steps=steps, per_device_train_batch_size=prompts_a_step * GROUP,
                num_generations=GROUP, max_completion_length=WIDTH, learning_rate=1e-5, max_grad_norm=1.0,
                loss_type="bnpo", beta=0.0, num_iterations=1, use_cpu=True, save_strategy="no", report_to="none",
                logging_steps=10_000, disable_tqdm=True, gradient_checkpointing=False, bf16=False,
                dataloader_pin_memory=False,
            ),
            processing_class=tokenizer(), reward_funcs=reward, train_dataset=Dataset.from_list(rows),
            callbacks=[Clock()],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return rate(tokens_of[:steps], [b - a for a, b in pairwise(ends)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, nargs="+", default=[2, 16, 128])
    asked = parser.parse_args()
    try:
        import trl
    except ImportError:
        sys.stderr.write("TRL is not installed: make llm\n")
        return 2
    torch.set_num_threads(1)
    print(f"{processor()}, torch {torch.__version__}, TRL {trl.__version__}, one thread; medians of {asked.rounds}")
    for prompts in asked.prompts:
        shared, plain, library = [], [], []
        for _ in range(asked.rounds):
            shared.append(ours(tiny(), prompts, asked.steps, shared=True))
            plain.append(ours(tiny(), prompts, asked.steps, shared=False))
            library.append(theirs(prompts, asked.steps))
        times, beside = (statistics.median(a / b for a, b in zip(x, library, strict=True)) for x in (shared, plain))
        speed = f"ours {statistics.median(shared):,.0f} tokens/s, TRL {statistics.median(library):,.0f}"
        print(f"{prompts * GROUP:5} completions a step: {speed}; {times:.2f} times, plain {beside:.2f}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
