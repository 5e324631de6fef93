"""The command `python -m collapse_lab.verify`: its table, its JSON and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collapse_lab.verify.__main__ import main
from collapse_lab.verify.claims import read, shipped
from tests.e2e.command import environment
from tests.verify.made import claim, claims_file, sweep

ABSENT: dict[str, Any] = {"id": "absent", "groups": {"dosed": {"ratio": 0.25}, "control": {"ratio": 0}}}


def _of(metric: str) -> dict[str, Any]:
    return {"metric": metric, "group": "dosed", "control": "control", "generation": 1}


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
    assert (first["p_holm"], first["verdict_after_holm"]) == (pytest.approx(first["p"]), "reproduced")
    assert first["shown"].startswith("at least 1.")
    assert (second["p"], second["detectable"], second["shown"]) == (None, None, "")
    assert (third["value"], third["verdict"], third["note"]) == ("never", "inconclusive", "never in 3 of 3 chains")


def test_the_page_has_a_row_for_each_claim_with_interval_seeds_and_power(runs: Path, tmp_path: Path) -> None:
    sweep(runs, {0.5: [1.2, 1.7, 1.6]}, "n_train=300")
    near = {"dosed": {"ratio": 1}, "control": {"ratio": 0}}
    file = claims_file(
        tmp_path / "mine.yaml",
        claim(),
        claim(**ABSENT),
        claim(id="near", claim="FID is a|b.", groups=near, needed={"at_least": 4.0}),
    )
    page = tmp_path / "claims.md"
    assert main([str(runs), "--claims", str(file), "--markdown", str(page)]) == 0
    lines = page.read_text().splitlines()
    assert f"`collapse-lab verify {runs} --claims {file} --markdown {page}`" in lines[2]
    assert "Holm" in page.read_text()
    rows = [line for line in lines if line.startswith("| FID")]
    assert [row.count(" | ") for row in rows] == [8, 8, 8]
    assert "| FID rises. `rises` | nepotistic | ratio at least 1.5 | 4 | [3.75, 4.26] | 3 |" in rows[0]
    assert rows[0].endswith("| reproduced | reproduced |")
    assert rows[1].endswith("| – | – | – | – | not run | – |")
    assert rows[2].startswith("| FID is a\\|b. `near`")
    assert "| at least 4.3" in rows[2]
    assert rows[2].endswith("| inconclusive | inconclusive |")


def test_claims_written_after_their_runs_and_verdicts_without_a_p_value_are_counted(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(runs, {0.5: [2.0, 2.1, 1.9]})
    rank = {"metric": "seen/classifier/fid", "setting": "ratio", "generation": 1}
    groups = {"control": {"ratio": 0}, "half": {"ratio": 0.5}, "dosed": {"ratio": 1}}
    orders = claim(id="orders", statistic="trend", arguments=rank, groups=groups, needed={"at_least": 0.7})
    file = claims_file(tmp_path / "mine.yaml", claim(post_hoc=True), orders)
    page = tmp_path / "claims.md"
    assert main([str(runs), "--claims", str(file), "--markdown", str(page), "--json", str(tmp_path / "out.json")]) == 0
    assert [plain["post_hoc"] for plain in json.loads((tmp_path / "out.json").read_text())] == [True, False]
    text = page.read_text()
    assert "`rises` (post hoc) |" in text
    assert "`orders` |" in text
    assert "1 claim was judged with three seeds or more" in text
    assert "it leaves 1 of 2 verdicts. Verdicts without a p value are open then: 1. Their" in text
    assert text.splitlines()[-1].endswith("| reproduced | inconclusive |")
    assert "Verdicts of claims written post hoc: 1." in " ".join(capsys.readouterr().out.split())


def test_without_runs_all_claims_of_the_papers_are_listed_as_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "claims.md"
    assert main(["--markdown", str(page)]) == 0
    text = page.read_text()
    shown = [one for path in shipped() for one in read(path)]
    assert all(f"`{one.id}`" in text for one in shown)
    assert f"{len(shown)} not run." in text
    assert "judged with three seeds" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/nowhere"], "is not there"),
        (["{tmp}"], "no ledger"),
        (["{runs}", "--paper", "nepotistik"], "did you mean 'nepotistic'"),
        (["{runs}", "--claims", "{tmp}/none.yaml"], "cannot be read"),
        (["{runs}", "--json", "{tmp}/no/where.json"], "cannot be written"),
        (["{runs}", "--markdown", "{tmp}/no/where.md"], "cannot be written"),
    ],
)
def test_the_exit_code_of_bad_input_is_2(
    runs: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    command = [argument.format(tmp=tmp_path / "empty", runs=runs) for argument in arguments]
    assert main(command) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experiment": "nepotistik"}, "did you mean 'nepotistic'"),
        ({"setting": {"dataset": "digit"}}, "which no preset can make"),
        ({"setting": {"model.optimisation.finetune_rate": 0.1}}, "which no preset can make"),
        ({"groups": {"dosed": {"ratio": 2}, "control": {"ratio": 0}}}, "which no preset can make"),
        ({"arguments": _of("seen/inception/fid")}, "runs have no features.inception, but classifier, pixels"),
        ({"arguments": _of("held_out/classifier/fid")}, "runs have no prompts.sets.held_out, but seen, unseen"),
        (
            {"arguments": _of("seen/classifier/fids")},
            "no ledger has 'seen/classifier/fids': give runs that measured it",
        ),
        (
            {"arguments": _of("seen/classifier/fd_infinity")},
            "runs have no metrics.fd_infinity, but fid, kid, prdc, agreement",
        ),
        (
            {"arguments": {**_of("seen/classifier/fid"), "generation": 9}},
            "ends with generation 5, and ratio asks for generation 9; ask for an earlier one, or add 'generations: 9'",
        ),
    ],
)
def test_a_claim_that_no_run_can_meet_is_refused_with_the_remedy(
    runs: Path, tmp_path: Path, changes: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = claims_file(tmp_path / "mine.yaml", claim(**changes))
    assert main([str(runs), "--claims", str(file)]) == 2
    error = capsys.readouterr().err
    assert "mine, rises" in error
    assert message in error
    assert error.count("\n") == 1


def test_a_number_that_the_ledgers_lack_leaves_a_claim_not_run(runs: Path, tmp_path: Path) -> None:
    arguments = {"arguments": _of("seen/classifier/recall")}
    file = claims_file(tmp_path / "mine.yaml", claim(**arguments))
    assert main([str(runs), "--claims", str(file), "--json", str(tmp_path / "out.json")]) == 0
    (only,) = json.loads((tmp_path / "out.json").read_text())
    assert (only["verdict"], only["reason"]) == (
        "not run",
        "no pair of runs has seen/classifier/recall at generation 1",
    )


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


def judged(*words: str | Path) -> list[dict[str, Any]]:
    """Return what `--json` holds after the command."""
    out = Path(str(words[-1]))
    main([*map(str, words[:-1]), "--json", str(out)])
    plain: list[dict[str, Any]] = json.loads(out.read_text())
    return plain


def test_an_earlier_judgement_stands_for_a_claim_that_has_no_runs_now(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = {"statistic": "ratio"}
    file = claims_file(tmp_path / "mine.yaml", claim(), claim(**ABSENT), claim(id="log", **log))
    old = tmp_path / "old.json"
    first = judged(runs, "--claims", file, old)
    page = tmp_path / "page.md"
    main([str(runs), "--claims", str(file), "--markdown", str(page)])
    whole = page.read_text().splitlines()[3:]
    alone = judged("--claims", file, "--earlier", old, tmp_path / "new.json")
    assert (alone[0], alone[2], alone[1]["verdict"]) == (first[0], first[2], "not run")
    main(["--claims", str(file), "--earlier", str(old), "--markdown", str(page)])
    assert page.read_text().splitlines()[3:] == whole
    # Holm's method counts old and new claims together
    other = sweep(tmp_path / "other", {0: [1.0, 1.05, 0.95], 0.25: [4.1, 4.2, 3.7]})
    both = judged(other, "--claims", file, "--earlier", old, tmp_path / "both.json")
    assert [one["verdict"] for one in both] == ["reproduced", "reproduced", "reproduced"]
    assert both[0]["p"] == first[0]["p"]
    assert both[0]["p_holm"] > first[0]["p_holm"]
    capsys.readouterr()


def test_what_other_settings_gave_stands_for_a_claim_that_was_never_run(runs: Path, tmp_path: Path) -> None:
    file, old = claims_file(tmp_path / "mine.yaml", claim(setting={"n_train": 7})), tmp_path / "old.json"
    (first,) = judged(runs, "--claims", file, old)
    assert first["verdict"] == "not run"
    assert first["others"]
    assert judged("--claims", file, "--earlier", old, tmp_path / "a.json") == [first]


def test_an_earlier_judgement_gives_way_to_as_many_seeds_and_to_another_claim(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, old = claims_file(tmp_path / "mine.yaml", claim()), tmp_path / "old.json"
    (first,) = judged(runs, "--claims", file, old)
    single = sweep(tmp_path / "single", {0: [1.0], 1: [3.0]})
    assert judged(single, "--claims", file, "--earlier", old, tmp_path / "a.json") == [first]
    three = sweep(tmp_path / "three", {0: [1.0, 1.0, 1.0], 1: [3.0, 3.1, 2.9]})
    (again,) = judged(three, "--claims", file, "--earlier", old, tmp_path / "b.json")
    assert again["value"] == pytest.approx(3, rel=0.01)
    changed = claims_file(tmp_path / "mine.yaml", claim(needed={"at_least": 3.9}))
    (void,) = judged("--claims", changed, "--earlier", old, tmp_path / "c.json")
    assert void["verdict"] == "not run"
    assert "its needed has changed since it was judged" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[1]", "{}x", '[{"paper": "p", "id": "i"}]', '[{"paper": "p"}]'])
def test_a_file_that_is_no_earlier_judgement_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, old = claims_file(tmp_path / "mine.yaml", claim()), tmp_path / "old.json"
    old.write_text(text)
    assert main(["--claims", str(file), "--earlier", str(old)]) == 2
    assert str(old) in capsys.readouterr().err
