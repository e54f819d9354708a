"""What `import defocus_backend` costs and gives."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import defocus_backend


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_loads_neither_torch_nor_numpy_and_is_quick() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import defocus_backend; "
        "print(time.perf_counter() - start, [m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    )
    # The best of three: other work on the machine must not decide.
    found = [run(code).split(maxsplit=1) for _ in range(3)]
    assert min(float(seconds) for seconds, _ in found) < 0.2
    assert {modules.strip() for _, modules in found} == {"[]"}


def test_files_are_read_and_written_without_torch() -> None:
    code = (
        "import sys, defocus_backend as db; db.read_image, db.write_image, db.InputError, db.SharpenParams, db.scenes"
    )
    assert run(code + "; print('torch' in sys.modules)").strip() == "False"


def test_every_public_name_resolves() -> None:
    for name in defocus_backend.__all__:
        assert getattr(defocus_backend, name) is not None
        assert name in dir(defocus_backend)
    assert defocus_backend.__version__ == version("napari-defocus")
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = defocus_backend.no_such_name


@pytest.mark.parametrize("before", ["db.gain_map", "import defocus_backend.sharpen"])
def test_sharpen_stays_a_function_beside_the_module_of_that_name(before: str) -> None:
    code = f"import defocus_backend as db; {before}; print(callable(db.sharpen)); from defocus_backend import sharpen"
    assert run(code + "; print(callable(sharpen))").split() == ["True", "True"]


def test_the_type_checker_sees_the_names_that_resolve() -> None:
    import ast
    from pathlib import Path

    tree = ast.parse(Path(defocus_backend.__file__).read_text(encoding="utf-8"))
    typed = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {alias.name for n in typed.body if isinstance(n, ast.ImportFrom) for alias in n.names}
    assert seen | {"__version__"} == set(defocus_backend.__all__)
