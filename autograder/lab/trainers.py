"""TRL's trainers for GRPO, DPO and QLoRA, set up from the settings. Each returns how many steps are done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from autograder.lab.following import Interrupted, OnStep, Stop, follower
from autograder.lab.hooks import Setup
from autograder.lab.loading import device_of, dtype_of
from autograder.lab.record import Record
from autograder.lab.settings import Settings
from autograder.lab.sums import Problem, split, verify
from autograder.lab.tokens import question

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def common_arguments(settings: Settings, record: Record) -> dict[str, Any]:
    """What every trainer of transformers is told."""
    import torch

    optim, dtype = settings.optim, dtype_of(settings)
    return {
        "output_dir": str(record.checkpoints),
        "per_device_train_batch_size": optim.batch,
        "gradient_accumulation_steps": optim.accumulation,
        "learning_rate": optim.lr,
        "warmup_steps": optim.warmup,
        "weight_decay": optim.weight_decay,
        "max_grad_norm": optim.max_grad_norm,
        "lr_scheduler_type": "constant_with_warmup" if optim.warmup else "constant",
        "seed": optim.seed,
        "logging_steps": 1,
        "save_steps": settings.out.save_every,
        "save_total_limit": 1,
        "save_only_model": False,
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": dtype is torch.bfloat16,
        "fp16": dtype is torch.float16,
        "use_cpu": device_of(settings) == "cpu",
        "gradient_checkpointing": False,
        "dataloader_pin_memory": device_of(settings) == "cuda",
    }


def grpo_arguments(settings: Settings, record: Record) -> dict[str, Any]:
    grpo, generate = settings.grpo, settings.generate
    return {
        **common_arguments(settings, record),
        "max_steps": settings.steps,
        "num_generations": grpo.group,
        "max_completion_length": generate.max_new_tokens,
        "temperature": generate.temperature,
        "top_p": generate.top_p,
        "loss_type": grpo.loss_type,
        "scale_rewards": grpo.scale_rewards,
        "beta": grpo.beta,
        "epsilon": grpo.eps_low,
        "epsilon_high": grpo.eps_high,
        "use_bias_correction_kl": grpo.kl_ratio,
        "num_iterations": grpo.iterations,
    }


def grpo(
    model: Any, tokenizer: Any, settings: Settings, setup: Setup, record: Record, stop: Stop, on_step: OnStep | None
) -> int:
    """TRL's GRPOTrainer, rewarded by the verifier."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    def reward(completions: list[str], answer: list[int], **_: Any) -> list[float]:
        return [verify(text, right) for text, right in zip(completions, answer, strict=True)]

    problems = split(settings.data)[0]
    rows = setup.dataset or [{"prompt": question(tokenizer, p.question), "answer": p.answer} for p in problems]
    trainer = GRPOTrainer(
        model=model,
        args=setup.config(GRPOConfig, grpo_arguments(settings, record)),
        processing_class=tokenizer,
        reward_funcs=setup.rewards or reward,
        train_dataset=Dataset.from_list(rows),
        callbacks=[follower(record, settings.steps, stop, on_step)],
    )
    return _train(trainer, settings, record, stop)


def dpo(
    model: Any, tokenizer: Any, settings: Settings, setup: Setup, record: Record, stop: Stop, on_step: OnStep | None
) -> int:
    """TRL's DPOTrainer, on the pairs of the setup. The reference is the base with the adapter switched off."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    losses = {settings.dpo.loss_type: 1.0, **({"sft": settings.dpo.sft} if settings.dpo.sft else {})}
    ours = {
        **common_arguments(settings, record),
        "max_steps": settings.steps,
        "beta": settings.dpo.beta,
        "loss_type": list(losses),
        "loss_weights": list(losses.values()),
        "max_length": settings.model.max_seq_length,
    }
    trainer = DPOTrainer(
        model=model,
        args=setup.config(DPOConfig, ours),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(setup.dataset),
        callbacks=[follower(record, settings.steps, stop, on_step)],
    )
    return _train(trainer, settings, record, stop)


def qlora_rows(tokenizer: Any, problems: list[Problem]) -> list[dict[str, str]]:
    """Questions with their right answers, each closed by the end token."""
    return [
        {"prompt": question(tokenizer, p.question), "completion": f"{p.answer}{tokenizer.eos_token}"} for p in problems
    ]


def qlora(
    model: Any, tokenizer: Any, settings: Settings, setup: Setup, record: Record, stop: Stop, on_step: OnStep | None
) -> int:
    """TRL's SFTTrainer on the right answers, over a base of few bits."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    ours = {
        **common_arguments(settings, record),
        "max_steps": settings.steps,
        "max_length": settings.model.max_seq_length,
        "completion_only_loss": settings.qlora.completion_only,
        "eos_token": tokenizer.eos_token,
        "pad_token": tokenizer.pad_token,
    }
    trainer = SFTTrainer(
        model=model,
        args=setup.config(SFTConfig, ours),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(setup.dataset or qlora_rows(tokenizer, split(settings.data)[0])),
        callbacks=[follower(record, settings.steps, stop, on_step)],
    )
    return _train(trainer, settings, record, stop)


def _train(trainer: Any, settings: Settings, record: Record, stop: Stop) -> int:
    """Runs to the end or to Ctrl-C, from the last checkpoint where there is one; leaves the adapter."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)  # the log is ours: record.log
    last = newest_checkpoint(record.checkpoints)
    if last and step_of(last) >= settings.steps:  # the trainer would take one step more than it was asked for
        put_back(trainer.model, last)
        return step_of(last)
    with stop.listening():
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    done = int(trainer.state.global_step)
    if stop.asked and done < settings.steps:
        raise Interrupted(done)
    return done


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; transformers writes trainer_state.json last."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return max(found, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def put_back(model: Any, checkpoint: Path) -> None:
    """Gives the model the weights of a checkpoint: the adapter's, or all where all trained."""
    from peft import PeftModel, set_peft_model_state_dict
    from safetensors.torch import load_file

    if isinstance(model, PeftModel):
        set_peft_model_state_dict(model, load_file(checkpoint / "adapter_model.safetensors"))
    else:
        model.load_state_dict(load_file(checkpoint / "model.safetensors"), strict=False)  # tied weights stand once
