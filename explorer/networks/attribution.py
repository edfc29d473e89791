"""Which inputs an answer rests on. Knows functions of tensors, not cells or genes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from explorer.progress import Progress

DETECTED = 0.03  # share of the cells that must express a gene before it can explain them


def detected(x: Tensor) -> Tensor:
    """Genes that more than 3 % of the cells express, bool (g,), of what the network takes, (n, g), 0 where absent.

    A gene that the cells lack can move a network as much as one they express, but it is no answer to what makes
    them what they are; so none of the measures below names it.
    """
    return (x != 0).float().mean(0) > DETECTED


def averaged_gradient(
    place: Callable[[Tensor], Tensor], x: Tensor, direction: Tensor, progress: Progress
) -> Tensor:
    """Mean over cells of the gradient of cos(z, direction) by each gene, float (g,); 0 for genes hardly detected.

    What a little more of each gene would do; it adds up to nothing (CONCORD, Zhu et al., 2026, of single units).

    Parameters
    ----------
    place, x, direction
        As for `integrated_gradients`.
    """
    point = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(F.cosine_similarity(place(point), direction[None], dim=1).sum(), point)
    progress(1.0)
    return gradient.mean(0) * detected(x)


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
        float (g,), where the path to each cell starts; or (n, g), where each cell's own does.
    direction
        float (d,), length 1.

    Returns
    -------
    scores
        float (g,), 0 for genes hardly detected in the cells; with those, it sums to the mean of f(x) - f(baseline) up
        to the error.
    error
        Mean over cells of |sum over all genes - difference|, relative to the mean |difference|.
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
        starts = torch.atleast_2d(baseline)
        ends = F.cosine_similarity(place(torch.cat([x, starts])), direction[None], dim=1)
    difference = ends[: len(x)] - ends[len(x) :]
    error = (attribution.sum(1) - difference).abs().mean() / difference.abs().mean().clamp_min(1e-12)
    return attribution.mean(0) * detected(x), float(error)
