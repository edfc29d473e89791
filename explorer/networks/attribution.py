"""Which inputs an answer rests on. Knows functions of tensors, not cells or genes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from explorer.progress import Progress


def integrated_gradients(
    place: Callable[[Tensor], Tensor],
    x: Tensor,
    baseline: Tensor,
    direction: Tensor,
    progress: Progress,
    steps: int = 16,
) -> tuple[Tensor, float]:
    """Attribution of cos(z, direction) to genes, averaged over cells, and its completeness error.

    Parameters
    ----------
    place
        Embeds cells, float (n, g) to (n, d), each by itself.
    x
        float (n, g), what the network takes.
    baseline
        float (g,), where the path to each cell starts.
    direction
        float (d,), length 1.

    Returns
    -------
    scores
        float (g,); sums to the mean of f(x) - f(baseline) up to the error.
    error
        Mean over cells of |sum - difference|, relative to the mean |difference|.
    """
    total = torch.zeros_like(x)
    for step in range(steps):
        point = (baseline + (step + 0.5) / steps * (x - baseline)).requires_grad_(True)
        value = F.cosine_similarity(place(point), direction[None], dim=1).sum()
        (gradient,) = torch.autograd.grad(value, point)
        total += gradient / steps
        progress((step + 1) / steps)
    attribution = total * (x - baseline)
    with torch.no_grad():
        ends = F.cosine_similarity(place(torch.cat([x, baseline[None]])), direction[None], dim=1)
    difference = ends[:-1] - ends[-1]
    error = (attribution.sum(1) - difference).abs().mean() / difference.abs().mean().clamp_min(1e-12)
    return attribution.mean(0), float(error)
