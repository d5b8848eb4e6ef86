from __future__ import annotations

import pytest
import torch

from kinema.world.affine import compose, invert, rotate, scale, translate
from kinema.world.shadow import shadow, shadow_boxes
from kinema.world.solids import Shape, Solid, gather
from tests.world.poses import views
from tests.world.test_trace import SHAPES, inside

CPU = torch.device("cpu")
SUN = (-0.45, 0.75, 0.48)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shadows_lie_where_the_way_to_the_sun_is_barred(shape: Shape) -> None:
    view = views(0.0, height_px=40, width_px=60, pitch_deg=30.0)
    matrix = compose(translate(0.1, 0.7, 0.0), rotate("y", 0.5), rotate("x", 0.4), scale(0.6, 0.5, 0.4)).expand(1, 3, 4)
    solids = gather([Solid(shape=shape, matrix=matrix, colour=(1.0, 0.0, 0.0))])
    dark = shadow(solids, SUN, view, window=view.whole(), device=CPU)[0].to(torch.float64)
    # Walk from the ground to the sun in small steps.
    rx, rise, rz = (r[0].to(torch.float64) for r in view.rays(view.slopes(view.whole(), CPU), CPU))
    depth = view.position[0, 1] / -rise
    ground = torch.stack(
        torch.broadcast_tensors(view.position[0, 0] + depth * rx, 0 * rx, view.position[0, 2] + depth * rz), -1
    )
    ways = ground[..., None, :] + torch.linspace(0, 2.6, 400, dtype=torch.float64)[:, None] * torch.tensor(
        SUN, dtype=torch.float64
    )
    inverse = invert(matrix)[0]
    within = inside(shape, ways @ inverse[:, :3].T + inverse[:, 3]).to(torch.float64).mean(-1) * 2.6
    deep, clear = within > 0.25, within == 0
    assert int(deep.sum()) > 5
    # Rims are soft: a little light reaches in, a little shade out.
    assert float(dark[deep].mean()) > 0.8
    assert float(dark[deep].min()) > 0.3
    assert float(dark[clear].mean()) < 0.05
    left, top, right, bottom = shadow_boxes(solids, SUN, view)[0].tolist()
    rows, columns = (dark > 0.01).any(1).nonzero()[:, 0] + 0.5, (dark > 0.01).any(0).nonzero()[:, 0] + 0.5
    assert left <= float(columns.min()) <= float(columns.max()) <= right
    assert top <= float(rows.min()) <= float(rows.max()) <= bottom


def test_what_casts_none_has_no_shadow() -> None:
    view = views(0.0, height_px=20, width_px=30, pitch_deg=30.0)
    matrix = compose(translate(0.0, 0.5, 0.0), scale(0.4, 0.4, 0.4)).expand(1, 3, 4)
    solids = gather([Solid(shape=SHAPES[0], matrix=matrix, colour=(1.0, 0.0, 0.0), casts=False)])
    assert float(shadow(solids, SUN, view, window=view.whole(), device=CPU).max()) == 0.0
