"""Losses shared by the methods: embeddings in, a scalar out. Knows pairs of views, not cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def contrastive_loss(
    first: Tensor, second: Tensor, temperature: float, hardness: float = 0.0, class_prior: float = 0.0
) -> Tensor:
    """NT-Xent over two views, with negatives reweighted towards the hard ones.

    With l_km = z_k . z_m / T over the 2B normalised rows, n = 2B - 2 negatives m of anchor k and positive k+:

        log Z_k = logsumexp_m(beta l_km) - log n
        loss_k  = -l_kk+ + log(exp l_kk+ + sum_m exp((1 + beta) l_km - log Z_k))

    `hardness` beta = 0 is plain NT-Xent. The importance weights exp(beta l) / mean exp(beta l) have mean 1 and
    act on temperature-scaled logits, as in Robinson et al. 2021 and the CONCORD code (the CONCORD text writes
    the same with beta / T). `class_prior` is the tau+ of the debiased form.

    Parameters
    ----------
    first, second
        float (B, d), row i of both being two views of one cell; need not be normalised.
    temperature
        T in (0, 1].
    hardness
        beta >= 0.
    class_prior
        tau+ in [0, 1): assumed share of negatives that are of the anchor's own class.

    Returns
    -------
    Tensor
        Scalar, mean over the 2B anchors.
    """
    z = torch.cat([first, second])
    z = F.normalize(z if z.dtype == torch.float64 else z.float(), dim=1)  # (2B, d)
    total = len(z)
    negatives = total - 2
    logits = z @ z.T / temperature  # (2B, 2B)
    anchors = torch.arange(total, device=z.device)
    partner = anchors.roll(total // 2)
    positive = logits[anchors, partner]
    blank = torch.eye(total, dtype=torch.bool, device=z.device)
    blank[anchors, partner] = True
    others = logits.masked_fill(blank, -math.inf)
    log_negatives = torch.logsumexp((1 + hardness) * others, 1)
    if hardness > 0:
        log_negatives = log_negatives - (torch.logsumexp(hardness * others, 1) - math.log(negatives))
    if class_prior > 0:
        debiased = (log_negatives.exp() - class_prior * negatives * positive.exp()) / (1 - class_prior)
        log_negatives = debiased.clamp_min(negatives * math.exp(-1 / temperature)).log()
    return (torch.logaddexp(positive, log_negatives) - positive).mean()


def cross_entropies(logits: Sequence[Tensor], codes: Iterable[Tensor]) -> Tensor:
    """Mean cross-entropy of the labelled cells of each level, float (levels,); 0 where no cell has a label.

    Parameters
    ----------
    logits
        float (B, C) of each level.
    codes
        int64 (B,) of each level, -1 for unlabelled.
    """
    losses = [
        F.cross_entropy(of_level, own, ignore_index=-1, reduction="sum") / (own >= 0).sum().clamp_min(1)
        for of_level, own in zip(logits, codes, strict=True)
    ]
    return torch.stack(losses)
