"""The same class with its gradebook in PostgreSQL, and on a Dask cluster that loses a worker: the grades are the same."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.classroom, pytest.mark.slow]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def fill(one) -> None:
    for number in range(6):
        one.hand_in(f"s{number}", f"# {number}\n" + [one.honest, one.sum_for_mean, one.one_task][number % 3])


@pytest.fixture
def postgres(tmp_path):
    """A PostgreSQL of one's own; its URL."""
    pytest.importorskip("psycopg")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("no PostgreSQL here: sudo apt-get install postgresql")
    port = free_port()
    data = Path(os.path.realpath(tmp_path)) / "pg"
    data.mkdir()
    as_user = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(data, "postgres", "postgres")
        for folder in (data.parent, *data.parent.parents):
            if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
    subprocess.run(
        [*as_user, programs[-1] / "initdb", "-D", data, "-A", "trust", "-U", "teacher"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    control = [*as_user, programs[-1] / "pg_ctl", "-D", data, "-w", "-l", data / "log"]
    subprocess.run([*control, "-o", options, "start"], check=True, capture_output=True, cwd="/")
    try:
        yield f"postgresql://teacher@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True, cwd="/")


def test_the_gradebook_in_postgresql_holds_the_same(new_class, postgres):
    one = new_class("course")
    fill(one)
    one.grade()
    local = one.scores()
    one.run("grade", str(one.submissions), "--gradebook", postgres, "--jobs", "1")
    one.run("override", "s1", "t01.mean", "1", "--reason", "by hand", "--gradebook", postgres)
    one.run("export", "there.csv", "--gradebook", postgres)
    one.run("override", "s1", "t01.mean", "1", "--reason", "by hand")
    one.run("export", "here.csv")
    assert local
    assert (one.root / "there.csv").read_text() == (one.root / "here.csv").read_text()


@pytest.fixture
def cluster(tmp_path):
    """A Dask scheduler and two workers: the address, and the workers' processes."""
    pytest.importorskip("distributed")
    port = free_port()
    root = Path(__file__).parents[3]
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "OMP_NUM_THREADS": "1",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10",
    }
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    dask = [sys.executable, "-m", "distributed.cli"]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--no-dashboard",
        ],
        **quiet,
    )
    worker = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        address,
        "--nthreads",
        "1",
        "--no-nanny",
        "--no-dashboard",
    ]
    workers = [subprocess.Popen(worker, **quiet) for _ in range(2)]
    del dask
    try:
        yield address, workers
    finally:
        for process in [*workers, scheduler]:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def test_a_cluster_that_loses_a_worker_gives_the_same_grades(new_class, cluster):
    address, workers = cluster
    one, other = new_class("here"), new_class("there")
    fill(one)
    fill(other)
    one.grade()
    process = subprocess.Popen(
        other.command("grade", str(other.submissions), "--dask", address), cwd=other.root, env=other.environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(other.out.glob("reports/*/*.json")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    workers[0].send_signal(signal.SIGKILL)
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said
    assert other.scores() == one.scores()
