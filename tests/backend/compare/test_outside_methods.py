"""Map methods of other packages: one that pip installs is found by its entry point, a broken one breaks nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

MODULE = '''
"""A map method as another package has it."""

import numpy as np
from defocus_backend.methods import Method, Tiling


def red_step(picture):
    """Three pixels of blur, and the share of red, which only a method that takes colour can know."""
    return 3 + picture[..., 0] / 255


RED = Method(name="red", text="three pixels and the red", citation="a test", home=red_step, unit="px", colour=True,
             tiling=Tiling(halo=0))
NO_UNIT = Method(name="no_unit", text="no map", citation="a test", home=red_step)
TAKEN = Method(name="pixelnet", text="ours", citation="a test", home=red_step, unit="px")
'''
POINTS = """[defocus_backend.map_methods]
red = outside_maps:RED
no_unit = outside_maps:NO_UNIT
taken = outside_maps:TAKEN
absent = outside_maps:ABSENT
missing = no_such_module:METHOD
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed a small package from its wheel."""
    folder = tmp_path_factory.mktemp("outside")
    info = "outside_maps-1.0.dist-info"
    files = {
        "outside_maps.py": MODULE,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: outside-maps\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": POINTS,
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        f"{len(text.encode())}\n"
        for name, text in files.items()
    )
    wheel = folder / "outside_maps-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(name, text)
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--version"], capture_output=True).returncode:
        uv = shutil.which("uv") or pytest.skip("neither pip nor uv is installed")
        pip = [uv, "pip"]
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)], check=True)
    return target


def run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *command], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )


def test_an_installed_package_adds_a_method_everywhere(site: Path) -> None:
    code = """
import json, warnings
import numpy as np
import defocus_backend as db
from defocus_backend.evaluation.benchmark import candidate_names
from defocus_backend.methods import MAP_METHODS, PIXEL_MAP_NAMES
image = np.zeros((40, 300, 3), np.uint8)
image[:, 100:, 0] = 255
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = db.defocus_map(image, channel_axis=-1, map_method="red", refine=False, tile=256)
    names = [list(PIXEL_MAP_NAMES), candidate_names(), list(MAP_METHODS)]
print(json.dumps([sorted(set(found.sigma.ravel().tolist())), found.unit, names, [str(w.message) for w in caught]]))
"""
    done = run(site, "-c", code)
    assert not done.returncode, done.stderr
    sigma, unit, names, warned = json.loads(done.stdout)
    assert (sigma, unit) == ([3, 4], "px")
    assert all("red" in some and "no_unit" not in some for some in names)
    assert all(some.count("pixelnet") <= 1 for some in names)
    for name, why in (
        ("no_unit", "expected a Method"),
        ("taken", "expected a Method"),
        ("absent", "AttributeError"),
        ("missing", "No module named 'no_such_module'"),
    ):
        told = [text for text in warned if text.startswith(f"defocus_backend.map_methods: {name} of")]
        assert len(told) == 1
        assert why in told[0]


def test_the_command_line_has_it_too(site: Path, tmp_path: Path) -> None:
    from defocus_backend.io import write_image

    picture = np.zeros((40, 40, 3), np.uint8)
    picture[..., 0] = 255
    write_image(tmp_path / "red.png", picture)
    listed = run(site, "-m", "defocus_backend.cli", "methods")
    assert "three pixels and the red (sigma in px). a test" in listed.stdout
    arguments = ["map", str(tmp_path / "red.png"), "--map-method", "red", "--no-refine", "--out", str(tmp_path)]
    done = run(site, "-m", "defocus_backend.cli", *arguments)
    assert not done.returncode, done.stderr
    assert "no_such_module" in done.stderr
    from defocus_backend.io import read_map

    assert read_map(tmp_path / "red_sigma.tif") == pytest.approx(4)


def test_a_known_name_needs_no_search(site: Path) -> None:
    """Looking up a method that is known loads no other package."""
    code = (
        "import sys; from defocus_backend.methods import MAP_METHODS; MAP_METHODS['lbp']; "
        "print('outside_maps' in sys.modules, 'importlib.metadata' in sys.modules)"
    )
    assert run(site, "-c", code).stdout.split()[0] == "False"
