"""Other right implementations. They must pass every test, and are never called a mistake."""

import bisect
import copy
import itertools
import math
import os
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from common.transformer import TinyGPT
from reference import get_batch, load_checkpoint, save_checkpoint
from torch import nn

from autograder.testing import alternative

# -------------------------------------------------------------------------------------------------------- CharTokenizer


@alternative(
    "CharTokenizer", note="one sorted string and a binary search; vocab_size is worked out when it is asked for"
)
class by_bisection:
    def __init__(self, text, unknown="error"):
        if unknown not in {"error", "replace"}:
            raise ValueError(unknown)
        self.alphabet = "".join(sorted(dict.fromkeys(text)))
        self.replaces = unknown == "replace"

    @property
    def vocab_size(self):
        return len(self.alphabet) + int(self.replaces)

    def encode(self, s):
        found = []
        for character in s:
            i = bisect.bisect_left(self.alphabet, character)
            if self.alphabet[i : i + 1] != character:
                if not self.replaces:
                    raise ValueError(f"{character!r} is unknown")
                i = len(self.alphabet)
            found.append(i)
        return found

    def decode(self, ids):
        table = dict(enumerate(self.alphabet + "\ufffd" * self.replaces))
        try:
            return "".join(table[int(i)] for i in ids)
        except KeyError as problem:
            raise IndexError(f"no such id: {problem}") from None


# ------------------------------------------------------------------------------------------------------------ train_bpe


@alternative("train_bpe", note="tokens as bytes objects in one list, counted in a dictionary, merged by a generator")
def with_byte_strings(text, n_merges):
    number = {bytes([i]): i for i in range(256)}
    names = [number[bytes([b])] for b in text.encode()]
    merges = []
    while len(merges) < n_merges and len(names) > 1:
        seen = {}
        for pair in itertools.pairwise(names):
            seen[pair] = seen.get(pair, 0) + 1
        most = max(seen.values())
        best = min(pair for pair, count in seen.items() if count == most)
        names = list(_joined(names, best, 256 + len(merges)))
        merges.append(best)
    return merges


def _joined(names, best, new):
    waiting = None
    for name in names:
        if waiting is None:
            waiting = name
        elif (waiting, name) == best:
            yield new
            waiting = None
        else:
            yield waiting
            waiting = name
    if waiting is not None:
        yield waiting


# ------------------------------------------------------------------------------------------------------ train_val_split


@alternative("train_val_split", note="with torch's own split, and copies")
def with_torch_split(data, val_fraction=0.1):
    n = data.shape[0]
    last = round(n * val_fraction)
    if val_fraction <= 0 or val_fraction >= 1 or min(last, n - last) < 1:
        raise ValueError("nothing to split")
    first, second = torch.split(data, [n - last, last])
    return first.clone(), second.clone()


# ------------------------------------------------------------------------------------------------------------ get_batch


@alternative("get_batch", note="windows cut one by one and stacked")
def stacked(data, batch_size, context, generator=None):
    room = data.numel() - context
    assert room > 0, "no window fits"
    starts = torch.randint(0, room, (batch_size,), generator=generator).tolist()
    x = torch.stack([data[s : s + context] for s in starts])
    y = torch.stack([data[s + 1 : s + 1 + context] for s in starts])
    return x, y


@alternative("get_batch", note="all windows as one view (unfold), drawn by random fractions")
def from_a_view(data, batch_size, context, generator=None):
    windows = data.unfold(0, context + 1, 1)  # raises where none fits
    share = torch.rand(batch_size, generator=generator, dtype=torch.float64)
    chosen = windows[(share * len(windows)).long()]
    return chosen[:, :context].contiguous(), chosen[:, 1:].contiguous()


# ------------------------------------------------------------------------------------------------------------- evaluate


@alternative(
    "evaluate", note="one window at a time, log-probabilities picked by hand, the mode kept by try and finally"
)
def one_window_at_a_time(model, data, context=None, batch_size=32):
    if data.numel() < 2:
        raise ValueError("nothing to predict")
    context = context or model.config.context
    mode, losses = model.training, []
    model.train(False)
    try:
        with torch.inference_mode():
            for start in range(0, len(data) - 1, context):
                x = data[start : min(start + context, len(data) - 1)]
                y = data[start + 1 : start + 1 + len(x)]
                logp = model(x[None])[0].log_softmax(-1)
                losses += (-logp[torch.arange(len(x)), y]).tolist()
    finally:
        model.train(mode)
    return math.fsum(losses) / len(losses)


@alternative("evaluate", note="the last window filled up, and what was filled in ignored")
def filled_up(model, data, context=None, batch_size=32):
    if len(data) < 2:
        raise ValueError("nothing to predict")
    context = model.config.context if context is None else context
    missing = -(len(data) - 1) % context
    x = F.pad(data[:-1], (0, missing)).view(-1, context)
    y = F.pad(data[1:], (0, missing), value=-100).view(-1, context)
    mode = model.training
    model.eval()
    total = 0.0
    for some_x, some_y in zip(x.split(batch_size), y.split(batch_size), strict=True):
        with torch.no_grad():
            logits = model(some_x)
        total += float(F.cross_entropy(logits.transpose(1, 2), some_y, reduction="sum"))
    if mode:
        model.train()
    return total / (len(data) - 1)


# ---------------------------------------------------------------------------------------------------------- checkpoints


@alternative(
    "save_checkpoint", note="copies of everything first, a temporary file with a name of its own, then a rename"
)
def through_a_named_file(path, model, optimizer, step, generator=None):
    state = copy.deepcopy(
        {
            "model": dict(model.state_dict()),
            "optimizer": optimizer.state_dict(),
            "generator": generator.get_state() if generator else None,
            "torch": torch.random.get_rng_state(),
            "step": int(step),
        }
    )
    handle, name = tempfile.mkstemp(dir=Path(path).resolve().parent)
    os.close(handle)
    try:
        torch.save(state, name)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink()
        raise


@alternative("load_checkpoint", note="weights copied by hand")
def copied_by_hand(path, model, optimizer, generator=None):
    with Path(path).open("rb") as file:
        state = torch.load(file, weights_only=True)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(state["model"][name])
    optimizer.load_state_dict(state["optimizer"])
    if generator is not None and state["generator"] is not None:
        generator.set_state(state["generator"])
    torch.random.set_rng_state(state["torch"])
    return int(state["step"])


# ---------------------------------------------------------------------------------------------------------------- train


@alternative("train", note="torch's own schedulers, Adam without decay, a for loop, rng states put back afterwards")
def with_schedulers(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 12345)
        draw = torch.Generator()
        draw.manual_seed(seed)
        model = TinyGPT(config)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.98))
        done = 0
        if checkpoint and Path(checkpoint).is_file():
            done = load_checkpoint(checkpoint, model, optimizer, draw)
        rise = max(steps // 8, 1)
        try:
            for i in range(done, steps):
                fall = 0.5 * (1 + math.cos(math.pi * max(i - rise, 0) / max(steps - rise, 1)))
                for group in optimizer.param_groups:
                    group["lr"] = 3e-3 * min((i + 1) / rise, 1) * (0.05 + 0.95 * fall)
                x, y = get_batch(data, batch_size, config.context, draw)
                logp = model(x).log_softmax(-1)
                loss = -logp.gather(-1, y[..., None]).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                done = i + 1
                if on_update:
                    on_update(model)
        finally:
            if checkpoint:
                save_checkpoint(checkpoint, model, optimizer, done, draw)
    return model
