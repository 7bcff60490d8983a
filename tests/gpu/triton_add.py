# SPDX-License-Identifier: Apache-2.0
"""A kernel of Triton's, which launches through the driver itself."""
import triton
import triton.language as tl


@triton.jit
def triton_add(a, b, out, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + places, tl.load(a + places) + tl.load(b + places))
