"""What is installed is whole: files that are no Python go along."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_every_file_of_the_package_is_in_the_wheel(tmp_path):
    pytest.importorskip("setuptools", reason="a wheel is built with setuptools")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "autograder", tmp_path / "autograder", ignore=shutil.ignore_patterns("__pycache__"))
    code = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    wheel = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    packed = {name for name in wheel.namelist() if name.startswith("autograder/")}
    here = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "autograder").rglob("*") if path.is_file()}
    assert "autograder/reporting/page.css" in packed
    assert packed == here
