"""G.711: mu-law and A-law to 16-bit linear samples and back, as tables (ITU-T G.711, tables 1a to 2b).

The 14-bit (mu-law) and 13-bit (A-law) values of the recommendation are scaled to 16 bits, as everybody does.

Not here: RTP, concealment of losses, levels.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# What a decoder of the time put out for each code, sign and magnitude; the bias makes mu-law's segments powers of two.
_MU_BIAS: Final = 0x84
_MU_CLIP: Final = 32635
_CODES: Final = np.arange(256, dtype=np.int32)
_SAMPLES: Final = np.arange(-32768, 32768, dtype=np.int32)


def _ulaw_to_linear() -> NDArray[np.int16]:
    code = ~_CODES & 0xFF
    magnitude = ((((code & 0x0F) << 3) + _MU_BIAS) << ((code >> 4) & 7)) - _MU_BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_to_linear() -> NDArray[np.int16]:
    code = _CODES ^ 0x55
    segment = (code >> 4) & 7
    magnitude = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment > 0, (magnitude + 0x100) << np.maximum(segment - 1, 0), magnitude)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _linear_to_ulaw() -> NDArray[np.uint8]:
    magnitude = np.minimum(np.abs(_SAMPLES), _MU_CLIP) + _MU_BIAS
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    code = (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F)
    codes: NDArray[np.uint8] = (~np.where(_SAMPLES < 0, code | 0x80, code) & 0xFF).astype(np.uint8)
    return codes


def _linear_to_alaw() -> NDArray[np.uint8]:
    # A negative value v is coded as the positive -v - 1: A-law has no code for zero (table 1b starts at -1).
    magnitude = np.where(_SAMPLES < 0, ~_SAMPLES, _SAMPLES) >> 4
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 3, 0)
    mantissa = np.where(segment > 1, magnitude >> np.maximum(segment - 1, 0), magnitude) & 0x0F
    code = (segment << 4) | mantissa
    codes: NDArray[np.uint8] = (np.where(_SAMPLES < 0, code, code | 0x80) ^ 0x55).astype(np.uint8)
    return codes


_ULAW_TO_LINEAR: Final = _ulaw_to_linear()
_ALAW_TO_LINEAR: Final = _alaw_to_linear()
_LINEAR_TO_ULAW: Final = _linear_to_ulaw()
_LINEAR_TO_ALAW: Final = _linear_to_alaw()


def decode_ulaw(codes: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Samples for mu-law codes, in the same shape."""
    return _ULAW_TO_LINEAR.take(codes)


def decode_alaw(codes: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Samples for A-law codes, in the same shape."""
    return _ALAW_TO_LINEAR.take(codes)


def encode_ulaw(samples: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Mu-law codes for samples, in the same shape."""
    return _LINEAR_TO_ULAW.take(samples.astype(np.int32) + 32768)


def encode_alaw(samples: NDArray[np.int16]) -> NDArray[np.uint8]:
    """A-law codes for samples, in the same shape."""
    return _LINEAR_TO_ALAW.take(samples.astype(np.int32) + 32768)
