# scaling.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a18
# README.md explains the tasks. (a18_scaling, release 94e3217b1552)

# %%
from collections.abc import Callable, Iterable

import torch
from common.ranks import all_gather, rank, reduce_scatter, world_size
from torch import Tensor


# %% task="checkpointed"
def checkpointed(block: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`block`, which keeps only its inputs between forward and backward, and runs a second time in backward.

    block: takes tensors by position, returns one tensor of any shape.
    Returns a function with the same arguments and value, whose `backward` gives the same gradients of inputs and parameters.

    Source: Chen et al. 2016, section 4.
    """

    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="LossScaler"
class LossScaler:
    """Scales a loss so that small gradients survive, and finds the scale by trying.

    init_scale: the first scale. growth: the factor after `interval` good steps in a row. backoff: the factor after an overflow.
    Raises ValueError for an init_scale <= 0, a growth <= 1, a backoff outside of (0, 1) and an interval < 1.

    Source: Micikevicius et al. 2018, section 3.2; the schedule is that of torch.amp.GradScaler.
    """

    def __init__(
        self, init_scale: float = 65536.0, growth: float = 2.0, backoff: float = 0.5, interval: int = 2000
    ) -> None:
        # YOUR CODE HERE
        raise NotImplementedError()

    def scale(self, loss: Tensor) -> Tensor:
        """The loss times the scale: a scalar with a graph."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Unscales the gradients in place and steps; where one is inf or NaN it does not step, and returns False."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def update(self) -> None:
        """Backs off after a skipped step; grows after `interval` good ones in a row."""
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="kv_cache_bytes"
def kv_cache_bytes(
    n_layers: int, n_kv_heads: int, head_dim: int, seq_len: int, batch: int = 1, bytes_per_element: int = 2
) -> int:
    """The bytes of all keys and values of `batch` texts of `seq_len` tokens.

    Raises ValueError for a seq_len < 0 and for anything else < 1.

    Source: Shazeer 2019, section 3 (keys and values as the cost of decoding); Ainslie et al. 2023 for grouped heads.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="flops_per_token"
def flops_per_token(config: dict, context: int, training: bool = True, causal: bool = False) -> int:
    """Floating-point operations that one token costs in a model with SwiGLU, grouped heads and no biases.

    config: vocab, d_model, n_layers, n_heads, n_kv_heads, head_dim, d_ff, tied. context: tokens that each token looks at.
    training: forward and backward, else forward alone. causal: count the half of attention that a mask leaves.
    Raises ValueError for a context < 1 and for a missing key.

    Source: Kaplan et al. 2020, section 2.1; Chowdhery et al. 2022 (PaLM), appendix B.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %%
CONFIG_KEYS = ("vocab", "d_model", "n_layers", "n_heads", "n_kv_heads", "head_dim", "d_ff", "tied")


# %% task="training_memory"
def training_memory(
    config: dict, trainable: float = 1.0, precision: str = "mixed", zero_stage: int = 0, world_size: int = 1
) -> dict[str, int]:
    """Bytes per worker for weights, gradients and AdamW's state, and their total; activations are not counted.

    config: as in flops_per_token. trainable: the share of the parameters that is trained. precision: "mixed" or "fp32".
    zero_stage: 0 to 3, what is sharded over world_size workers.
    Raises ValueError for a trainable outside of [0, 1], an unknown precision or stage, a world_size < 1 and a missing key.

    Source: Rajbhandari et al. 2020 (ZeRO), section 3.1 and figure 1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="ShardedAdamW"
class ShardedAdamW:
    """AdamW of which each worker keeps the state of one slice (the first stage of ZeRO).

    params: float32 tensors, the same on all workers, in the same order. lr, betas, eps, weight_decay: as in AdamW.
    Raises ValueError for no parameters and for settings out of range.

    Source: Rajbhandari et al. 2020 (ZeRO), section 5.1; Loshchilov and Hutter 2019, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        # YOUR CODE HERE
        raise NotImplementedError()

    def step(self) -> None:
        """One step on the mean of all workers' gradients. Every worker has to call it."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def state_bytes(self) -> int:
        """Bytes of the moments that this worker keeps."""
        # YOUR CODE HERE
        raise NotImplementedError()

    # YOUR CODE HERE
    raise NotImplementedError()


# %%
def loss_scaler(**settings) -> LossScaler:
    """A LossScaler with these settings."""
    return LossScaler(**settings)


def sharded_adamw(params: Iterable[Tensor], **settings) -> ShardedAdamW:
    """A ShardedAdamW of these parameters with these settings."""
    return ShardedAdamW(params, **settings)
