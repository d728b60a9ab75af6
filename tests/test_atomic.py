"""Files that are whole or not there, also when the writer fails, dies, or meets another one."""

import errno
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maskcorrect_plugin.errors import ArgumentError, RunError
from maskcorrect_plugin.evaluation import atomic
from maskcorrect_plugin.evaluation.atomic import TEMPORARY, check_writable, remove_leftovers, write_atomically
from maskcorrect_plugin.evaluation.records.columns import records_schema
from maskcorrect_plugin.evaluation.records.parts import read_tables, write_table

HOST = socket.gethostname()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def writing(content):
    return lambda file: file.write(content)


def test_a_file_and_its_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    assert write_atomically(path, writing(b"new"))
    assert path.read_bytes() == b"new" and names(path.parent) == ["file"]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_was_there_stays_when_the_writer_fails(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise error

    expected = RunError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


def test_nobody_ever_sees_half_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"ne")
        file.flush()
        assert path.read_bytes() == b"old"
        (temporary,) = (name for name in names(tmp_path) if name != "file")
        assert temporary.startswith(f"{TEMPORARY}{HOST}-{os.getpid()}-") and "." not in temporary.removeprefix(
            f"{TEMPORARY}{HOST}"
        )
        file.write(b"w")

    write_atomically(path, write)
    assert path.read_bytes() == b"new"


def test_the_content_is_on_disk_before_it_has_its_name_and_the_name_afterwards(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, Path.replace

    def logged_fsync(handle):
        order.append("folder" if Path(f"/proc/self/fd/{handle}").is_dir() else "file")
        fsync(handle)

    def logged_replace(self, target):
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(Path, "replace", logged_replace)
    write_atomically(tmp_path / "file", writing(b"new"))
    assert order == ["file", "rename", "folder"]


@pytest.mark.parametrize(
    ("code", "text"), [(errno.ENOSPC, "no space left"), (errno.EDQUOT, "no space left"), (errno.EROFS, "Read-only")]
)
def test_an_error_of_the_disk_names_the_file_and_the_reason(tmp_path, code, text):
    def fail(file):
        raise OSError(code, os.strerror(code))

    with pytest.raises(RunError, match=text) as raised:
        write_atomically(tmp_path / "file", fail)
    assert str(tmp_path / "file") in str(raised.value)


def test_an_existing_file_can_be_kept(tmp_path):
    path = tmp_path / "file"
    assert write_atomically(path, writing(b"first"), keep_existing=True)
    assert not write_atomically(path, writing(b"second"), keep_existing=True)
    assert path.read_bytes() == b"first" and names(tmp_path) == ["file"]


def test_without_links_an_existing_file_can_be_kept_too(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    test_an_existing_file_can_be_kept(tmp_path)


def race(path, barrier, wins):
    barrier.wait()
    if write_atomically(path, writing(str(os.getpid()).encode()), keep_existing=True):
        wins.put(os.getpid())


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_of_many_processes_exactly_one_wins(tmp_path):
    context = multiprocessing.get_context("fork")
    for attempt in range(5):
        barrier, wins = context.Barrier(8), context.SimpleQueue()
        path = tmp_path / str(attempt)
        processes = [context.Process(target=race, args=(path, barrier, wins)) for _ in range(8)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)
        assert [process.exitcode for process in processes] == [0] * 8
        winner = wins.get()
        assert wins.empty() and path.read_bytes() == str(winner).encode()
    assert names(tmp_path) == list("01234")


# --- leftovers --------------------------------------------------------------------------------------------------------


@pytest.fixture
def dead_pid():
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    return int(process.stdout)


def leftover(folder, host, pid, age=0.0):
    path = folder / f"{TEMPORARY}{host}-{pid}-abcd"
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_leftovers_of_dead_processes_of_this_computer_go(tmp_path, dead_pid):
    (tmp_path / "records" / "CAM").mkdir(parents=True)
    gone = [leftover(tmp_path, HOST, dead_pid), leftover(tmp_path / "records" / "CAM", HOST, dead_pid)]
    stay = [
        leftover(tmp_path, HOST, os.getppid()),
        leftover(tmp_path, "elsewhere", dead_pid),
        leftover(tmp_path, HOST, os.getpid()),
        leftover(tmp_path, HOST, "strange"),
        tmp_path / "records" / "CAM" / "part-00000.parquet",
    ]
    stay[-1].write_bytes(b"a part")
    assert sorted(remove_leftovers(tmp_path)) == sorted(gone)
    assert all(path.exists() for path in stay) and not any(path.exists() for path in gone)


def test_a_leftover_of_an_earlier_process_of_the_same_number_goes(tmp_path):
    old = leftover(tmp_path, HOST, os.getpid(), age=time.time() - atomic._STARTED + 5)
    assert remove_leftovers(tmp_path) == [old]


def test_after_a_day_a_leftover_of_any_computer_goes(tmp_path):
    leftover(tmp_path, "elsewhere", 1, age=23 * 3600)
    old = leftover(tmp_path, "elsewhere", 2, age=25 * 3600)
    assert remove_leftovers(tmp_path) == [old]


def test_a_process_that_is_killed_while_it_writes_leaves_what_the_next_one_removes(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from maskcorrect_plugin.evaluation.atomic import write_atomically\n"
        "def write(file):\n    file.write(b'half'); file.flush(); print('writing', flush=True); time.sleep(60)\n"
        "write_atomically(Path(sys.argv[1]), write)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "file"], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "writing\n"
        assert not remove_leftovers(tmp_path)  # it is alive
        process.send_signal(signal.SIGKILL)
    (left,) = tmp_path.iterdir()
    assert remove_leftovers(tmp_path) == [left] and not names(tmp_path)


# --- folders that cannot be written to -------------------------------------------------------------------------------


def test_a_folder_that_can_be_written_to_is_left_as_it_was(tmp_path):
    check_writable(tmp_path)
    check_writable(tmp_path / "not" / "yet" / "there")
    assert not names(tmp_path)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunError, match=f"must be a folder, but {tmp_path / 'file'} is not one"):
            check_writable(path)
    with pytest.raises(RunError, match="there is a file where its folder should be"):
        write_atomically(tmp_path / "file" / "below", writing(b""))


def test_a_folder_that_refuses_files_is_named(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(RunError, match=f"output folder {tmp_path} cannot be written to: Permission denied"):
        check_writable(tmp_path)


# --- parts ------------------------------------------------------------------------------------------------------------


def parts(folder, counts):
    """Parts with so many rows each, numbered through."""
    first, files = 0, []
    for part, count in enumerate(counts):
        files.append(folder / f"part-{part}.parquet")
        rows = [{"index": index, "id": f"{index}.png", "label": None} for index in range(first, first + count)]
        write_table(files[-1], rows, records_schema(), {"maskcorrect_part": str(part)})
        first += count
    return files


def test_parts_are_read_in_order_with_the_columns_wanted(tmp_path):
    files = parts(tmp_path, [3, 1, 2])
    table = read_tables(files, ["id", "index"])
    assert table["index"].tolist() == list(range(6)) and set(table.columns) == {"id", "index"}
    assert read_tables(reversed(files))["index"].tolist() == [4, 5, 3, 0, 1, 2]
    assert read_tables(files)["label"].isna().all()


def test_an_empty_part_has_all_columns(tmp_path):
    assert list(read_tables(parts(tmp_path, [0])).columns) == records_schema().names


def test_a_damaged_part_is_named_with_what_to_do(tmp_path):
    files = parts(tmp_path, [2, 2, 2])
    whole = files[1].read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"PAR1" + b"x" * 100):
        files[1].write_bytes(damaged)
        with pytest.raises(RunError, match=r"part-1\.parquet cannot be read .*remove it.* same command again"):
            read_tables(files)
    files[1].unlink()
    with pytest.raises(RunError, match=r"part-1\.parquet cannot be read"):
        read_tables(files)
    with pytest.raises(ArgumentError, match="at least one"):
        read_tables([])
