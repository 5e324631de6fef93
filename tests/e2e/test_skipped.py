"""Pictures that cannot be read, with dataset.on_bad=skip: the folder of the run says which were left out."""

from __future__ import annotations

from pathlib import Path

from collapse_lab import compose, prepare
from collapse_lab.report.configuration import provenance
from collapse_lab.results.collect import collect
from tests.e2e.faces import write_faces
from tests.sharing.runs import NET, SMALL, TEXT


def made_from(folder: Path) -> str:
    """Return what the page of a run says of where its numbers come from."""
    return str(provenance(collect([folder])).context["text"])


def test_the_folder_of_a_run_names_the_pictures_that_were_left_out(tmp_path: Path) -> None:
    faces = write_faces(tmp_path / "faces", [12, 12])
    line = ["+experiment=nepotistic", *SMALL, *NET, *TEXT, "dataset=imagefolder", f"dataset.root={faces}"]
    line += ["dataset.image_size=8", "dataset.label_column=group", "mixing.initial=null", "prompts=all", "ratio=0.5"]
    line += ["dataset.on_bad=skip", f"paths.data={tmp_path / 'data'}", f"paths.runs={tmp_path / 'runs'}"]
    whole = prepare(compose(*line)).run()
    assert not (whole.folder / "skipped.txt").exists()
    assert "left out" not in made_from(whole.folder)

    (faces / "0-3.png").write_bytes(b"no picture")
    (faces / "1-7.png").unlink()
    # The second run reads the pictures that the first one decoded, and knows of those that it left out
    for seed in (1, 2):
        run = prepare(compose(*line, f"seed={seed}")).run()
        lines = (run.folder / "skipped.txt").read_text().splitlines()
        assert [entry.split(": ")[0] for entry in lines] == ["0-3.png", "1-7.png"]
        assert all(len(entry.split(": ")[1]) > 5 for entry in lines)
        assert "2 left out; skipped.txt in the folder of the run names them" in made_from(run.folder)
