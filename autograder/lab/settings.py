"""The settings of a lab: a flag beats the file, the file beats the default. Unknown keys are refused by name."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from autograder.errors import LabError

Kind = Literal["grpo", "ppo", "dpo", "qlora"]
Backend = Literal["trl", "unsloth"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Model:
    """Which model, and how it is loaded. `name`: "smollm2" (the wheel's), a folder, or a name on a hub."""

    name: str = "smollm2"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    load_in_4bit: bool = False
    max_seq_length: int = 256
    eos: str = "turn_end"
    """The token that ends an answer: "turn_end" takes the one that closes a turn of the chat template."""
    pad: str = "unused"
    """The token that fills rows: "unused" takes one that no text contains and that is not the end token."""


@dataclass(frozen=True)
class Lora:
    """The adapter. r = 0 trains all weights."""

    r: int = 8
    alpha: int = 16
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")


@dataclass(frozen=True)
class Data:
    """The problems: sums of two-digit numbers, and how they are asked."""

    task: Literal["sums"] = "sums"
    n_train: int = 512
    n_eval: int = 64
    seed: int = 0
    prompt: str = "Compute {a} + {b}. Reply with only the number."


@dataclass(frozen=True)
class Generate:
    """How answers are drawn while it trains. The grader decodes greedily."""

    max_new_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0


@dataclass(frozen=True)
class Optim:
    """The optimiser. batch: completions (pairs, for dpo) a device and forward pass."""

    lr: float = 1e-4
    batch: int = 8
    accumulation: int = 1
    warmup: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Grpo:
    """GRPO. iterations: updates on the same completions."""

    group: int = 8
    loss_type: Literal["grpo", "bnpo", "dapo", "dr_grpo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    beta: float = 0.0
    eps_low: float = 0.2
    eps_high: float = 0.28
    kl_ratio: bool = True
    iterations: int = 1


@dataclass(frozen=True)
class Ppo:
    """PPO. value_model: "small" (2 layers of the same tokens) or "copy" (as large as the policy)."""

    kl_coef: float = 0.05
    kl_estimator: Literal["k1", "k3"] = "k1"
    epochs: int = 4
    clip: float = 0.2
    clip_value: float = 0.2
    vf_coef: float = 0.1
    gamma: float = 1.0
    lam: float = 0.95
    missing_eos_penalty: float = 1.0
    value_model: Literal["small", "copy"] = "small"


@dataclass(frozen=True)
class Dpo:
    """DPO. pairs: the right number and a near miss of it, or right and wrong answers that the model itself has drawn.

    questions, answers: of how many questions the model draws how many answers each, before it trains.
    sft: weight of a second loss, the better answer's own negative log-likelihood a token (Pang et al., 2024). DPO looks
    at differences only: both answers may become less likely, and with them that an answer ends.
    """

    pairs: Literal["near_misses", "drawn"] = "near_misses"
    questions: int = 128
    answers: int = 8
    beta: float = 0.1
    loss_type: Literal["sigmoid", "ipo"] = "sigmoid"
    sft: float = 0.0


@dataclass(frozen=True)
class Qlora:
    """A low-rank adapter over a base of few bits, taught the right answers. quant and double_quant: of 4 bits only.

    completion_only: whether the answer alone is learnt, and not the question.
    """

    bits: Literal[4, 8] = 4
    quant: Literal["nf4", "fp4"] = "nf4"
    double_quant: bool = True
    completion_only: bool = True


@dataclass(frozen=True)
class Out:
    """Where the lab writes, how often it keeps a checkpoint, and how many samples it leaves to look at."""

    dir: str = "lab_out"
    save_every: int = 50
    samples: int = 64


@dataclass(frozen=True)
class Settings:
    """All that a lab run is decided by."""

    kind: Kind
    backend: Backend = "trl"
    device: Device = "auto"
    steps: int = 10
    setup: str = ""
    """A Python file with the hook of this kind of lab; "" for our own data and rewards."""
    model: Model = field(default_factory=Model)
    lora: Lora = field(default_factory=Lora)
    data: Data = field(default_factory=Data)
    generate: Generate = field(default_factory=Generate)
    optim: Optim = field(default_factory=Optim)
    grpo: Grpo = field(default_factory=Grpo)
    ppo: Ppo = field(default_factory=Ppo)
    dpo: Dpo = field(default_factory=Dpo)
    qlora: Qlora = field(default_factory=Qlora)
    out: Out = field(default_factory=Out)

    def to_json(self) -> dict[str, Any]:
        """The settings that matter to this kind of lab, as plain data."""
        others = set(get_args(Kind)) - {self.kind}
        return {key: value for key, value in asdict(self).items() if key not in others}

    @property
    def bits(self) -> int:
        """Bits of a weight of the base while it trains: 32 stands for not quantised."""
        if self.kind == "qlora":
            return self.qlora.bits
        return 4 if self.model.load_in_4bit else 32


SECTIONS: dict[str, type] = {
    "model": Model,
    "lora": Lora,
    "data": Data,
    "generate": Generate,
    "optim": Optim,
    "grpo": Grpo,
    "ppo": Ppo,
    "dpo": Dpo,
    "qlora": Qlora,
    "out": Out,
}
Section = TypeVar("Section")


def read_settings(kind: Kind, config: Path | None, flags: Mapping[str, Any]) -> Settings:
    """The settings of a run.

    config: a TOML file with the sections above. flags: what the command line said, by dotted name ("optim.seed"); None
    stands for not said. Raises LabError naming the key, what it takes and the nearest known one.
    """
    given = _file(config) if config else {}
    top = {name: value for name, value in flags.items() if "." not in name and value is not None}
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        table = dict(given.get(name, {}))
        table.update(
            {key.partition(".")[2]: v for key, v in flags.items() if key.startswith(f"{name}.") and v is not None}
        )
        sections[name] = _section(section, table, name, config)
    settings = Settings(kind=kind, **top, **sections)
    if "lr" not in given.get("optim", {}) and settings.lora.r == 0:
        settings = replace(settings, optim=replace(settings.optim, lr=1e-5))
    return _consistent(settings)


def _file(config: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LabError(
            "there is no such settings file",
            where=str(config),
            mend="autograder lab grpo --dry-run    shows the settings",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"the settings file is no TOML: {error}", where=str(config), mend="mend that line") from error
    for name in given:
        if name not in SECTIONS:
            raise LabError(
                f"unknown section [{name}]{_nearest(name, SECTIONS)}",
                where=str(config),
                mend="known: " + ", ".join(SECTIONS),
            )
        if not isinstance(given[name], dict):
            raise LabError(
                f"{name} stands outside a section", where=str(config), mend=f"write [{name}] and its keys below it"
            )
    return given


def _section(kind: type[Section], table: Mapping[str, Any], name: str, config: Path | None) -> Section:
    types = get_type_hints(kind)
    where = f"[{name}]" + (f" of {config}" if config else "")
    values = {}
    for key, value in table.items():
        if key not in types:
            known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
            raise LabError(f"unknown key {key!r}{_nearest(key, known)}", where=where, mend="known: " + ", ".join(known))
        values[key] = _value(value, types[key], key, where)
    return kind(**values)


def _value(value: Any, kind: Any, key: str, where: str) -> Any:
    """The value as its declared type; an int where a float is meant is one, nothing else is bent."""
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise LabError(
                f"{key} = {value!r} is not known", where=where, mend="one of: " + ", ".join(map(str, get_args(kind)))
            )
        return value
    if get_origin(kind) is tuple:
        if not (isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value)):
            raise LabError(f"{key} must be a list of names", where=where, mend=f'{key} = ["q_proj", "v_proj"]')
        return tuple(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise LabError(f"{key} = {value!r} must be of type {kind.__name__}", where=where, mend="mend that line")
    return value


def _consistent(settings: Settings) -> Settings:
    """What single keys cannot say: numbers in their ranges, whole groups, a backend that has this trainer."""
    s = settings
    if s.kind == "ppo" and s.backend == "unsloth":
        raise LabError(
            "PPO does not run through Unsloth: its trainer needs a policy and a value model of their own",
            mend="autograder lab ppo --backend trl",
        )
    if s.bits < 32 and s.lora.r == 0:
        raise LabError(
            f"weights of {s.bits} bits cannot be trained: only an adapter beside them can",
            where="[lora] r",
            mend="r = 8",
        )
    low = {
        "steps": (s.steps, 1),
        "model.max_seq_length": (s.model.max_seq_length, 8),
        "lora.r": (s.lora.r, 0),
        "data.n_train": (s.data.n_train, 1),
        "data.n_eval": (s.data.n_eval, 1),
        "generate.max_new_tokens": (s.generate.max_new_tokens, 1),
        "optim.batch": (s.optim.batch, 1),
        "optim.accumulation": (s.optim.accumulation, 1),
        "grpo.group": (s.grpo.group, 2),
        "grpo.iterations": (s.grpo.iterations, 1),
        "ppo.epochs": (s.ppo.epochs, 1),
        "dpo.questions": (s.dpo.questions, 1),
        "dpo.answers": (s.dpo.answers, 2),
        "dpo.sft": (s.dpo.sft, 0.0),
        "out.save_every": (s.out.save_every, 1),
    }
    for name, (value, least) in low.items():
        if value < least:
            raise LabError(f"{name} = {value} is too small", mend=f"at least {least}")
    if not 0 < s.optim.lr < 1:
        raise LabError(f"optim.lr = {s.optim.lr} is no learning rate", mend="between 0 and 1, such as 1e-4")
    if s.generate.temperature <= 0 or not 0 < s.generate.top_p <= 1:
        raise LabError("temperature must be above 0, and top_p above 0 and at most 1", where="[generate]")
    if s.kind == "grpo" and (s.optim.batch * s.optim.accumulation) % s.grpo.group:
        raise LabError(
            f"{s.optim.batch} completions times {s.optim.accumulation} do not hold whole groups of {s.grpo.group}",
            where="[optim] batch, accumulation; [grpo] group",
            mend=f"batch = {s.grpo.group}",
        )
    for name in ("{a}", "{b}"):
        if name not in s.data.prompt:
            raise LabError(
                f"the prompt does not say {name}",
                where="[data] prompt",
                mend='"Compute {a} + {b}. Reply with only the number."',
            )
    return s


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
