"""Write a package of plug-ins, install it into a folder of its own, and run the command line with it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.command import ROOT, environment

ENTRY_POINTS = "collapse_lab.conf"


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files by their path below a folder, and return the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def pyproject(name: str, entry_points: Mapping[str, str]) -> str:
    """Return the pyproject.toml of a package whose entry points name folders of yaml files."""
    lines = "\n".join(f'{key} = "{value}"' for key, value in entry_points.items())
    return (
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
        f'[project]\nname = "{name.replace("_", "-")}"\nversion = "1.0"\n\n'
        f'[project.entry-points."{ENTRY_POINTS}"]\n{lines}\n'
    )


def install_by_pip(folder: Path, target: Path) -> None:
    """Install the package of a folder into another folder, without a network.

    Where the build backend is not installed, write what pip would write.
    """
    if importlib.util.find_spec("hatchling") is None:
        install(folder, target)
        return
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(folder)], check=True, timeout=120)


def install(folder: Path, target: Path) -> None:
    """Write what pip would install of a folder into another folder: the files and their dist-info.

    One test installs by pip itself (`install_by_pip`), because that takes seconds.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    name, version = project["project"]["name"], project["project"]["version"]
    shutil.copytree(folder / name.replace("-", "_"), target / name.replace("-", "_"))
    groups = project["project"].get("entry-points", {})
    text = "\n".join(
        f"[{group}]\n" + "\n".join(f"{key} = {value}" for key, value in entries.items())
        for group, entries in groups.items()
    )
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    write(target, {f"{info}/METADATA": metadata, f"{info}/entry_points.txt": text + "\n"})


def forget_modules(name: str = "my_lab") -> None:
    """Forget the modules of a package, because tests have packages of one name in different folders."""
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


def run_with(target: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run `python -m collapse_lab` to its end, with the packages of a folder installed."""
    return subprocess.run(
        [sys.executable, "-m", "collapse_lab", *arguments],
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=f"{ROOT}:{target}"),
        stdin=subprocess.DEVNULL,
        cwd=target,
        timeout=300,
    )
