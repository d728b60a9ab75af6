"""A disk that is full, a folder that cannot be written to: one clear message, finished parts intact, and it goes on."""

import os
import shutil
import subprocess

import pytest
from equal_runs import assert_equal_runs, files_of
from forking_cli import ForkingCli
from lively_factory import write_images

from maskcorrect_plugin import RunFolder

COMMAND = (
    *("evaluate", "data", "-m", "lively_factory:network", "--method", "CAM", "-k", "3", "--images-per-part", "3"),
    *("--keep-maps", "--thumbnails", "9", "--quiet"),
)


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    write_images(folder / "data")
    cli = ForkingCli(folder)
    assert cli.run(*COMMAND, "-o", "reference")[0] == 0
    yield cli
    cli.close()


@pytest.fixture
def mounted(tmp_path):
    """Mounts a file system of a few kilobytes, or something onto itself; skips where that is not allowed."""
    points = []

    def mount(*arguments, name="disk"):
        point = tmp_path / name
        point.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *arguments, str(point)], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")
        points.append(point)
        return point

    if shutil.which("mount") is None or os.name != "posix":
        pytest.skip("there is no mount")
    yield mount
    for point in reversed(points):
        subprocess.run(["umount", str(point)], check=True)


def assert_one_message(code, output):
    """Exit code 2 and a line that says it, without a traceback."""
    assert code == 2, output
    assert "Traceback" not in output
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


def test_a_full_disk_costs_one_part_and_the_run_goes_on_when_there_is_room(cli, mounted):
    disk = mounted("-t", "tmpfs", "-o", "size=160k", "tmpfs")
    message = assert_one_message(*cli.run(*COMMAND, "-o", disk / "run"))
    assert "no space left" in message and "All finished parts are intact; the same command goes on" in message
    run = RunFolder.open(disk / "run")
    done = run.done("CAM")
    assert 0 < len(done) < 10 and len(run.records("CAM")) == 3 * len(done)
    assert not any(".writing-" in name for name in files_of(run.path))
    assert_one_message(*cli.run(*COMMAND, "-o", disk / "run"))  # still full
    assert run.done("CAM") == done
    subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
    code, output = cli.run(*COMMAND, "-o", disk / "run")
    assert code == 0, output
    assert_equal_runs(disk / "run", cli.folder / "reference")


def test_a_disk_that_is_full_from_the_start_is_one_message(cli, mounted):
    disk = mounted("-t", "tmpfs", "-o", "size=4k", "tmpfs")
    (disk / "other").write_bytes(b"x" * 4096)
    assert "no space left" in assert_one_message(*cli.run(*COMMAND, "-o", disk / "run"))
    assert files_of(disk) == ["other"]


def test_a_limit_on_the_size_of_files_is_as_a_full_disk(cli, tmp_path):
    """What every user can try: the first part that is too large cannot be written."""
    message = assert_one_message(*cli.run(*COMMAND, "-o", tmp_path / "run", file_size=6000))
    assert "no space left (File too large)" in message
    assert not any(".writing-" in name for name in files_of(tmp_path / "run"))
    assert cli.run(*COMMAND, "-o", tmp_path / "run")[0] == 0
    assert_equal_runs(tmp_path / "run", cli.folder / "reference")


def test_a_file_in_the_way_is_found_before_the_model_is_loaded(cli, tmp_path):
    (tmp_path / "file").write_text("thesis")
    for output in (tmp_path / "file", tmp_path / "file" / "run"):
        message = assert_one_message(*cli.run(*COMMAND, "-m", "no_such_module:network", "-o", output))
        assert f"output must be a folder, but {tmp_path / 'file'} is not one" in message
    assert (tmp_path / "file").read_text() == "thesis"


def test_a_folder_that_is_read_only_is_found_before_the_model_is_loaded(cli, tmp_path, mounted):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted("--bind", str(folder))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
    message = assert_one_message(*cli.run(*COMMAND, "-m", "no_such_module:network", "-o", folder / "run"))
    assert "cannot be written to: Read-only file system" in message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_found_before_the_model_is_loaded(cli, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o555)
    message = assert_one_message(*cli.run(*COMMAND, "-m", "no_such_module:network", "-o", folder / "run"))
    assert "cannot be written to: Permission denied" in message


def test_a_finished_run_on_a_disk_that_has_become_read_only_is_not_touched(cli, mounted, tmp_path):
    shutil.copytree(cli.folder / "reference", tmp_path / "disk")
    disk = mounted("--bind", str(tmp_path / "disk"))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(disk)], check=True)
    assert "cannot be written to" in assert_one_message(*cli.run(*COMMAND, "-o", disk))
    assert len(RunFolder.open(disk).records("CAM")) == 30
