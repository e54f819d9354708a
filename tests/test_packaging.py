"""What is published elsewhere agrees with pyproject.toml: conda recipe, citation, what the napari hub shows."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAMES = {"torch": "pytorch", "opencv-python-headless": "py-opencv", "matplotlib": "matplotlib-base"}


def test_the_conda_recipe_asks_for_the_same_releases() -> None:
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    wanted = {f"python {PROJECT['requires-python']}"}
    for entry in PROJECT["dependencies"]:
        name, bound = re.fullmatch(r"([\w-]+)(>=.+)", entry).groups()
        wanted.add(f"{CONDA_NAMES.get(name, name)} {bound}")
    assert set(recipe["requirements"]["run"]) == wanted
    assert recipe["about"]["license"] == PROJECT["license"]


def test_the_wheel_has_both_packages_and_what_the_source_distribution_lists_exists() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert set(hatch["wheel"]["packages"]) == {"src/defocus_backend", "src/napari_defocus"}
    for path in hatch["sdist"]["include"]:
        assert (ROOT / path.lstrip("/")).exists()


def test_the_citation_names_the_paper_and_the_license() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["license"] == PROJECT["license"]
    assert "2107.14443" in json.dumps(citation["preferred-citation"])


@pytest.mark.parametrize("label", ["Homepage", "Documentation", "Source", "Issues", "Changelog"])
def test_the_hub_finds_what_its_checklist_asks_for(label: str) -> None:
    assert PROJECT["urls"][label].startswith("https://")


def test_the_hub_finds_a_summary_categories_authors_and_a_picture() -> None:
    manifest = yaml.safe_load((ROOT / "src" / "napari_defocus" / "napari.yaml").read_text(encoding="utf-8"))
    assert manifest["display_name"]
    assert manifest["categories"]
    assert all(sample["display_name"] for sample in manifest["contributions"]["sample_data"])
    assert 20 < len(PROJECT["description"]) < 200
    assert PROJECT["authors"]
    assert "Framework :: napari" in PROJECT["classifiers"]
    picture = re.search(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert (ROOT / picture[1]).stat().st_size > 10_000
