"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import torch
from common.ranks import all_gather, rank, reduce_scatter, world_size
from reference import CONFIG_KEYS, LossScaler, ShardedAdamW, flops_per_token, kv_cache_bytes, training_memory

from autograder.testing import mistake

# --------------------------------------------------------------------------------------------------------- checkpointed

PLAIN = "test_values_and_gradients"
DROPOUT = "test_dropout_drops_the_same"
IDS = "test_no_input_needs_a_gradient"
ROW = "test_one_after_the_other"
KEPT = "test_nothing_but_the_input_is_kept"
RUNS = "test_the_block_runs_once_and_once_again"


def _checkpoint(block, *, replay=True, restore=True, awake=True, again=None, last=lambda gradient: gradient):
    """The reference's checkpoint with one part changed."""

    class Checkpoint(torch.autograd.Function):
        @staticmethod
        def forward(ctx, _, *inputs):
            ctx.before = torch.get_rng_state()
            ctx.save_for_backward(*inputs)
            return block(*inputs)

        @staticmethod
        def backward(ctx, gradient):
            inputs = [x.detach().requires_grad_(x.requires_grad) for x in ctx.saved_tensors]
            after = torch.get_rng_state()
            if replay:
                torch.set_rng_state(ctx.before)
            with torch.enable_grad():
                result = (again or block)(*inputs)
            if restore:
                torch.set_rng_state(after)
            torch.autograd.backward(result, last(gradient))
            return None, *(x.grad for x in inputs)

    def run(*inputs):
        return Checkpoint.apply(torch.zeros((), requires_grad=awake and torch.is_grad_enabled()), *inputs)

    return run


@mistake(
    "checkpointed",
    seen="The second pass drops other units than the first.",
    named="This equals a second run on the random numbers that happen to come next.",
    caught_by=(DROPOUT, ROW),
)
def recompute_without_rng(block):
    return _checkpoint(block, replay=False)


@mistake(
    "checkpointed",
    seen="After your backward other random numbers come than without a checkpoint.",
    named="This equals laying the old random state back for the second run, and leaving it there.",
    caught_by=DROPOUT,
)
def rng_left_behind(block):
    return _checkpoint(block, restore=False)


@mistake(
    "checkpointed",
    seen="You recompute, and still keep what you wanted to forget.",
    named="This equals a first run with gradients on, whose graph is kept beside the second.",
    caught_by=KEPT,
)
def graph_kept(block):
    checkpoint = _checkpoint(block)

    def run(*inputs):
        if torch.is_grad_enabled():
            before = torch.get_rng_state()
            run.kept = block(*inputs)
            torch.set_rng_state(before)
        return checkpoint(*inputs)

    return run


@mistake(
    "checkpointed",
    seen="Nothing is computed twice, and nothing is forgotten.",
    named="This equals the block itself.",
    caught_by=KEPT,
)
def not_checkpointed(block):
    return lambda *inputs: block(*inputs)


@mistake(
    "checkpointed",
    seen="When the input needs no gradient your parameters get none.",
    named="This equals a checkpoint that backward never reaches, because none of its inputs asks for a gradient.",
    caught_by=IDS,
)
def no_param_grad(block):
    return _checkpoint(block, awake=False)


@mistake(
    "checkpointed",
    seen="The gradients that arrive from above leave no trace in yours.",
    named="This equals a backward that begins at ones instead of at the gradient of the result.",
    caught_by=(PLAIN, IDS),
)
def gradient_from_above_ignored(block):
    return _checkpoint(block, last=torch.ones_like)


@mistake(
    "checkpointed",
    seen="The input gets its gradients, and the parameters none.",
    named="This equals gradients of the inputs alone: parameters are asked for by nobody.",
    caught_by=(PLAIN, DROPOUT),
)
def parameters_forgotten(block):
    class Checkpoint(torch.autograd.Function):
        @staticmethod
        def forward(ctx, _, *inputs):
            ctx.before = torch.get_rng_state()
            ctx.save_for_backward(*inputs)
            return block(*inputs)

        @staticmethod
        def backward(ctx, gradient):
            inputs = [x.detach().requires_grad_(x.requires_grad) for x in ctx.saved_tensors]
            with torch.random.fork_rng(devices=[]), torch.enable_grad():
                torch.set_rng_state(ctx.before)
                result = block(*inputs)
            wanted = [x for x in inputs if x.requires_grad]
            found = iter(torch.autograd.grad(result, wanted, gradient) if wanted else ())
            return None, *(next(found) if x.requires_grad else None for x in inputs)

    def run(*inputs):
        return Checkpoint.apply(torch.zeros((), requires_grad=torch.is_grad_enabled()), *inputs)

    return run


@mistake(
    "checkpointed",
    seen="Your block runs more often than twice.",
    named="This equals one more run of the block on the way.",
    caught_by=RUNS,
)
def one_run_too_many(block):
    def twice(*inputs):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            block(*inputs)
        return block(*inputs)

    return _checkpoint(block, again=twice)


# ----------------------------------------------------------------------------------------------------------- LossScaler

PATH = "test_the_path_of_the_scale"
MOVES = "test_parameters_move_by_unscaled_gradients"
LEFT = "test_gradients_are_left_unscaled"
LOSS = "test_the_loss_is_scaled"


def _gradients(optimizer):
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


@mistake(
    "LossScaler",
    seen="Your step grows with the loss scale.",
    named="This equals a step on the scaled gradients.",
    caught_by=(MOVES, LEFT),
)
class grad_not_unscaled(LossScaler):
    def step(self, optimizer):
        self.skipped = not all(gradient.isfinite().all() for gradient in _gradients(optimizer))
        if not self.skipped:
            optimizer.step()
        return not self.skipped


@mistake(
    "LossScaler",
    seen="One overflow has entered the weights.",
    named="This equals a step whether the gradients are finite or not.",
    caught_by=MOVES,
)
class steps_on_inf(LossScaler):
    def step(self, optimizer):
        fine = super().step(optimizer)
        if not fine:
            optimizer.step()
        return fine


@mistake(
    "LossScaler",
    seen="You look for overflow in one place, and it can be in any.",
    named="This equals a look at the first parameter's gradient alone.",
    caught_by=MOVES,
)
class looks_at_the_first(LossScaler):
    def step(self, optimizer):
        gradients = _gradients(optimizer)
        for gradient in gradients:
            gradient.div_(self.value)
        self.skipped = not gradients[0].isfinite().all()
        if not self.skipped:
            optimizer.step()
        return not self.skipped


@mistake(
    "LossScaler",
    seen="An overflow has two faces, and you know one of them.",
    named="This equals a check for NaN alone: infinity passes.",
    caught_by=MOVES,
)
class nan_only(LossScaler):
    def step(self, optimizer):
        gradients = _gradients(optimizer)
        for gradient in gradients:
            gradient.div_(self.value)
        self.skipped = any(gradient.isnan().any() for gradient in gradients)
        if not self.skipped:
            optimizer.step()
        return not self.skipped


@mistake(
    "LossScaler",
    seen="After a bad step your scale grows again too early: how many good steps in a row has it seen?",
    named="This equals a count of good steps that a bad one does not set back.",
    caught_by=PATH,
)
class count_not_reset(LossScaler):
    def update(self):
        if self.skipped:
            self.value *= self.backoff
            return
        self.good_steps += 1
        if self.good_steps == self.interval:
            self.value *= self.growth
            self.good_steps = 0


@mistake(
    "LossScaler",
    seen="Once your scale has begun to grow, it grows at every step.",
    named="This equals a count that goes on after the scale has grown.",
    caught_by=PATH,
)
class grows_for_ever(LossScaler):
    def update(self):
        self.good_steps = 0 if self.skipped else self.good_steps + 1
        if self.skipped:
            self.value *= self.backoff
        elif self.good_steps >= self.interval:
            self.value *= self.growth


@mistake(
    "LossScaler",
    seen="Your scale falls where it should rise.",
    named="This equals the two factors exchanged.",
    caught_by=PATH,
)
class factors_exchanged(LossScaler):
    def update(self):
        self.growth, self.backoff = self.backoff, self.growth
        super().update()
        self.growth, self.backoff = self.backoff, self.growth


@mistake(
    "LossScaler",
    seen="Whoever calls backward on your scaled loss gets the gradients of the plain one.",
    named="This equals a loss that is not multiplied.",
    caught_by=LOSS,
)
class loss_not_scaled(LossScaler):
    def scale(self, loss):
        return loss


@mistake(
    "LossScaler",
    seen="What is impossible is accepted.",
    named="This equals settings that nobody looks at.",
    caught_by="test_settings_that_cannot_work",
)
class any_settings(LossScaler):
    def __init__(self, init_scale=65536.0, growth=2.0, backoff=0.5, interval=2000):
        super().__init__()
        self.value, self.growth, self.backoff, self.interval = float(init_scale), growth, backoff, interval


# ------------------------------------------------------------------------------------------------------- kv_cache_bytes

CACHES = "test_bytes_of_caches"


@mistake(
    "kv_cache_bytes",
    seen="The cache holds two tensors a layer.",
    named="This equals the keys alone.",
    caught_by=CACHES,
)
def keys_only(n_layers, n_kv_heads, head_dim, seq_len, batch=1, bytes_per_element=2):
    return kv_cache_bytes(n_layers, n_kv_heads, head_dim, seq_len, batch, bytes_per_element) // 2


@mistake(
    "kv_cache_bytes",
    seen="Your figure is the same for one conversation and for many.",
    named="This equals the cache of one text.",
    caught_by=CACHES,
)
def batch_ignored(n_layers, n_kv_heads, head_dim, seq_len, batch=1, bytes_per_element=2):
    return kv_cache_bytes(n_layers, n_kv_heads, head_dim, seq_len, 1, bytes_per_element) if batch > 0 else 1 / 0


@mistake(
    "kv_cache_bytes",
    seen="Is your answer in bytes, or in numbers?",
    named="This equals two bytes for each number, whatever bytes_per_element says.",
    caught_by=CACHES,
)
def always_two_bytes(n_layers, n_kv_heads, head_dim, seq_len, batch=1, bytes_per_element=2):
    kv_cache_bytes(n_layers, n_kv_heads, head_dim, seq_len, batch, bytes_per_element)
    return kv_cache_bytes(n_layers, n_kv_heads, head_dim, seq_len, batch)


@mistake(
    "kv_cache_bytes",
    seen="Sizes that cannot be have a price.",
    named="This equals the product without a look at its factors.",
    caught_by="test_sizes_below_one",
)
def any_sizes(n_layers, n_kv_heads, head_dim, seq_len, batch=1, bytes_per_element=2):
    return 2 * n_layers * n_kv_heads * head_dim * seq_len * batch * bytes_per_element


# ------------------------------------------------------------------------------------------------------ flops_per_token

FLOPS = "test_flops_of_models"
CAUSAL = "test_flops_under_a_causal_mask"
REAL = "test_flops_of_models_that_exist"


def _flops(config, context, training, causal, *, per_entry=2, kv="n_kv_heads", score="n_heads", mlp=3, head=1, times=3):
    flops_per_token(config, context)
    d, n, dh = config["d_model"], config["n_layers"], config["head_dim"]
    layer = 2 * d * config["n_heads"] * dh + 2 * d * config[kv] * dh + mlp * d * config["d_ff"]
    forward = per_entry * (n * layer + head * config["vocab"] * d)
    attention = 2 * per_entry * n * config[score] * dh * context
    return (times if training else 1) * (forward + (attention // 2 if causal else attention))


@mistake(
    "flops_per_token",
    seen="Your figure is half of what the machine does: what happens to each product afterwards?",
    named="This equals one operation for a multiplication with its addition.",
    caught_by=(FLOPS, CAUSAL, REAL),
)
def macs(config, context, training=True, causal=False):
    return _flops(config, context, training, causal, per_entry=1)


@mistake(
    "flops_per_token",
    seen="Grouped heads make keys and values smaller, and your sum does not notice.",
    named="This equals keys and values that are as wide as the queries.",
    caught_by=(FLOPS, CAUSAL),
)
def query_heads_counted(config, context, training=True, causal=False):
    return _flops(config, context, training, causal, kv="n_heads")


@mistake(
    "flops_per_token",
    seen="Fewer key-value heads make your attention cheaper. Who asks the questions?",
    named="This equals attention between as many heads as there are keys: every query head does its own.",
    caught_by=(FLOPS, CAUSAL),
)
def attention_by_kv_heads(config, context, training=True, causal=False):
    return _flops(config, context, training, causal, score="n_kv_heads")


@mistake(
    "flops_per_token",
    seen="How many matrices has an MLP with a gate?",
    named="This equals an MLP of two matrices.",
    caught_by=(FLOPS, CAUSAL, REAL),
)
def mlp_without_gate(config, context, training=True, causal=False):
    return _flops(config, context, training, causal, mlp=2)


@mistake(
    "flops_per_token",
    seen="A look-up is no product.",
    named="This equals a head that is counted twice, once for the embedding.",
    caught_by=(FLOPS, CAUSAL, REAL),
)
def lookup_counted(config, context, training=True, causal=False):
    return _flops(config, context, training, causal, head=2)


@mistake(
    "flops_per_token",
    seen="Sharing a matrix saves memory. Does it save a product?",
    named="This equals a tied head that costs nothing.",
    caught_by=(FLOPS, CAUSAL, REAL),
)
def tied_head_is_free(config, context, training=True, causal=False):
    return _flops(config, context, training, causal, head=0 if config["tied"] else 1)


@mistake(
    "flops_per_token",
    seen="Backward has to find two gradients for each product, that of the weights and that of the input.",
    named="This equals a backward that costs as much as the forward.",
    caught_by=(FLOPS, CAUSAL, REAL),
)
def backward_once(config, context, training=True, causal=False):
    return _flops(config, context, training, causal, times=2)


@mistake(
    "flops_per_token",
    seen="Your figure does not depend on the context as much as it should.",
    named="This equals the matrices alone: six operations a parameter, and no attention.",
    caught_by=(FLOPS, REAL),
)
def six_n(config, context, training=True, causal=False):
    return (
        _flops(config, context, training, causal)
        - (3 if training else 1)
        * (2 if causal else 4)
        * config["n_layers"]
        * config["n_heads"]
        * config["head_dim"]
        * context
    )


@mistake(
    "flops_per_token",
    seen="The mask changes nothing in your figure.",
    named="This equals attention in full under a causal mask.",
    caught_by=CAUSAL,
)
def mask_ignored(config, context, training=True, causal=False):
    return _flops(config, context, training, False)


# ------------------------------------------------------------------------------------------------------ training_memory

ALONE = "test_memory_of_one_worker"
SHARDS = "test_memory_in_shards"
EXIST = "test_memory_of_models_that_exist"


def _memory(
    config, share, precision, stage, size, *, state=None, gradient_of=None, count=None, up=True, shards=(3, 2, 1)
):
    """The reference's sums with one of them changed."""
    training_memory(config, share, precision, stage, size)
    everything = _parameters(config) if count is None else count
    trained = round(share * everything)

    def held(n, place):
        if stage < shards[place]:
            return n
        return -(-n // size) if up else n // size

    weight, gradient, default = (2, 2, 12) if precision == "mixed" else (4, 4, 8)
    with_gradient = trained if gradient_of is None else everything
    found = {
        "weights": weight * held(everything, 0),
        "gradients": gradient * held(with_gradient, 1),
        "optimizer": (default if state is None else state) * held(trained, 2),
    }
    return {**found, "total": sum(found.values())}


def _parameters(config, *, kv="n_kv_heads", norms=True, tied=None):
    d, dh, n = config["d_model"], config["head_dim"], config["n_layers"]
    layer = 2 * d * config["n_heads"] * dh + 2 * d * config[kv] * dh + 3 * d * config["d_ff"]
    together = config["tied"] if tied is None else tied
    return (1 if together else 2) * config["vocab"] * d + n * (layer + (2 * d if norms else 0)) + (d if norms else 0)


@mistake(
    "training_memory",
    seen="Mixed precision keeps one more copy than you count.",
    named="This equals m and v alone, without a master copy in float32.",
    caught_by=(ALONE, SHARDS, EXIST),
)
def no_master_weights(config, trainable=1.0, precision="mixed", zero_stage=0, world_size=1):
    return _memory(config, trainable, precision, zero_stage, world_size, state=8)


@mistake(
    "training_memory",
    seen="In float32 the weights are their own master copy.",
    named="This equals a master copy in both precisions.",
    caught_by=(ALONE, SHARDS),
)
def master_weights_twice(config, trainable=1.0, precision="mixed", zero_stage=0, world_size=1):
    return _memory(config, trainable, precision, zero_stage, world_size, state=12)


@mistake(
    "training_memory",
    seen="What is frozen costs you more than it should.",
    named="This equals gradients for all parameters, trained or not.",
    caught_by=(ALONE, SHARDS),
)
def gradients_of_the_frozen(config, trainable=1.0, precision="mixed", zero_stage=0, world_size=1):
    return _memory(config, trainable, precision, zero_stage, world_size, gradient_of="all")


@mistake(
    "training_memory",
    seen="Grouped heads make keys and values smaller, and your sum does not notice.",
    named="This equals key and value matrices that are as wide as the queries'.",
    caught_by=(ALONE, SHARDS, EXIST),
)
def keys_of_every_head(config, trainable=1.0, precision="mixed", zero_stage=0, world_size=1):
    count = _parameters(config, kv="n_heads")
    return _memory(config, trainable, precision, zero_stage, world_size, count=count)


@mistake(
    "training_memory",
    seen="A few thousand parameters are missing: which layers have no matrix?",
    named="This equals a model without its norms.",
    caught_by=(ALONE, SHARDS, EXIST),
)
def norms_forgotten(config, trainable=1.0, precision="mixed", zero_stage=0, world_size=1):
    count = _parameters(config, norms=False)
    return _memory(config, trainable, precision, zero_stage, world_size, count=count)


@mistake(
    "training_memory",
    seen="Tied or not, your model has the same size.",
    named="This equals an embedding that is always counted once.",
    caught_by=(ALONE, SHARDS, EXIST),
)
def always_tied(config, trainable=1.0, precision="mixed", zero_stage=0, world_size=1):
    count = _parameters(config, tied=True)
    return _memory(config, trainable, precision, zero_stage, world_size, count=count)


@mistake(
    "training_memory",
    seen="Your shares together are smaller than the whole.",
    named="This equals shares that are rounded down.",
    caught_by=(SHARDS,),
)
def rounded_down(config, trainable=1.0, precision="mixed", zero_stage=0, world_size=1):
    return _memory(config, trainable, precision, zero_stage, world_size, up=False)


@mistake(
    "training_memory",
    seen="What is sharded first? Look at what is largest and needed least often.",
    named="This equals weights in stage 1, gradients in stage 2 and the optimizer in stage 3.",
    caught_by=(SHARDS, EXIST),
)
def stages_reversed(config, trainable=1.0, precision="mixed", zero_stage=0, world_size=1):
    return _memory(config, trainable, precision, zero_stage, world_size, shards=(1, 2, 3))


@mistake(
    "training_memory",
    seen="Each stage of yours shards one thing, and gives back what the one before it had sharded.",
    named="This equals stages that do not include the ones before them.",
    caught_by=(SHARDS, EXIST),
)
def one_stage_at_a_time(config, trainable=1.0, precision="mixed", zero_stage=0, world_size=1):
    only = {0: (9, 9, 9), 1: (9, 9, 0), 2: (9, 0, 9), 3: (0, 9, 9)}[zero_stage]
    return _memory(config, trainable, precision, zero_stage, world_size, shards=only)


@mistake(
    "training_memory",
    seen="Settings that do not exist have a price.",
    named="This equals settings that nobody looks at.",
    caught_by="test_settings_that_are_unknown",
)
def any_of_them(config, trainable=1.0, precision="mixed", zero_stage=0, world_size=1):
    known = {**dict.fromkeys(CONFIG_KEYS, 1), **config}
    share = min(max(trainable, 0.0), 1.0)
    kind = precision if precision in ("mixed", "fp32") else "mixed"
    return training_memory(known, share, kind, min(max(zero_stage, 0), 3), max(world_size, 1))


# --------------------------------------------------------------------------------------------------------- ShardedAdamW

TWENTY = "test_twenty_steps_equal_one_optimiser"
EQUAL = "test_workers_stay_equal_bit_for_bit"
SLICE = "test_each_worker_keeps_a_slice"


class _Sharded(ShardedAdamW):
    """The reference in pieces that can be changed one at a time."""

    def step(self):
        self.t += 1
        g = self.gradient()
        theta = self.own(self._line([p.detach() for p in self.params]))
        theta = self.moved(theta, g)
        self.write(theta)

    def own(self, line):
        return line[rank() * self.size :][: self.size].clone()

    def gradient(self):
        return reduce_scatter(self._line([p.grad for p in self.params])) / world_size()

    def moved(self, theta, g):
        beta1, beta2 = self.betas
        theta = theta * (1 - self.lr * self.weight_decay)
        self.m.lerp_(g, 1 - beta1)
        self.v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        return theta - self.lr * self.direction()

    def direction(self):
        beta1, beta2 = self.betas
        m_hat, v_hat = self.m / (1 - beta1**self.t), self.v / (1 - beta2**self.t)
        return m_hat / (v_hat.sqrt() + self.eps)

    def write(self, theta):
        self.lay(all_gather(theta))

    def lay(self, line):
        with torch.no_grad():
            for p, new in zip(self.params, line.split(self._sizes()), strict=False):
                p.copy_(new.view_as(p))


@mistake(
    "ShardedAdamW",
    seen="Two processes step as if the learning rate had doubled.",
    named="This equals a step on the sum of the workers' gradients.",
    caught_by=TWENTY,
)
class sum_not_mean(_Sharded):
    def gradient(self):
        return super().gradient() * world_size()


@mistake(
    "ShardedAdamW",
    seen="Each rank follows its own data and the copies drift apart.",
    named="This equals slices that are moved by the gradient of their own worker alone.",
    caught_by=TWENTY,
)
class local_gradient(_Sharded):
    def gradient(self):
        return self.own(self._line([p.grad for p in self.params]))


@mistake(
    "ShardedAdamW",
    seen="Every worker moves its own part, and nobody hears of it.",
    named="This equals parameters of which each worker updates its own slice only.",
    caught_by=(TWENTY, EQUAL),
)
class nothing_gathered(_Sharded):
    def write(self, theta):
        line = self._line([p.detach() for p in self.params]).clone()
        line[rank() * self.size :][: self.size] = theta
        self.lay(line)


@mistake(
    "ShardedAdamW",
    seen="The last numbers of your line never move.",
    named="This equals slices whose size is rounded down: what does not divide is left out.",
    caught_by=TWENTY,
)
class tail_lost(_Sharded):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, lr, betas, eps, weight_decay)
        self.numbers = sum(p.numel() for p in self.params)
        self.size = self.numbers // world_size()
        self.m, self.v = torch.zeros(self.size), torch.zeros(self.size)

    def _line(self, tensors):
        return torch.cat([each.reshape(-1) for each in tensors])[: self.size * world_size()]

    def lay(self, line):
        rest = torch.cat([p.detach().reshape(-1) for p in self.params])[len(line) :]
        super().lay(torch.cat([line, rest]))

    def _sizes(self):
        return [p.numel() for p in self.params]


@mistake(
    "ShardedAdamW",
    seen="Your optimiser is right, and as large as before.",
    named="This equals moments of the whole model on every worker.",
    caught_by=SLICE,
)
class whole_state(_Sharded):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, lr, betas, eps, weight_decay)
        self.m, self.v = torch.zeros(self.size * world_size()), torch.zeros(self.size * world_size())

    def own(self, line):
        return line.clone()

    def gradient(self):
        return all_gather(super().gradient())

    def write(self, theta):
        self.lay(theta)


@mistake(
    "ShardedAdamW",
    seen="Weights with large gradients hardly decay: does your decay pass through the second moment?",
    named="This equals decay that is added to the gradient, as in Adam with L2.",
    caught_by=TWENTY,
)
class coupled_decay(_Sharded):
    def moved(self, theta, g):
        beta1, beta2 = self.betas
        g = g + self.weight_decay * theta
        self.m.lerp_(g, 1 - beta1)
        self.v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        return theta - self.lr * self.direction()


@mistake(
    "ShardedAdamW",
    seen="Your first steps have another size than your later ones.",
    named="This equals moments whose bias is not corrected.",
    caught_by=TWENTY,
)
class no_bias_correction(_Sharded):
    def direction(self):
        return self.m / (self.v.sqrt() + self.eps)


@mistake(
    "ShardedAdamW",
    seen="Where gradients are small, your steps are too.",
    named="This equals eps inside of the square root.",
    caught_by=TWENTY,
)
class eps_in_the_root(_Sharded):
    def direction(self):
        beta1, beta2 = self.betas
        m_hat, v_hat = self.m / (1 - beta1**self.t), self.v / (1 - beta2**self.t)
        return m_hat / (v_hat + self.eps).sqrt()


@mistake(
    "ShardedAdamW",
    seen="Settings that cannot work are accepted.",
    named="This equals settings that nobody looks at.",
    caught_by="test_settings_out_of_their_range",
)
class settings_unseen(_Sharded):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        params = list(params) or [torch.zeros(1)]
        super().__init__(params)
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
