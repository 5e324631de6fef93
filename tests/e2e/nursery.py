"""A process that has everything imported and forks a child for each command, so that a command costs no import.

    python -m tests.e2e.nursery          a JSON list of jobs on each line of stdin, their ends on a line of stdout

A child is the program from `main` on, with the command line and the output of its job, and can be killed at a moment
or at a call. The nursery itself computes nothing and starts no thread, so a fork of it is as good as a fresh start.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import time
import traceback
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from tests import pages, unsynced

HEAVY = ("torch", "diffusers", "pytorch_lightning", "matplotlib.pyplot", "rich.table")
THREADED = ("sinks.wandb", "sync")  # because wandb starts threads of its own
CLOSED_FORM = ("torch", "collapse_lab.cli.run", "collapse_lab.experiment")  # where the environment says CLOSED_FORM=1


def main() -> None:
    gc.disable()  # because imports drop next to nothing, and to look for it takes a fifth of their time
    for name in CLOSED_FORM if os.environ.get("CLOSED_FORM") else (*HEAVY, *ours()):
        importlib.import_module(name)
    read_configuration()
    # Because Hydra's grammar is made ready by the first composition of a process
    importlib.import_module("collapse_lab.config.composing").compose("+experiment=nepotistic", "+scale=tiny")
    unsynced.wait_for_no_disk()
    gc.freeze()  # so that no child looks through, and thereby copies, what was imported
    gc.enable()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(rear(json.loads(line))), flush=True)
    os._exit(0)  # because to tear down what was imported takes seconds, and triton complains of what was frozen


def ours() -> list[str]:
    """Return the names of our modules, less those that start threads."""
    package = importlib.import_module("collapse_lab")
    found = pkgutil.walk_packages(package.__path__, "collapse_lab.")
    return [module.name for module in found if not module.name.endswith((*THREADED, "__main__"))]


def read_configuration() -> None:
    """Read every file of conf/, so that no child has to parse one that stays as it is."""
    from collapse_lab.config.searchpath import CONF
    from collapse_lab.config.sources import FileConfigSource, keys_of

    source = FileConfigSource("main", str(CONF))
    for file in sorted(CONF.rglob("*.yaml")):
        source.load_config(str(file.relative_to(CONF)))
        keys_of(file)


def rear(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Starts all jobs at once, and waits for the end of each."""
    start = time.perf_counter()
    running = {fork(job): number for number, job in enumerate(jobs)}
    ends: list[dict[str, Any]] = [{} for _ in jobs]
    while running:
        for pid, number in list(running.items()):
            passed = time.perf_counter() - start
            due = jobs[number].get("kill_after")
            if due is not None and passed > due:
                os.kill(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del running[pid]
                ends[number] = {"code": os.waitstatus_to_exitcode(status), "seconds": passed}
        time.sleep(0.002)
    return ends


def fork(job: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 70  # what went wrong is no end that the program has
        try:
            for name, descriptor in (("out", 1), ("err", 2)):
                os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            code = child(job)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return pid


def child(job: dict[str, Any]) -> int:
    from collapse_lab.cli import main as command

    os.environ.update(job["env"])
    os.chdir(os.environ.get("FOLDER", "."))
    shift_clock(float(os.environ.get("CLOCK_OFF", 0)))
    # Because a suite that was started in the background hands down SIGINT as ignored, and Python then leaves it ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("SITE"):
        install_from(os.environ["SITE"])
    if os.environ.get("IN_DOUBLE"):
        compute_in_double()
    if os.environ.get("END_AT_STEP"):
        end_at_first_step()
    if not os.environ.get("PAGE"):  # a command with PAGE=1 in its environment draws the page of its run
        pages.draw_none()
    if job["stages"]:
        log_stages(job["stages"])
    if job["signal_at"]:
        signal_at(*job["signal_at"])
    sys.argv = ["collapse_lab", *job["args"]]
    try:
        command.main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def shift_clock(seconds: float) -> None:
    """Set the clock of this process forward, or back."""
    if seconds == 0:
        return
    from collapse_lab.storage import environment

    original, original_ns = time.time, time.time_ns

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=seconds)

    time.time = lambda: original() + seconds
    time.time_ns = lambda: original_ns() + int(seconds * 1e9)
    environment.datetime = Shifted  # type: ignore[attr-defined]


def install_from(folder: str) -> None:
    """Find the packages of a folder, as a process that starts with it in PYTHONPATH does."""
    from collapse_lab.config.searchpath import plugin_folders

    sys.path.insert(1, folder)
    importlib.invalidate_caches()
    plugin_folders.cache_clear()


def end_at_first_step() -> None:
    """Print the frames of ours above the first training step, and end the process there."""
    import collapse_lab
    from collapse_lab.models.diffusion import Diffusion

    package = Path(collapse_lab.__file__).resolve().parent

    def training_step(*_: Any, **__: Any) -> Any:
        stack = [(Path(frame.filename).resolve(), frame.name) for frame in traceback.extract_stack()]
        calls = [(path, name) for path, name in stack if path.is_relative_to(package) and name != "<module>"]
        print(json.dumps([f"{path.relative_to(package)}: {name}" for path, name in calls]), flush=True)
        os._exit(0)

    Diffusion.training_step = training_step  # type: ignore[method-assign]


def compute_in_double() -> None:
    """Compute in float64, because the rounding of float32 depends on the CPU and moves grey levels of samples."""
    import torch

    from collapse_lab.nn import pixels

    pixels.as_float = lambda data: data.double() / 127.5 - 1  # type: ignore[attr-defined]
    torch.set_default_dtype(torch.float64)


def log_stages(path: str) -> None:
    """Writes a line for each stage that is really computed, by whichever process."""
    from collapse_lab.storage.store import Store

    obtain = Store.obtain

    def logged(self: Store, kind: str, key: str, produce: Any, describe: Any) -> Any:
        def produced() -> Any:
            with Path(path).open("a") as log:  # one short write in append mode is whole, whoever else writes
                log.write(f"{kind}/{key}\n")
            return produce()

        return obtain(self, kind, key, produced, describe)

    Store.obtain = logged  # type: ignore[method-assign]


def signal_at(number: int, call: str, nth: int) -> None:
    """Sends this process a signal at the nth call of a function, before the call does anything.

    At `write/2`, the nth write of a line of the ledger, one half of it is written first; at `save/2`, the
    nth small file of a run folder, one half of its draft.
    """
    half = call == "write/2"
    owner, name = {
        "advance": ("collapse_lab.sinks.console:Console", "advance"),
        "start": ("collapse_lab.sinks.console:Console", "start"),
        "measure": ("collapse_lab.engine.ruler:Ruler", "measure"),
        "grid": ("collapse_lab.engine.loop:Loop", "_draw_grids"),
        "report": ("collapse_lab.report:", "write_report"),
        "settle": ("collapse_lab.engine.run:", "_settle"),
        "fsync": ("os:", "fsync"),
        "write/2": ("os:", "write"),
        "rename": ("os:", "rename"),
        "save/2": ("collapse_lab.engine.run:", "write_whole"),
    }[call]
    module, _, klass = owner.partition(":")
    place: Any = importlib.import_module(module)
    place = getattr(place, klass) if klass else place
    original, calls = getattr(place, name), 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += not half or bytes(args[1]).startswith(b'{"generation"')
        if calls == nth:
            calls += 1
            if half:
                original(args[0], args[1][: len(args[1]) // 2])
            if call == "save/2":
                path, text = args
                path.with_name(f".{path.name}-draft").write_text(text[: len(text) // 2])
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    setattr(place, name, counted)


if __name__ == "__main__":
    main()
