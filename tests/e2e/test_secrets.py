from __future__ import annotations

import json
from pathlib import Path

from tests.nursery import Nursery

# A closed form, because nothing here depends on what is computed
SHORT = ["+experiment=recursive_gaussian", "model.replicas=2", "n_train=8", "generations=0", "device=cpu"]
SECRET = "s3cret" + 34 * "0"  # as long as a key of W&B
MORE = ["seed=0,1", "++hydra.job.env_set={OTHER_TOKEN: s3cret11}", "+sinks.own.token=s3cret33"]
MARK = b"s3cret"


def holders(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and MARK in path.read_bytes()]


def test_no_file_of_a_sweep_holds_a_secret_of_its_command_line(nursery: Nursery, tmp_path: Path) -> None:
    end = nursery.run(
        [
            *("-m", *SHORT, "sinks=[console,wandb]", f"paths.runs={tmp_path}/runs"),
            *(f"++hydra.job.env_set.WANDB_API_KEY={SECRET}", *MORE, "+sinks.own._target_=tests.e2e.tokened.Tokened"),
        ]
    )
    assert end.code == 0, end.err
    assert "the token has 8 characters" in end.out
    mirrors = list(tmp_path.rglob("run-*.wandb"))
    (swept,) = tmp_path.rglob("multirun.yaml")
    assert "seed" in swept.read_text()
    lines = [path.read_text() for path in sorted(tmp_path.rglob("*.line"))]
    assert len(lines) == 2
    assert all("generations=0" in text and "+sinks.own.token=***" in text for text in lines)
    assert "generations=0" in str(json.loads(next(tmp_path.rglob("environment.json")).read_text())["command"])
    assert [mirror.stat().st_size > 1000 for mirror in mirrors] == [True, True]
    assert holders(tmp_path) == []


def test_the_reason_of_a_failure_holds_no_secret(nursery: Nursery, tmp_path: Path) -> None:
    wrong = ["+sinks.own._target_=tests.e2e.tokened.Absent", "+sinks.own.token=s3cret33"]
    end = nursery.run(["-m", *SHORT, "sinks=console", "seed=0,1", *wrong, f"paths.runs={tmp_path}/runs"])
    assert end.code == 2, end.err
    assert len(list(tmp_path.rglob("*.line"))) == 2
    assert holders(tmp_path) == []
