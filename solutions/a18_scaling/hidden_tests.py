"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. `@needs` stands on every property that an empty answer has too.
"""

import math

import pytest
import torch
from asks import (
    bytes_kept,
    checkpoint_gradients,
    checkpoint_of_ids,
    checkpoint_of_two,
    checkpoints_in_a_row,
    parameters_of_run,
    runs_of_block,
    runs_without_gradient,
    scaled_loss,
    scaler_path,
    several,
    sharded_run,
)

from autograder.testing import needs, task, weight

# Tolerances, each with its reason.
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32: a few roundings
TWENTY_STEPS = {"rtol": 1e-5, "atol": 2e-6}  # float32: twenty steps, each rounded a few times


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1000), dtype=dtype)


def uniform(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed + 2000), dtype=torch.float64)


def whole(seed, low, high, *shape):
    """Whole numbers, low <= n < high."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed + 3000))


# --------------------------------------------------------------------------------------------------------- checkpointed


@task("checkpointed")
@weight(2)
@needs("test_the_block_runs_once_and_once_again")
def test_values_and_gradients(student, reference, seed):
    """The value is the block's, and so are the gradients of the input and of the parameters inside."""
    asked = (normal(seed, 5), normal(seed + 1, 5), normal(seed + 2, 5), 0.0, seed)
    student.ask(checkpoint_gradients, *asked).equals(reference.ask(checkpoint_gradients, *asked), **FLOAT64)


@task("checkpointed")
@weight(2)
@needs("test_the_block_runs_once_and_once_again")
def test_dropout_drops_the_same(student, reference, seed):
    """The second run drops what the first dropped, and the random numbers go on as without a second run."""
    asked = (normal(seed, 40), normal(seed + 1, 40), normal(seed + 2, 40), 0.5, seed)
    student.ask(checkpoint_gradients, *asked).equals(reference.ask(checkpoint_gradients, *asked), **FLOAT64)


@task("checkpointed")
@weight(2)
@needs("test_the_block_runs_once_and_once_again")
def test_no_input_needs_a_gradient(student, reference, seed):
    """Parameters inside of the block get their gradients, also where its inputs are whole numbers."""
    asked = (whole(seed, 0, 6, 4, 3), normal(seed, 6, 2), normal(seed + 1, 4, 3, 2))
    student.ask(checkpoint_of_ids, *asked).equals(reference.ask(checkpoint_of_ids, *asked), **FLOAT64)


@task("checkpointed")
@needs("test_the_block_runs_once_and_once_again")
def test_two_inputs_and_a_checkpoint_inside(student, reference, seed):
    """A block may have several inputs, some of them whole numbers, and checkpoints inside."""
    x, w, weights = normal(seed, 4), normal(seed + 1, 4), normal(seed + 2, 4)
    for y in (normal(seed + 3, 4), 1 + whole(seed, 0, 5, 4)):
        asked = (x, y, w, weights, 0.4, seed)
        if y.is_floating_point():
            student.ask(checkpoint_of_two, *asked).equals(reference.ask(checkpoint_of_two, *asked), **FLOAT64)
        else:
            mine, truth = (one.ask(checkpoint_of_two, *asked).value for one in (student, reference))
            assert mine["x"] is not None, "An input that needs a gradient got none."
            assert torch.allclose(mine["x"], truth["x"], **FLOAT64), "The gradient of x is off beside whole numbers."


@task("checkpointed")
@needs("test_the_block_runs_once_and_once_again")
def test_one_after_the_other(student, reference, seed):
    """Checkpoints that follow each other replay each their own dropout."""
    asked = (normal(seed, 12), [normal(seed + i, 12) for i in (1, 2, 3)], normal(seed + 4, 12), 0.3, seed)
    student.ask(checkpoints_in_a_row, *asked).equals(reference.ask(checkpoints_in_a_row, *asked), **FLOAT64)


@task("checkpointed")
def test_the_block_runs_once_and_once_again(student, seed):
    """The block runs once in forward and once in backward, and once alone where no gradients are asked for."""
    x = normal(seed, 3, 2)
    student.ask(runs_of_block, x, True).equals([1, 2])
    student.ask(runs_without_gradient, x).equals({"value": torch.exp(x), "runs": 1})


@task("checkpointed")
@weight(2)
@needs("test_the_block_runs_once_and_once_again")
def test_nothing_but_the_input_is_kept(student, seed):
    """Between forward and backward no more is kept than the inputs, however long the block is."""
    for layers in (2, 6):
        x = normal(seed, 16, 24)
        kept = student.ask(bytes_kept, x, layers).value["bytes"]
        assert kept <= 1.05 * 16 * 24 * 8, "More is kept for backward than the input."


# ----------------------------------------------------------------------------------------------------------- LossScaler


def outcomes(seed, n):
    """n steps, of which about a third are bad, with two good ones in a row somewhere and two bad ones."""
    good = (uniform(seed, n) > 0.3).tolist()
    good[2:8] = [True, True, True, False, False, True]
    return good


def gradients_for(seed, good, *shapes):
    """True gradients for each step, with an inf or a NaN somewhere in the last parameter where the step is bad."""
    steps = []
    for number, fine in enumerate(good):
        each = [normal(seed + 7 * number + i, *shape, dtype=torch.float32) for i, shape in enumerate(shapes)]
        if not fine:
            each[-1].view(-1)[number % each[-1].numel()] = (math.inf, -math.inf, math.nan)[number % 3]
        steps.append(each)
    return steps


@task("LossScaler")
@weight(2)
@pytest.mark.parametrize("interval", [1, 3])
def test_the_path_of_the_scale(student, reference, seed, interval):
    """The scale grows after `interval` good steps in a row, and backs off after a bad one, in every order."""
    steps = gradients_for(seed, outcomes(seed, 24), (2,))
    settings = [2.0 ** (5 + seed % 5), 2.0, 0.25, interval]
    mine = student.ask(scaler_path, settings, [torch.zeros(2)], steps)
    truth = reference.ask(scaler_path, settings, [torch.zeros(2)], steps)
    assert mine.value["stepped"] == truth.value["stepped"], "step should say whether it stepped."
    assert mine.value["scales"] == truth.value["scales"], "The scale takes another path."


@task("LossScaler")
@weight(2)
def test_parameters_move_by_unscaled_gradients(student, reference, seed):
    """Good steps are those of the true gradients; a bad one moves neither the parameters nor the optimiser's state."""
    steps = gradients_for(seed, outcomes(seed, 12), (3,), (2, 2))
    start = [normal(seed, 3, dtype=torch.float32), normal(seed + 1, 2, 2, dtype=torch.float32)]
    settings = [1024.0, 2.0, 0.5, 4]
    mine = student.ask(scaler_path, settings, start, steps).value
    truth = reference.ask(scaler_path, settings, start, steps).value
    for step, (here, there) in enumerate(zip(mine["path"], truth["path"], strict=True)):
        for p, q in zip(here, there, strict=True):
            assert p.isfinite().all(), "A parameter is no longer finite."
            assert torch.allclose(p, q, **FLOAT32), f"After step {step + 1} the parameters are elsewhere."


@task("LossScaler")
def test_gradients_are_left_unscaled(student, reference, seed):
    """After a good step p.grad holds the true gradient; a parameter without a gradient is passed over."""
    steps = [[normal(seed, 4, dtype=torch.float32), None]]
    start = [torch.zeros(4), torch.ones(2)]
    mine = student.ask(scaler_path, [4096.0, 2.0, 0.5, 2], start, steps).value
    assert torch.allclose(mine["gradients"][0], steps[0][0], **FLOAT32), "p.grad is not the true gradient."
    assert torch.equal(mine["parameters"][1], start[1]), "A parameter without a gradient moved."
    assert mine["stepped"] == [True], "The step was a good one."


@task("LossScaler")
def test_the_loss_is_scaled(student, reference, seed):
    """`scale` multiplies the loss, and so every gradient."""
    asked = ([2.0 ** (3 + seed % 9), 2.0, 0.5, 5], normal(seed, 3))
    student.ask(scaled_loss, *asked).equals(reference.ask(scaled_loss, *asked), **FLOAT64)


@task("LossScaler")
@needs("test_the_path_of_the_scale")
def test_settings_that_cannot_work(student):
    """Scales, factors and intervals out of range are refused."""
    for bad in ([0.0, 2.0, 0.5, 1], [-8.0, 2.0, 0.5, 1], [1.0, 1.0, 0.5, 1], [1.0, 0.5, 0.5, 1], [1.0, 2.0, 1.0, 1],
                [1.0, 2.0, 0.0, 1], [1.0, 2.0, 0.5, 0]):  # fmt: skip
        student.ask(scaler_path, bad, [torch.zeros(1)], []).refused()


# ------------------------------------------------------------------------------------------------------- kv_cache_bytes


@task("kv_cache_bytes")
@weight(2)
def test_bytes_of_caches(student, reference, seed):
    """Keys and values, for every layer, key-value head, number, token and text."""
    sizes = (2 + whole(seed, 0, 7, 5, 6)).tolist()
    student.ask(several, "kv_cache_bytes", sizes).equals(reference.ask(several, "kv_cache_bytes", sizes))
    models = [[32, 32, 128, 4096], [32, 8, 128, 32768], [30, 3, 64, 0], [80, 8, 128, 131072, 16]]
    student.ask(several, "kv_cache_bytes", models).equals(reference.ask(several, "kv_cache_bytes", models))


@task("kv_cache_bytes")
@needs("test_bytes_of_caches")
def test_sizes_below_one(student, seed):
    """Each size below 1 is refused, and a text of fewer than no tokens."""
    for place in (0, 1, 2, 4, 5):
        sizes = [2, 3, 4, 5, 6, 2]
        sizes[place] = -(seed % 2)
        student.kv_cache_bytes(*sizes).refused()
    student.kv_cache_bytes(2, 3, 4, -1).refused()


# ------------------------------------------------------------------------------------------------ flops_per_token, bytes


def config_of(seed, tied):
    """A model of which no two sizes are equal."""
    a, b, c, d, e = (int(each) for each in whole(seed, 0, 9, 5))
    return {
        "vocab": 101 + a, "d_model": 24 + b, "n_layers": 3 + c % 3, "n_heads": 8, "n_kv_heads": 2, "head_dim": 7 + d,
        "d_ff": 50 + e, "tied": tied,
    }  # fmt: skip


LLAMA_2_7B = {
    "vocab": 32000, "d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 32, "head_dim": 128, "d_ff": 11008,
    "tied": False,
}  # fmt: skip
MISTRAL_7B = {**LLAMA_2_7B, "n_kv_heads": 8, "d_ff": 14336}
SMOLLM2_135M = {
    "vocab": 49152, "d_model": 576, "n_layers": 30, "n_heads": 9, "n_kv_heads": 3, "head_dim": 64, "d_ff": 1536,
    "tied": True,
}  # fmt: skip


@task("flops_per_token")
@weight(2)
def test_flops_of_models(student, reference, seed):
    """Matrices and attention, forward and in training, with a tied head and without."""
    calls = [[config_of(seed + i, bool(i % 2)), 13 + i + seed % 7, i < 3] for i in range(5)]
    student.ask(several, "flops_per_token", calls).equals(reference.ask(several, "flops_per_token", calls))


@task("flops_per_token")
def test_flops_under_a_causal_mask(student, reference, seed):
    """A causal mask leaves half of the attention, in forward and in backward, and all of the matrices."""
    calls = [
        [config_of(seed + i, bool(i % 2)), 10 + 2 * i, training, True] for i in range(3) for training in (True, False)
    ]
    student.ask(several, "flops_per_token", calls).equals(reference.ask(several, "flops_per_token", calls))


@task("flops_per_token")
def test_flops_of_models_that_exist(student, reference):
    """Llama-2-7B, Mistral-7B and SmolLM2-135M, at contexts of 2,048 and 4,096."""
    calls = [[each, context] for each in (LLAMA_2_7B, MISTRAL_7B, SMOLLM2_135M) for context in (2048, 4096)]
    student.ask(several, "flops_per_token", calls).equals(reference.ask(several, "flops_per_token", calls))


@task("flops_per_token")
@needs("test_flops_of_models")
def test_what_cannot_be_counted(student, seed):
    """A context below 1 and a config without one of its keys are refused."""
    config = config_of(seed, True)
    student.flops_per_token(config, 0).refused()
    for key in ("vocab", "n_kv_heads", "d_ff"):
        student.flops_per_token({name: config[name] for name in config if name != key}, 8).refused()


@task("training_memory")
@weight(2)
def test_memory_of_one_worker(student, reference, seed):
    """Weights, gradients and state in both precisions, tied and not, with everything trained, a share, and nothing."""
    calls = [
        [config_of(seed + 3 * i, bool(i % 2)), share, precision]
        for i, share in enumerate((1.0, 0.3, 0.0, 1.0))
        for precision in ("mixed", "fp32")
    ]
    student.ask(several, "training_memory", calls).equals(reference.ask(several, "training_memory", calls))


@task("training_memory")
@weight(2)
def test_memory_in_shards(student, reference, seed):
    """What each stage shards, in shares that are rounded up."""
    calls = [
        [config_of(seed + i, bool(i % 2)), share, precision, stage, 7 + i + seed % 3]
        for i, share in enumerate((1.0, 0.41))
        for precision in ("mixed", "fp32")
        for stage in (0, 1, 2, 3)
    ]
    student.ask(several, "training_memory", calls).equals(reference.ask(several, "training_memory", calls))


@task("training_memory")
def test_memory_of_models_that_exist(student, reference):
    """Llama-2-7B, Mistral-7B and SmolLM2-135M, alone and on 8 and 64 workers."""
    models = (LLAMA_2_7B, MISTRAL_7B, SMOLLM2_135M)
    calls = [[each, 1.0, "mixed", stage, size] for each in models for stage, size in ((0, 1), (1, 8), (3, 64))]
    student.ask(several, "training_memory", calls).equals(reference.ask(several, "training_memory", calls))


@task("training_memory")
@needs("test_memory_of_one_worker")
def test_settings_that_are_unknown(student, seed):
    """Shares outside of [0, 1], other precisions and stages, no workers and half a config are refused."""
    config = config_of(seed, False)
    for bad in ([-0.1], [1.1], [1.0, "int8"], [1.0, "mixed", -1], [1.0, "mixed", 4], [1.0, "fp32", 1, 0]):
        student.training_memory(config, *bad).refused()
    student.training_memory({name: config[name] for name in config if name != "tied"}).refused()


# --------------------------------------------------------------------------------------------------------- ShardedAdamW

SHAPES = ((3, 2), (5,), (1,), (7,))  # 19 numbers: no number of workers divides them
SETTINGS = [0.05, (0.8, 0.95), 1e-2, 0.1]


def a_run(seed, workers, steps, shapes=SHAPES):
    """Parameters, and gradients for each step and worker: steps[step][worker][parameter]."""
    start = [normal(seed + i, *shape, dtype=torch.float32) for i, shape in enumerate(shapes)]
    gradients = [
        [
            [normal(seed + 997 * step + 31 * worker + i, *shape, dtype=torch.float32) for i, shape in enumerate(shapes)]
            for worker in range(workers)
        ]
        for step in range(steps)
    ]
    return start, gradients


@task("ShardedAdamW")
@weight(2)
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_twenty_steps_equal_one_optimiser(student, reference, seed, workers):
    """Twenty steps of all workers, each with gradients of its own, are those of one AdamW on their mean."""
    asked = (*a_run(seed, workers, 20), SETTINGS)
    truth = reference.ask(sharded_run, *asked).value["parameters"]
    student.ask(parameters_of_run, *asked).equals(truth, **TWENTY_STEPS)


@task("ShardedAdamW")
@needs("test_twenty_steps_equal_one_optimiser")
def test_it_is_torchs_adamw(student, seed):
    """The same twenty steps with torch's AdamW on the mean gradient end at the same parameters."""
    start, gradients = a_run(seed, 2, 20)
    theirs = [p.clone().requires_grad_() for p in start]
    lr, betas, eps, decay = SETTINGS
    optimizer = torch.optim.AdamW(theirs, lr=lr, betas=betas, eps=eps, weight_decay=decay)
    for workers in gradients:
        for i, p in enumerate(theirs):
            p.grad = (workers[0][i] + workers[1][i]) / 2
        optimizer.step()
    truth = [[p.detach() for p in theirs]] * 2
    student.ask(parameters_of_run, start, gradients, SETTINGS).equals(truth, **TWENTY_STEPS)


@task("ShardedAdamW")
@needs("test_twenty_steps_equal_one_optimiser")
def test_workers_stay_equal_bit_for_bit(student, seed):
    """After every step all workers hold the same parameters, to the last bit."""
    found = student.ask(sharded_run, *a_run(seed, 3, 5), SETTINGS).value["parameters"]
    for worker in found[1:]:
        assert all(torch.equal(p, q) for p, q in zip(worker, found[0], strict=True)), "The workers drift apart."


@task("ShardedAdamW")
@weight(2)
@needs("test_twenty_steps_equal_one_optimiser")
def test_each_worker_keeps_a_slice(student, seed):
    """A worker's moments have the size of its slice, filled up; and beside them it keeps nothing of the model's size."""
    n = 211 + seed % 5
    for workers in (2, 3):
        found = student.ask(sharded_run, *a_run(seed, workers, 2, ((n - 100,), (10, 10))), SETTINGS).value
        piece = -(-n // workers)
        assert found["state_bytes"] == [2 * 4 * piece] * workers, "The moments' bytes are not those of a slice."
        # m, v and perhaps the slice itself; scalars are free
        assert max(found["held"]) <= 3 * 4 * piece + 64, "More is kept from step to step than a slice needs."


@task("ShardedAdamW")
@needs("test_twenty_steps_equal_one_optimiser")
def test_settings_out_of_their_range(student):
    """No parameters and settings out of range are refused."""
    student.ask(sharded_run, [], [], SETTINGS).refused()
    for bad in ([-0.1, (0.9, 0.999), 1e-8, 0.0], [0.1, (0.9, 1.0), 1e-8, 0.0], [0.1, (-0.1, 0.9), 1e-8, 0.0],
                [0.1, (0.9, 0.99), 0.0, 0.0], [0.1, (0.9, 0.99), 1e-8, -0.1]):  # fmt: skip
        student.ask(sharded_run, [torch.zeros(2)], [], bad).refused()
