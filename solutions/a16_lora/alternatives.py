"""Other right answers, written differently. Each must pass everything, and none is ever called a mistake."""

import torch
import torch.nn.functional as F
from quantization import double_dequantize, double_quantize, nf4_dequantize, nf4_quantize
from reference import LoRALinear, adapter_state_dict, inject
from torch import nn

from autograder.testing import alternative


@alternative("LoRALinear", note="the product is built whole, merging keeps a copy of the weight")
class DensePath(nn.Module):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__()
        if r <= 0:
            raise ValueError("r")
        self.base, self.alpha, self.p, self.merged = base, alpha, dropout, False
        for p in base.parameters():
            p.requires_grad = False
        n_out, n_in = base.weight.shape
        self.lora_B = nn.Parameter(torch.zeros(n_out, r, dtype=base.weight.dtype))
        self.lora_A = nn.Parameter((2 * torch.rand(r, n_in, dtype=base.weight.dtype) - 1) / n_in**0.5)
        self.old = None

    def update(self):
        return torch.einsum("or,ri->oi", self.lora_B, self.lora_A) * (self.alpha / self.lora_A.size(0))

    def forward(self, x):
        said = F.linear(x, self.base.weight, self.base.bias)
        if not self.merged:
            said = said + F.linear(F.dropout(x, self.p, self.training), self.update())
        return said

    def merge(self):
        if self.merged:
            return
        self.old, self.merged = self.base.weight.detach().clone(), True
        self.base.weight.data = self.old + self.update().detach()

    def unmerge(self):
        if not self.merged:
            return
        self.base.weight.data, self.old, self.merged = self.old, None, False


def _below(model):
    """All modules, by recursion."""
    yield model
    for child in model.children():
        yield from _below(child)


@alternative("merge", note="by recursion")
def merge_by_recursion(model):
    layers = list(_below(model))
    if any(hasattr(layer, "dequantized") for layer in layers):
        raise ValueError("codes cannot be merged")
    for layer in layers:
        if hasattr(layer, "unmerge"):
            layer.merge()


@alternative("unmerge", note="by apply")
def unmerge_by_apply(model):
    model.apply(lambda layer: layer.unmerge() if hasattr(layer, "unmerge") else None)


@alternative("inject", note="names compared part by part")
def by_parts(model, targets, r=8, alpha=16.0, dropout=0.0):
    wanted = [target.split(".") for target in targets]
    found = []
    for name, module in model.named_modules():
        parts = name.split(".")
        if isinstance(module, nn.Linear) and any(parts[-len(w) :] == w for w in wanted):
            found.append((name, module))
    users = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        users.setdefault(id(parameter), []).append(path)
    if not found or any(len(users[id(layer.weight)]) > 1 for _, layer in found):
        raise ValueError("no layer, or a shared one")
    for parameter in model.parameters():
        parameter.requires_grad = False
    for name, layer in found:
        *above, last = name.split(".")
        holder = model
        for part in above:
            holder = getattr(holder, part)
        setattr(holder, last, LoRALinear(layer, r, alpha, dropout))
    return [name for name, _ in found]


@alternative("adapter_state_dict", note="chosen out of all parameters by their names")
def by_names(model):
    return {
        name: torch.tensor(parameter.detach().numpy())
        for name, parameter in model.named_parameters()
        if name.endswith((".lora_A", ".lora_B"))
    }


@alternative("load_adapter", note="by load_state_dict, after the checks")
def by_load_state_dict(model, state):
    places = {n: p for n, p in model.named_parameters() if n.rsplit(".", 1)[-1] in ("lora_A", "lora_B")}
    if any(getattr(m, "merged", False) for m in model.modules()):
        raise ValueError("merged")
    if places.keys() != state.keys() or any(places[n].shape != t.shape for n, t in state.items()):
        raise ValueError("names or shapes")
    model.load_state_dict(state, strict=False)


@alternative("trainable_parameters", note="over the modules, with a set of those seen")
def with_a_set(model):
    seen, learns, total = set(), 0, 0
    for module in model.modules():
        for p in module.parameters(recurse=False):
            if id(p) not in seen:
                seen.add(id(p))
                total += p.nelement()
                learns += p.nelement() * p.requires_grad
    return int(learns), int(total)


@alternative("QLoRALinear", note="one buffer for each, the bias a frozen parameter, the path as one matrix")
class FrozenBias(nn.Module):
    def __init__(self, base, r, alpha, dropout=0.0, block=64, double=True):
        super().__init__()
        if not r > 0:
            raise ValueError("r")
        self.size, self.block, self.ratio, self.p = base.weight.size(), block, alpha / r, dropout
        bytes_, tops = nf4_quantize(base.weight.detach(), block)
        self.register_buffer("bytes", bytes_)
        self.double = double
        for i, part in enumerate(double_quantize(tops) if double else [tops]):
            self.register_buffer(f"tops{i}", part)
        self.bias = None if base.bias is None else nn.Parameter(base.bias.detach().clone(), requires_grad=False)
        self.lora_A = nn.Parameter((torch.rand(r, base.in_features) - 0.5) * 2 * base.in_features**-0.5)
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))

    def unpacked(self):
        tops = double_dequantize(self.tops0, self.tops1, self.tops2) if self.double else self.tops0
        return nf4_dequantize(self.bytes, tops, tuple(self.size), self.block)

    def forward(self, x):
        path = F.dropout(x, self.p, self.training) @ (self.ratio * self.lora_B @ self.lora_A).T
        return F.linear(x, self.unpacked(), self.bias) + path

    def dequantized(self):
        plain = nn.Linear(self.size[1], self.size[0], bias=self.bias is not None)
        plain.load_state_dict({"weight": self.unpacked(), **({} if self.bias is None else {"bias": self.bias.data})})
        return plain

    def merge(self):
        raise RuntimeError("dequantise first")


@alternative("train_lora", note="Adam, another order of the rows, a weighted mean, a cosine")
def in_passes(model, tokens, mask, steps, seed):
    torch.manual_seed(seed)
    inject(model, [f"blocks.{i}.{name}" for i in range(len(model.blocks)) for name in ("qkv", "out")], 4, 16.0)
    learns = [p for name, p in model.named_parameters() if "lora_" in name]
    optimizer = torch.optim.Adam(learns, lr=8e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order = torch.cat([torch.randperm(len(tokens)) for _ in range(1 + 64 * steps // len(tokens))])
    for i in range(steps):
        rows = order[64 * i : 64 * (i + 1)]
        log_p = model(tokens[rows]).log_softmax(-1)[:, :-1].gather(2, tokens[rows, 1:, None])[..., 0]
        real = mask[rows].float()
        optimizer.zero_grad()
        (-(log_p * real).sum() / real.sum()).backward()
        optimizer.step()
        schedule.step()
    return adapter_state_dict(model)
