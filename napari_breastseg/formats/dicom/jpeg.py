"""JPEG Lossless, JPEG of more than 8 bits and JPEG 2000: a decoder of grey frames for pydicom.

Importing this module registers it. imagecodecs (BSD) brings libjpeg-turbo, OpenJPEG and CharLS,
which are BSD too and refuse a damaged stream. pydicom's own choices are pylibjpeg-libjpeg, which
is under the GPL, and GDCM, which aborts the whole program on some damaged streams. Baseline JPEG
and RLE are left to Pillow and pydicom, and JPEG-LS to pyjpegls unless it fails: it refuses some
whole streams, such as MR1_JLSL of the NEMA's test images.
"""

from __future__ import annotations

from typing import Any

from pydicom.pixels import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

__all__ = ["DECODER_DEPENDENCIES", "decode_frame", "is_available"]

_NAME = "napari-breastseg"
_JPEG = (JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
_JPEG_2000 = (JPEG2000, JPEG2000Lossless, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
_JPEG_LS = (JPEGLSLossless, JPEGLSNearLossless)
_END = b"\xff\xd9"
_PADDING = 16
"""The end of a stream is looked for in so many last bytes: some writers fill up after it."""

DECODER_DEPENDENCIES = dict.fromkeys(_JPEG + _JPEG_2000 + _JPEG_LS, ("imagecodecs",))
"""Packages by transfer syntax, as pydicom asks every decoder for them."""


def is_available(uid: str) -> bool:
    """Whether frames of a transfer syntax can be decoded here."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(src: bytes, runner: Any) -> bytes:
    """Voxels of one grey frame in row order, each as wide as the stream's own precision asks.

    Parameters
    ----------
    src : bytes
        The frame's stream.
    runner : pydicom.pixels.decoders.base.DecodeRunner
        Says what the header holds, and is told the width.

    Raises
    ------
    ValueError
        If the stream is cut short, the frame is in color, or its size is not the header's.
    """
    from imagecodecs import jpeg2k_decode, jpeg8_decode, jpegls_decode

    stream = bytes(src)
    if _END not in stream[-_PADDING:]:  # libjpeg-turbo would fill what is missing
        raise ValueError("the stream is cut short")
    decoders = {**dict.fromkeys(_JPEG, jpeg8_decode), **dict.fromkeys(_JPEG_LS, jpegls_decode)}
    frame = decoders.get(runner.transfer_syntax, jpeg2k_decode)(stream)
    if frame.shape != (runner.rows, runner.columns):
        raise ValueError(f"a frame of {frame.shape} is not {runner.rows} x {runner.columns}")
    runner.set_option("bits_allocated", 8 * frame.itemsize)
    decoded: bytes = frame.tobytes()
    return decoded


for _syntax in DECODER_DEPENDENCIES:
    if _NAME not in get_decoder(_syntax).available_plugins:
        get_decoder(_syntax).add_plugin(_NAME, (__name__, "decode_frame"))
