import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf

from collapse_lab.datasets.base import ImageDataset

CONF = Path(__file__).parents[2] / "conf" / "dataset"
# Sets of points are drawn, not published: tests/datasets/test_points.py
FILES = sorted(
    path for path in CONF.glob("*.yaml") if issubclass(get_class(OmegaConf.load(path)._target_), ImageDataset)
)


def resolved(path: Path, cache: str) -> dict[str, Any]:
    config = OmegaConf.create({"paths": {"data": cache}, "dataset": OmegaConf.load(path)})
    node = OmegaConf.to_container(config, resolve=True)
    assert isinstance(node, dict)
    arguments: dict[str, Any] = node["dataset"]
    return arguments


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_yaml_has_every_argument_and_no_other(path: Path, tmp_path: Path) -> None:
    arguments = resolved(path, str(tmp_path))
    target = get_class(arguments.pop("_target_"))
    assert set(arguments) == set(inspect.signature(target).parameters)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_data_set_documents_its_licence(path: Path, tmp_path: Path) -> None:
    docstring = inspect.getdoc(get_class(resolved(path, str(tmp_path))["_target_"])) or ""
    assert any(word in docstring.lower() for word in ("licence", "cc by"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_key_and_shape_need_no_download(path: Path, tmp_path: Path) -> None:
    arguments = resolved(path, str(tmp_path / "cache"))
    if "???" in arguments.values():
        pytest.skip("names a folder or a data set of the user's")
    data = get_class(arguments.pop("_target_"))(**arguments)
    assert len(data.key) == 16
    assert data.classes
    assert data.native_shape[0] in (1, 3)
    assert not (tmp_path / "cache").exists()


def test_importing_the_modules_imports_no_heavy_library() -> None:
    modules = [
        "base",
        "captions",
        "cifar10",
        "cub200",
        "digits",
        "emoji",
        "fashion_mnist",
        "flowers102",
        "hub",
        "imagefolder",
    ]
    imports = "; ".join(f"import collapse_lab.datasets.{name}" for name in [*modules, "mnist"])
    heavy = "{'torch', 'torchvision', 'sklearn', 'scipy', 'pandas', 'pyarrow', 'datasets', 'PIL'} & set(sys.modules)"
    code = f"import sys; {imports}; import collapse_lab.prompts; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
