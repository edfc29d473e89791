"""How embeddings lie on the sphere: worked out by hand, and what collapse does to both figures."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from explorer.networks.geometry import alignment, collapsed, uniformity

Z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=torch.float64)


def test_by_hand() -> None:
    assert alignment(Z, k=1) == pytest.approx(0.5333333333, abs=1e-10)
    assert uniformity(Z) == pytest.approx(-1.4997749839, abs=1e-10)


def test_collapse_makes_both_zero() -> None:
    collapsed = Z[:1].repeat(5, 1)
    assert alignment(collapsed, k=2) == 0
    assert uniformity(collapsed) == pytest.approx(0, abs=1e-12)


def test_a_model_is_told_to_have_collapsed_only_when_it_has() -> None:
    torch.manual_seed(0)
    spread = F.normalize(torch.rand(200, 16), dim=1)
    nearly_one = F.normalize(torch.ones(16) + 0.05 * torch.randn(200, 16), dim=1)
    turned = spread @ torch.linalg.qr(torch.randn(16, 16)).Q
    dead = torch.zeros(200, 16)
    assert collapsed(spread, nearly_one)
    assert collapsed(spread, dead)
    assert not collapsed(spread, turned)
