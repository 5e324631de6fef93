"""Processes beside a run of several members, which compute the stages of some members while it computes others.

    python -m collapse_lab.cli.side_by_side          the configuration and the share of the work, as JSON on stdin

Such a process writes stages to the store, and nothing else. The run takes them from there as if it had computed them
itself. A stage that two processes need is computed by one of them, and the other waits for its lock.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from collapse_lab.cli.leases import VISIBLE, gpus_here
from collapse_lab.cli.workers import LAUNCHER, start_worker
from collapse_lab.config.composing import Composed
from collapse_lab.errors import UserError

if TYPE_CHECKING:
    from collapse_lab.experiment import Experiment


@contextmanager
def side_by_side(composed: Composed, experiment: Experiment) -> Iterator[None]:
    """Compute members of a population side by side inside the block, in as many processes as `processes` says.

    There is never a process without a member. A process beside the run that ends early, for whatever reason, leaves its
    work to the run.

    Args:
        composed: the configuration of the run.
        experiment: the run.

    Raises:
        UserError: there are several processes, and the run has one member, or its store does not keep what processes
            hand to each other.
    """
    asked = composed.root.processes
    if asked == 1:
        yield
        return
    _check(asked, experiment)
    members = len(experiment.layout.lab.models)
    count = min(asked, members)
    started = [_start(composed, number, count) for number in range(1, count)]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def _check(asked: int, experiment: Experiment) -> None:
    layout = experiment.layout
    if len(layout.lab.models) == 1:
        raise UserError(
            f"processes={asked} computes the members of a population side by side, and this run has one; leave it out, "
            "or run cells side by side (-m … hydra/launcher=local)"
        )
    if not all(stage.persist for steps in layout.plan for step in steps for stage in step.computed):
        raise UserError(
            f"processes={asked} hand each other stages through the store, and store.keep={layout.lab.store.keep} with "
            f"store.every={layout.lab.store.every} does not keep each generation; give store=all"
        )


def _start(composed: Composed, number: int, count: int) -> subprocess.Popen[str]:
    """Return a process that computes every member whose place in the population leaves the rest `number`."""
    config: Any = OmegaConf.to_container(composed.cfg, resolve=False)
    config["sinks"] = {}  # because the run itself tells of everything
    task = json.dumps({"config": config, "overrides": composed.overrides, "number": number, "count": count})
    environment = os.environ | {LAUNCHER: str(os.getpid())}
    gpus = gpus_here()
    if len(gpus) > 1:
        environment[VISIBLE] = gpus[number % len(gpus)]
    process = subprocess.Popen(
        [sys.executable, "-m", "collapse_lab.cli.side_by_side"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # because the run does without a process that has ended
        process.stdin.write(task)
        process.stdin.close()
    return process


def compute(config: dict[str, Any], overrides: list[str], number: int, count: int) -> None:
    """Compute the stages of some members, generation after generation, until one diverges.

    Args:
        config: the composed configuration.
        overrides: what the command line said.
        number: the place of these members: every count-th one from it on.
        count: the number of processes.
    """
    from collapse_lab.experiment import prepare

    experiment = prepare(Composed(OmegaConf.create(config), tuple(overrides)))
    own = experiment.layout.lab.population.names[number::count]
    steps = [step for generation in experiment.layout.plan for step in generation if step.model in own]
    experiment.compute([(stage.kind, stage.key) for step in steps for stage in step.computed])


if __name__ == "__main__":
    start_worker()
    compute(**json.loads(sys.stdin.read()))
