# %% [markdown] assignment="a16_lora" title="LoRA and QLoRA: training what is small" module="lora" requires="torch, torch._dynamo, common.tiny_lm, common.reviews, common.quantization" builds_on="a15_quantization.quantization" summary="Freeze a model and train two thin matrices beside each layer; merge them, take them away again, and do it over four-bit weights." forbidden="trl, peft, bitsandbytes, unsloth, transformers"
# # LoRA and QLoRA: training what is small
#
# To fine-tune a model of seven billion weights one needs room for the weights, their gradients and two moments each: 112 gigabytes. But how much does fine-tuning *change*? Hu and others (2021) found that the change of
# a weight matrix is well described by a product of two thin ones. So freeze the matrix and train the thin ones: a hundredth of the parameters, no gradient and no moment for all the rest. And what is frozen may as well be stored in four bits
# (Dettmers et al., 2023).
#
# You write nine things, in this order:
#
# 1. `LoRALinear`: a frozen layer with a low-rank path beside it
# 2. `merge`, 3. `unmerge`: for all layers of a model
# 4. `inject`: puts them into a model, by name
# 5. `adapter_state_dict`, 6. `load_adapter`: what is saved, and no more
# 7. `trainable_parameters`: the count that everybody quotes
# 8. `QLoRALinear`: the same over four-bit weights
# 9. `train_lora`: a model learns a second dialect
#
# **You need** [quantisation](../../docs/learn/a15_quantization.md), whose NF4 functions are imported, and [the transformer](../../docs/learn/a03_transformer.md). The [reading page](../../docs/learn/a16_lora.md) says what to read.
#
# ```
# autograder check a16                  # all tasks: what holds, what to mend first
# autograder check a16.LoRALinear       # one task
# autograder hint a16.LoRALinear        # the next of its three hints
# ```
#
# ## Convention card
#
# | question | our answer | who differs |
# |---|---|---|
# | the layer | $y = W x + b + \frac{\alpha}{r}\, B A\, \text{dropout}(x)$ | rsLoRA: $\alpha/\sqrt r$ |
# | shapes | `lora_A` (r, in), `lora_B` (out, r): as the weight of a layer each | |
# | at the start | A uniform in $\pm 1/\sqrt{\text{in}}$, **B zero**: the layer says what its base says | |
# | dropout | on the low-rank path only, in training mode only | |
# | the base | frozen: weight and bias have `requires_grad` False | |
# | merging | changes `base.weight` **once**, however often it is called; a merged layer leaves the low-rank path out | |
# | targets | a name **is** a target, or ends in "." + target | substrings |
# | what is saved | A and B, by `"<name>.lora_A"`, detached copies on the CPU | |
# | bad input | is refused: raise `ValueError` and say what is wrong | |
#
# ## What you may not use, and why
#
# The large packages: peft is the assignment.

# %%
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from common.tiny_lm import TinyLM
from quantization import double_dequantize, double_quantize, nf4_dequantize, nf4_quantize
from torch import Tensor, nn

# %% [markdown] task="LoRALinear"
# ## `LoRALinear`: a low-rank path beside a frozen layer
#
# `LoRALinear(base, r, alpha, dropout)` keeps `base` (an `nn.Linear`, frozen from now on) and two parameters, `lora_A` (r, in) and `lora_B` (out, r), of the base's dtype.
#
# - `layer(x)` is `base(x)` plus $\frac{\alpha}{r}$ times the low-rank path, whose input is dropped out in training mode.
# - `merge()` adds $\frac{\alpha}{r} B A$ to `base.weight`, and from then on the path is left out (its dropout too); a second `merge()` changes nothing. `unmerge()` takes it away again; without a `merge()` before, it changes nothing. `merged` says which it is.
# - r below 1 is refused.
#
# **By hand.** base of weight (1, 1) without bias, r = 1, alpha = 3, A = (2, 0), B = (0.5): W + 3·0.5·(2, 0) = (4, 1), so x = (1, 1) gives 5.


# %% task="LoRALinear" points=5 minutes=35
class LoRALinear(nn.Module):
    """base(x) + alpha/r dropout(x) A^T B^T, where only A and B are trained.

    base: nn.Linear (in -> out), which is frozen. lora_A: (r, in), lora_B: (out, r). merged: whether base.weight holds them.
    Raises ValueError for r < 1. Source: Hu et al. 2021, section 4.1.
    """

    def __init__(self, base: nn.Linear, r: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if r < 1:
            raise ValueError(f"r is {r}: a path of rank 1 is the thinnest")
        self.base = base.requires_grad_(False)
        bound = base.in_features**-0.5
        self.lora_A = nn.Parameter(base.weight.new_empty(r, base.in_features).uniform_(-bound, bound))  # (r, in)
        self.lora_B = nn.Parameter(base.weight.new_zeros(base.out_features, r))  # (out, r)
        self.scale = alpha / r
        self.dropout = nn.Dropout(dropout)
        self.merged = False
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        ### BEGIN SOLUTION
        y = self.base(x)  # (..., out)
        if self.merged:
            return y
        return y + self.scale * (self.dropout(x) @ self.lora_A.T @ self.lora_B.T)
        ### END SOLUTION

    def merge(self) -> None:
        """Adds alpha/r B A to base.weight, once."""
        ### BEGIN SOLUTION
        if not self.merged:
            with torch.no_grad():
                self.base.weight += self.scale * (self.lora_B @ self.lora_A)
        self.merged = True
        ### END SOLUTION

    def unmerge(self) -> None:
        """Takes away what merge has added."""
        ### BEGIN SOLUTION
        if self.merged:
            with torch.no_grad():
                self.base.weight -= self.scale * (self.lora_B @ self.lora_A)
        self.merged = False
        ### END SOLUTION


# %% [markdown] hints="LoRALinear"
# 1. Which parameters should an optimiser see, and what should the layer say before the first step?
# 2. Keep `alpha / r` as one number, and a flag that says whether the weight already holds the product.
# 3. `y = self.base(x)`; unless merged, `+ self.scale * (self.dropout(x) @ self.lora_A.T @ self.lora_B.T)`. `merge`: `with torch.no_grad(): self.base.weight += self.scale * (self.lora_B @ self.lora_A)`, if it is not merged yet.

# %% tests="LoRALinear"
import importlib.metadata

import pytest
import torch
from asks import (
    counted,
    dialect,
    fresh,
    gradients,
    held,
    injected,
    loaded,
    merge_of_codes,
    merged_model,
    output,
    plain_again,
    refused_and_whole,
    refused_load,
    saved,
    train,
    weight_after,
)
from common.tiny_lm import TinyLM

from autograder.testing import needs, task


def f64(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def by_hand():
    """W, bias, A, B and alpha: one output, two inputs, r = 1. The product is 3 * 0.5 * (2, 0) = (3, 0)."""
    return f64([1.0, 1.0]), None, f64([2.0, 0.0]), f64([0.5]), 3.0


@task("LoRALinear")
def test_by_hand(student):
    """W = (1, 1), A = (2, 0), B = 0.5 and alpha = 3 give 5 for x = (1, 1); with two such rows and r = 2 they give 5 too."""
    W, bias, A, B, alpha = by_hand()
    assert float(student.ask(output, "LoRALinear", W, bias, A, B, alpha, f64([1.0, 1.0])).value) == 5.0
    A, B = A.repeat(2, 1), B.repeat(1, 2)
    double = student.ask(output, "LoRALinear", W, bias, A, B, alpha, f64([1.0, 1.0])).value
    assert float(double) == 5.0, "alpha is divided by r: twice the path with r = 2 is the same."


@task("LoRALinear")
@needs("test_by_hand")
def test_at_the_start(student):
    """B is zero, so a new layer is its base; A is not."""
    found = student.ask(fresh, "LoRALinear", f64([1.0, 2.0, 3.0]), f64(4.0), 2, 8.0, 0).value
    assert found["says"].flatten().tolist() == [5.0, 6.0, 7.0], "A new layer should say what its base says."
    assert found["A"].shape == (2, 3), "A is (r, in)."
    assert found["A"].any(), "A is not zero."
    assert found["learning"] == ["lora_A", "lora_B"], "Only A and B learn."


@task("LoRALinear")
@needs("test_by_hand")
def test_merged_by_hand(student):
    """Merged once or twice the weight is (4, 1), and the layer still says 5; unmerged it is (1, 1) again."""
    for plan, weight in ((["merge"], [4.0, 1.0]), (["merge", "merge"], [4.0, 1.0]), (["merge", "unmerge"], [1.0, 1.0])):
        found = student.ask(weight_after, *by_hand(), plan).value
        assert found["weight"].flatten().tolist() == weight, f"After {plan} the weight should be {weight}."
        says = student.ask(output, "LoRALinear", *by_hand(), f64([1.0, 1.0]), plan).value
        assert float(says) == 5.0, f"After {plan} the layer should say what it said."


@task("LoRALinear")
def test_same_as_peft(student):
    """peft's LoRA layer with the same factors says the same, and gives A and B the same gradients."""
    peft = pytest.importorskip("peft", reason="peft is not installed")
    if not importlib.metadata.version("peft").startswith("0.21"):
        pytest.skip("written against peft 0.21")
    draw = torch.Generator().manual_seed(0)
    w, b, a_, b_ = (torch.randn(shape, generator=draw) for shape in ((5, 7), (5,), (3, 7), (5, 3)))
    x, upstream = torch.randn(4, 7, generator=draw), torch.randn(4, 5, generator=draw)
    net = torch.nn.Sequential(torch.nn.Linear(7, 5))
    net.load_state_dict({"0.weight": w, "0.bias": b})
    theirs = peft.get_peft_model(net, peft.LoraConfig(r=3, lora_alpha=7, target_modules=["0"], lora_dropout=0.0))
    layer = theirs.base_model.model[0]
    with torch.no_grad():
        layer.lora_A["default"].weight.copy_(a_)
        layer.lora_B["default"].weight.copy_(b_)
    y = theirs(x)
    (y * upstream).sum().backward()
    found = student.ask(gradients, "LoRALinear", w, b, a_, b_, 7.0, x, upstream).value
    assert torch.allclose(found["y"], y, rtol=1e-5, atol=1e-5), "peft's layer says something else."
    assert torch.allclose(found["A"], layer.lora_A["default"].weight.grad, rtol=1e-4, atol=1e-5)
    assert torch.allclose(found["B"], layer.lora_B["default"].weight.grad, rtol=1e-4, atol=1e-5)


@task("LoRALinear")
@needs("test_by_hand")
def test_no_rank(student):
    """r = 0 is refused."""
    student.ask(fresh, "LoRALinear", f64([1.0, 1.0]), None, 0, 1.0, 0).refused()


# %% [markdown] task="merge"
# ## `merge`: for all layers of a model
#
# Calls `merge()` of every `LoRALinear` in the model, the model itself included. A `QLoRALinear` cannot be merged and raises.


# %% task="merge" points=1 minutes=5
def merge(model: nn.Module) -> None:
    """Merges every LoRALinear of a model."""
    ### BEGIN SOLUTION
    for module in model.modules():
        if hasattr(module, "lora_A"):
            module.merge()
    ### END SOLUTION


# %% [markdown] hints="merge"
# 1. How do you find all layers of one kind, however deep they lie?
# 2. `model.modules()` gives the model itself and everything below it.
# 3. `for module in model.modules(): if isinstance(module, LoRALinear): module.merge()`

# %% tests="merge"


@task("merge")
def test_a_model_says_the_same(student):
    """Merged, the weights are others, and the model says what it said."""
    tokens = torch.tensor([[1, 2, 3]])
    before = student.ask(merged_model, ["proj"], 0, [], tokens).value
    after = student.ask(merged_model, ["proj"], 0, ["merge"], tokens).value
    changed = [not torch.equal(before["weights"][name], after["weights"][name]) for name in before["weights"]]
    assert all(changed), "A weight does not hold its update: did you reach every layer?"
    assert torch.allclose(before["says"], after["says"]), "The merged model says something else."


# %% [markdown] task="unmerge"
# ## `unmerge`: and back
#
# Calls `unmerge()` of every `LoRALinear` in the model.


# %% task="unmerge" points=1 minutes=2
def unmerge(model: nn.Module) -> None:
    """Unmerges every LoRALinear of a model."""
    ### BEGIN SOLUTION
    for module in model.modules():
        if hasattr(module, "unmerge"):
            module.unmerge()
    ### END SOLUTION


# %% [markdown] hints="unmerge"
# 1. The same layers as in `merge`.
# 2. `model.modules()` again.
# 3. `for module in model.modules(): if isinstance(module, LoRALinear): module.unmerge()`

# %% tests="unmerge"


@task("unmerge")
def test_there_and_back(student):
    """After merge and unmerge the weights are the old ones."""
    tokens = torch.tensor([[1, 2, 3]])
    before = student.ask(merged_model, ["proj"], 0, [], tokens).value
    after = student.ask(merged_model, ["proj"], 0, ["unmerge", "merge", "unmerge", "unmerge", "merge"], tokens).value
    assert torch.allclose(before["says"], after["says"]), "The model says something else."
    for name, old in before["weights"].items():
        assert not torch.allclose(old, after["weights"][name]), "At the end it is merged."
    after = student.ask(merged_model, ["proj"], 0, ["merge", "unmerge"], tokens).value
    for name, old in before["weights"].items():
        assert torch.allclose(old, after["weights"][name]), "A weight is not the old one."


# %% [markdown] task="inject"
# ## `inject`: into a model, by name
#
# Every `nn.Linear` whose dotted name **is** a target or **ends in "." + target** is replaced by a `LoRALinear` around it; everything else is frozen. "proj" is no target of "in_proj", and "0.qkv" fits "blocks.0.qkv". Return the names, in the order of
# `named_modules()`.
#
# Refused, before anything is changed: no layer found, and a layer whose weight is shared with another module (a tied head: merging one would change the other).


# %% task="inject" points=4 minutes=30 needs="LoRALinear"
def inject(
    model: nn.Module, targets: Sequence[str], r: int = 8, alpha: float = 16.0, dropout: float = 0.0
) -> list[str]:
    """Replaces the layers that are named, freezes all else, and returns the names.

    Raises ValueError where no layer is found and where a weight is shared. Source: Hu et al. 2021, section 4.2.
    """
    ### BEGIN SOLUTION
    modules = dict(model.named_modules())
    names = [
        name
        for name, module in modules.items()
        if isinstance(module, nn.Linear) and any(name == t or name.endswith("." + t) for t in targets)
    ]
    if not names:
        raise ValueError(f"no linear layer is called {list(targets)}")
    owners = [id(p) for module in modules.values() for p in module._parameters.values() if p is not None]
    shared = [name for name in names if owners.count(id(modules[name].weight)) > 1]
    if shared:
        raise ValueError(f"{shared} share their weights with another module")
    model.requires_grad_(False)
    for name in names:
        parent, _, last = name.rpartition(".")
        setattr(modules[parent], last, LoRALinear(modules[name], r, alpha, dropout))
    return names
    ### END SOLUTION


# %% [markdown] hints="inject"
# 1. Who holds a layer called "blocks.0.qkv", and under which name?
# 2. Collect names first, replace afterwards: a model that changes while you walk through it is no fun. `name.rpartition(".")` gives parent and last part; the parent of a layer at the top is the model, under the name "".
# 3. `parent, _, last = name.rpartition(".")`; `setattr(modules[parent], last, LoRALinear(modules[name], r, alpha, dropout))`; before it `model.requires_grad_(False)`.

# %% tests="inject"


@task("inject")
def test_whose_name_ends_so(student):
    """ "proj" is the layer "proj" and those that end in ".proj"; "in_proj" is another name. Only A and B learn."""
    found = student.ask(injected, ["proj"], 0, 2, 4.0).value
    assert found["names"] == ["proj", "parts.0.proj", "parts.1.proj"], "Other layers were adapted."
    factors = {f"{name}.{part}" for name in found["names"] for part in ("lora_A", "lora_B")}
    assert set(found["learning"]) == factors, "Only the factors should learn: all else is frozen."


@task("inject")
@needs("test_whose_name_ends_so")
def test_refused_before_anything_changes(student):
    """No layer of that name, and a head that shares its weight with the embedding, are refused."""
    student.ask(refused_and_whole, ["pro"], False).equals({"refused": True, "whole": True})
    student.ask(refused_and_whole, ["head"], True).equals({"refused": True, "whole": True})


# %% [markdown] task="adapter_state_dict"
# ## `adapter_state_dict`: what is saved
#
# A dictionary with `"<name>.lora_A"` and `"<name>.lora_B"` for each `LoRALinear` and `QLoRALinear`, `<name>` as in `named_modules()`: detached **copies** on the CPU, and nothing of the base. Whether the model is merged makes no difference.


# %% task="adapter_state_dict" points=2 minutes=10
def adapter_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """A and B of every adapted layer, by name: detached copies on the CPU."""
    ### BEGIN SOLUTION
    return {
        f"{name}.{part}": getattr(module, part).detach().cpu().clone()
        for name, module in model.named_modules()
        if hasattr(module, "lora_A")
        for part in ("lora_A", "lora_B")
    }
    ### END SOLUTION


# %% [markdown] hints="adapter_state_dict"
# 1. What does somebody need who has the base already?
# 2. `named_modules()` gives names and layers. A copy does not change when training goes on.
# 3. For each adapted layer `f"{name}.lora_A"`: `module.lora_A.detach().cpu().clone()`, and B likewise.

# %% tests="adapter_state_dict"


@task("adapter_state_dict")
def test_only_the_factors(student):
    """A and B of each adapted layer, by name, and nothing of the base."""
    found = student.ask(saved, ["head", "1.proj"], 0).value
    assert {name: tuple(t.shape) for name, t in found.items()} == {
        "parts.1.proj.lora_A": (2, 6), "parts.1.proj.lora_B": (6, 2), "head.lora_A": (2, 6), "head.lora_B": (7, 2),
    }, "Names or shapes are others."  # fmt: skip


# %% [markdown] task="load_adapter"
# ## `load_adapter`: and back, strictly
#
# Copies what was saved into a model that has the same adapted layers. Missing and unknown names and other shapes are refused, before anything is changed; so is a model that is **merged** (its weight would still hold the old product).


# %% task="load_adapter" points=2 minutes=15
def load_adapter(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Puts a saved adapter into a model. Raises ValueError unless names and shapes fit, and for merged layers."""
    ### BEGIN SOLUTION
    layers = {n: m for n, m in model.named_modules() if hasattr(m, "lora_A")}
    places = {f"{name}.{part}": getattr(layer, part) for name, layer in layers.items() for part in ("lora_A", "lora_B")}
    if set(places) != set(state):
        raise ValueError(f"names differ: {sorted(set(places) ^ set(state))}")
    for name, place in places.items():
        if state[name].shape != place.shape:
            raise ValueError(f"{name} is {tuple(state[name].shape)}, here {tuple(place.shape)}")
    if any(getattr(layer, "merged", False) for layer in layers.values()):
        raise ValueError("the model is merged: unmerge it first")
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(state[name])
    ### END SOLUTION


# %% [markdown] hints="load_adapter"
# 1. What has to be checked before the first number is copied?
# 2. Build a dictionary of the places by the names that `adapter_state_dict` would give them, and compare the two sets of names.
# 3. `places = {f"{name}.lora_A": layer.lora_A, …}`; refuse unless `set(places) == set(state)` and all shapes agree; then `place.copy_(state[name])` under `no_grad`.

# %% tests="load_adapter"


@task("load_adapter")
def test_there_and_in_again(student):
    """What was saved of one model is held by another after loading, and stays when the file's tensors change."""
    draw = torch.Generator().manual_seed(0)
    shapes = {"head.lora_A": (2, 6), "head.lora_B": (7, 2)}
    state = {name: torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in shapes.items()}
    found = student.ask(loaded, ["head"], 0, state, torch.tensor([[1, 2]])).value
    assert all(torch.equal(found["held"][name], state[name]) for name in state), "The model holds other numbers."
    assert found["moved"] == 0, "The model holds the file's own tensors: copy them."


@task("load_adapter")
@needs("test_there_and_in_again")
def test_another_file(student):
    """A name that is missing, a narrower tensor and a merged model are refused, before anything is changed."""
    whole = {"head.lora_A": torch.ones(2, 6).double(), "head.lora_B": torch.ones(7, 2).double()}
    for bad in ({"head.lora_A": whole["head.lora_A"]}, {**whole, "head.lora_B": torch.ones(7, 1).double()}):
        student.ask(refused_load, ["head"], 0, bad).equals({"refused": True, "whole": True})
    student.ask(refused_load, ["head"], 0, whole, ["merge"]).equals({"refused": True, "whole": True})


# %% [markdown] task="trainable_parameters"
# ## `trainable_parameters`: the count
#
# `(trainable, all)`: how many numbers an optimiser would see, and how many parameters there are at all; a tensor that several modules share counts once. Buffers are no parameters.


# %% task="trainable_parameters" points=1 minutes=5
def trainable_parameters(model: nn.Module) -> tuple[int, int]:
    """How many parameters are trained, and how many there are; shared ones count once."""
    ### BEGIN SOLUTION
    parameters = {id(p): p for p in model.parameters()}.values()
    return sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters)
    ### END SOLUTION


# %% [markdown] hints="trainable_parameters"
# 1. What says of a parameter whether it is trained?
# 2. `model.parameters()` already gives shared tensors once.
# 3. `sum(p.numel() for p in model.parameters() if p.requires_grad)`, and without the condition.

# %% tests="trainable_parameters"


@task("trainable_parameters")
def test_counted_by_hand(student):
    """A net of width 4 has 28 + 20 + 2 * 48 + 28 = 172 parameters; with a part of 48 frozen 124 learn; a tied head saves 28."""
    assert student.ask(counted, 0, False, ["parts.0"]).value == [124, 172], "The counts are others."
    assert student.ask(counted, 0, True, []).value == [144, 144], "A shared tensor counts once."


# %% [markdown] task="QLoRALinear"
# ## `QLoRALinear`: over four-bit weights
#
# As `LoRALinear`, but the base's weight is kept as **buffers** only: packed NF4 bytes and the scales of its blocks (with `double` the scales quantised a second time, blocks of 256). In `forward` it is unpacked; the gradient reaches x, A and B.
#
# - `dequantized()` returns an `nn.Linear` with the unpacked weight (and the base's bias): what the layer computes with, without the low-rank path.
# - `merge()` raises: codes are indices, and nothing can be added to them.
# - r below 1 is refused. The bias stays as it is, frozen.
# - no parameter of the layer has as many numbers as the base's weight.


# %% task="QLoRALinear" points=4 minutes=30
class QLoRALinear(nn.Module):
    """A low-rank path beside a base in NF4: x (..., in) -> (..., out).

    block: weights that share a scale. double: whether the scales are quantised as well, in blocks of 256.
    Raises ValueError for r < 1. Source: Dettmers et al. 2023, section 3, equation 5.
    """

    def __init__(
        self, base: nn.Linear, r: int, alpha: float, dropout: float = 0.0, block: int = 64, double: bool = True
    ) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if r < 1:
            raise ValueError(f"r is {r}: a path of rank 1 is the thinnest")
        self.shape, self.block, self.double = tuple(base.weight.shape), block, double
        packed, absmax = nf4_quantize(base.weight.detach(), block)
        kept = (
            dict(zip(("codes", "scales", "mean"), double_quantize(absmax), strict=True))
            if double
            else {"absmax": absmax}
        )
        for name, tensor in {"packed": packed, **kept}.items():
            self.register_buffer(name, tensor)
        self.register_buffer("bias", None if base.bias is None else base.bias.detach().clone())
        bound = base.in_features**-0.5
        self.lora_A = nn.Parameter(torch.empty(r, base.in_features).uniform_(-bound, bound))  # (r, in)
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))  # (out, r)
        self.scale = alpha / r
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def weight(self) -> Tensor:
        """The base's weight (out, in), unpacked."""
        ### BEGIN SOLUTION
        absmax = double_dequantize(self.codes, self.scales, self.mean) if self.double else self.absmax
        return nf4_dequantize(self.packed, absmax, self.shape, self.block)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        ### BEGIN SOLUTION
        return F.linear(x, self.weight(), self.bias) + self.scale * (self.dropout(x) @ self.lora_A.T @ self.lora_B.T)
        ### END SOLUTION

    def dequantized(self) -> nn.Linear:
        """The base as a plain layer, with the weight that forward uses."""
        ### BEGIN SOLUTION
        layer = nn.Linear(self.shape[1], self.shape[0], bias=self.bias is not None)
        with torch.no_grad():
            layer.weight.copy_(self.weight())
            if self.bias is not None:
                layer.bias.copy_(self.bias)
        return layer
        ### END SOLUTION

    def merge(self) -> None:
        """Refuses: nothing can be added to codes."""
        ### BEGIN SOLUTION
        raise ValueError("codes are indices: take dequantized() and merge into that")
        ### END SOLUTION


# %% [markdown] hints="QLoRALinear"
# 1. What of the base may be kept, if none of it is to be trained?
# 2. `register_buffer` for bytes and scales. Unpack in `forward`, use the result, and forget it.
# 3. `packed, absmax = nf4_quantize(base.weight.detach(), block)`, then `double_quantize(absmax)`; `forward`: `F.linear(x, unpacked, bias)` plus the low-rank path of `LoRALinear`.

# %% tests="QLoRALinear"


@task("QLoRALinear")
def test_levels_come_back(student):
    """A weight of 0, 1 and -1 only has exact codes: the layer is its base plus the path."""
    draw = torch.Generator().manual_seed(0)
    w = torch.randint(-1, 2, (4, 32), generator=draw).float()
    w[:, 0] = 1.0
    a_, b_ = torch.randn(2, 32, generator=draw), torch.randn(4, 2, generator=draw)
    x = torch.randn(3, 32, generator=draw)
    found = student.ask(output, "QLoRALinear", w, None, a_, b_, 3.0, x).value
    wanted = x @ (w + 1.5 * b_ @ a_).T
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4), "It should be the base plus alpha / r times the path."


@task("QLoRALinear")
@needs("test_levels_come_back")
def test_half_a_byte_a_weight(student):
    """64 x 64 weights: 2048 bytes of codes and 72 for the scales of 64 blocks; no float tensor is as large as the weight."""
    w = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    found = student.ask(held, w, None, 2, ()).value
    assert found["bytes"] <= 2048 + 72 + 64, f"{found['bytes']} bytes are held of the base: 2048 + 72 are needed."
    assert found["largest"] < 4096, "A float tensor as large as the weight is kept."


@task("QLoRALinear")
@needs("test_levels_come_back")
def test_a_plain_layer(student):
    """dequantized() is a plain layer; merge() is refused."""
    w = torch.tensor([[1.0, -1.0, 0.0, 1.0]])
    a_, b_ = torch.ones(1, 4), torch.ones(1, 1)
    found = student.ask(plain_again, w, torch.tensor([2.0]), a_, b_, ()).value
    assert torch.allclose(found["weight"], w), "The weight is another."
    assert torch.allclose(found["says"].flatten(), torch.tensor([3.0, 1.0, 2.0, 3.0])), "The bias is another."
    student.ask(merge_of_codes, w, a_, b_).refused()


# %% [markdown] task="train_lora"
# ## `train_lora`: a second dialect
#
# `model` is a language model; put adapters of r = 4 and alpha = 16 on its attention projections (`"qkv"` and `"out"`), without dropout, and train them on `tokens` (N, T): `steps` optimiser steps, each on 64 rows drawn at random, the mean cross entropy of `tokens[:, t+1]` where
# `mask` (N, T−1) is True. Return `adapter_state_dict(model)`. The base is left as it was, bit by bit. `seed` fixes all that is drawn: A's first entries and the rows.
#
# The second dialect is English with its adverbs behind: "the room was warm very but dull damn ." The base gives it 4.1 nats a token. Yours has 100 steps to come to **1.50 or less** on fresh reviews, with 3,072 numbers; the grader adds $4BA$ to a clean base and measures.


# %% task="train_lora" points=4 minutes=30 needs="inject, adapter_state_dict"
def train_lora(model: TinyLM, tokens: Tensor, mask: Tensor, steps: int, seed: int) -> dict[str, Tensor]:
    """An adapter of rank 4 on the attention projections, trained on next tokens.

    tokens: (N, T) int64. mask: (N, T-1) bool, True = tokens[:, t+1] counts. steps: each on 64 rows. seed: fixes all chance.

    Source: Hu et al. 2021, section 4.2.
    """
    ### BEGIN SOLUTION
    torch.manual_seed(seed)  # the draws of A
    inject(model, ["qkv", "out"], r=4, alpha=16.0)
    generator = torch.Generator().manual_seed(seed)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * min((step + 1) / 10, 1.0, 2 * (steps - step) / steps)
        rows = torch.randint(len(tokens), (64,), generator=generator)  # (64,)
        logits = model(tokens[rows])[:, :-1]  # (64, T-1, V)
        loss = F.cross_entropy(logits[mask[rows]], tokens[rows, 1:][mask[rows]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return adapter_state_dict(model)
    ### END SOLUTION


# %% [markdown] hints="train_lora"
# 1. Which parameters does the optimiser get?
# 2. `inject` first, then only what has `requires_grad`. The loss is that of any language model.
# 3. `inject(model, ["qkv", "out"], r=4, alpha=16.0)`; AdamW on the trainable ones with 1e-2, warmed up and lowered; `F.cross_entropy(logits[mask], tokens[:, 1:][mask])`.

# %% tests="train_lora"


def small_lm():
    torch.manual_seed(0)
    return TinyLM(25, d_model=16, n_layers=2, n_heads=2)


@task("train_lora")
def test_three_steps(student):
    """Eight tensors come back, each step reads 64 rows, and the base is what it was."""
    base = small_lm()
    tokens, mask = dialect(100, 0)
    found = student.ask(train, base.config, base.state_dict(), tokens, mask, 3, 0).value
    names = [f"blocks.{i}.{name}.lora_{part}" for i in (0, 1) for name in ("qkv", "out") for part in "AB"]
    assert sorted(found["state"]) == sorted(names), "These are other layers."
    assert found["state"]["blocks.0.qkv.lora_B"].shape == (48, 4), "The rank is 4."
    assert (found["read"], found["steps"]) == (192, 3), "Three steps read 64 rows each."
    assert all(torch.equal(found["base"][n], old) for n, old in base.state_dict().items()), "The base has changed."
    assert all(t.any() for t in found["state"].values()), "A factor is still zero."


@task("train_lora")
@needs("test_three_steps")
def test_one_seed_one_adapter(student):
    """The same seed gives the same adapter."""
    base = small_lm()
    tokens, mask = dialect(100, 0)
    one, two = (student.ask(train, base.config, base.state_dict(), tokens, mask, 2, 5).value["state"] for _ in "ab")
    assert all(torch.equal(one[name], two[name]) for name in one), "What else is drawn from?"
