"""A measurement depends on what its assignment imports of the shared code, and on nothing else of it."""

import pytest

from autograder.authoring.shared import files_used


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "common"
    (folder / "deep").mkdir(parents=True)
    files = {
        "__init__.py": "from common.lights import Lights\nfrom common.models import Small as Tiny\n",
        "lights.py": "from common import shapes\n",
        "shapes.py": "",
        "models.py": "from .layers import Layer\n",
        "layers.py": "Layer = 1\n",
        "alone.py": "",
        "deep/__init__.py": "",
        "deep/inner.py": "from .. import alone\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("import torch\nfrom commons import Lights\n", []),
        ("from common import Lights\n", ["lights.py", "shapes.py"]),
        ("from common import Tiny as T\n", ["layers.py", "models.py"]),
        ("from common.lights import Lights\n", ["lights.py", "shapes.py"]),
        ("import common.alone\n", ["alone.py"]),
        ("def f():\n    from common.deep import inner\n", ["alone.py", "deep/inner.py"]),
        ("from common.deep.inner import x\n", ["alone.py", "deep/inner.py"]),
    ],
)
def test_what_is_imported_is_found_through_every_road(tmp_path, package, text, used):
    path = tmp_path / "source.py"
    path.write_text(text)
    assert [str(found.relative_to(package)) for found in files_used([path], package)] == used


@pytest.mark.parametrize("text", ["import common\n", "from common import *\n", "def broken(:\n"])
def test_everything_is_taken_where_it_cannot_be_told(tmp_path, package, text):
    path = tmp_path / "source.py"
    path.write_text(text)
    assert set(files_used([path], package)) == set(package.rglob("*.py"))


def test_no_package_and_missing_files_are_nothing(tmp_path):
    assert files_used([tmp_path / "gone.py"], tmp_path / "common") == []
