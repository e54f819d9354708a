"""Distance, best plane and autofocus under a simulated microscope. python benchmarks/micrometres.py [--json FILE]

A 10x/0.3 widefield microscope (paraxial point spread function) over flat specimens at known z, with noise of 2 gray
values. One field of nuclei calibrates; everything is measured on other fields.

- distance: |z| from one picture, where sigma is 1 to 12 px; right within 10 % or 0.2 um;
- best plane: stacks of nine planes, 4 um apart, of nuclei, membranes and filaments with the focus anywhere between
  them; right if it is the plane nearest to the focus;
- verdict: area under the ROC curve of the median sigma, pictures in focus against pictures at each distance;
- autofocus: from -20 to 20 um from the focus, at most three pictures; in focus within half the depth of field.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import defocus_backend as db
from defocus_backend.synthetic.drawn import draw_filaments
from defocus_backend.synthetic.microscope import SimulatedMicroscope, draw_membranes, draw_nuclei

KINDS = {"nuclei": draw_nuclei, "membranes": draw_membranes, "filaments": draw_filaments}
STACK_Z = np.arange(-54.0, 55.0, 6.0)
PLACES = (-45.0, -33.0, -21.0, -12.0, -5.0, 7.0, 16.0, 26.0, 38.0, 48.0)
APART = (4.0, 8.0, 12.0, 16.0, 24.0, 40.0)
PLANES, STEP = 9, 4.0
REACH = 20.0


def field(seed: int, side: int, kind: str = "nuclei", focus: float = 0.0) -> SimulatedMicroscope:
    """A field of a kind; the same for the same seed."""
    return SimulatedMicroscope(KINDS[kind](side, np.random.default_rng(seed)), focus, seed=seed)


def distances(
    calibration: db.DefocusCalibration, judge: db.quality.QualityEstimator, side: int, count: int
) -> dict[str, Any]:
    """How far |z| from one picture is off, and how often its error bar holds."""
    one, found = calibration.channel(), []
    for seed in range(100, 100 + count):
        scope = field(seed, side)
        for z, picture in zip(PLACES, scope.stack(PLACES), strict=True):
            sigma = judge.measure(picture).sigma_median
            if not 1 <= scope.slope * abs(z) <= 12:
                continue
            away = one.distance(sigma)
            found.append((abs(z), float(away.distance), float(away.error)))
    true, said, error = np.asarray(found).T
    off = np.abs(said - true)
    return {
        "pictures": len(true),
        "refused": int(np.isnan(said).sum()),
        "within_10_percent": share(off <= np.maximum(0.1 * true, 0.2)),
        "median_relative_error": round(float(np.nanmedian(off / true)), 4),
        "within_1_error": share(off[np.isfinite(off)] <= error[np.isfinite(off)]),
        "within_2_errors": share(off[np.isfinite(off)] <= 2 * error[np.isfinite(off)]),
    }


def best_planes(judge: db.quality.QualityEstimator, side: int, count: int) -> dict[str, Any]:
    """How often the best plane is the one nearest to the focus, for each kind of specimen."""
    rows: dict[str, Any] = {}
    for kind in KINDS:
        right, off = [], []
        for seed in range(300, 300 + count):
            focus = np.random.default_rng(seed).uniform(1.5, PLANES - 2.5) * STEP
            planes = field(seed, side, kind, focus).stack(STEP * np.arange(PLANES))
            best = db.best_plane([judge.measure(plane).blocks for plane in planes])
            nearest = np.abs(np.arange(PLANES) - focus / STEP)
            # Halfway between two planes both are as good.
            right.append(best.index is not None and nearest[best.index] <= nearest.min() + 0.1)
            off.append(np.nan if best.z is None else best.z - focus / STEP)
        rows[kind] = {"fields": count, "right": share(right), "rms_planes": rms(off)}
    return rows


def separation(judge: db.quality.QualityEstimator, side: int, count: int) -> dict[str, float]:
    """Area under the ROC curve of sigma between fields in focus and other fields at each distance."""
    sharp = sigmas(judge, range(400, 400 + count), 0.0, side)
    return {f"{z:g} um": round(auc(sharp, sigmas(judge, range(600, 600 + count), z, side)), 3) for z in APART}


def sigmas(judge: db.quality.QualityEstimator, seeds: range, z: float, side: int) -> list[float]:
    """Median sigma of each field at a distance from focus; a picture that is nothing to judge counts as far out."""
    found = [judge.measure(field(seed, side).stack([z])[0]).sigma_median for seed in seeds]
    return [s if np.isfinite(s) else 19.0 for s in found]


def auc(low: list[float], high: list[float]) -> float:
    """Probability that one of `high` is above one of `low`."""
    above = np.asarray(high)[None, :] - np.asarray(low)[:, None]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


def starts(calibration: db.DefocusCalibration, side: int, count: int) -> dict[str, Any]:
    """Results of autofocus from random starts on different fields."""
    near = calibration.channel().depth_of_field / 2
    failed, refused, off, pictures = 0, [], [], []
    for seed in range(800, 800 + count):
        scope = field(seed, side, focus=float(np.random.default_rng(seed).uniform(-REACH, REACH)))
        found = db.autofocus(scope.snap, scope.move, calibration, start=0.0, device="cpu")
        pictures.append(len(found.pictures))
        if not found.focused:
            refused.append(found.reason)
            continue
        off.append(found.z - scope.focus)
        failed += abs(off[-1]) > near
    return {
        "starts": count,
        "in_focus": len(off) - failed,
        "wrong_and_sure": failed,
        "refused": len(refused),
        "reasons": sorted(set(refused)),
        "half_depth_of_field_um": round(near, 2),
        "rms_um": rms(off),
        "median_um": round(float(np.median(np.abs(off))), 2),
        "most_pictures": max(pictures),
        "mean_pictures": round(float(np.mean(pictures)), 2),
    }


def share(right: Any) -> float:
    """Share that is true, to three digits."""
    return round(float(np.mean(right)), 3)


def rms(values: list[float]) -> float:
    """Root mean square of the known values."""
    return round(float(np.sqrt(np.nanmean(np.square(values)))), 3)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=192, help="of the pictures in pixels")
    parser.add_argument("--fields", type=int, default=17, help="fields a kind; three times as many starts")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args(arguments)
    judge = db.quality.QualityEstimator(device="cpu")
    calibration = db.calibrate_defocus(field(1, options.side).stack(STACK_Z), z=STACK_Z, pixel_size=0.65, device="cpu")
    side, count = options.side, options.fields
    results: dict[str, Any] = {
        "settings": {"side": side, "fields": count, "aperture": round(calibration.aperture(), 3)}
    }
    for name, measure in {
        "distance": partial(distances, calibration, judge, side, count),
        "autofocus": partial(starts, calibration, side, 3 * count),
        "separation": partial(separation, judge, side, count),
        "best_plane": partial(best_planes, judge, side, count),
    }.items():
        results[name] = measure()
        print(json.dumps({name: results[name]}), flush=True)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
