"""Peaks: what is written is what was loudest, however the samples are cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.peaks import PeaksWriter, read_peaks


@pytest.mark.parametrize("chunk", [1, 399, 400, 401, 5000])
def test_points_are_the_extremes_of_each_twentieth_of_a_second(tmp_path, chunk):
    samples = np.random.default_rng(7).integers(-32768, 32768, (4100, 2), np.int16)
    with PeaksWriter(tmp_path / "peaks.dat", 8000) as writer:
        for begin in range(0, len(samples), chunk):
            writer.write(samples[begin : begin + chunk])
        writer.finish()
    peaks = read_peaks((tmp_path / "peaks.dat").read_bytes())
    assert (peaks.rate_hz, peaks.samples_per_point) == (8000, 400)
    assert peaks.points.shape == (11, 2, 2)
    for point in range(11):
        part = samples[400 * point : 400 * (point + 1)]
        np.testing.assert_array_equal(peaks.points[point, :, 0], part.min(axis=0) >> 8)
        np.testing.assert_array_equal(peaks.points[point, :, 1], part.max(axis=0) >> 8)


def test_an_empty_recording_has_no_points(tmp_path):
    with PeaksWriter(tmp_path / "peaks.dat", 8000) as writer:
        writer.finish()
    assert read_peaks((tmp_path / "peaks.dat").read_bytes()).points.shape == (0, 2, 2)


@given(st.binary(max_size=60))
def test_any_bytes_are_peaks_or_an_error(data):
    try:
        read_peaks(data)
    except ValueError:
        return
    assert len(data) >= 24
