"""How much of what was learnt to take: weights between the base's and the tuned ones, after Wortsman et al. 2022.

On the straight line between two such models the gain falls slowly and forgetting fast. Of the shares that forget little
on general code (not the code by which forgetting is judged) the one that is best on the files held out to choose is
taken. Knows weights and scoring functions, no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from runtime.models.decoder import Decoder

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
ALLOWED = 0.015  # how much worse general code may become while choosing


@dataclass(frozen=True)
class Blend:
    """share: of the tuned weights, 0 = the base. loss: nats per token on the files held out to choose.
    general: how much worse general code became, as a share; None without any."""

    share: float
    loss: float
    general: float | None


def blend(
    model: Decoder,
    base: Mapping[str, np.ndarray],
    tuned: Mapping[str, np.ndarray],
    choose: Callable[[], float],
    general: Callable[[], float] | None,
) -> tuple[Blend, list[Blend]]:
    """(the best, all that were tried); `model` holds the best's weights afterwards.

    choose, general: loss of `model` in nats per token with the weights that it holds at the time.
    """
    parameters = model.parameters()

    def take(share: float) -> None:
        for name, parameter in parameters.items():
            parameter.data[...] = base[name] + np.float32(share) * (tuned[name] - base[name])

    take(0.0)
    before = general() if general else None
    best, tried = Blend(0.0, choose(), 0.0 if general else None), []
    for share in SHARES:
        take(share)
        worse = general() / before - 1 if general else None
        tried.append(Blend(share, choose(), worse))
        if (worse is None or worse <= ALLOWED) and tried[-1].loss < best.loss:
            best = tried[-1]
    take(best.share)
    return best, tried
