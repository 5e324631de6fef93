"""Expectation-maximisation of Gaussian mixtures, for many sets of points at once.

log w_k + log N(x; m_k, Σ_k) is linear in the monomials φ(x) = (1, x_i, x_i x_j), and the sums that the next weights,
means and covariances need are sums of φ. So a round of EM is two products of small matrices. The points are centred
and scaled once, which makes these products exact to 1e-6 for components as narrow as NARROW times the spread of all
points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

NARROW = 1e-5  # a component whose root is narrower, as a share of the spread of all points, is lost
CHUNK = 2**21  # numbers of φ that are held at a time


class Mixtures(NamedTuple):
    """Hold R mixtures of k Gaussians.

    Attributes:
        weights: The weights of the components, (R, k).
        means: The means of the components, (R, k, d).
        roots: The Cholesky roots of the covariances, (R, k, d, d); 0 where a covariance has none.
    """

    weights: Tensor
    means: Tensor
    roots: Tensor


class MixtureFit(NamedTuple):
    """Hold the result of a fit of R mixtures.

    Attributes:
        mixtures: The fitted mixtures. A chain that loses a component keeps the mixture before that round.
        log_likelihood: The mean log-likelihood of the last round, (R,).
        rounds: The number of rounds, (R,) float64.
        lost: Whether a component was lost, (R, k).
    """

    mixtures: Mixtures
    log_likelihood: Tensor
    rounds: Tensor
    lost: Tensor

    @classmethod
    def at_start(cls, mixtures: Mixtures, lost: Tensor) -> MixtureFit:
        """Return the result before the first round: log-likelihoods of -inf and 0 rounds."""
        zeros = torch.zeros(len(lost)).double()
        copies = Mixtures(*(tensor.clone() for tensor in mixtures))
        return cls(copies, zeros - math.inf, zeros.clone(), lost.clone())

    def write(
        self, working: np.ndarray, ended: np.ndarray, mixtures: Mixtures, log_likelihood: Tensor, lost: Tensor, n: int
    ) -> None:
        """Write the chains that have ended in a round.

        Args:
            working: The numbers of the chains at work, (w,).
            ended: Which of them have ended, (w,).
            mixtures: The mixtures of the chains at work.
            log_likelihood: Their mean log-likelihoods, (w,).
            lost: Whether they have lost a component, (w, k).
            n: The number of the round.
        """
        if not ended.any():
            return
        places, rows = torch.from_numpy(working[ended]), torch.from_numpy(np.flatnonzero(ended))
        for target, source in zip(self.mixtures, mixtures, strict=True):
            target[places] = source[rows]
        self.log_likelihood[places], self.lost[places] = log_likelihood[rows], lost[rows]
        self.rounds[places] = float(n)


class Products(NamedTuple):
    """Hold the index of the products x_i x_j in φ.

    Attributes:
        i: i of each product.
        j: j of each product.
        place: The place of each product in a flattened (d, d) matrix.
        places: The product that belongs to each place of a flattened (d, d) matrix.
        square: 1.0 where i and j are the same, else 0.0.
        factor: The factor of the product's entry of the precision in log N(x; m, Σ).
    """

    i: Tensor
    j: Tensor
    place: Tensor
    places: Tensor
    square: Tensor
    factor: Tensor

    def of(self, x: Tensor, axis: int) -> Tensor:
        """Return the products x_i x_j of x along an axis."""
        return x.index_select(axis, self.i) * x.index_select(axis, self.j)


@dataclass(frozen=True)
class EM:
    """Fit mixtures by rounds of EM until the mean log-likelihood changes by less than `tol`.

    Args:
        dimension: The dimension of the points, d.
        diagonal: Whether covariances are diagonal.
        tol: The change of the mean log-likelihood below which a chain ends.
        max_iter: The largest number of rounds.
        reg_covar: What is added to the diagonal of the covariances.
    """

    dimension: int
    diagonal: bool
    tol: float
    max_iter: int
    reg_covar: float

    def fit(self, points: Tensor, members: Tensor) -> MixtureFit:
        """Return the mixtures of R sets of points.

        Args:
            points: The points (R, d, n).
            members: The memberships (R, k, n) from which the first round of maximisation starts.
        """
        members = members[:, 1:]
        size = max(1, CHUNK // ((1 + self.dimension + len(self.products.i) + members.shape[1]) * points.shape[2]))
        fits = [self._fit(*chunk) for chunk in zip(torch.split(points, size), torch.split(members, size), strict=True)]
        mixtures = Mixtures(*(torch.cat(tensors) for tensors in zip(*(fit.mixtures for fit in fits), strict=True)))
        return MixtureFit(mixtures, *(torch.cat(tensors) for tensors in list(zip(*fits, strict=True))[1:]))

    @cached_property
    def products(self) -> Products:
        """Return the index of the products x_i x_j in φ."""
        d = self.dimension
        i, j = torch.arange(d).expand(2, -1) if self.diagonal else torch.triu_indices(d, d)
        places = torch.zeros(d, d, dtype=torch.int64)
        places[i, j] = places[j, i] = torch.arange(len(i))
        square = (i == j).double()
        return Products(i, j, i * d + j, places.flatten(), square, 0.5 * square - 1)

    @cached_property
    def identity(self) -> Tensor:
        """Return the d x d identity, float64."""
        return torch.eye(self.dimension).double()

    def _fit(self, points: Tensor, members: Tensor) -> MixtureFit:
        centre = points.mean(2, keepdim=True)
        spread = (points - centre).square().mean((1, 2)).sqrt()
        scale = torch.where(spread > 0, spread, 1.0)
        phi = self._monomials(points, centre, scale)
        floor = self.reg_covar / scale.square()
        fit = self._rounds(phi, members, floor)
        weights, means, roots = fit.mixtures
        means = means * scale[:, None, None] + centre.transpose(1, 2)
        mixtures = Mixtures(weights, means, roots * scale[:, None, None, None])
        return fit._replace(mixtures=mixtures, log_likelihood=fit.log_likelihood - self.dimension * scale.log())

    def _monomials(self, points: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
        """Return φ of the centred and scaled points, (R, f, n)."""
        r, d, n = points.shape
        phi = torch.ones(r, 1 + d + len(self.products.i), n).to(points)
        x = phi[:, 1 : 1 + d]
        torch.sub(points, centre, out=x).div_(scale[:, None, None])
        for place, (i, j) in enumerate(zip(self.products.i, self.products.j, strict=True), start=1 + d):
            torch.mul(x[:, i], x[:, j], out=phi[:, place])
        return phi

    def _rounds(self, phi: Tensor, members: Tensor, floor: Tensor) -> MixtureFit:
        """Return the fit of scaled points; a chain that has ended is written to the result at once.

        Dropping chains copies those that remain, so drop the ended chains once they are half of those at work.
        """
        totals = phi.sum(2)
        mixtures, lost = self._maximised(phi, totals, members, floor)
        result = MixtureFit.at_start(mixtures, lost)
        working, done = np.arange(len(phi)), lost.any(1).numpy()
        before = np.full(len(phi), -math.inf)
        for count in range(1, self.max_iter + 1):
            if 2 * done.sum() >= len(done):
                keep = torch.from_numpy(np.flatnonzero(~done))
                phi, totals, floor = (tensor.index_select(0, keep) for tensor in (phi, totals, floor))
                mixtures = Mixtures(*(tensor.index_select(0, keep) for tensor in mixtures))
                working, before, done = working[~done], before[~done], done[~done]
                if not len(working):
                    break
            means, shares = self._expected(phi, totals, mixtures)
            log_likelihood = means.numpy()
            maximised, lost = self._maximised(phi, totals, shares, floor)
            gone = lost.any(1).numpy()
            ended = ((np.abs(log_likelihood - before) < self.tol) | gone | (count == self.max_iter)) & ~done
            if ended.any():
                result.write(working, ended & gone, mixtures, means, lost, count)
                result.write(working, ended & ~gone, maximised, means, lost, count)
                done = done | ended
            before, mixtures = log_likelihood, maximised
        return result

    def _expected(self, phi: Tensor, totals: Tensor, mixtures: Mixtures) -> tuple[Tensor, Tensor]:
        """Return the mean log-likelihood (R,), and the shares (R, k - 1, n) of all components but the first."""
        coefficients = self._coefficients(mixtures)
        first = (coefficients[:, 0] * totals).sum(1) / phi.shape[2]
        odds = torch.bmm(coefficients[:, 1:] - coefficients[:, :1], phi)
        if odds.shape[1] == 1:  # two components, so the softmax is a logistic function
            shares = odds.sigmoid()
            top, logs = odds.clamp_(min=0), -_sum_of_logs((shares - 0.5).abs_().add_(0.5)[:, 0], 2)
        else:
            top = odds.amax(1, keepdim=True).clamp(min=0) if odds.shape[1] else torch.zeros_like(phi[:, :1])
            shares = odds.sub_(top).exp_()
            total = shares.sum(1, keepdim=True).add_((-top).exp_())
            shares, logs = shares.div_(total), _sum_of_logs(total[:, 0], odds.shape[1] + 1)
        return first + (top.sum((1, 2)) + logs) / phi.shape[2], shares

    def _coefficients(self, mixtures: Mixtures) -> Tensor:
        """Return the coefficients of φ in log w_k + log N(x; m_k, Σ_k), (R, k, f)."""
        weights, means, roots = mixtures
        # A chain that has ended may have a root of 0, for which cholesky_inverse would raise, so solve instead
        inverse = torch.linalg.solve_triangular(roots, self.identity, upper=False)
        precision = inverse.mT @ inverse
        linear = (precision * means[..., None, :]).sum(-1)
        log_determinant = 2 * roots.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = weights.log() - 0.5 * (
            self.dimension * math.log(2 * math.pi) + log_determinant + (linear * means).sum(-1)
        )
        squares = precision.flatten(-2).index_select(-1, self.products.place) * self.products.factor
        return torch.cat([constant[..., None], linear, squares], -1)

    def _maximised(self, phi: Tensor, totals: Tensor, shares: Tensor, floor: Tensor) -> tuple[Mixtures, Tensor]:
        """Return the mixtures of these shares, and which components (R, k) have lost their covariance."""
        others = torch.bmm(shares, phi.transpose(1, 2))
        sums = torch.cat([totals[:, None] - others.sum(1, keepdim=True), others], 1)
        counts, d = sums[..., 0], self.dimension
        averages = sums[..., 1:] / counts.clamp(min=torch.finfo(sums.dtype).tiny)[..., None]
        means = averages[..., :d]
        products = averages[..., d:] - self.products.of(means, -1) + floor[:, None, None] * self.products.square
        covariances = products.diag_embed()
        if not self.diagonal:
            covariances = products.index_select(-1, self.products.places).view(*counts.shape, d, d)
        roots, info = torch.linalg.cholesky_ex(covariances)
        failed = info > 0
        lost = failed | ~(roots.diagonal(dim1=-2, dim2=-1).amin(-1) > NARROW)
        roots = roots.masked_fill(failed[..., None, None], 0)
        return Mixtures(counts / counts.sum(1, keepdim=True), means, roots), lost


def _sum_of_logs(numbers: Tensor, bound: int) -> Tensor:
    """Return Σ log x over rows (R, n) of numbers between 1/bound and bound, as (R,).

    A product of many numbers takes one logarithm, so take the logarithms of products as long as float64 can hold.
    """
    size = int(1000 / math.log2(max(bound, 2)))
    logs = [numbers[:, start : start + size].prod(1).log() for start in range(0, numbers.shape[1], size)]
    return torch.stack(logs).sum(0)
