# moe.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a17
# README.md explains the tasks. (a17_moe, release 0348cdaf0adc)

# %%
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


# %% task="expert_capacity"
def expert_capacity(n_tokens: int, n_experts: int, factor: float) -> int:
    """Seats of one expert: ceil(factor n_tokens / n_experts), at least 1.

    Raises ValueError for n_experts < 1, n_tokens < 0 and a factor <= 0. Source: Fedus et al. 2021, equation 3.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="switch_route"
def switch_route(logits: Tensor, capacity: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Each token's expert (T,) int64, its gate (T,) with gradient, and whether it has a seat (T,) bool.

    logits: (T, E). capacity: seats of one expert. mask: (T,) bool, True = real; other tokens get -1, 0 and False.
    Raises ValueError for other shapes and a capacity below 1. Source: Fedus et al. 2021, section 2.2 and figure 3.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="load_balance_loss"
def load_balance_loss(probs: Tensor, expert: Tensor, mask: Tensor | None = None) -> Tensor:
    """E sum_i f_i P_i, a scalar: 1 at an even load, E when all is at one expert.

    probs: (T, E). expert: (T,) or (T, K) int64. mask: (T,) bool, True = real.
    Raises ValueError for other shapes and for no real token. Source: Fedus et al. 2021, equations 4 to 6.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="z_loss"
def z_loss(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean square of each token's log-sum-exp, a scalar.

    logits: (T, E). mask: (T,) bool, True = real. Raises ValueError for other shapes and for no real token.

    Source: Zoph et al. 2022, equation 5.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="MoELayer"
class MoELayer(nn.Module):
    """Experts of which each token uses one: x (B, S, D), mask (B, S) -> y (B, S, D) and what happened.

    Parameters: router (E, D), w_in (E, F, D), w_out (E, D, F), without biases.

    Source: Fedus et al. 2021, section 2.
    """

    def __init__(self, d_model: int, d_ff: int, n_experts: int, capacity_factor: float = 1.25) -> None:
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """y (B, S, D), and {"balance": (), "z": (), "dropped": (), "load": (E,)}."""
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="bias_balanced_route"
def bias_balanced_route(logits: Tensor, bias: Tensor, top_k: int, scaling: float = 1.0) -> tuple[Tensor, Tensor]:
    """Each token's experts (T, K) int64 and their weights (T, K), which sum to `scaling`.

    logits: (T, E). bias: (E,), which chooses and does not weigh.
    Raises ValueError for other shapes and a top_k outside of 1..E. Source: DeepSeek-V3 2024, equations 13 to 16.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="update_bias"
def update_bias(bias: Tensor, load: Tensor, rate: float) -> Tensor:
    """The bias (E,) after one step: + rate below the mean load, - rate above it, unchanged at it.

    load: (E,), counts or shares. Raises ValueError for other shapes and a rate below 0. Source: Wang et al. 2024, algorithm 1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="DeepSeekMoE"
class DeepSeekMoE(nn.Module):
    """Fine-grained routed experts and shared ones: x (B, S, D) -> (B, S, D).

    Parameters: gate (E, D), w_gate_up (E, 2F, D), w_down (E, D, F), shared_gate_up (2 n_shared F, D),
    shared_down (D, n_shared F); with score="sigmoid" a buffer bias (E,). After a call `load` (E,) counts its assignments.
    Raises ValueError for another score and a top_k outside of 1..n_routed.

    Source: Dai et al. 2024, equations 6 to 11; for "sigmoid" DeepSeek-V3 2024, section 2.1.2.
    """

    def __init__(
        self, d_model: int, d_expert: int, n_routed: int, n_shared: int, top_k: int, score: str = "softmax"
    ) -> None:
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, x: Tensor) -> Tensor:
        """y (B, S, D): the chosen experts, weighed, and the shared ones."""

        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="train_moe"
def train_moe(layer: MoELayer, batches: Callable[[int], tuple[Tensor, Tensor]], steps: int, seed: int) -> MoELayer:
    """The layer, trained on the squared error and a balance loss; in eval mode.

    batches: i -> x (1, 256, D), y (1, 256, D), asked for i = 0 .. steps - 1. seed: fixes all that is drawn.

    Source: Fedus et al. 2021, section 2.2: the auxiliary loss is added to the task's.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
