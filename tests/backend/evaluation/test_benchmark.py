"""The benchmark of blur maps: its scores on maps whose errors are known, its scenes, its tables."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from defocus_backend.errors import FileError, InputError
from defocus_backend.evaluation.benchmark import (
    CONDITIONS,
    FRAME,
    PSFS,
    SCENES,
    Candidate,
    KnownScene,
    SceneScore,
    Trial,
    draw_scene,
    draw_scenes,
    make_candidate,
    network_candidate,
    run_benchmark,
    score_map,
)
from defocus_backend.evaluation.benchmark_report import as_json, as_markdown, summarise
from defocus_backend.evaluation.map_scores import (
    PROFILE,
    Errors,
    boundary,
    boundary_match,
    crossings,
    edge_scores,
    rank_correlation,
    separation,
)
from defocus_backend.synthetic.compositions import SharpPictures

REPOSITORY = Path(__file__).parents[3]
SIDE = 160


def known(sigma: np.ndarray, kind: str, sigmas: tuple[float, float]) -> KnownScene:
    everywhere = np.ones(sigma.shape, dtype=bool)
    picture = np.zeros(sigma.shape, dtype=np.uint8)
    return KnownScene(
        picture=picture,
        sigma=sigma.astype(np.float32),
        textured=everywhere,
        kind=kind,
        psf="disc",
        condition="noise 2",
        sigmas=sigmas,
    )


def vertical_step(column: float, low: float = 0.0, high: float = 6.0) -> np.ndarray:
    """Low to the left of a column, high from it on."""
    return np.where(np.arange(SIDE) < column, low, high)[None].repeat(SIDE, 0).astype(np.float32)


def ramp() -> np.ndarray:
    return np.linspace(0, 12, SIDE, dtype=np.float32)[None].repeat(SIDE, 0)


def slanted_step() -> np.ndarray:
    yy, xx = np.mgrid[0:SIDE, 0:SIDE]
    return np.where(0.6 * (xx - 80) + 0.8 * (yy - 80) > 0, 6.0, 0.0).astype(np.float32)


# --- scores ---


@pytest.mark.parametrize(
    ("sigma", "kind", "sigmas"),
    [
        (ramp(), "ramp", (0.0, 12.0)),
        (vertical_step(80), "step", (0.0, 6.0)),
        (slanted_step(), "step", (0.0, 6.0)),
        (vertical_step(70, 5, 1), "layered", (5.0, 1.0)),
    ],
)
def test_a_perfect_map_has_no_error(sigma: np.ndarray, kind: str, sigmas: tuple[float, float]) -> None:
    record = score_map(sigma, known(sigma, kind, sigmas))
    for errors in (record.textured, record.everywhere):
        assert errors is not None
        assert errors.pixels == (SIDE - 2 * FRAME) ** 2
        assert errors.mae() == errors.rmse == errors.bias == 0
    if kind == "ramp":
        assert record.spearman_textured == record.spearman_everywhere == pytest.approx(1)
        assert record.edge is None
        return
    assert record.edge is not None
    assert record.edge.near_all.mae() == record.edge.near_textured.mae() == 0
    assert record.edge.precision == record.edge.recall == record.edge.f_score == 1
    assert record.separation == 1
    assert np.median(record.edge.crossings) < 0.5


def test_a_constant_error_is_the_bias() -> None:
    record = score_map(ramp() + 1.5, known(ramp(), "ramp", (0.0, 12.0)))
    assert record.everywhere is not None
    for value in (record.everywhere.mae(), record.everywhere.rmse, record.everywhere.bias):
        assert value == pytest.approx(1.5, rel=1e-5)
    assert all(row["bias"] == pytest.approx(1.5, rel=1e-5) for row in record.everywhere.by_sigma())


@pytest.mark.parametrize("shift", [-5, -2, 3, 6])
def test_a_shifted_step_scores_what_the_shift_says(shift: int) -> None:
    truth, found = vertical_step(80), vertical_step(80 + shift)
    record = score_map(found, known(truth, "step", (0.0, 6.0)))
    assert record.everywhere is not None
    assert record.edge is not None
    # So many columns of 96 are wrong by 6 px.
    assert record.everywhere.mae() == pytest.approx(6 * abs(shift) / (SIDE - 2 * FRAME))
    assert record.everywhere.bias == pytest.approx(-6 * shift / (SIDE - 2 * FRAME))
    # 16 columns lie within 8 px of the edge, 8 on each side.
    assert record.edge.near_all.pixels == 16 * (SIDE - 2 * FRAME)
    assert record.edge.near_all.mae() == pytest.approx(6 * abs(shift) / 16)
    np.testing.assert_allclose(record.edge.crossings, abs(shift), atol=0.51)
    assert record.edge.f_score == 1


def test_a_boundary_out_of_reach_is_not_found() -> None:
    record = score_map(vertical_step(90), known(vertical_step(80), "step", (0.0, 6.0)))
    assert record.edge is not None
    assert record.edge.f_score == 0
    np.testing.assert_allclose(record.edge.crossings, 10, atol=0.51)


def test_a_soft_crossing_is_placed_between_pixels() -> None:
    truth = vertical_step(80)
    # Rises from 0 to 6 between columns 78 and 90: halfway at 84, and the edge runs at 79.5.
    soft = np.clip((np.arange(SIDE) - 78) / 2, 0, 6)[None].repeat(SIDE, 0).astype(np.float32)
    labels = truth > 3
    found = crossings(soft, labels, 3.0, boundary(labels))
    np.testing.assert_allclose(found, 4.5, atol=0.05)


def test_a_map_that_never_passes_or_passes_the_wrong_way_counts_as_far_off() -> None:
    labels = vertical_step(80) > 3
    for found in (np.full((SIDE, SIDE), 2.0), np.full((SIDE, SIDE), 5.0), 6 - vertical_step(80)):
        assert (crossings(found.astype(np.float32), labels, 3.0, boundary(labels)) == PROFILE).all()


def test_a_false_boundary_costs_precision_and_a_missed_one_recall() -> None:
    truth = boundary(vertical_step(40) > 3)
    both = truth | boundary(vertical_step(120) > 3)
    assert boundary_match(both, truth) == (0.5, 1.0)
    assert boundary_match(truth, both) == (1.0, 0.5)
    assert boundary_match(np.zeros_like(truth), truth) == (0.0, 0.0)


def test_scene_without_an_edge_inside_the_frame_has_no_edge_scores() -> None:
    truth = vertical_step(10)
    assert edge_scores(truth, truth, np.ones(truth.shape, dtype=bool), 3.0, frame=FRAME) is None


def test_boundary_is_both_sides_of_a_change() -> None:
    labels = np.zeros((5, 6), dtype=bool)
    labels[:, 3:] = True
    assert np.flatnonzero(boundary(labels).any(axis=0)).tolist() == [2, 3]
    assert not boundary(np.ones((4, 4), dtype=bool)).any()


def test_errors_add_up() -> None:
    rng = np.random.default_rng(0)
    truth, found = rng.uniform(0, 19, (2, 40, 50)).astype(np.float32)
    mask = rng.random((40, 50)) < 0.5
    both = Errors.of(found, truth, mask) + Errors.of(found, truth, ~mask)
    assert both.pixels == 2000
    assert both.mae() == pytest.approx(np.abs(found - truth).mean(), rel=1e-5)
    assert both.rmse == pytest.approx(np.sqrt(np.mean((found - truth) ** 2)), rel=1e-5)
    slight = truth < 4.5
    assert both.mae(4) == pytest.approx(np.abs(found - truth)[slight].mean(), rel=1e-5)
    assert math.isnan(Errors().mae())


def test_ranks_equal_scipys() -> None:
    from scipy import stats

    rng = np.random.default_rng(1)
    found, truth = rng.integers(0, 20, (2, 300)).astype(float)
    assert rank_correlation(found, truth) == pytest.approx(stats.spearmanr(found, truth).statistic)
    labels = truth > 9
    expected = stats.mannwhitneyu(found[labels], found[~labels]).statistic / (labels.sum() * (~labels).sum())
    assert separation(found, labels) == pytest.approx(expected)
    assert rank_correlation(np.zeros(9), np.arange(9.0)) == 0
    assert math.isnan(rank_correlation(np.arange(9.0), np.zeros(9)))
    assert math.isnan(separation(found, np.ones(300, dtype=bool)))


def test_bad_maps_are_refused() -> None:
    scene = known(ramp(), "ramp", (0.0, 12.0))
    with pytest.raises(InputError, match=r"^found:"):
        score_map(ramp()[1:], scene)
    with pytest.raises(InputError, match=r"^found:"):
        score_map(np.full((SIDE, SIDE), np.nan, dtype=np.float32), scene)


# --- scenes ---


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image
    from skimage import data

    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.camera()).save(folder / "camera.png")
    Image.fromarray(data.coffee()).save(folder / "coffee.png")
    return folder


@pytest.fixture(scope="module")
def pictures(photos: Path) -> SharpPictures:
    return SharpPictures(sorted(photos.iterdir()), SIDE)


def test_scenes_are_the_same_every_time(pictures: SharpPictures) -> None:
    for index in (0, 2, 3, 7):
        first, second = draw_scene(pictures, index, 5), draw_scene(pictures, index, 5)
        np.testing.assert_array_equal(first.picture, second.picture)
        np.testing.assert_array_equal(first.sigma, second.sigma)
        assert not np.array_equal(first.picture, draw_scene(pictures, index, 6).picture)


def test_every_sort_meets_every_condition_and_point_spread_function_once(pictures: SharpPictures) -> None:
    from defocus_backend.evaluation import benchmark

    met = set()
    for index in range(SCENES):
        sort = benchmark._SORTS[index % len(benchmark._SORTS)]
        met.add((sort, index % 2, index // 2 % 4))
    assert len(met) == SCENES == 17 * len(PSFS) * len(CONDITIONS)
    scenes = [draw_scene(pictures, index, 0) for index in range(8)]
    assert {(s.psf, s.condition) for s in scenes} == {(p, c) for p in PSFS for c in CONDITIONS}


def test_a_scene_is_the_sharp_picture_where_its_sigma_is_zero(pictures: SharpPictures) -> None:
    """Steps between sharp and 6 px: fine detail survives on the side whose label says sharp."""
    scene = draw_scene(pictures, 0, 0)
    assert scene.kind == "step"
    assert sorted(scene.sigmas) == [0, 6]
    assert set(np.unique(scene.sigma)) == {0, 6}
    assert scene.picture.dtype == np.uint8
    assert scene.picture.shape == scene.sigma.shape == scene.textured.shape == (SIDE, SIDE)
    detail = np.abs(np.diff(scene.picture.astype(float), axis=1, append=0))
    sharp, soft = (detail[scene.textured & (scene.sigma == s)] for s in (0, 6))
    assert sharp.mean() > 3 * soft.mean()


def test_noise_of_a_condition_is_what_it_says(pictures: SharpPictures) -> None:
    """Scenes 15 and 15 + 34 hold an even blur of 15 px: fine differences are noise alone."""
    for index in range(15, 15 + 8 * 17, 17):
        scene = draw_scene(pictures, index, 0)
        assert scene.kind == "uniform"
        assert scene.sigmas == (15, 15)
        level, quality = CONDITIONS[scene.condition]
        if quality is not None:
            continue
        picture = scene.picture.astype(float)
        diagonal = (picture[1:, 1:] - picture[1:, :-1] - picture[:-1, 1:] + picture[:-1, :-1]) / 2
        assert diagonal.std() == pytest.approx(level, rel=0.35, abs=0.5)


def test_a_flat_photograph_has_no_textured_pixel(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((256, 256), 120, dtype=np.uint8)).save(tmp_path / "flat.png")
    for scene in draw_scenes([tmp_path / "flat.png"], count=2, side=SIDE):
        assert not scene.textured.any()


def test_refusals(photos: Path, tmp_path: Path) -> None:
    paths = sorted(photos.iterdir())
    with pytest.raises(InputError, match=r"^scenes:"):
        draw_scenes(paths, count=0)
    with pytest.raises(InputError, match=r"^side:"):
        draw_scenes(paths, side=64)
    with pytest.raises(InputError, match=r"^photos:"):
        draw_scenes(paths, side=1024)
    with pytest.raises(FileError, match="not a folder"):
        run_benchmark([], tmp_path / "absent")
    with pytest.raises(InputError, match=r"^method:"):
        make_candidate("dmenet")
    with pytest.raises(InputError, match=r"^candidates: got entropy twice"):
        run_benchmark([make_candidate("entropy")] * 2, photos)


# --- the whole run ---


class Oracle:
    """Knows the truth of the scenes in the order in which they are drawn, and adds an error to it."""

    def __init__(self, photos: Path, count: int, error: float) -> None:
        self.scenes = list(draw_scenes(sorted(photos.iterdir()), count=count, side=SIDE))
        self.error = error

    def maps(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        scene = next(s for s in self.scenes if np.array_equal(s.picture, picture))
        return {"raw": scene.sigma + np.float32(self.error)}


@pytest.fixture(scope="module")
def trials(photos: Path) -> list[Trial]:
    candidates = [
        Candidate(name="truth", unit="px", maps=Oracle(photos, 9, 0).maps),
        Candidate(name="over", unit="px", maps=Oracle(photos, 9, 0.5).maps),
        make_candidate("deviation"),
        make_candidate("energy_ratio"),
    ]
    return run_benchmark(candidates, photos, count=9, side=SIDE)


def test_figures_of_the_truth_are_perfect(trials: list[Trial]) -> None:
    figures = summarise(trials[0])
    for region in ("textured", "everywhere"):
        assert figures[region]["mae"] == figures[region]["rmse"] == 0
        assert all(row["mae"] == 0 for row in figures[region]["by_sigma"])
    assert figures["edges"]["step 0/6"]["f_score"] == 1
    assert figures["edges"]["step 0/6"]["crossing_median"] < 0.5
    assert figures["spearman_ramps"] == pytest.approx(1)
    assert figures["spearman_pooled"] == pytest.approx(1)
    assert figures["separation"] == 1
    assert figures["scenes"] == 9


def test_figures_of_a_constant_error(trials: list[Trial]) -> None:
    figures = summarise(trials[1])
    assert figures["textured"]["bias"] == pytest.approx(0.5, rel=1e-5)
    for group in ("by_condition", "by_psf"):
        for part in figures["textured"][group].values():
            assert part["mae"] == pytest.approx(0.5, rel=1e-5) or part["pixels"] == 0


def test_relative_methods_have_order_but_no_error(trials: list[Trial]) -> None:
    names = [(t.name, t.variant) for t in trials]
    assert names[2:4] == [("deviation", "raw"), ("deviation", "refined")]
    figures = summarise(trials[2])
    assert "textured" not in figures
    assert -1 <= figures["spearman_pooled"] <= 1


def test_tables_hold_every_method_and_json_no_nan(trials: list[Trial]) -> None:
    tables = as_markdown(trials)
    assert tables.count("| truth | raw |") == 5
    assert tables.count("| deviation | raw |") == 1
    assert "nan" not in tables
    written = json.dumps(as_json(trials, scenes=9), allow_nan=False)
    assert json.loads(written)["settings"]["scenes"] == 9
    assert len(json.loads(written)["results"]) == len(trials)
    # Nothing measured: dashes and nulls, no failure.
    empty = Trial(name="none", variant="raw", unit="px")
    assert "| none | raw | - |" in as_markdown([empty])
    json.dumps(as_json([empty]), allow_nan=False)


def test_a_network_takes_part_raw_and_refined(random_weights: dict[str, Path], pictures: SharpPictures) -> None:
    scene = draw_scene(pictures, 0, 0)
    candidate = network_candidate("blurnet", weights=random_weights["blurnet"])
    maps = candidate.maps(scene.picture)
    assert set(maps) == {"raw", "refined"}
    records = [score_map(values, scene) for values in maps.values()]
    assert all(isinstance(r, SceneScore) and r.textured is not None for r in records)
    assert make_candidate(str(random_weights["blurnet"])).name == "blurnet"


def test_script_says_plainly_that_the_photos_are_missing(tmp_path: Path) -> None:
    script = REPOSITORY / "benchmarks" / "defocus_map.py"
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "absent")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "does not exist" in run.stderr
