"""The command `python -m collapse_lab.verify`: its table, its JSON and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collapse_lab.verify.__main__ import main
from tests.e2e.command import environment
from tests.verify.made import claim, claims_file, sweep

ABSENT: dict[str, Any] = {"id": "absent", "groups": {"dosed": {"ratio": 0.25}, "control": {"ratio": 0}}}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return sweep(tmp_path / "runs", {0: [1.0, 1.05, 0.95], 1: [4.1, 4.2, 3.7]})


def test_the_exit_code_is_1_only_if_a_claim_is_not_reproduced(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    file = claims_file(tmp_path / "mine.yaml", claim(), claim(**ABSENT))
    assert main([str(runs), "--claims", str(file)]) == 0
    out = capsys.readouterr().out
    assert "1 reproduced, 1 not run" in out
    assert "ratio=0.25,0" in out
    assert "4 [3.75, 4.26], n = 3" in out
    file = claims_file(tmp_path / "mine.yaml", claim(), claim(id="more", needed={"at_least": 9}))
    assert main([str(runs), "--claims", str(file)]) == 1
    assert "needs at least 9" in capsys.readouterr().out


def test_the_json_file_holds_every_judgement(runs: Path, tmp_path: Path) -> None:
    half_life = {"metric": "seen/classifier/fid", "group": "dosed"}
    never = claim(id="never", statistic="half_life", arguments=half_life, groups={"dosed": {"ratio": 1}})
    file = claims_file(tmp_path / "mine.yaml", claim(), claim(**ABSENT), never)
    assert main([str(runs), "--claims", str(file), "--json", str(tmp_path / "out.json")]) == 0
    first, second, third = json.loads((tmp_path / "out.json").read_text())
    assert (first["verdict"], first["n"], first["needed"]) == ("reproduced", 3, {"at_least": 1.5})
    assert len(first["runs"]) == 6
    assert first["lo"] < first["value"] < first["hi"]
    assert first["value"] == pytest.approx(4.0, rel=0.02)
    assert second["value"] is None
    assert second["commands"] == ["python -m collapse_lab -m +experiment=nepotistic ratio=0.25,0 seed=0,1,2"]
    assert (third["value"], third["verdict"], third["note"]) == ("never", "inconclusive", "never in 3 of 3 chains")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/nowhere"], "is not there"),
        (["{tmp}"], "no ledger"),
        (["{runs}", "--paper", "nepotistik"], "did you mean 'nepotistic'"),
        (["{runs}", "--claims", "{tmp}/none.yaml"], "cannot be read"),
        (["{runs}", "--json", "{tmp}/no/where.json"], "cannot be written"),
    ],
)
def test_the_exit_code_of_bad_input_is_2(
    runs: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    command = [argument.format(tmp=tmp_path / "empty", runs=runs) for argument in arguments]
    assert main(command) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_experiment_is_bad_input(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = claims_file(tmp_path / "mine.yaml", claim(experiment="nepotistik"))
    assert main([str(runs), "--claims", str(file)]) == 2
    assert "did you mean 'nepotistic'" in capsys.readouterr().err


def test_help_imports_nothing_heavy_and_no_command_imports_torch(runs: Path) -> None:
    code = (
        "import sys; from collapse_lab.verify.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "print(sorted({'torch', 'scipy', 'rich', 'hydra', 'matplotlib'} & set(sys.modules)))\n"
        "main([sys.argv[1]])\n"
        "print(sorted({'torch', 'matplotlib', 'diffusers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(runs)], capture_output=True, text=True, env=environment(), check=True
    )
    assert [line for line in done.stdout.splitlines() if line.startswith("[")] == ["[]", "[]"]
