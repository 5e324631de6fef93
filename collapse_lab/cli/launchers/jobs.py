"""What runs inside a job of a cluster, and how it ends to be queued again."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import configure_log, setup_globals

from collapse_lab.cli.launchers.waves import Place

if TYPE_CHECKING:
    from collapse_lab.cli.launchers.slurm import SlurmLauncher

log = logging.getLogger(__name__)


class Leaving:
    """Let a job be queued again once, however often it is asked to end.

    A second signal would otherwise come in the middle of what submitit does after the first. A copy of this object in
    another process, as that of the job when it begins again, has not been asked yet.
    """

    def __init__(self) -> None:
        self._asked = False

    def __reduce__(self) -> Any:
        return Leaving, ()

    def begin(self) -> None:
        """Begin to end this process; the first call returns.

        Raises:
            SystemExit: it was called before.
        """
        if self._asked:
            sys.exit(-1)
        self._asked = True
        # Because SLURM ends every process of a job that is queued again, `scontrol requeue` among them, whose end by
        # SIGTERM submitit would take for a refusal. A process hands an ignored signal down to what it starts
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        from submitit import JobEnvironment

        # Because submitit refuses to write its file beside the draft of a process that was killed while it wrote
        pickle = JobEnvironment().paths.submitted_pickle
        pickle.with_suffix(pickle.suffix + ".save_tmp").unlink(missing_ok=True)


class Shared:
    """Compute, as a job, stages that several cells of a sweep share.

    What goes wrong is logged and not raised, because the cells then begin, and each says what is wrong with it.

    Args:
        launcher: what composes the cells.
        places: kinds and keys of the stages.
        line: the overrides of one of the cells.
        state: Hydra's singletons.
    """

    def __init__(
        self, launcher: SlurmLauncher, places: Sequence[Place], line: Sequence[str], state: dict[Any, Any]
    ) -> None:
        self._launcher, self._places, self._line, self._state = launcher, places, line, state
        self._leaving = Leaving()

    def __call__(self) -> None:
        """Compute the stages."""
        from submitit.core.utils import UncompletedJobError

        Singleton.set_state(self._state)
        setup_globals()
        config = self._launcher.config
        configure_log(config.hydra.job_logging, config.hydra.verbose)
        try:
            self._launcher.prepared(self._line).compute(self._places)
        except UncompletedJobError:
            raise  # because the job ran out of time too often, and the cells would do so too
        except Exception as error:
            log.warning("what cells share could not be computed, and each cell computes it: %s", error)

    def checkpoint(self) -> Any:
        """Return what the job computes when it begins again: the stages that are not in the store by then."""
        from submitit.helpers import DelayedSubmission

        self._leaving.begin()
        return DelayedSubmission(self)
