"""Honest implementations: right in every product, each adding them up in a way of its own.

products    which products an element sums          sums       ways to add them up
adapters    implementations by such sums            formats    rounding, once
gemm, winograd, fourier    other algorithms         catalogue  all of them by name
hunt        `python tests/agreement/honest`: no verdict may go against any of them
"""
