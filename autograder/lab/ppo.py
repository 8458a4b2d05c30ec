"""PPO through TRL's PPOTrainer: the verifier as its reward model, a critic, and the resuming that the trainer lacks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from autograder.lab.following import Interrupted, OnStep, Stop, follower
from autograder.lab.hooks import Setup
from autograder.lab.loading import device_of, dtype_of
from autograder.lab.models import Base
from autograder.lab.record import Record
from autograder.lab.settings import Settings
from autograder.lab.sums import Problem, split, verify
from autograder.lab.tokens import question
from autograder.lab.trainers import common_arguments

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def rule_as_reward(tokenizer: Any, score_of: Callable[[list[int], list[int]], float], prompts: list[list[int]]) -> Any:
    """A module that PPOTrainer takes for a reward model, and that is a rule.

    The trainer asks a backbone for hidden states and reads a score off the last real position. This backbone's only
    hidden state holds the rule's score of the row at each position, (B, T, 1), and its head is the identity.
    score_of: (prompt ids, answer ids) -> score. prompts: every prompt that can come, so that a row can be cut there.
    """
    import torch
    from torch import nn

    known = {tuple(prompt) for prompt in prompts}
    lengths = sorted({len(prompt) for prompt in prompts}, reverse=True)

    def score_row(ids: list[int]) -> float:
        for length in lengths:
            if tuple(ids[:length]) in known:
                return score_of(ids[:length], ids[length:])
        raise ValueError("a row that begins with none of the prompts")

    class Backbone(nn.Module):
        def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
            scores = [score_row(row[mask.bool()].tolist()) for row, mask in zip(input_ids, attention_mask, strict=True)]
            state = torch.tensor(scores, device=input_ids.device)[:, None, None].expand(
                *input_ids.shape, 1
            )  # (B, T, 1)
            return SimpleNamespace(hidden_states=(state,))

    class Rule(nn.Module):
        base_model_prefix = "rule"

        def __init__(self) -> None:
            super().__init__()
            self.rule, self.score = Backbone(), nn.Identity()

    return Rule()


def value_model(base: Base, settings: Settings) -> Any:
    """The critic: the base's first two layers ("small") or all ("copy"), under a new head that starts at zero."""
    import torch
    from transformers import AutoModelForSequenceClassification

    shape = {"num_hidden_layers": 2} if settings.ppo.value_model == "small" else {}
    torch.manual_seed(settings.optim.seed)
    critic = AutoModelForSequenceClassification.from_pretrained(
        base.folder, num_labels=1, dtype=dtype_of(settings), **shape
    )
    torch.nn.init.zeros_(critic.score.weight)
    return critic.to(device_of(settings))


def ppo(
    model: Any,
    tokenizer: Any,
    base: Base,
    settings: Settings,
    setup: Setup,
    record: Record,
    stop: Stop,
    on_step: OnStep | None,
) -> int:
    """TRL's PPOTrainer. A step is one batch of answers and ppo.epochs passes over it."""
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    problems = split(settings.data)[0]
    prompts = [tokenizer(question(tokenizer, p.question), add_special_tokens=False)["input_ids"] for p in problems]
    if setup.dataset:
        prompts = [list(row["input_ids"]) for row in setup.dataset]
    judge = scoring_texts(tokenizer, setup.rewards[0]) if setup.rewards else scoring(tokenizer, problems, prompts)
    rows = [{"input_ids": prompt} for prompt in prompts]
    state = record.checkpoints / "ppo.pt"
    done = steps_in(state)
    if done >= settings.steps:
        load(state, model)
        return done
    trainer = PPOTrainer(
        args=setup.config(PPOConfig, arguments(settings, record, settings.steps - done)),
        processing_class=tokenizer,
        model=model,
        ref_model=None,
        reward_model=rule_as_reward(tokenizer, judge, prompts),
        value_model=value_model(base, settings),
        train_dataset=Dataset.from_list(rows[done % len(rows) :] + rows[: done % len(rows)]),
        callbacks=[follower(record, settings.steps, stop, on_step, done_before=done)],
    )
    trainer.remove_callback(PrinterCallback)  # the log is ours: record.log
    trainer.add_callback(keeper(trainer, settings, state, stop, done))
    load(state, model, trainer)
    with stop.listening():
        trainer.train()
    return settings.steps


def arguments(settings: Settings, record: Record, steps: int) -> dict[str, Any]:
    ppo, optim = settings.ppo, settings.optim
    return {
        **common_arguments(settings, record),
        "save_strategy": "no",
        "total_episodes": steps * optim.batch * optim.accumulation,
        "num_ppo_epochs": ppo.epochs,
        "num_mini_batches": 1,
        "local_rollout_forward_batch_size": optim.batch,
        "num_sample_generations": 0,
        "response_length": settings.generate.max_new_tokens,
        "stop_token": "eos",
        "temperature": settings.generate.temperature,
        "missing_eos_penalty": ppo.missing_eos_penalty or None,
        "kl_coef": ppo.kl_coef,
        "kl_estimator": ppo.kl_estimator,
        "cliprange": ppo.clip,
        "cliprange_value": ppo.clip_value,
        "vf_coef": ppo.vf_coef,
        "gamma": ppo.gamma,
        "lam": ppo.lam,
    }


def scoring(
    tokenizer: Any, problems: list[Problem], prompts: list[list[int]]
) -> Callable[[list[int], list[int]], float]:
    """The verifier on token ids: what stands before the first end token, against the prompt's own answer."""
    answers = {tuple(prompt): p.answer for prompt, p in zip(prompts, problems, strict=True)}

    def score(prompt: list[int], answer: list[int]) -> float:
        return verify(tokenizer.decode(before_end(tokenizer, answer)), answers[tuple(prompt)])

    return score


def scoring_texts(tokenizer: Any, reward: Callable[[str], float]) -> Callable[[list[int], list[int]], float]:
    """The student's reward on the whole text: the prompt, and the answer up to its first end token."""
    return lambda prompt, answer: float(reward(tokenizer.decode(prompt + before_end(tokenizer, answer))))


def before_end(tokenizer: Any, answer: list[int]) -> list[int]:
    """The tokens of an answer that stand before its first end token; all, where it has none."""
    return answer[: answer.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in answer else answer


def keeper(trainer: Any, settings: Settings, state: Path, stop: Stop, done_before: int) -> Any:
    """Keeps what a resumed run needs, every save_every steps and when Ctrl-C was pressed; then it ends the loop."""
    from transformers import TrainerCallback

    class Keeper(TrainerCallback):  # type: ignore[misc]
        """TRL's loop has neither checkpoints that it can load nor an end before its end."""

        def on_step_end(self, args: Any, state_: Any, control: Any, **_: Any) -> Any:
            done = done_before + state_.global_step
            if stop.asked or done % settings.out.save_every == 0 or done == settings.steps:
                save(state, trainer, done)
            if stop.asked and done < settings.steps:
                raise Interrupted(done)
            return control

    return Keeper()


def save(path: Path, trainer: Any, done: int) -> None:
    """What trains, the critic, the optimiser and the count of steps: tensors and numbers only."""
    import torch

    policy, critic = trainer.model.policy, trainer.model.value_model
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    kept = {
        "done": done,
        "policy": {name: p.detach().cpu() for name, p in policy.named_parameters() if p.requires_grad},
        "critic": critic.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }
    torch.save(kept, unfinished)
    unfinished.replace(path)


def steps_in(path: Path) -> int:
    """How many steps a kept state has behind it."""
    import torch

    return int(torch.load(path, weights_only=True, map_location="cpu")["done"]) if path.is_file() else 0


def load(path: Path, policy: Any, trainer: Any = None) -> None:
    """Puts a kept state back, where there is one."""
    import torch

    if not path.is_file():
        return
    kept = torch.load(path, weights_only=True, map_location="cpu")
    named = dict(policy.named_parameters())
    with torch.no_grad():
        for name, tensor in kept["policy"].items():
            named[name].copy_(tensor)
    if trainer is not None:
        trainer.model.value_model.load_state_dict(kept["critic"])
        trainer.optimizer.load_state_dict(kept["optimizer"])
        torch.set_rng_state(kept["random"])
