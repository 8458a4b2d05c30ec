# %% [markdown] assignment="a04_char_gpt" title="A character-level GPT: train it, stop it, go on" module="char_gpt" requires="torch, torch._dynamo, common" summary="Tokenisers, batches, an honest evaluation, checkpoints that lose nothing, and a GPT that you train on your own CPU." forbidden="tokenizers, tiktoken, sentencepiece, transformers, torch.utils.data.random_split"
# # A character-level GPT: train it, stop it, go on
#
# You have a model that writes nonsense. Today it learns to read: a GPT of 0.8 million weights, trained from nothing on
# your CPU, on any text that you like. The model is given. What you write is everything around it, and that is where most
# of the silent mistakes of this trade live: targets that are off by one, a validation text that was trained on, a
# checkpoint that forgets half of what it should keep. None of them raises an error.
#
# You write eight things, in this order:
#
# 1. `CharTokenizer`: text to numbers and back
# 2. `train_bpe`: how larger tokens are learnt from a text
# 3. `train_val_split`: what is held out
# 4. `get_batch`: what the model reads, and what it should have said
# 5. `evaluate`: how well it predicts text that it never saw
# 6. `save_checkpoint`: everything that a training run is made of, in a file
# 7. `load_checkpoint`: and back
# 8. `train`: the whole loop, which can be stopped and go on
#
# **You need** the loss, AdamW and schedules of [the first assignment](../../docs/learn/a01_optimization.md) as ideas
# (here `torch.optim` and `F.cross_entropy` are yours to use), and what a [transformer](../../docs/learn/a03_transformer.md)
# takes and gives. The [reading page](../../docs/learn/a04_char_gpt.md) says what to read, and what a curve tells.
#
# ```
# autograder check a04              # all tasks: what holds, what to mend first
# autograder check a04.get_batch    # one task
# autograder hint a04.get_batch     # the next of its three hints
# ```
#
# And when all of it holds, the reward:
#
# ```
# python assignments/a04_char_gpt/char_gpt.py                  # trains on Python's own documentation
# python assignments/a04_char_gpt/char_gpt.py --text FILE      # or on any text of yours
# ```
#
# It shows how far it is and what it writes. Stop it with Ctrl-C whenever you like and start it again with the same line: your own
# checkpoint takes it up where it was.
#
# ## What is given
#
# `GPTConfig` and `TinyGPT` stand on top of your file; read them in `assignments/common/transformer.py`.
# `TinyGPT(config)` is a GPT-2 in small, `model(tokens)` turns ids (B, T) into logits (B, T, V), `model.config` is its
# configuration, and `model.config.context` the longest text that it can be asked about. GPT-2's four choices (layer norm, GELU,
# learned positions, biases) stand in the configuration that you are given: pass it on as it is.
#
# ## What we keep, and what we leave out
#
# Kept: the model and its initial weights (Radford et al., 2019), the recipe of nanoGPT (AdamW, warm-up, a cosine that falls to
# zero, a limit on the gradient's norm), byte pairs as Sennrich et al. (2016) merge them, on bytes as GPT-2 does.
#
# Left out: a tokeniser's fast paths and its splitting into words before merging, data that does not fit into memory,
# several devices, lower precision. Our model is trained on characters; byte pairs are learnt here and used later.
#
# ## Convention card
#
# Every one of these could be otherwise, and in some library it is. When a number is wrong, begin here.
#
# | question | our answer | who differs |
# |---|---|---|
# | a character's id | its rank among the sorted characters of the text | |
# | an unknown character | refused; or, with `unknown="replace"`, one extra id, the last | |
# | byte pairs: the first 256 ids | the **bytes** of the UTF-8 text | the paper: characters |
# | how many pairs are in "aaa"? | **two** (they overlap); merged from the left, once | |
# | two pairs equally frequent | the **smallest** (left, right), by id | minbpe: the one seen first; CS336: the largest, by bytes |
# | when does merging stop? | after `n_merges`, or when no pair is left; a pair that occurs once still counts | many: at a minimum count |
# | what is held out? | the **end** of the text, never shuffled | |
# | how much? | `round(val_fraction * n)` tokens, by Python's `round` | |
# | a batch | windows at random starts, with replacement | PyTorch's loaders: each window once an epoch |
# | the loss that is reported | mean over **all tokens**, in nats | bits: divide by $\ln 2$ |
# | what a checkpoint holds | model, optimiser, step, **and both random states** | many: the weights |
# | where does loading put it? | into the objects that were given, in place | |
# | dtype of ids and targets | int64 | |
# | inputs | are never changed in place, except where it says so | |
# | bad input | is refused where the function's text says so: raise `ValueError` and say what is wrong | |
#
# Letters: $B$ texts in a batch, $T$ tokens in a window (`context`), $V$ size of the vocabulary, $n$ tokens in the data.
#
# ## What you may not use, and why
#
# `tokenizers`, `tiktoken`, `sentencepiece` and `transformers`: their byte pairs are what you are building.
# `random_split`: it shuffles, which is the one thing that a held-out text must not be. Everything else in torch is yours.
#
# ## What the tests look at
#
# Exact ids and merges; every awkward size (empty texts, a window that just fits, a last window that is shorter); whether
# a second run is the first one bit for bit; dropout that is off when it should be; files that must survive a
# failure. And then a training of your own, on text that your file has never seen.

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

# %% [markdown] task="CharTokenizer"
# ## `CharTokenizer`: text to numbers and back
#
# A model reads numbers. The simplest vocabulary is the set of characters that occur: `sorted(set(text))`, and a
# character's id is its place in that list. Sorted, so that the ids do not depend on the order in which the characters
# happen to appear.
#
# `vocab_size` is an attribute: how many ids there are. What happens to a character that the text did not have?
#
# - `unknown="error"`: `encode` refuses it (`ValueError`).
# - `unknown="replace"`: there is one extra id, the **last** one, for all of them; `vocab_size` is one larger, and
#   `decode` writes "\ufffd" for it, the official sign for a character that is not known.
# - Any other `unknown` is refused when the tokeniser is built.
#
# `decode(encode(s)) == s` for every text of known characters, also for the empty one. An id that does not exist is
# refused, and −1 does not exist.
#
# **By hand.** For the text "banana" the characters are a, b, n. So "nab" is `[2, 0, 1]`, and with `"replace"` "nap" is
# `[2, 0, 3]`.


# %% task="CharTokenizer" points=3 minutes=15
class CharTokenizer:
    """Characters as ids: the rank of each among the sorted characters of a text.

    text: the text whose characters make the vocabulary.
    unknown: "error": encode raises ValueError for a character that text does not have. "replace": such a character gets
    one extra id, the last one, which decodes to U+FFFD.
    vocab_size: how many ids there are, the extra one included.
    Raises ValueError for any other `unknown`.
    """

    def __init__(self, text: str, unknown: str = "error"):
        ### BEGIN SOLUTION
        if unknown not in ("error", "replace"):
            raise ValueError(f'unknown is "error" or "replace", not {unknown!r}')
        self.characters = sorted(set(text))
        self.ids = {character: i for i, character in enumerate(self.characters)}
        self.unknown_id = len(self.characters) if unknown == "replace" else None
        self.vocab_size = len(self.characters) + (unknown == "replace")
        ### END SOLUTION

    def encode(self, s: str) -> list[int]:
        """The id of each character. Raises ValueError for an unknown one, unless they are replaced."""
        ### BEGIN SOLUTION
        if self.unknown_id is None:
            for character in s:
                if character not in self.ids:
                    raise ValueError(f"the character {character!r} is not in the vocabulary")
        return [self.ids.get(character, self.unknown_id) for character in s]
        ### END SOLUTION

    def decode(self, ids: list[int]) -> str:
        """The text of these ids. Raises ValueError for an id outside 0 ... vocab_size - 1."""
        ### BEGIN SOLUTION
        for i in ids:
            if not 0 <= i < self.vocab_size:
                raise ValueError(f"there is no id {i}: they go from 0 to {self.vocab_size - 1}")
        return "".join("\ufffd" if i == self.unknown_id else self.characters[i] for i in ids)
        ### END SOLUTION


# %% [markdown] hints="CharTokenizer"
# 1. Write down the vocabulary of "banana" and the ids of "nab". What would change if the text were "nanaba"? What
#    should change?
# 2. One dictionary from characters to ids serves `encode`, one list serves `decode`. A Python list answers to the
#    index −1: a negative id has to be refused by you.
# 3. `self.characters = sorted(set(text))`, `self.ids = {c: i for i, c in enumerate(self.characters)}`. With
#    "replace", `vocab_size` is `len(self.characters) + 1`, `encode` takes `self.ids.get(c, len(self.characters))`, and
#    `decode` writes "\ufffd" for that id. With "error", look for strangers before you translate.

# %% tests="CharTokenizer"
import math

import pytest
import torch
import torch.nn.functional as F
from asks import (
    batches,
    built_tokenizer,
    evaluations,
    read_safely,
    resumed,
    seen_by_updates,
    stopped_and_resumed,
    tokenized,
    trained_answers,
    trained_weights,
)
from asks import train as train_beside

from autograder.testing import graded_run, needs, task


@task("CharTokenizer")
def test_the_ids_of_banana(student):
    """In "banana", a is 0, b is 1 and n is 2."""
    student.ask(tokenized, "banana", "error", ["nab", "banana"], [[2, 0, 1]]).equals(
        {"vocab_size": 3, "encoded": [[2, 0, 1], [1, 0, 2, 0, 2, 0]], "decoded": ["nab"]}
    )


@task("CharTokenizer")
def test_the_unknown_gets_the_last_id(student):
    """With "replace" there is one more id, the last, and it decodes to U+FFFD."""
    student.ask(tokenized, "banana", "replace", ["nap", "pn"], [[3, 0, 3]]).equals(
        {"vocab_size": 4, "encoded": [[2, 0, 3], [3, 2]], "decoded": ["\ufffda\ufffd"]}
    )


@task("CharTokenizer")
@needs("test_the_ids_of_banana")
def test_strangers_are_refused(student):
    """An unknown character, an id that does not exist and a policy that does not exist are refused."""
    student.ask(tokenized, "banana", "error", ["nap"], []).refused()
    student.ask(tokenized, "banana", "error", [], [[3]]).refused()
    student.ask(tokenized, "banana", "error", [], [[-1]]).refused()
    student.ask(built_tokenizer, "banana", "ignore").refused()


@task("CharTokenizer")
@needs("test_the_ids_of_banana")
def test_nothing_is_nothing(student):
    """The empty text has no ids, and no ids are the empty text."""
    student.ask(tokenized, "banana", "error", [""], [[]]).equals({"vocab_size": 3, "encoded": [[]], "decoded": [""]})


# %% [markdown] task="train_bpe"
# ## `train_bpe`: how larger tokens are learnt from a text
#
# Characters are short: a model that reads 64 of them reads ten words. Byte-pair encoding makes longer tokens out of
# whatever occurs often. It begins with single bytes and, again and again, gives the most frequent pair of neighbours a name
# of its own.
#
# 1. The text, as UTF-8, is a list of bytes: the ids 0 to 255.
# 2. Count **every** adjacent pair. Overlapping ones count: "aaa" has the pair (a, a) twice.
# 3. The most frequent pair gets the next id: 256 for the first merge, 257 for the second, and so on. Are several equally
#    frequent, take the **smallest**, as Python compares tuples of ids: first by the left id, then by the right one.
# 4. Replace that pair wherever it stands, from left to right, each token used once: "aaa" becomes (256, a).
# 5. Count again. Stop after `n_merges` merges, or earlier if there is no pair left at all. A pair that occurs
#    once is still a pair.
#
# The text is one long list: nothing is split into words before.
#
# **By hand.** "abab b": the bytes are 97 98 97 98 32 98. Pairs: (97, 98) twice, all others once, so 256 = (97, 98) and
# the text is 256 256 32 98. Now each of (256, 256), (256, 32), (32, 98) occurs once; the smallest is (32, 98), so 257 =
# (32, 98) and the text is 256 256 257. Then (256, 256) and (256, 257) tie, and 258 = (256, 256); then 259 = (258, 257);
# then nothing is left.


# %% task="train_bpe" points=4 minutes=30
def train_bpe(text: str, n_merges: int) -> list[tuple[int, int]]:
    """The merges of byte-pair encoding: merges[k] is the pair of ids that becomes the id 256 + k.

    text: what is learnt from; its UTF-8 bytes are the ids 0 to 255. n_merges: how many merges at most, >= 0.
    Each round counts all adjacent pairs (overlapping ones too), takes the most frequent (ties: the smallest tuple), and
    merges it from left to right without overlap. Ends early only where no pair is left.

    Source: Sennrich et al. 2016, algorithm 1, on bytes and without words.
    """
    ### BEGIN SOLUTION
    ids = list(text.encode("utf-8"))
    merges = []
    for new in range(256, 256 + n_merges):
        counts = Counter(pairwise(ids))
        if not counts:
            break
        pair = min(counts, key=lambda pair: (-counts[pair], pair))  # the most frequent; among equals the smallest
        merges.append(pair)

        merged, i = [], 0
        while i < len(ids):
            if tuple(ids[i : i + 2]) == pair:
                merged.append(new)
                i += 2
            else:
                merged.append(ids[i])
                i += 1
        ids = merged
    return merges
    ### END SOLUTION


# %% [markdown] hints="train_bpe"
# 1. Do the example by hand with the text "aaabdaaabac" and three merges. At which step did you need a rule for ties?
# 2. `collections.Counter` counts the pairs of `pairwise(ids)`. Sort by two things at once: more frequent first, then
#    smaller first. Replacing needs a position that moves on by two after a merge and by one otherwise.
# 3. In each round: count; stop if there is nothing; `pair = min(counts, key=lambda p: (-counts[p], p))`; then build a new list with
#    a while loop over i: where `(ids[i], ids[i + 1])` is the pair append 256 + k and go on at i + 2, else append `ids[i]` and go on
#    at i + 1.


# %% tests="train_bpe"
@task("train_bpe")
def test_the_merges_of_the_handout(student):
    """ "abab b" is merged as in the handout, until nothing is left."""
    student.train_bpe("abab b", 10).equals([(97, 98), (32, 98), (256, 256), (258, 257)])


@task("train_bpe")
def test_three_equal_letters(student):
    """In "aaaab" the pair (a, a) occurs three times; merged from the left it gives two tokens."""
    student.train_bpe("aaaab", 3).equals([(97, 97), (256, 98), (256, 257)])


@task("train_bpe")
def test_bytes_not_characters(student):
    """An "é" is two bytes, 195 and 169, and so is the first merge of a row of them."""
    student.train_bpe("éé", 2).equals([(195, 169), (256, 256)])


@task("train_bpe")
@needs("test_the_merges_of_the_handout")
def test_nothing_to_merge(student):
    """No merges are asked for, or there is no pair: no merges."""
    student.train_bpe("abab", 0).equals([])
    student.train_bpe("", 5).equals([])
    student.train_bpe("a", 5).equals([])


@task("train_bpe")
def test_same_as_tokenizers(student):
    """On a text without words, the merges are those of the tokenizers library."""
    tokenizers = pytest.importorskip("tokenizers")
    text = "abracadabracadabra" * 3 + "bandanabanana"
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=len(set(text)) + 12, show_progress=False)
    theirs.train_from_iterator([text], trainer)
    names = dict(enumerate(map(chr, range(256))))
    for k, (left, right) in enumerate(student.train_bpe(text, 12).value):
        names[256 + k] = names[left] + names[right]
    ours = [names[256 + k] for k in range(12)]
    vocabulary = theirs.get_vocab()
    assert ours == sorted((t for t in vocabulary if len(t) > 1), key=vocabulary.get), "The library merges otherwise."


# %% [markdown] task="train_val_split"
# ## `train_val_split`: what is held out
#
# A model that has read a text can recite it. Whether it has learnt to *read* shows only on text that it never saw, so
# the last part of the data is put aside before anything else happens. The **end**, in one piece, unshuffled: in a shuffled
# text every held-out character stands between two that were trained on.
#
# The held-out part has `round(val_fraction * n)` tokens (Python's `round`), the training part the rest. Refuse a fraction outside of (0, 1), and
# data so short that one of the two parts would be empty.


# %% task="train_val_split" points=1 minutes=5
def train_val_split(data: Tensor, val_fraction: float = 0.1) -> tuple[Tensor, Tensor]:
    """Holds out the end of a text.

    data: (n,) ids. val_fraction: which share is held out, 0 < val_fraction < 1.
    Returns (training, held out): the first n - round(val_fraction * n) tokens and the rest, in order.
    Raises ValueError if val_fraction is not between 0 and 1, or if a part would be empty.
    """
    ### BEGIN SOLUTION
    if not 0 < val_fraction < 1:
        raise ValueError(f"val_fraction is between 0 and 1, not {val_fraction}")
    held_out = round(val_fraction * len(data))
    if held_out == 0 or held_out == len(data):
        raise ValueError(f"{len(data)} tokens are too few to hold out a share of {val_fraction}")
    return data[:-held_out], data[-held_out:]  # (n - held_out,), (held_out,)
    ### END SOLUTION


# %% [markdown] hints="train_val_split"
# 1. Of ten tokens and a fraction of 0.25, how many are held out, and which?
# 2. Work out the length of the held-out part first; both parts are slices.
# 3. `k = round(val_fraction * len(data))`; refuse a fraction outside of (0, 1) and a k of 0 or of `len(data)`; return
#    `data[:len(data) - k]` and `data[len(data) - k:]`.


# %% tests="train_val_split"
@task("train_val_split")
def test_the_last_three_of_ten(student):
    """Of ten tokens and a fraction of 0.3, the last three are held out."""
    student.train_val_split(torch.arange(10), 0.3).equals([torch.arange(7), torch.arange(7, 10)])


@task("train_val_split")
def test_a_quarter_of_eleven_is_rounded(student):
    """A quarter of eleven tokens is 2.75 of them: three are held out."""
    student.train_val_split(torch.arange(11), 0.25).equals([torch.arange(8), torch.arange(8, 11)])


@task("train_val_split")
@needs("test_the_last_three_of_ten")
def test_no_part_may_be_empty(student):
    """A fraction outside of (0, 1), and a part without a token, are refused."""
    for fraction in (0.0, 1.0, -0.1, 1.5):
        student.train_val_split(torch.arange(10), fraction).refused()
    student.train_val_split(torch.arange(3), 0.1).refused()
    student.train_val_split(torch.arange(3), 0.9).refused()


# %% [markdown] task="get_batch"
# ## `get_batch`: what the model reads, and what it should have said
#
# A window of $T$ tokens holds $T$ questions at once: after the first token comes the second, after the first two the third, ...
# Beside what the model reads, `x`, stands what it should predict, `y`: the same window, **one token further on**.
#
# $$
# x_{ij} = \text{data}[s_i + j], \qquad y_{ij} = \text{data}[s_i + j + 1], \qquad
# s_i \text{ uniform on } 0, 1, \dots, n - T - 1
# $$
#
# Each start is drawn on its own, with replacement, and **every** start that leaves room for the last target is as
# likely as any other: with $s = n - T - 1$ the last target is the last token of the data.
#
# **By hand.** Data $0, 1, \dots, 9$ and $T = 4$. The starts are 0 to 5. Start 5 gives $x = (5, 6, 7, 8)$ and $y = (6, 7, 8, 9)$; a
# start of 6 would need a token 10.
#
# All that is drawn comes from `generator`, or from torch's global one where it is `None`: so the same generator in the same
# state gives the same batch, and the next call another one. Data of $T$ tokens or fewer have no window: refuse them.


# %% task="get_batch" points=4 minutes=15
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
    ### BEGIN SOLUTION
    if len(data) <= context:
        raise ValueError(f"{len(data)} tokens have no window of {context} and a token after it")
    starts = torch.randint(len(data) - context, (batch_size,), generator=generator)  # (B,)
    windows = data[starts[:, None] + torch.arange(context + 1)]  # (B, T + 1)
    return windows[:, :-1], windows[:, 1:]  # (B, T) each
    ### END SOLUTION


# %% [markdown] hints="get_batch"
# 1. Ten tokens, windows of four. Write down the first start, the last one, and how many there are. Which of the ten
#    tokens can never be a target?
# 2. `torch.randint(high, (B,), generator=...)` draws from 0 to high − 1. A column of starts plus a row of 0 ... T gives
#    the places of B windows of T + 1 tokens, and both answers are slices of those.
# 3. `starts = torch.randint(len(data) - context, (batch_size,), generator=generator)`, `windows = data[starts[:, None] +
#    torch.arange(context + 1)]`, and back go `windows[:, :-1]` and `windows[:, 1:]`. Refuse `len(data) <= context` first.


# %% tests="get_batch"
@task("get_batch")
def test_a_text_with_room_for_one_window(student):
    """Of 7 tokens there is one window of 6, and its targets are one token further on."""
    data = torch.tensor([3, 1, 4, 1, 5, 9, 2])
    student.get_batch(data, 2, 6).equals([data[:-1].expand(2, 6), data[1:].expand(2, 6)])


@task("get_batch")
def test_the_windows_of_the_handout(student):
    """In data 0 to 9 each window counts up, targets are one more, and all six starts are drawn."""
    x, y = student.ask(batches, torch.arange(10), 200, 4, 1, 1).value[0]
    assert x.dtype == y.dtype == torch.int64, "Ids and targets are int64."
    assert x.shape == y.shape == (200, 4), "Both should be (B, T)."
    assert torch.equal(y, x + 1), "In data that count up, each target is one more than its token."
    assert torch.equal(x, x[:, :1] + torch.arange(4)), "A window is a piece of the text as it stands."
    assert x[:, 0].unique().tolist() == [0, 1, 2, 3, 4, 5], "The starts are 0 to 5, all of them."


@task("get_batch")
@needs("test_the_windows_of_the_handout")
def test_a_text_without_a_window_is_refused(student):
    """A text that is no longer than a window is refused."""
    student.get_batch(torch.arange(4), 2, 4).refused()
    student.get_batch(torch.arange(3), 2, 4).refused()


@task("get_batch")
@needs("test_the_windows_of_the_handout")
def test_a_generator_gives_other_batches_and_the_same_again(student):
    """Two calls give two batches; the same generator from the start gives the same two."""
    one = student.ask(batches, torch.arange(1000), 8, 4, 5, 2).value
    again = student.ask(batches, torch.arange(1000), 8, 4, 5, 2).value
    assert torch.equal(one[0][0], again[0][0]), "The same generator gave another batch."
    assert torch.equal(one[1][0], again[1][0]), "The same generator gave another second batch."
    assert not torch.equal(one[0][0], one[1][0]), "Two calls gave one batch."


# %% [markdown] task="evaluate"
# ## `evaluate`: how well it predicts text that it never saw
#
# The number that everybody quotes is the mean of $-\ln p(\text{next token})$ over a held-out text. It is easy to get
# nearly right. Ours is exact: a text of $n$ tokens has $n - 1$ next tokens, and **each of them is asked about once and counts
# the same**.
#
# - Cut the text into windows that begin at $0, c, 2c, \dots$, with $c$ = `context`. A window reads up to $c$ tokens
#   and predicts the one after each of them. Its last target is the token with which the next window begins, so no
#   token is asked about twice and none is left out. The last window is as short as it has to be.
# - `context=None` takes `model.config.context`.
# - `batch_size` windows go through the model at once. It is a matter of speed: the answer does not depend on it.
# - No gradients. The model is in eval mode while it is examined (dropout!), and afterwards in the mode in which it came,
#   whichever that was.
# - A Python float comes back. A text of fewer than two tokens has nothing to predict: refuse it.
#
# **By hand.** Ten tokens and $c = 4$. Windows read tokens 0–3, 4–7 and 8, and predict tokens 1–4, 5–8 and 9: four, four and
# one, nine in all. If the loss of the first eight predictions is 1 each and that of the last is 10, the answer is
# $18/9 = 2$. (The mean of the three windows' means would be $(1 + 1 + 10)/3 = 4$.)


# %% task="evaluate" points=4 minutes=20
def evaluate(model: nn.Module, data: Tensor, context: int | None = None, batch_size: int = 32) -> float:
    """The mean negative log-likelihood, in nats, of all n - 1 next tokens of a text.

    model: ids (B, T) -> logits (B, T, V). data: (n,) int64. context: tokens a window reads; None is
    model.config.context. batch_size: windows at once; the answer does not depend on it.
    Windows begin at 0, context, 2 context, ...; the last is shorter. Each next token is predicted once and counts once.
    No gradients; eval mode meanwhile, and the mode that the model came in afterwards.
    Raises ValueError if n < 2.
    """
    ### BEGIN SOLUTION
    if len(data) < 2:
        raise ValueError(f"in a text of {len(data)} tokens there is nothing to predict")
    context = model.config.context if context is None else context
    x, y = data[:-1], data[1:]  # (n - 1,) each: y[i] comes after x[i]
    whole = len(x) // context * context  # how many of them stand in windows of full length
    batches = []
    for start in range(0, whole, batch_size * context):
        some = slice(start, min(start + batch_size * context, whole))
        batches.append((x[some].view(-1, context), y[some].view(-1, context)))  # (B, T) each
    if whole < len(x):
        batches.append((x[None, whole:], y[None, whole:]))  # (1, what is left) each

    was_training = model.training
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in batches:
            logits = model(x)  # (B, T, V)
            total += F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum").item()
    model.train(was_training)
    return total / (len(data) - 1)
    ### END SOLUTION


# %% [markdown] hints="evaluate"
# 1. Take ten tokens and windows of four, as in the example. Write under each token which window predicts it. Which one is predicted
#    by nobody, and why is that right?
# 2. Shift once, at the start: `x = data[:-1]`, `y = data[1:]`, and cut both alike. Add up losses, do not average them:
#    `reduction="sum"`, and divide once at the end. The last, shorter window needs a call of its own.
# 3. Remember `model.training`, then `model.eval()` and `torch.no_grad()`. Full windows: `x[:k].view(-1, context)` with
#    `k = len(x) // context * context`, split into batches; then `x[k:]` alone, if it is not empty. Sum the cross-entropies,
#    put the mode back with `model.train(was)`, divide by `len(data) - 1`.


# %% tests="evaluate"
def a_table(V, T, seed=0):
    """Logits of a model that looks at a token and at its place in the window: (T, V, V), float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(T, V, V, generator=generator, dtype=torch.float64)


@task("evaluate")
def test_the_windows_of_ten_tokens(student):
    """Ten tokens and a context of 4: nine predictions in windows of four, four and one, all counted alike."""
    data, table = torch.tensor([0, 2, 1, 1, 2, 0, 0, 1, 2, 2]), a_table(3, 4)
    places = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0])
    expected = F.cross_entropy(table[places, data[:-1]], data[1:]).item()
    answer = student.ask(evaluations, table, data, [{}, {"batch_size": 1}, {"batch_size": 2}], 0.0)
    # float64, summed in another order
    answer.equals({"loss": [expected] * 3, "modes": [True] * 3, "gradients": False}, rtol=1e-9)


@task("evaluate")
def test_a_model_that_knows_nothing(student):
    """Equal logits for seven tokens give a loss of ln 7 nats."""
    data = torch.tensor([0, 6, 3, 3, 1, 5])
    answer = student.ask(evaluations, torch.zeros(3, 7, 7, dtype=torch.float64), data, [{}, {"context": 2}], 0.0)
    answer.equals({"loss": [math.log(7)] * 2, "modes": [True] * 2, "gradients": False}, rtol=1e-9)


@task("evaluate")
@needs("test_the_windows_of_ten_tokens")
def test_a_single_token_is_refused(student):
    """A text of one token has nothing to predict."""
    student.ask(evaluations, a_table(3, 4), torch.tensor([1]), [{}], 0.0).refused()


# %% [markdown] task="save_checkpoint"
# ## `save_checkpoint`: everything that a training run is made of, in a file
#
# A checkpoint is good if nobody can tell that there was a stop: three steps, save, a new process, load, three
# steps, give **bit for bit** what six steps give. For that the weights are not enough. AdamW remembers two averages for each weight. The
# schedule needs the step. And whatever is drawn later (the next batch from your generator, dropout from torch's global one) must
# be drawn from the same states.
#
# Store all five: the model's state, the optimiser's, `step`, the state of `generator` (if there is one) and torch's global random
# state. How you arrange them in the file is your affair, because only your `load_checkpoint` reads it. Three rules:
#
# - `torch.load(path, weights_only=True)` can read it: tensors, numbers and dictionaries, no pickled objects. A file
#   that needs more than that can run anybody's code while it is read.
# - Write to a temporary file *in the same folder* and rename it onto `path` when it is complete (`Path.replace`, or `os.replace`). If the machine
#   stops while you write, or writing fails, the older checkpoint is still whole. Do not catch a failure: it goes on to who called.
# - Saving changes nothing: training goes on as if nobody had saved.


# %% task="save_checkpoint" points=3 minutes=15
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
    ### BEGIN SOLUTION
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "generator": None if generator is None else generator.get_state(),
        "torch": torch.get_rng_state(),
    }
    unfinished = f"{path}.unfinished"
    torch.save(checkpoint, unfinished)
    Path(unfinished).replace(path)  # in one step, however large the file is
    ### END SOLUTION


# %% [markdown] hints="save_checkpoint"
# 1. List everything that the fourth step of a training reads: not only the weights. Where does each of them live?
# 2. `state_dict()` of the model and of the optimiser, `generator.get_state()`, `torch.get_rng_state()`, and the step.
#    All of these are tensors, numbers and dictionaries of them, which is what `weights_only=True` accepts.
# 3. Put the five into one dictionary; `torch.save` it to `f"{path}.unfinished"`; then `Path(f"{path}.unfinished").replace(path)`.


# %% tests="save_checkpoint"
@task("save_checkpoint")
def test_a_stop_after_one_step_shows_nowhere(student):
    """One step, a stop, and two more steps end at the weights of three steps in a row."""
    answer = student.ask(resumed, 3, 1, 0.2).value
    for name, straight in answer["straight"].items():
        assert torch.equal(straight, answer["resumed"][name]), "After the stop, other numbers came."
    assert answer["step"] == 1, "load_checkpoint should return the step that was saved."


@task("save_checkpoint")
@needs("test_a_stop_after_one_step_shows_nowhere")
def test_the_file_holds_plain_data(student):
    """The file is read with weights_only=True, and there are tensors in it."""
    found = student.ask(read_safely, 1).value
    assert found["is_file"], "There is no file at the path."
    assert found["tensors"] >= 2, "There is no tensor to be found in the file."


# %% [markdown] task="load_checkpoint"
# ## `load_checkpoint`: and back
#
# `model`, `optimizer` and `generator` are fresh objects of the right kind; what was saved goes **into them, in place**, and torch's global
# random state is put back as it was when the file was written. The step comes back.
#
# `generator=None` leaves alone whatever state of a generator the file holds; and where the file holds none, a
# generator that is given is left as it is. A file that is not there is refused (`FileNotFoundError` is fine).


# %% task="load_checkpoint" points=3 minutes=10 needs="save_checkpoint"
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
    ### BEGIN SOLUTION
    checkpoint = torch.load(path, weights_only=True)
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    if generator is not None and checkpoint["generator"] is not None:
        generator.set_state(checkpoint["generator"])
    torch.set_rng_state(checkpoint["torch"])
    return checkpoint["step"]
    ### END SOLUTION


# %% [markdown] hints="load_checkpoint"
# 1. For each of the five things in the file: which call puts it back, and into what?
# 2. `load_state_dict` works in place, on a model and on an optimiser. `generator.set_state(...)` and
#    `torch.set_rng_state(...)` take what the two `get` calls gave.
# 3. `c = torch.load(path, weights_only=True)`; load the model's and the optimiser's state; set the generator's if both
#    sides have one; `torch.set_rng_state(c["torch"])`; return `c["step"]`.


# %% tests="load_checkpoint"
@task("load_checkpoint")
def test_two_steps_and_two_are_four(student):
    """Two steps, a stop, and two more steps end at the weights of four in a row; the step comes back."""
    answer = student.ask(resumed, 4, 2, 0.2).value
    for name, straight in answer["straight"].items():
        assert torch.equal(straight, answer["resumed"][name]), "After the stop, other numbers came."
    assert answer["step"] == 2, "load_checkpoint should return the step that was saved."


# %% [markdown] task="train"
# ## `train`: the whole loop, which can be stopped and go on
#
# Everything meets here. `TinyGPT(config)`, and then `steps` times: a batch of `batch_size` windows of `config.context`
# tokens, the mean cross-entropy of **all** its predictions, backward, a step of the optimiser. One step is one optimiser
# step on one batch: the budget is counted. Weight decay is the same on all weights, and every step has a rate above 0.
#
# `data` are training ids only. You see no held-out text, and need none.
#
# **The seed** fixes everything that is drawn: weights, batches, dropout. Two calls with one seed give models that answer identically,
# whatever was drawn before. Torch's global generator may be left as your training left it.
#
# **`on_update`**, if given, is called as `on_update(model)` after each step of the optimiser, when that step has been
# counted. It looks at the model, draws nothing and changes nothing: this is how a curve is drawn.
#
# **`checkpoint`**, if given, is a path. Is there such a file, training goes on from it: with `on_update` from the next
# step on, and to the very weights that an uninterrupted training gives. And a checkpoint is written when training ends,
# *however* it ends: when all steps are done, and when `on_update` raises (`try … finally`); what it raised goes on to who called
# you. Count a step before you call `on_update`, so that a stop there loses none and repeats none. In between, write one every
# hundred steps or so (after `on_update`), because a power cut raises nothing. If all steps were done already, the model comes
# back as it was saved.
#
# **What is known to work**: AdamW with betas (0.9, 0.99) and weight decay 0.1, the gradient's norm limited to 1, and a learning
# rate that rises in a straight line over the first fifth of the $N$ steps and then falls along half a cosine. With $w =
# \max(1, \lfloor N/5 \rfloor)$ and a peak of $3 \cdot 10^{-3}$, step $k = 0, \dots, N - 1$ has the rate
#
# $$
# \eta_k = 3 \cdot 10^{-3} \cdot \begin{cases} (k + 1)/w & k < w \\
# \tfrac12 \left(1 + \cos \pi \frac{k - w}{N - w}\right) & \text{otherwise} \end{cases}
# $$
#
# It needs no scheduler object: write it into `optimizer.param_groups[0]["lr"]` before each step. Another recipe is as good as
# this one if it reaches as far.
#
# ## A world of twelve tokens
#
# A curve that goes down proves little. So your training is first asked four small questions, with a tiny model and a text
# whose first quarter counts 0, 1, 2, 0, 1, …, the second 3, 4, 5, 3, …, the third 6, 7, 8, …, and the last 9, 10, 11, ….
# In each quarter: how likely is the right next token? A training that never comes to the end of its text, or that asks the
# model to repeat what it just read, ends at other numbers, and is told so.
#
# **What is graded.** The small world; that `on_update` is told after each step, and of nothing else; that one seed gives one model; that a training that was stopped ends where
# an unstopped one does; that as many steps are taken as were asked for. Then a whole model: 4 layers, 4 heads, width 128, context 64,
# 800 steps of 8 windows. The text is technical English, drawn anew for each run and disguised: characters are
# renamed, and letters that begin a word are written in another alphabet than those inside of it. So nothing that was
# trained or counted elsewhere is of any use, and what learns from what it sees does not mind.
# The grader takes your weights into a model of its own and asks it about whole topics that you never saw: at most
# **3.2 bits a character** (nats divided by $\ln 2$). A run that misses is tried on two more seeds, and two of three decide.
# It takes the better part of a minute, so it waits until everything before it holds.


# %% task="train" points=8 minutes=40 needs="get_batch"
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
    ### BEGIN SOLUTION
    peak, warmup = 3e-3, max(1, steps // 5)

    def learning_rate(step):
        if step < warmup:
            return peak * (step + 1) / warmup
        return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

    torch.manual_seed(seed)  # weights and dropout
    generator = torch.Generator().manual_seed(seed)  # batches
    model = TinyGPT(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    done = 0
    if checkpoint is not None and Path(checkpoint).exists():
        done = load_checkpoint(checkpoint, model, optimizer, generator)

    try:
        while done < steps:
            x, y = get_batch(data, batch_size, config.context, generator)  # (B, T) each
            optimizer.param_groups[0]["lr"] = learning_rate(done)
            logits = model(x)  # (B, T, V)
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            done += 1
            if on_update is not None:
                on_update(model)
            if checkpoint is not None and done % 100 == 0:
                save_checkpoint(checkpoint, model, optimizer, done, generator)
    finally:
        if checkpoint is not None:
            save_checkpoint(checkpoint, model, optimizer, done, generator)
    return model
    ### END SOLUTION


# %% [markdown] hints="train"
# 1. Which lines happen once, and which at every step? Mark in your list everything that a checkpoint has to know, and
#    everything that draws.
# 2. If held-out text stays at the level of guessing while the training loss falls, look at what `y` is and whether
#    batches change. If nothing falls, print the learning rate of each step. Count steps in a variable that survives the loop: a
#    resumed training begins with the count that `load_checkpoint` gave, and the schedule depends on it.
# 3. Seed, generator, model, AdamW; `done = 0`, or what `load_checkpoint` returns if the file exists. In `try:` while `done <
#    steps`: `get_batch(..., generator)`, set the rate, cross-entropy of `logits.flatten(0, 1)` and `y.flatten()`,
#    `zero_grad`, `backward`, `clip_grad_norm_`, `step`, `done += 1`, `on_update(model)`. In `finally:` save, with `done`.


# %% tests="train"
from common.texts import disguised_topics
from common.transformer import GPTConfig, TinyGPT

from autograder.testing.readings import Reader

SHAPE = {"context": 64, "n_layers": 4, "n_heads": 4, "d_model": 128, "d_ff": 512}
GPT2 = {"norm": "layernorm", "mlp": "gelu", "positions": "learned", "bias": True}
TINY = {"vocab_size": 12, "context": 8, "n_layers": 1, "n_heads": 2, "d_model": 32, "d_ff": 64}


def four_quarters(n=9600):
    """The text of the small world: 0 1 2 0 1 2 ..., then 3 4 5 ..., then 6 7 8 ..., then 9 10 11 ..."""
    places = torch.arange(n)
    return places % 3 + 3 * (places // (n // 4))


@task("train")
@graded_run(cpu_seconds=30)
def test_practice_in_the_world_of_twelve_tokens(student, run):
    """In a text that counts, the right next token is nearly certain, in each of its four quarters."""
    student.ask(train_beside, TINY, four_quarters(), None, 300, run.seed, 2)
    logits = student.ask(trained_answers, torch.arange(12).view(4, 3)).value
    right = logits.softmax(-1)[:, 1].gather(1, torch.tensor([[2], [5], [8], [11]]))[:, 0]
    run.tells("probability of the right token, by quarters", right.tolist(), [1, 1, 1, 1], atol=0.1)


@task("train")
@graded_run(cpu_seconds=30)
def test_as_many_updates_as_steps(student, run):
    """on_update is called after each of 7 steps, with the model, whose weights have moved."""
    seen = student.ask(seen_by_updates, TINY, four_quarters(), 7, run.seed, 4).value
    assert len(seen["moved"]) == 7, "There should be one update a step."
    for k, moved in enumerate(seen["moved"]):
        assert moved > 0, f"When on_update was called for step {k + 1}, no weight had moved since it was called last."
    assert seen["ends_as_told"], "After on_update was called for the last time, the weights moved once more."
    assert seen["tokens"] == 7 * 4 * 8, "Each step reads batch_size windows of `context` tokens, once."


@task("train")
@graded_run(cpu_seconds=30)
def test_one_seed_gives_one_model(student, run):
    """Two trainings with one seed end at the same weights; with another seed they do not."""
    ends = []
    for seed in (3, 3, 4):
        student.ask(train_beside, TINY, four_quarters(), None, 5, seed, 4)
        ends.append(student.ask(trained_weights).value["tok_emb.weight"])
    assert torch.equal(ends[0], ends[1]), "One seed gave two models."
    assert not torch.equal(ends[0], ends[2]), "Two seeds gave one model."


@task("train")
@needs("test_practice_in_the_world_of_twelve_tokens")
@graded_run(cpu_seconds=30)
def test_practice_of_stopping_and_going_on(student, run):
    """Stopped after 2 and after 5 steps and taken up again, 7 steps end at the weights of 7 in a row."""
    found = student.ask(stopped_and_resumed, TINY, four_quarters(), 7, [2, 5], run.seed, 3).value
    assert all(found["files"]), "A training was stopped and left no checkpoint."
    for name, straight in found["straight"].items():
        assert torch.equal(straight, found["resumed"][name]), "The training that was stopped ended at other weights."
        assert torch.equal(straight, found["again"][name]), "All steps were done, and the model changed once more."
    assert found["updates"] == 7, "Some steps were taken twice, or left out."


@task("train")
@needs("test_practice_in_the_world_of_twelve_tokens")
@graded_run(cpu_seconds=200)
def test_practice_reads_text_that_it_never_saw(student, run):
    """After 800 steps of 8 windows, text that was never seen costs at most 3.2 bits a character."""
    text = disguised_topics(run.seed)
    ours = TinyGPT(GPTConfig(text.vocab_size, **SHAPE, **GPT2))
    reader = Reader(run, ours, text.held_out, context=64, steps=800, tokens=8 * 64)
    shape = SHAPE | {"vocab_size": text.vocab_size}
    student.ask(train_beside, shape, text.training, reader.updates(), 800, run.seed, 8)
    reader.take(student.ask(trained_weights).value)
    run.reaches("held-out bits a character", reader.bits(), at_most=3.2)


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
