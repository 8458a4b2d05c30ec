"""Other right answers, written differently. Each must pass everything, and none is ever called a mistake."""

import math

import torch
from common.ranks import all_gather, rank, reduce_scatter, world_size
from reference import LossScaler

from autograder.testing import alternative


@alternative("checkpointed", note="hooks on saved tensors: the second run happens when the first value is asked for")
def by_hooks(block):
    def run(*inputs):
        if not torch.is_grad_enabled():
            return block(*inputs)
        before, numbers, found = torch.get_rng_state(), [], []
        kept = [x.detach().requires_grad_(x.requires_grad) for x in inputs]

        def pack(tensor):
            numbers.append(None)
            return len(numbers) - 1

        def unpack(number):
            if not found:
                with (
                    torch.random.fork_rng(devices=[]),
                    torch.enable_grad(),
                    torch.autograd.graph.saved_tensors_hooks(lambda t: found.append(t.detach()), lambda t: t),
                ):
                    torch.set_rng_state(before)
                    block(*kept)
            return found[number]

        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            return block(*inputs)

    return run


class _Again(torch.autograd.Function):
    @staticmethod
    def forward(ctx, block, ticket, *inputs):
        ctx.block, ctx.state = block, torch.get_rng_state()
        ctx.save_for_backward(*inputs)
        with torch.no_grad():
            return block(*inputs).clone()

    @staticmethod
    def backward(ctx, gradient):
        fresh = []
        for x, needed in zip(ctx.saved_tensors, ctx.needs_input_grad[2:], strict=True):
            copy = x.detach()
            copy.requires_grad = needed
            fresh.append(copy)
        now = torch.get_rng_state()
        torch.set_rng_state(ctx.state)
        with torch.enable_grad():
            value = ctx.block(*fresh)
        torch.set_rng_state(now)
        value.backward(gradient)
        return (None, None, *[x.grad for x in fresh])


@alternative("checkpointed", note="one Function for all blocks, the random state saved and laid back by hand")
def by_one_function(block):
    def run(*inputs):
        ticket = torch.empty(0)
        if torch.is_grad_enabled():
            ticket.requires_grad_()
        return _Again.apply(block, ticket, *inputs)

    return run


@alternative(
    "LossScaler", note="a factor instead of a division, the sum of all gradients as a test, growth by a countdown"
)
class Countdown:
    def __init__(self, init_scale=65536.0, growth=2.0, backoff=0.5, interval=2000):
        assert init_scale > 0, "init_scale"
        assert growth > 1, "growth"
        assert 0 < backoff < 1, "backoff"
        assert interval >= 1, "interval"
        self.value, self.up, self.down, self.interval = float(init_scale), growth, backoff, interval
        self.left, self.bad = interval, False

    def scale(self, loss):
        return self.value * loss

    def step(self, optimizer):
        self.bad = False
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = p.grad * (1.0 / self.value)
                    self.bad |= not math.isfinite(p.grad.double().abs().sum().item())
        if self.bad:
            return False
        optimizer.step()
        return True

    def update(self):
        self.left = self.interval if self.bad else self.left - 1
        if self.bad:
            self.value = self.value * self.down
        if self.left == 0:
            self.value, self.left = self.value * self.up, self.interval


@alternative(
    "LossScaler", note="it looks at the scaled gradients, before they are divided, and drops them if they are bad"
)
class LooksFirst(LossScaler):
    def step(self, optimizer):
        held = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.skipped = bool(sum(int((~p.grad.isfinite()).sum()) for p in held))
        for p in held:
            p.grad = None if self.skipped else p.grad / self.value
        if not self.skipped:
            optimizer.step()
        return not self.skipped


@alternative("kv_cache_bytes", note="the size of two tensors, a layer at a time")
def by_shapes(n_layers, n_kv_heads, head_dim, seq_len, batch=1, bytes_per_element=2):
    shape = (batch, n_kv_heads, seq_len, head_dim)
    assert min(n_layers, batch, n_kv_heads, head_dim, bytes_per_element, seq_len + 1) >= 1, "a size is too small"
    keys = values = math.prod(shape) * bytes_per_element
    return sum(keys + values for _ in range(n_layers))


@alternative("flops_per_token", note="product by product, forward and backward")
def product_by_product(config, context, training=True, causal=False):
    if context <= 0:
        raise ValueError("context")
    try:
        V, d, n, H, G, dh, f, _ = (config[key] for key in (
            "vocab", "d_model", "n_layers", "n_heads", "n_kv_heads", "head_dim", "d_ff", "tied"))  # fmt: skip
    except KeyError as error:
        raise ValueError(str(error)) from error
    q = o = 2 * d * H * dh
    k = v = 2 * d * G * dh
    gate = up = down = 2 * d * f
    compare = mix = (1 if causal else 2) * H * dh * context
    forward = sum(q + k + v + compare + mix + o + gate + up + down for _ in range(n)) + 2 * V * d
    backward = 2 * forward if training else 0
    return forward + backward


@alternative("training_memory", note="one table of parts, and ceilings by math")
def by_a_table(config, trainable=1.0, precision="mixed", zero_stage=0, world_size=1):
    table = {
        "mixed": {"weights": 2, "gradients": 2, "optimizer": 12},
        "fp32": {"weights": 4, "gradients": 4, "optimizer": 8},
    }
    if precision not in table or zero_stage not in range(4) or world_size < 1 or not 0.0 <= trainable <= 1.0:
        raise ValueError("unknown settings")
    try:
        width = config["head_dim"] * (config["n_heads"] + config["n_kv_heads"])
        per_layer = config["d_model"] * (2 * width + 3 * config["d_ff"] + 2)
        copies = 2 - bool(config["tied"])
        n = config["d_model"] * (copies * config["vocab"] + 1) + per_layer * config["n_layers"]
    except KeyError as error:
        raise ValueError(f"config has no {error}") from error
    some = round(trainable * n)
    numbers = {"weights": n, "gradients": some, "optimizer": some}
    first = {"weights": 3, "gradients": 2, "optimizer": 1}
    found = {
        part: size * math.ceil(numbers[part] / (world_size if zero_stage >= first[part] else 1))
        for part, size in table[precision].items()
    }
    found["total"] = found["weights"] + found["gradients"] + found["optimizer"]
    return found


@alternative("ShardedAdamW", note="it keeps its slice of the parameters, and fills gaps in Python")
class KeepsItsSlice:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        self.all = [*params]
        assert self.all, "no parameters"
        assert min(lr, weight_decay) >= 0, "settings"
        assert eps > 0, "eps"
        assert all(0 <= beta < 1 for beta in betas), "betas"
        self.hyper = (lr, *betas, eps, weight_decay)
        count = sum(p.numel() for p in self.all)
        self.each = (count + world_size() - 1) // world_size()
        self.fill = self.each * world_size() - count
        mine = slice(rank() * self.each, (rank() + 1) * self.each)
        self.weights = self._flat([p.detach() for p in self.all])[mine].clone()
        self.moments = None
        self.steps = 0

    def _flat(self, tensors):
        return torch.cat([*(t.flatten() for t in tensors), torch.zeros(self.fill)])

    def step(self):
        lr, b1, b2, eps, decay = self.hyper
        total = reduce_scatter(self._flat([p.grad for p in self.all]))
        mean = total / world_size()
        if self.moments is None:
            self.moments = [torch.zeros_like(mean), torch.zeros_like(mean)]
        self.steps += 1
        m, v = self.moments
        m += (1 - b1) * (mean - m)
        v += (1 - b2) * (mean * mean - v)
        size = lr / (1 - b1**self.steps)
        root = v.sqrt() / math.sqrt(1 - b2**self.steps)
        self.weights = self.weights - lr * decay * self.weights - size * m / (root + eps)
        line, at = all_gather(self.weights), 0
        for p in self.all:
            p.data.copy_(line[at : at + p.numel()].reshape(p.shape))
            at += p.numel()

    def state_bytes(self):
        return sum(t.numel() * t.element_size() for t in self.moments or [])
