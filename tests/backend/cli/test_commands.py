"""Every command on tiny pictures."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import Result

from defocus_backend.cli import main
from defocus_backend.cli.interrupt import check_interrupt, remember_interrupt
from defocus_backend.cli.terminal import Terminal
from defocus_backend.io import read_image, read_map, write_image, write_map
from defocus_backend.params import (
    BlendParams,
    DecisionParams,
    MapParams,
    ShallowParams,
    SharpenParams,
    SigmaParams,
    SliceMapParams,
)

Invoke = Callable[..., Result]

COMMANDS = ("map", "sharpen", "shallow", "fuse", "score", "methods", "demo", "models", "train", "evaluate")


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


class TestMap:
    def test_writes_sigma_in_pixels_and_a_picture_beside_the_input(self, defocus: Invoke, picture: Path) -> None:
        result = defocus("map", picture)
        assert result.exit_code == 0, result.output
        assert names(picture.parent) == {"photo.png", "photo_sigma.tif", "photo_sigma.png"}
        sigma = read_map(picture.parent / "photo_sigma.tif")
        assert sigma.shape == (64, 80)
        assert sigma.min() >= 0
        assert sigma.max() <= 19
        found = read_image(picture.parent / "photo_sigma.tif").metadata
        assert found.resolution == pytest.approx((300, 300), rel=1e-3)
        for line in result.stdout.splitlines()[:-1]:
            assert Path(line.split()[-1]).exists()

    def test_equals_the_library(self, defocus: Invoke, picture: Path, random_weights: dict[str, Path]) -> None:
        import defocus_backend as db

        defocus("map", picture, "--step", 16, "--refine-radius", 5, "--refine-iterations", 2)
        expected = db.defocus_map(
            read_image(picture).array,
            channel_axis=-1,
            step=16,
            refine_radius=5,
            refine_iterations=2,
            weights=random_weights["blurnet"],
        )
        np.testing.assert_array_equal(read_map(picture.parent / "photo_sigma.tif"), expected.sigma)

    def test_further_maps(self, defocus: Invoke, picture: Path, tmp_path: Path) -> None:
        out = tmp_path / "new" / "deep"
        flags = ("--raw", "--guide", "--confidence", "--threshold", 5)
        assert defocus("map", picture, "--out", out, *flags).exit_code == 0
        assert names(out) == {
            "photo_sigma.tif",
            "photo_sigma.png",
            "photo_raw.tif",
            "photo_raw.png",
            "photo_guide.tif",
            "photo_confidence.tif",
            "photo_confidence.png",
            "photo_in_focus.png",
        }
        mask = read_image(out / "photo_in_focus.png").array
        np.testing.assert_array_equal(mask == 255, read_map(out / "photo_sigma.tif") < 5)

    def test_json_summary(self, defocus: Invoke, picture: Path, tmp_path: Path) -> None:
        result = defocus("map", picture, "--json", "--out", tmp_path, "--step", 32)
        summary = json.loads(result.stdout)
        assert summary["command"] == "map"
        assert summary["device"] in ("cpu", "cuda", "mps")
        assert summary["seconds"] > 0
        assert summary["inputs"] == [str(picture)]
        assert summary["parameters"]["step"] == 32
        assert {o["kind"]: o["path"] for o in summary["outputs"]}["sigma"] == str(tmp_path / "photo_sigma.tif")

    def test_quiet(self, defocus: Invoke, picture: Path) -> None:
        result = defocus("map", picture, "--quiet")
        assert (result.exit_code, result.output) == (0, "")

    def test_many_pictures_all_or_none(self, defocus: Invoke, picture: Path, tmp_path: Path) -> None:
        other = picture.with_name("other.jpg")
        write_image(other, read_image(picture).array)
        out = tmp_path / "out"
        assert defocus("map", picture, other, "--out", out).exit_code == 0
        assert len(names(out)) == 4
        other.write_bytes(other.read_bytes()[:300])
        assert defocus("map", picture, other, "--out", tmp_path / "second").exit_code == 2
        assert not (tmp_path / "second").exists()


class TestApplications:
    def test_sharpen_keeps_depth_and_resolution(self, defocus: Invoke, slices: list[Path]) -> None:
        assert defocus("sharpen", slices[1], "--max-gain", 1.5).exit_code == 0
        folder = slices[1].parent
        assert names(folder) - {p.name for p in slices} == {
            f"moss_1_{n}" for n in ("sharpened.tif", "gain.tif", "gain.png", "sigma.tif", "sigma.png")
        }
        assert read_image(folder / "moss_1_sharpened.tif").array.dtype == np.uint16
        assert read_map(folder / "moss_1_gain.tif").max() <= 1.5

    def test_a_given_map_is_used_and_not_written_again(self, defocus: Invoke, picture: Path, tmp_path: Path) -> None:
        write_map(tmp_path / "mine.tif", np.full((64, 80), 4.0))
        out = tmp_path / "out"
        for command in ("sharpen", "shallow"):
            given = (command, picture, "--map", tmp_path / "mine.tif", "--out", out)
            assert defocus(*given, weights=False).exit_code == 0
        assert {n for n in names(out) if "sigma" in n} == set()
        np.testing.assert_allclose(np.ptp(read_map(out / "photo_gain.tif")), 0)

    def test_shallow_with_a_focus_and_another_format(self, defocus: Invoke, picture: Path, tmp_path: Path) -> None:
        write_map(tmp_path / "mine.tif", np.linspace(0, 19, 64)[:, None] * np.ones(80))
        args = ("shallow", picture, "--map", tmp_path / "mine.tif", "--focus", 10, "--blur", "lens", "--format", "jpg")
        assert defocus(*args, "--out", tmp_path, weights=False).exit_code == 0
        assert read_image(tmp_path / "photo_shallow.jpg").array.shape == (64, 80, 3)
        weights = read_map(tmp_path / "photo_weights.tif")[:, 0]
        assert abs(int(weights.argmax()) - 64 * 10 // 19) <= 3

    @pytest.mark.parametrize("paged", [False, True])
    def test_fuse_keeps_the_depth_of_the_slices(
        self, defocus: Invoke, slices: list[Path], tmp_path: Path, paged: bool
    ) -> None:
        files: list[Path] = slices
        if paged:
            files = [tmp_path / "in" / "moss.tif"]
            tifffile.imwrite(files[0], np.stack([read_image(p).array for p in slices]), photometric="minisblack")
        result = defocus("fuse", *files, "--out", tmp_path, "--keep-slices", "--confidence", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["slices"] == 3
        made = {n for n in names(tmp_path) if n.startswith("moss")}
        tails = "fused.tif index.tif index.png sigma.tif sigma.png sigmas.tif decisions.tif weights.tif"
        assert made == {f"moss_{t}" for t in f"{tails} confidence.tif confidence.png".split()}
        assert read_image(tmp_path / "moss_fused.tif").array.dtype == np.uint16
        index = read_image(tmp_path / "moss_index.tif").array
        sigmas = tifffile.imread(tmp_path / "moss_sigmas.tif")
        np.testing.assert_array_equal(index, sigmas.argmin(0))
        np.testing.assert_array_equal(read_map(tmp_path / "moss_sigma.tif"), sigmas.min(0))
        np.testing.assert_allclose(tifffile.imread(tmp_path / "moss_weights.tif").sum(0), 1, atol=1e-5)


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_explains_itself(self, defocus: Invoke, command: str) -> None:
        result = defocus(command, "--help", weights=False)
        assert result.exit_code == 0
        assert "Usage:" in result.stdout

    @pytest.mark.parametrize(
        ("command", "groups"),
        [
            ("map", [MapParams]),
            ("sharpen", [SharpenParams, SigmaParams]),
            ("shallow", [ShallowParams, SigmaParams]),
            ("fuse", [DecisionParams, BlendParams, SliceMapParams]),
        ],
    )
    def test_every_parameter_is_an_option_with_the_same_default(self, command: str, groups: list[type]) -> None:
        import click

        found = main.get_command(click.Context(main), command)
        assert found is not None
        options = {p.name: p for p in found.params}
        for group in groups:
            for field in fields(group):
                if field.default is None:  # click says in a way of its own that there is none
                    assert field.name in options
                    continue
                default = options[field.name].get_default(click.Context(found))
                assert default in (field.default, str(field.default))

    @pytest.mark.parametrize("command", ["map", "sharpen", "shallow", "fuse", "batch", "qc", "surface"])
    def test_help_shows_a_dozen_options_and_help_all_the_rest(self, defocus: Invoke, command: str) -> None:
        shown, whole = (
            set(re.findall(r"^  (--[a-z0-9-]+)", defocus(command, flag, weights=False).stdout, re.M))
            for flag in ("--help", "--help-all")
        )
        assert len(shown) <= 14  # with --help-all itself
        assert shown < whole
        assert len(whole) >= 20

    def test_training_options_follow_the_training_parameters(self) -> None:
        from defocus_backend.cli.training import train_command
        from defocus_backend.params import TrainingParams
        from defocus_backend.synthetic.degrade import DEGRADATIONS
        from defocus_backend.synthetic.patches import PROTOCOLS

        options = {p.name: p for p in train_command.params}
        about = TrainingParams.describe()
        for name, field in about.items():
            assert options[name].default == field["default"]
        assert about["protocol"]["choices"] == PROTOCOLS
        assert about["degradation"]["choices"] == tuple(DEGRADATIONS)

    def test_the_list_of_commands_comes_at_once_and_without_torch(self) -> None:
        code = (
            "import sys, time; start = time.perf_counter()\n"
            "from defocus_backend.cli import main\n"
            "main(['--help'], standalone_mode=False)\n"
            "print('torch' in sys.modules, time.perf_counter() - start)"
        )
        found = [
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)
        ]
        loaded, seconds = zip(*(f.stdout.splitlines()[-1].split() for f in found), strict=True)
        assert set(loaded) == {"False"}
        assert min(map(float, seconds)) < 0.5
        for command in COMMANDS:
            assert command in found[0].stdout

    @pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"train", "evaluate", "models"}))
    def test_help_comes_without_torch(self, command: str) -> None:
        code = f"import sys; from defocus_backend.cli import main; main(['{command}', '--help'], standalone_mode=False)"
        code += "; print('torch' in sys.modules)"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.splitlines()[-1] == "False"


def test_models_lists_the_cards(defocus: Invoke) -> None:
    from defocus_backend.classifier.weights import shipped_weights

    cards = shipped_weights()
    result = defocus("models", weights=False)
    assert result.exit_code == 0
    for name in cards:
        told = result.stdout.split(f"{name}: ", 1)[1].split("made by: ")[0]
        assert "MAE" in told, "every card says how large its errors are"
    found = json.loads(defocus("models", "--json", weights=False).stdout)["models"]
    assert {n: c["sha256"] for n, c in found.items()} == {n: c.sha256 for n, c in cards.items()}


class TestTraining:
    def test_train_evaluate_and_use(self, defocus: Invoke, photos: Path, picture: Path, tmp_path: Path) -> None:
        out = tmp_path / "mine.safetensors"
        recipe = ("--steps", 3, "--batch-size", 8, "--workers", 0, "--val", photos)
        result = defocus("train", photos, "--out", out, *recipe, weights=False)
        assert result.exit_code == 0, result.output
        assert "context" in result.stdout
        card = json.loads(out.with_suffix(".json").read_text())
        assert card["recipe"]["steps"] == 3
        assert card["command"] == "defocus train photos --steps 3 --batch-size 8 --out mine.safetensors"
        assert set(card["scores"]) == {"context", "isolated"}

        scored = json.loads(defocus("evaluate", out, "--photos", photos, "--json", weights=False).stdout)
        assert scored["scores"]["context"]["mae"] == pytest.approx(card["scores"]["context"]["mae"], abs=2e-3)
        table = defocus("evaluate", out, "--photos", photos, weights=False).stdout
        assert "MAE / px" in table
        assert defocus("map", picture, "--weights", out, weights=False).exit_code == 0

        again = defocus("train", photos, "--out", out, *recipe, weights=False)
        assert again.exit_code == 2
        assert "resume" in again.stderr


@pytest.fixture
def heeded_ctrl_c() -> Iterator[None]:
    """Ctrl-C as in a terminal: where the tests run in the background it is ignored, by the processes they start too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.usefixtures("heeded_ctrl_c")
def test_a_job_in_the_background_goes_on_ignoring_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with remember_interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        check_interrupt()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.usefixtures("heeded_ctrl_c")
def test_ctrl_c_that_a_library_swallows_ends_the_next_step() -> None:
    with remember_interrupt():
        with contextlib.suppress(KeyboardInterrupt):  # as a callback from C does
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        with (
            pytest.raises(KeyboardInterrupt),
            Terminal(quiet=True, as_json=False).progress("tiles") as progress,
        ):
            progress(1, 2, "tiles")
    check_interrupt()  # the next command begins anew


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.usefixtures("heeded_ctrl_c")
def test_ctrl_c_ends_cleanly(tmp_path: Path, photo: np.ndarray, random_weights: dict[str, Path]) -> None:
    write_image(tmp_path / "large.png", np.tile(photo, (6, 6)))
    before = names(tmp_path)
    # Says when all is loaded: a signal that comes while libraries load may be lost in them.
    start = "import torch, defocus_backend.cli as c; print('loaded', flush=True); c.main(prog_name='defocus')"
    command = [sys.executable, "-c", start, "map", str(tmp_path / "large.png"), "--step", "4"]
    process = subprocess.Popen(
        [*command, "--weights", str(random_weights["mobilenetv2"]), "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loaded\n"
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert errors == "defocus: interrupted; nothing was written\n"
    assert names(tmp_path) == before


def test_demo(defocus: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the installed photographs made small; the pictures themselves are for people to look at."""
    from defocus_backend.pipeline import demo
    from defocus_backend.synthetic import scenes

    def small_scene(slices: int) -> tuple[np.ndarray, np.ndarray]:
        photo, depth = scene(slices)
        return np.ascontiguousarray(photo[200:328, 200:360]), np.ascontiguousarray(depth[200:328, 200:360])

    scene = scenes.garage_scene
    monkeypatch.setattr(scenes, "garage_scene", small_scene)
    monkeypatch.setattr(demo, "SLICES", 3)
    result = defocus("demo", "--out", tmp_path / "demo", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert all(Path(o["path"]).exists() for o in summary["outputs"])
    assert {"cat_sigma.png", "cat_shallow.png", "motorcycle_fused_decision.png", "contact-sheet.png"} <= names(
        tmp_path / "demo"
    )
    assert {t["step"] for t in summary["times"]} >= {"defocus map", "sharpen", "fuse (decision)"}
    assert all(t["seconds"] >= 0 for t in summary["times"])
    assert summary["psnr_db"]["best slice"] > 10
