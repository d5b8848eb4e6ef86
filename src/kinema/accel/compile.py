"""`apply_compile`: the repeated blocks of a network compiled one by one."""

from __future__ import annotations

from torch import nn

from kinema.core.blocks import repeated_blocks
from kinema.core.errors import InvalidInput


def apply_compile(model: nn.Module) -> nn.Module:
    """``model`` with every repeated block compiled in place; numbers change within the dtype's rounding.

    Blocks and not the whole: two small graphs compile several times sooner than one large one and run as fast, since a block is
    nearly all of the work. It needs a C++ compiler, and the first step waits for it, so a plan asks for it only where many
    clips follow; see `bench/kernels.py` for what it gains.

    Raises: InvalidInput for a network without repeated blocks.
    """
    blocks = repeated_blocks(model.state_dict())
    if not blocks:
        raise InvalidInput("compile", type(model).__name__, "has no repeated blocks (a numbered list of them)")
    for name in blocks:
        model.get_submodule(name).compile(dynamic=False)  # blocks that are alike share one compilation
    return model
