"""Convolution by Fourier transforms: maps are transformed whole, multiplied, summed over channels and transformed back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from conformance import Arithmetic, Geometry
from conformance.problem import dtype_of

from .adapters import ByProducts, Gradients
from .formats import cast
from .sums import in_order, of_products

__all__ = ["Fourier"]


class Fourier(ByProducts):
    """library: `numpy.fft` or `scipy.fft`; length: of the transforms, from the least one; kept: the format of all of it.

    stored: the format in which spectra are stored, if that is another.
    """

    def __init__(
        self,
        name: str,
        says: str,
        classes: Mapping[str, Arithmetic],
        *,
        library: Any,
        length: Callable[[int], int],
        kept: str,
        stored: str | None = None,
    ) -> None:
        super().__init__(name, says, of_products(in_order, kept=kept), classes)
        self.library, self.length, self.kept, self.stored = library, length, kept, stored

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        """y[o] = (x~ correlated with the dilated kernel)[o s]."""
        g.check(x=x, w=w, b=b)
        spectrum = np.einsum(
            "ngc...,gmc...->ngm...", self._of(g, _padded(g, x), g.groups), self._kernels(g, w).conj()
        )
        y = self._back(g, spectrum)[
            (..., *(slice(0, (o - 1) * s + 1, s) for o, s in zip(g.output, g.stride, strict=True)))
        ]
        if b is not None:
            y = y + cast(b, self.kept).reshape(b.shape if b.ndim > 1 else (-1, *(1,) * g.rank))
        return cast(y, dtype_of(x.dtype).code)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Gradients:
        g.check(x=x, w=w, b=b, delta=delta)
        code = dtype_of(x.dtype).code
        errors = self._of(g, _stuffed(delta, g.output, g.stride), g.groups)
        spread = self._back(g, np.einsum("ngm...,gmc...->ngc...", errors, self._kernels(g, w)))
        dx = np.zeros(g.x_shape, x.dtype)
        dx[(..., *g.kept)] = cast(spread, code)[(..., *g.inner)]
        lags = np.einsum("ngc...,ngm...->gmc...", self._of(g, _padded(g, x), g.groups), errors.conj())
        taps: list[Any] = [slice(0, d * (k - 1) + 1, d) for k, d in zip(g.kernel, g.dilation, strict=True)]
        dw = self._back(g, lags).reshape(*g.w_shape[:2], *self._lengths(g))[(..., *taps)]
        if g.convention == "convolution":
            dw = np.flip(dw, tuple(range(2, dw.ndim)))
        db = None if b is None else self._sums(g, "db", x.dtype, delta=delta)
        return dx, np.ascontiguousarray(cast(dw, code)), db

    def _lengths(self, g: Geometry) -> list[int]:
        """Long enough that nothing wraps around."""
        return [self.length(n + r - 1) for n, r in zip(g.padded_size, g.kernel_reach, strict=True)]

    def _of(self, g: Geometry, a: Any, groups: int) -> Any:
        """The spectra of maps (N, C, *), as (N, G, C/G, *)."""
        spectra = self._stored(
            self.library.rfftn(cast(a, self.kept), self._lengths(g), axes=range(2, 2 + g.rank))
        )
        return spectra.reshape(len(a), groups, a.shape[1] // groups, *spectra.shape[2:])

    def _kernels(self, g: Geometry, w: Any) -> Any:
        """The spectra of the kernels, (G, M/G, C/G, *)."""
        turned = np.flip(w, tuple(range(2, w.ndim))) if g.convention == "convolution" else w
        spectra = self._of(g, _stuffed(turned, g.kernel, g.dilation), 1)
        return spectra.reshape(g.groups, g.maps // g.groups, *spectra.shape[2:])

    def _back(self, g: Geometry, spectra: Any) -> Any:
        """Maps (N, C, *) from spectra (N, G, C/G, *)."""
        axes = range(spectra.ndim - g.rank, spectra.ndim)
        maps = self.library.irfftn(self._stored(spectra), self._lengths(g), axes=axes)
        return maps.reshape(len(spectra), spectra.shape[1] * spectra.shape[2], *maps.shape[3:])

    def _stored(self, spectra: Any) -> Any:
        """Both parts through the format in which they are stored, and back."""
        if self.stored is None:
            return spectra
        parts = spectra.view(spectra.real.dtype)
        return cast(cast(parts, self.stored), self.kept).view(spectra.dtype)


def _padded(g: Geometry, x: Any) -> Any:
    padded = np.zeros((*x.shape[:2], *g.padded_size), x.dtype)
    padded[(..., *g.inner)] = x[(..., *g.kept)]
    return padded


def _stuffed(a: Any, size: tuple[int, ...], step: tuple[int, ...]) -> Any:
    """Zeros between the elements: `step` - 1 of them."""
    stuffed = np.zeros((*a.shape[:2], *((n - 1) * s + 1 for n, s in zip(size, step, strict=True))), a.dtype)
    every: list[Any] = [slice(None, None, s) for s in step]
    stuffed[(..., *every)] = a
    return stuffed
