"""The command line in processes of its own that start at once.

``ForkingCli`` starts this file as a process that imports everything and then forks for each command, so that a command
takes as long as its work and not as long as its imports. The forks are real processes: they can be killed.

A command can also be made to send itself a signal at a *crash point*: before and after each step by which files come to
be (making a folder, writing half of a file, forcing it to disk, renaming, linking, removing).
"""

import gc
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STEPS = ("mkdir", "fsync", "replace", "link", "unlink")
"""Functions of `os` that make, name and remove files."""


def environment(**changes):
    """Of a command: this checkout and the tests can be imported, one thread, no launcher's variables."""
    paths = [str(ROOT), str(ROOT / "adapters"), str(ROOT / "tests")]
    launcher = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    kept = {name: value for name, value in os.environ.items() if name not in launcher and "SLURM" not in name}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "COLUMNS": "100", **changes}


class Running:
    """A command that was started."""

    def __init__(self, cli, pid, log):
        self.cli, self.pid, self.log = cli, pid, log
        self.code = None

    def poll(self):
        """The exit code, negative for a signal; None while it runs."""
        if self.code is None:
            self.code = self.cli.ask(poll=self.pid)
        return self.code

    def wait(self, timeout=120):
        """The exit code."""
        wait_for(lambda: self.poll() is not None, timeout, f"{self.pid} to end")
        return self.code

    def kill(self, number=signal.SIGKILL, group=False):
        """Sends a signal, if it still runs, and gives the exit code."""
        if self.poll() is None:
            (os.killpg if group else os.kill)(self.pid, number)
        return self.wait()

    @property
    def output(self):
        """What it printed so far, on both streams."""
        return self.log.read_text()


class ForkingCli:
    """Starts commands."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def ask(self, **request):
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def start(self, *args, crash_at=None, crash_signal=signal.SIGKILL, file_size=None, **env):
        """Starts ``maskcorrect ARGS``.

        Args:
            *args: Of the command.
            crash_at: At which step it sends itself a signal, from 1.
            crash_signal: Which.
            file_size: Bytes that a file may have at most, as if the disk were full.
            **env: Further environment variables.
        """
        self.count += 1
        log = self.folder / f"log-{self.count}.txt"
        request = {"args": [str(arg) for arg in args], "log": str(log), "cwd": str(self.folder), "env": env}
        crash = {"crash_at": crash_at, "crash_signal": crash_signal, "file_size": file_size}
        return Running(self, self.ask(**request, **crash), log)

    def run(self, *args, **options):
        """Runs it to its end: exit code and what it printed."""
        running = self.start(*args, **options)
        return running.wait(), running.output

    def steps(self, *args):
        """Runs it to its end: all its steps as (moment, path)."""
        code, output = self.run(*args, LIST_STEPS="1")
        assert code == 0, output
        return [tuple(step) for step in json.loads(output.splitlines()[-1])]

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def wait_for(condition, timeout=120, what="something"):
    """The first value of a condition that is true."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(0.002)
    return value


def children_of(pid):
    """Processes that a process started."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks Linux for the children of a process")


# --- the process that forks -------------------------------------------------------------------------------------------


def serve():
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import scipy.stats  # noqa: F401
    import statsmodels.stats.multitest  # noqa: F401
    import torch
    import torchvision.transforms.v2  # noqa: F401

    import maskcorrect_plugin.commands.evaluate
    import maskcorrect_plugin.demo.network  # noqa: F401

    torch.set_num_threads(1)
    gc.freeze()  # collections in the forks need not look at what was imported
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                run_command(**request)
        print(json.dumps(answer), flush=True)


def run_command(args, log, cwd, env, crash_at, crash_signal, file_size):
    """In the fork: becomes the command, and never returns."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(handle, stream)
        os.close(0)
        os.chdir(cwd)
        os.environ.update(env)
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        points = CrashPoints(crash_at, crash_signal)
        points.install()
        sys.argv = ["maskcorrect", *args]

        from maskcorrect_plugin.cli import app

        app(args, prog_name="maskcorrect")
    except SystemExit as end:
        code = end.code
        if "LIST_STEPS" in os.environ:
            print(json.dumps(points.steps))
    except BaseException:  # noqa: BLE001 - printed, as Python does at the end of a program
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


class CrashPoints:
    """Counts the steps by which files come to be, and sends the process a signal at one of them.

    Args:
        at: Which step, from 1; None lets all pass.
        number: The signal.
    """

    def __init__(self, at, number):
        self.at, self.number = at, number
        self.steps = []

    def tick(self, moment, path):
        self.steps.append((moment, str(path)))
        if len(self.steps) == self.at:
            os.kill(os.getpid(), self.number)

    def install(self):
        import pyarrow.parquet as pq

        os.fsync = lambda handle: None  # a process that is killed loses nothing of it, and it may take long
        for name in STEPS:
            setattr(os, name, self.around(name, getattr(os, name)))
        write_table = pq.write_table

        def in_two_halves(table, file, **options):
            whole = io.BytesIO()
            write_table(table, whole, **options)
            half = len(whole.getvalue()) // 2
            file.write(whole.getvalue()[:half])
            file.flush()
            self.tick("half-written", file.name)
            file.write(whole.getvalue()[half:])

        pq.write_table = in_two_halves

    def around(self, name, function):
        def step(*args, **kwargs):
            self.tick(f"before {name}", args[-1] if name in ("replace", "link") else args[0])
            value = function(*args, **kwargs)
            self.tick(f"after {name}", args[-1] if name in ("replace", "link") else args[0])
            return value

        return step


if __name__ == "__main__":
    serve()
