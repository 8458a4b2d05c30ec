"""Files are written whole or not at all, a damaged one is set aside, and the disk's refusals are sentences."""

import pytest

from autograder import files
from autograder.errors import EnvironmentProblem


def test_a_full_disk_is_a_sentence_and_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text("old", encoding="utf-8")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        files.write_whole(path, b"new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"]


def test_a_folder_in_the_way_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        files.write_json(tmp_path / "file" / "inner.json", {})
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(EnvironmentProblem, match="cannot be read"):
        files.read_json(tmp_path / "folder.json")


def test_a_damaged_file_is_set_aside_and_said(tmp_path):
    path = tmp_path / "progress.json"
    path.write_text("{", encoding="utf-8")
    data, note = files.read_json(path)
    assert data == {}
    assert "progress.json.corrupt" in note
    assert (tmp_path / "progress.json.corrupt").read_text(encoding="utf-8") == "{"
    assert files.read_json(path) == ({}, "")
