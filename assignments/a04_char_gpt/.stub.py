# char_gpt.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a04
# README.md explains the tasks. (a04_char_gpt, release 7a40e3176548)

# %%
import argparse
import math
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCRIPT = __name__ == "__main__" and "__file__" in globals()  # run as a program, not in a notebook
if SCRIPT:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where `common` is

from common.transformer import GPTConfig, TinyGPT


# %% task="CharTokenizer"
class CharTokenizer:
    """Characters as ids: the rank of each among the sorted characters of a text.

    text: the text whose characters make the vocabulary.
    unknown: "error": encode raises ValueError for a character that text does not have. "replace": such a character gets
    one extra id, the last one, which decodes to U+FFFD.
    vocab_size: how many ids there are, the extra one included.
    Raises ValueError for any other `unknown`.
    """

    def __init__(self, text: str, unknown: str = "error"):
        # YOUR CODE HERE
        raise NotImplementedError()

    def encode(self, s: str) -> list[int]:
        """The id of each character. Raises ValueError for an unknown one, unless they are replaced."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def decode(self, ids: list[int]) -> str:
        """The text of these ids. Raises ValueError for an id outside 0 ... vocab_size - 1."""
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="train_bpe"
def train_bpe(text: str, n_merges: int) -> list[tuple[int, int]]:
    """The merges of byte-pair encoding: merges[k] is the pair of ids that becomes the id 256 + k.

    text: what is learnt from; its UTF-8 bytes are the ids 0 to 255. n_merges: how many merges at most, >= 0.
    Each round counts all adjacent pairs (overlapping ones too), takes the most frequent (ties: the smallest tuple), and
    merges it from left to right without overlap. Ends early only where no pair is left.

    Source: Sennrich et al. 2016, algorithm 1, on bytes and without words.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="train_val_split"
def train_val_split(data: Tensor, val_fraction: float = 0.1) -> tuple[Tensor, Tensor]:
    """Holds out the end of a text.

    data: (n,) ids. val_fraction: which share is held out, 0 < val_fraction < 1.
    Returns (training, held out): the first n - round(val_fraction * n) tokens and the rest, in order.
    Raises ValueError if val_fraction is not between 0 and 1, or if a part would be empty.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="get_batch"
def get_batch(
    data: Tensor, batch_size: int, context: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Random windows of a text, and the token that comes after each of their tokens.

    data: (n,) int64. batch_size: how many windows, B. context: tokens in a window, T.
    generator: where the starts are drawn from; None is torch's global generator.
    Returns x, y, both (B, T) int64: y[i, j] is the token after x[i, j]. Starts are uniform on 0 ... n - T - 1, with
    replacement.
    Raises ValueError if n <= T.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="evaluate"
def evaluate(model: nn.Module, data: Tensor, context: int | None = None, batch_size: int = 32) -> float:
    """The mean negative log-likelihood, in nats, of all n - 1 next tokens of a text.

    model: ids (B, T) -> logits (B, T, V). data: (n,) int64. context: tokens a window reads; None is
    model.config.context. batch_size: windows at once; the answer does not depend on it.
    Windows begin at 0, context, 2 context, ...; the last is shorter. Each next token is predicted once and counts once.
    No gradients; eval mode meanwhile, and the mode that the model came in afterwards.
    Raises ValueError if n < 2.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="save_checkpoint"
def save_checkpoint(
    path: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    generator: torch.Generator | None = None,
) -> None:
    """Stores all that a training run needs to go on as if it had never stopped.

    path: the file. model, optimizer: what has a state_dict. step: how many steps were taken. generator: what the
    batches are drawn from, if there is one. torch's global random state is stored too (dropout draws from it).
    The file can be read with weights_only=True. It appears at `path` complete or not at all: where saving fails, an
    older file at `path` stays as it was.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="load_checkpoint"
def load_checkpoint(
    path: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator | None = None,
) -> int:
    """Puts what save_checkpoint stored back, in place, and returns the step.

    path: the file. model, optimizer, generator: the objects that take it up; torch's global random state is restored
    too. Without a generator (here or in the file) that part is skipped.
    Raises an error if there is no such file.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="train"
def train(
    config: GPTConfig,
    data: Tensor,
    steps: int,
    seed: int = 0,
    batch_size: int = 32,
    on_update: Callable[[TinyGPT], object] | None = None,
    checkpoint: str | None = None,
) -> TinyGPT:
    """Trains a TinyGPT on a text.

    config: the model's shape. data: (n,) int64, the training text. steps: optimiser steps in all, each on batch_size
    windows of config.context tokens. seed: fixes all that is drawn.
    on_update: called as on_update(model) after each step, if given.
    checkpoint: a file, if given: training goes on from it where it exists, and writes it when training ends, also where
    an exception ends it.
    Returns the trained model.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %%
# From here on everything is given: it trains your model on real text.  python char_gpt.py --help
SHAPE = {"context": 64, "n_layers": 4, "n_heads": 4, "d_model": 128, "d_ff": 512}
GPT2 = {"norm": "layernorm", "mlp": "gelu", "positions": "learned", "bias": True}
SHORTEST = 1_000  # characters of a text that has something to teach, and to hold out


class Peek:
    """Takes up whatever state it is given, so that a checkpoint can be looked into."""

    def load_state_dict(self, state, *_, **__):
        self.state = state


def text_of(path):
    """The text of a file; where none is named, Python's own documentation."""
    if path is None:
        from pydoc_data.topics import topics

        return "\n".join(topics[name] for name in sorted(topics))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        sys.exit(f"{path} is no UTF-8 text: byte {problem.start} is none. Convert it first: iconv -f latin1 -t utf-8")
    except OSError as problem:
        sys.exit(f"{path} cannot be read: {problem.strerror}.")
    if len(text) < SHORTEST:
        sys.exit(f"{path} has {len(text)} characters; there is little to learn from fewer than {SHORTEST}.")
    return text


def steps_done(path, config):
    """How far the training got whose checkpoint lies at `path`; refuses one of another model."""
    if not path.exists():
        return 0
    model = Peek()
    try:
        done = load_checkpoint(str(path), model, Peek())
        shapes = {name: tuple(weight.shape) for name, weight in model.state.items()}
    except NotImplementedError:
        raise
    except Exception as problem:
        sys.exit(
            f"{path} cannot be read as a checkpoint ({type(problem).__name__}). Move it away, or name another one."
        )
    if shapes != {name: tuple(weight.shape) for name, weight in TinyGPT(config).state_dict().items()}:
        sys.exit(f"{path} is the checkpoint of another model or text. Move it away, or name another: --checkpoint FILE")
    return done


def written_by(model, tokenizer, start, length=240, temperature=0.8):
    """What the model writes after `start`, drawn from a generator of its own."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.tensor([tokenizer.encode(start)])
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for _ in range(length):
            logits = model(ids[:, -model.config.context :])[0, -1]
            drawn = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)
            ids = torch.cat([ids, drawn[None]], dim=1)
    model.train(was_training)
    return tokenizer.decode(ids[0].tolist())


def main():
    parser = argparse.ArgumentParser(description="Trains your character model. Ctrl-C stops; the same line goes on.")
    parser.add_argument("--text", metavar="FILE", help="UTF-8 text to learn from (default: Python's documentation)")
    parser.add_argument("--steps", type=int, default=3000, help="optimiser steps in all (default: 3000)")
    parser.add_argument("--batch", type=int, default=16, help="windows in a batch (default: 16)")
    parser.add_argument("--every", type=int, default=250, help="steps between two looks at it (default: 250)")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="default: beside this file, named after the text"
    )
    asked = parser.parse_args()
    if min(asked.steps, asked.batch, asked.every) < 1:
        sys.exit("--steps, --batch and --every are at least 1.")

    text = text_of(asked.text)
    tokenizer = CharTokenizer(text)
    training, held_out = train_val_split(torch.tensor(tokenizer.encode(text)))
    config = GPTConfig(tokenizer.vocab_size, **SHAPE, **GPT2)
    path = asked.checkpoint or Path(__file__).with_name(f"{Path(asked.text).stem if asked.text else 'python'}.pt")
    done = first = steps_done(path, config)
    print(f"{len(text):,} characters, {tokenizer.vocab_size} different ones; checkpoint: {path}")
    print(f"Step {done} of {asked.steps}." + (" Going on from there." if 0 < done < asked.steps else ""))

    began, interrupted = None, []
    signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))  # between two steps, not within one

    def look(model):
        nonlocal done, began
        done += 1
        began = time.time() if began is None else began  # the first step starts late: something is still being loaded
        if done % 10 == 0 or done == asked.steps:
            speed = (done - first - 1) * asked.batch * config.context / max(time.time() - began, 1e-9)
            left = (asked.steps - done) * asked.batch * config.context / max(speed, 1) / 60
            print(f"\rstep {done}/{asked.steps}  {speed:,.0f} tokens/s  {left:.1f} min left ", end="", flush=True)
        if done % asked.every == 0 or done == asked.steps:
            paused = time.time()
            loss = evaluate(model, held_out[:10_000])
            print(f"\nheld-out loss {loss:.3f} nats, {loss / math.log(2):.2f} bits a character. It writes:")
            print("   ", written_by(model, tokenizer, text[:1]).strip().replace("\n", "\n    "), "\n")
            began += time.time() - paused
        if interrupted:
            raise KeyboardInterrupt

    try:
        model = train(config, training, asked.steps, batch_size=asked.batch, on_update=look, checkpoint=str(path))
    except KeyboardInterrupt:
        sys.exit(f"\nStopped after step {done}. The same command goes on from there.")
    if done == first:
        print("All steps were done before; --steps N asks for more. It writes:\n")
        print(written_by(model, tokenizer, text[:1]))


if SCRIPT:
    try:
        main()
    except NotImplementedError:
        sys.exit("Something that this needs is not written yet. What is missing:  autograder check a04")
