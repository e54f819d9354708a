"""The paper's tables and figures: what is printed, what is computed from it, and what is said of absent inputs."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from defocus_backend.errors import Cancelled, FileError, InputError
from paper import (
    ITEMS,
    PAGE,
    Context,
    Inputs,
    Item,
    ItemResult,
    enhancement,
    fusion_scores,
    map_figures,
    networks,
    recipe,
    reproduce,
)
from paper.__main__ import main
from paper.inputs import Pair
from paper.page import write_result
from paper.result import Figure, Table


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with one small picture of fine texture to train and one to measure on, without Lytro pairs."""
    for seed, part in enumerate(("train", "val")):
        folder = tmp_path / "data" / "photos" / part
        folder.mkdir(parents=True)
        cells = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(cells.repeat(2, axis=0).repeat(2, axis=1)).save(folder / "a.png")
    return tmp_path / "data"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    return result.exit_code, result.output


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_table_and_figure_of_the_issue_has_an_item() -> None:
    figures = [f"fig{n}" for n in (5, 6, 7, 8, 9, 10, 11, 12, 14, 15)]
    assert list(ITEMS) == ["table2", "table3", *figures]


def test_eq_12_as_printed_rises_again_beyond_10_px() -> None:
    found = enhancement.printed_weight(np.array([1.0, 7.0, 10.0, 13.0, 19.0]))
    np.testing.assert_allclose(found, [0.999, 0.001, 0.0, 0.001, 0.999], atol=1e-12)


def test_figure_10_is_eqs_8_to_10(tmp_path: Path) -> None:
    code, _ = run("fig10", "--out", tmp_path)
    assert code == 0
    row = next(r for r in rows_of(tmp_path / "fig10_curves.csv") if r["blur / 19 px"] == "0.25")
    expected = 1 / (1 + math.exp(-50 * (0.25 - 0.1))) * (1 - 1 / (1 + math.exp(-25 * (0.25 - 0.3))))
    assert float(row["beta2 = 0.3"]) == pytest.approx(expected, abs=1e-4)
    assert (tmp_path / "fig10.png").read_bytes().startswith(b"\x89PNG")
    assert "## Figure 10" in (tmp_path / PAGE).read_text()


def test_only_takes_several_items_and_refuses_others(tmp_path: Path) -> None:
    code, output = run("--only", "table3", "fig13", "--out", tmp_path / "new")
    assert (code, "'fig13' is not one of" in output) == (2, True)
    with pytest.raises(InputError, match="only: got 'fig13'"):
        next(reproduce(Context(inputs=Inputs()), tmp_path, ["fig13"]))
    assert not (tmp_path / "new").exists()


def test_table_2_without_data_says_so(tmp_path: Path) -> None:
    code, output = run("--only", "table2", "--out", tmp_path, "--json")
    assert code == 0
    assert "photos/val" in json.loads(output)["items"][0]["missing"][0]
    assert "photos/val" in (tmp_path / PAGE).read_text()


def test_table_2_trains_scores_and_names_what_is_absent(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "TRAINED", ("blurnet",))
    monkeypatch.setattr(networks, "patches_per_second", lambda _: 1.0)
    folder = tmp_path / "networks"
    arguments = ["table2", "--data", data, "--networks", folder, "--train-minutes", 0.001, "--out", tmp_path / "out"]
    code, _ = run(*arguments)
    assert code == 0
    table = rows_of(tmp_path / "out" / "table2.csv")
    own = next(row for row in table if row["weights"] == "by the paper's recipe")
    assert own["network"] == "blurnet"
    assert own["parameters"] == "270036"
    assert float(own["MB with Adam's moments"]) == pytest.approx(270036 * 12 / 1e6, abs=0.05)
    assert int(own["steps"]) >= 1
    # Per-pixel networks cannot be scored on single patches; the window networks that are shipped are.
    assert all((row["test accuracy"] == "") == ("per pixel" in row["weights"]) for row in table)


def test_training_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    photos = data / "photos" / "train"
    first = recipe.train_for("blurnet", photos, tmp_path, seconds=0.01)
    more = recipe.train_for("blurnet", photos, tmp_path, seconds=first.seconds + 0.2)
    assert more.steps > first.steps >= 1
    assert more.seconds > first.seconds
    assert recipe.read_trained(tmp_path / "blurnet.safetensors") == more
    with pytest.raises(Cancelled):
        recipe.train_for("blurnet", photos, tmp_path, seconds=60, cancel=lambda: True)
    with pytest.raises(FileError, match="is not a model card"):
        recipe.read_trained(tmp_path / "other.safetensors")


def test_training_ends_after_a_number_of_patches(data: Path, tmp_path: Path) -> None:
    made = recipe.train_for("blurnet", data / "photos" / "train", tmp_path, seconds=600, patches=3 * 128)
    assert made.steps == 3
    again = recipe.train_for("blurnet", data / "photos" / "train", tmp_path, seconds=600, patches=5 * 128)
    assert again.steps == 5
    inputs = Inputs(train_seconds=600, train_patches=5 * 128)
    assert networks._trained_enough(again, inputs)
    assert not networks._trained_enough(made, inputs)


def test_a_killed_run_knows_the_time_it_had_spent(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "_NOTE_EVERY", 0.0)

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        recipe.train_for("blurnet", data / "photos" / "train", tmp_path, seconds=600, progress=kill)
    assert recipe._seconds_so_far(tmp_path / "blurnet-run") > 0


def test_the_recipe_is_the_printed_one() -> None:
    p = recipe.PAPER
    assert (p.protocol, p.batch_size, p.learning_rate, p.expectation_weight) == ("isolated", 128, 1e-3, 0.0)


def pair(first: np.ndarray, second: np.ndarray) -> Pair:
    return Pair("pair", (first, second))


def test_the_papers_rule_takes_the_least_sigma_and_the_first_of_equals(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = [np.full((40, 48, 3), value, dtype=np.uint8) for value in (50, 200)]

    class Found:
        def __init__(self, sigma: np.ndarray) -> None:
            self.sigma = sigma

    sharp, soft = Found(np.ones((40, 48))), Found(np.full((40, 48), 3.0))
    context = Context(inputs=Inputs())
    for maps, value in (((sharp, soft), 50), ((soft, sharp), 200), ((soft, soft), 50)):
        monkeypatch.setattr(fusion_scores, "paper_maps", lambda *_, maps=maps: list(maps))
        assert np.all(fusion_scores.fuse_as_the_paper(pair(*slices), "blurnet", context) == value)


def test_means_are_ranked_among_the_other_methods(tmp_path: Path) -> None:
    board = tmp_path / "board.json"
    low, high = (dict.fromkeys(fusion_scores.METRICS, v) for v in (0.2, 0.8))
    board.write_text(
        json.dumps({"good": {"a": high, "b": high}, "bad": {"a": low}, "other": {"b": high}, "_mean": {"a": low}})
    )
    table = fusion_scores.ranked_means({"ours": (0.9, 0.9, 0.5, 0.5, 0.1)}, Inputs(leaderboard=board), ["a"])
    by_name = {row[0]: row for row in table.rows}
    assert set(by_name) == {"ours", "good", "bad"}
    assert by_name["ours"][6:] == (1, 1, 2, 2, 3, 1.8)
    assert by_name["good"][6:] == (1, 1, 1, 1, 1, 1.0)


def test_cookie_is_scored_beside_the_printed_row(data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = data / "fusion" / "lytro"
    folder.mkdir(parents=True)
    with Image.open(data / "photos" / "val" / "a.png") as picture:
        for side in (1, 2):
            picture.save(folder / f"c_03_{side}.png")
    monkeypatch.setattr(fusion_scores, "SHOWN", {"gff": "GFF"})
    monkeypatch.setattr(fusion_scores, "PAIRS", [3])
    monkeypatch.setattr(fusion_scores, "fused_by", lambda *given: given[1].slices[0])
    code, output = run("table3", "--data", data, "--out", tmp_path / "out", "--json")
    assert code == 0
    (row,) = rows_of(tmp_path / "out" / "table3.csv")
    # Equal sources are fused into themselves, and a picture keeps all of itself.
    assert float(row["QY"]) == pytest.approx(1, abs=1e-5)
    assert float(row["QY, paper"]) == 0.96305
    (own, *_) = rows_of(tmp_path / "out" / "table3_lytro.csv")
    assert (float(own["QY"]), own["rank QY"]) == (pytest.approx(1, abs=1e-5), "1")
    assert "Book and Flower" in json.loads(output)["items"][0]["missing"][0]


def test_maps_are_scored_against_the_truth(data: Path) -> None:
    scene = Inputs(data=data, pictures="data").known_scene
    assert map_figures._mae(scene.sigma, scene) == 0
    assert map_figures._rank(-scene.sigma, scene) == -1
    assert scene.sigma.min() == 0
    assert scene.sigma.max() == pytest.approx(12)
    # At the near edge nothing is blurred, at the far edge the picture differs from the sharp one.
    difference = np.abs(scene.picture.astype(int) - scene.sharp).mean(axis=(1, 2))
    assert difference[scene.sigma[:, 0].argmin()] < 0.2 * difference[scene.sigma[:, 0].argmax()]


def test_figure_7_on_a_small_picture(data: Path, tmp_path: Path) -> None:
    code, _ = run("fig7", "--data", data, "--pictures", "data", "--out", tmp_path / "out", "--quiet")
    assert code == 0
    table = rows_of(tmp_path / "out" / "fig7.csv")
    assert len(table) == 5
    assert all(-1 <= float(row["unrefined"]) <= 1 for row in table)


def test_inputs_are_refused_or_absent(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pictures: .*photos/val"):
        Inputs(data=tmp_path, pictures="data")
    with pytest.raises(FileError, match="is not a folder"):
        Inputs(data=tmp_path / "none")
    empty = Inputs(data=tmp_path)
    assert empty.lytro(3) is None
    assert empty.photos("train") == []
    with pytest.raises(FileError, match="leaderboard"):
        Inputs(leaderboard=tmp_path / "none.json")
    for board in ({"m": {"c_01": {"QG": 0.7}}}, {"m": [1]}, [1]):
        (tmp_path / "board.json").write_text(json.dumps(board))
        with pytest.raises(FileError, match=r"leaderboard: .*board\.json does not contain"):
            Inputs(leaderboard=tmp_path / "board.json")


def result(value: float) -> ItemResult:
    table = Table(name="one", caption="One.", columns=("a", "b"), rows=((value, None),))
    return ItemResult(
        tables=(table,), pictures=(Figure(name="one", caption="A picture.", png=b"png"),), notes=("Why.",)
    )


def test_the_page_keeps_what_other_runs_made(tmp_path: Path) -> None:
    items = [Item(key=key, title=f"Item {key}", paper="x", make=lambda _: result(0)) for key in ("first", "second")]
    write_result(tmp_path, items[1], result(2.5), items, seconds=1)
    write_result(tmp_path, items[0], result(0.1), items, seconds=1)
    page = (tmp_path / PAGE).read_text()
    assert page.index("## Item first") < page.index("## Item second")
    assert "| 2.5 | - |" in page
    assert rows_of(tmp_path / "one.csv") == [{"a": "0.1", "b": ""}]
    (tmp_path / "second.json").write_text("{}")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(FileError, match="is not a result"):
        write_result(tmp_path, items[0], result(0.2), items, seconds=1)
    assert sorted(tmp_path.iterdir()) == before
    assert rows_of(tmp_path / "one.csv") == [{"a": "0.1", "b": ""}]


def test_cancel_keeps_what_is_done(tmp_path: Path) -> None:
    asked = iter([False, False, True])
    made = reproduce(Context(inputs=Inputs(), cancel=lambda: next(asked)), tmp_path, ["fig10", "fig12"])
    item, _, files = next(made)
    assert item.key == "fig10"
    with pytest.raises(Cancelled):
        next(made)
    assert all(path.exists() for path in files)
    assert not (tmp_path / "fig12.png").exists()
