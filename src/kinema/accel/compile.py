"""`apply_compile`: the repeated blocks of a network compiled one by one."""

from __future__ import annotations

from torch import nn

from kinema.core.errors import InvalidInput

# The lists whose entries are alike: one compilation serves them all.
_REPEATED = ("transformer_blocks", "single_transformer_blocks", "blocks")


def apply_compile(model: nn.Module) -> nn.Module:
    """``model`` with every repeated block compiled in place; numbers change within the dtype's rounding.

    Blocks and not the whole: two small graphs compile several times sooner than one large one and run as fast, since a block is
    nearly all of the work. It needs a C++ compiler, and the first step waits for it, so a plan asks for it only where many
    clips follow; see `bench/kernels.py` for what it gains.

    Raises: InvalidInput for a network without repeated blocks.
    """
    blocks = [block for name in _REPEATED for block in getattr(model, name, ())]
    if not blocks:
        raise InvalidInput("compile", type(model).__name__, f"has no repeated blocks ({', '.join(_REPEATED)})")
    for block in blocks:
        block.compile(dynamic=False)
    return model
