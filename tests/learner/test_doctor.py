"""The examination of machine and course."""

import pytest

from autograder.learner import doctor


@pytest.mark.parametrize(
    ("version", "level"), [((3, 10, 9), "fail"), ((3, 11, 0), "ok"), ((3, 13, 5), "ok"), ((3, 14, 0), "fail")]
)
def test_the_python_is_one_of_those_that_the_course_runs_on(version, level):
    assert doctor.python(version).level == level


def test_a_version_other_than_the_pinned_one_is_noted_with_both(tmp_path):
    (tmp_path / "constraints.txt").write_text("# pins\nrich==0.0.1\nnot-installed==1\n", encoding="utf-8")
    finding = doctor.packages(tmp_path)
    assert finding.level == "warn"
    assert "(pinned: 0.0.1)" in finding.says
    assert "not-installed" not in finding.says


def test_a_build_tag_is_no_other_version(tmp_path, monkeypatch):
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\n", encoding="utf-8")
    monkeypatch.setattr(doctor, "_installed", lambda name: "2.13.0+cpu" if name == "torch" else "1")
    assert doctor.packages(tmp_path).level == "ok"


def test_a_missing_package_is_to_be_mended(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_installed", lambda name: None if name == "gymnasium" else "1")
    finding = doctor.packages(tmp_path)
    assert (finding.level, finding.says) == ("fail", "missing: gymnasium")


def test_a_torch_that_cannot_be_imported_is_told_in_its_last_line(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "TORCH", "raise ImportError('libtorch.so: cannot open')")
    finding = doctor.torch(tmp_path)
    assert finding.level == "fail"
    assert "libtorch.so: cannot open" in finding.says


def test_a_torch_that_kills_its_process_does_not_take_the_doctor_along(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "TORCH", "import os; os.abort()")
    assert doctor.torch(tmp_path).level == "fail"


def test_the_toy_course_is_whole(toy):
    assert doctor.course(toy).level == "ok"
    assert "2 assignments, 8 points" in doctor.course(toy).says


def test_a_missing_module_is_found_with_the_command_that_brings_it_back(toy):
    (toy / "assignments" / "t01_numbers" / "means.py").unlink()
    finding = doctor.course(toy)
    assert finding.level == "fail"
    assert finding.mend.startswith("autograder reset t01")


def test_a_damaged_course_is_a_finding_and_no_exception(toy):
    (toy / "assignments" / ".course.json").write_text("{", encoding="utf-8")
    assert doctor.course(toy).level == "fail"


def test_a_state_folder_that_is_a_file_is_found(tmp_path):
    (tmp_path / ".autograder").write_text("", encoding="utf-8")
    assert doctor.state_folder(tmp_path).level == "fail"


def test_a_full_disk_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1e6}))
    assert doctor.disk(tmp_path).level == "fail"


def test_without_git_the_apt_line_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    assert "apt-get install git" in doctor.git(tmp_path).mend


def test_whatever_breaks_while_looking_is_a_finding(tmp_path, monkeypatch):
    def broken(_):
        raise RuntimeError("odd machine")

    monkeypatch.setattr(doctor, "git", broken)
    monkeypatch.setattr(doctor, "torch", broken)
    found = doctor.examine(tmp_path)
    assert sum("odd machine" in finding.says for finding in found) == 2
    assert found[0].name == "Python"
