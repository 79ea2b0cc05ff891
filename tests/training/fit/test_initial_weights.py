"""Start weights from the files that people have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from deepscan.detectors.resnet3d.network import ResNet3d
from deepscan.detectors.resnet_layers import ResNetTrunk
from deepscan.errors import UsageError
from deepscan.training.export.onnx import save_weights
from deepscan.training.fit.initial_weights import find_start, load_trained, start_from
from deepscan.training.networks import build
from deepscan.training.tuning.start import CLIP, SHIPPED, UNTUNED, start
from tests.training.conftest import weights

pytestmark = pytest.mark.slow


def wrapped(state: dict[str, torch.Tensor], path: Path) -> Path:
    """As the public checkpoints of DataParallel runs lie on disk."""
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 3}, path)
    return path


@pytest.mark.parametrize(
    ("name", "depth", "places"), [("sola", 18, ("rgb", "noise")), ("global_local", 34, ("trunk",))]
)
def test_a_torchvision_resnet_fills_the_trunks(
    name: str, depth: int, places: tuple[str, ...], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    state = {
        **ResNetTrunk(depth).state_dict(),
        "fc.weight": torch.zeros(1000, 512),
        "fc.bias": torch.zeros(1000),
    }
    net: Any = build(name)
    start_from(net, wrapped(state, tmp_path / "resnet.pth"))
    for place in places:
        own = net.get_submodule(place).state_dict()
        assert own and all(torch.equal(tensor, state[key]) for key, tensor in own.items())


def test_a_kinetics_3d_resnet_fills_all_but_the_classifier_and_holds_the_lower_stages(tmp_path: Path) -> None:
    torch.manual_seed(2)
    state = ResNet3d(50).state_dict()
    state["fc.weight"], state["fc.bias"] = torch.zeros(400, 2048), torch.zeros(400)
    net: Any = build("resnet3d")
    start_from(net, wrapped(state, tmp_path / "r3d50.pth"))
    assert torch.equal(net.layer4[0].conv1.weight, state["layer4.0.conv1.weight"])
    assert net.fc.weight.shape == (2, 2048)
    assert not net.layer1[0].conv1.weight.requires_grad and net.layer4[0].conv1.weight.requires_grad


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gml", "or an ImageNet Xception as safetensors"),
        ("sola", "or a torchvision ResNet-18"),
        ("resnet3d", "or a Kinetics 3D-ResNet"),
        ("local_features", "a checkpoint of `deepscan train fit local_features`, a shipped one."),
    ],
)
def test_a_wrong_file_is_named_with_what_would_do(name: str, sentence: str, tmp_path: Path) -> None:
    strange = tmp_path / "strange.pth"
    torch.save({"conv.weight": torch.zeros(3)}, strange)
    damaged, text = tmp_path / "damaged.pt", tmp_path / "notes.safetensors"
    damaged.write_bytes(b"PK\x03\x04 not a checkpoint")
    text.write_text("nothing")
    for path in (strange, damaged, text):
        with pytest.raises(UsageError, match=f"{path.name} does not hold weights of {name}") as error:
            start_from(build(name), path)
        assert sentence in str(error.value) and "\n" not in str(error.value)


def test_a_trained_network_is_one_of_ours(tmp_path: Path, whole: Path) -> None:
    net: Any = build("local_features")
    load_trained(net, whole)
    assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in net.state_dict().items())
    public, text = wrapped(ResNet3d(50).state_dict(), tmp_path / "r3d50.pth"), tmp_path / "notes.safetensors"
    text.write_text("nothing")
    for name, path in (("resnet3d", public), ("local_features", text), ("gml", whole)):
        with pytest.raises(UsageError, match=f"{path.name} does not hold weights of {name}") as error:
            load_trained(build(name), path)
        assert str(error.value).endswith("a shipped one.")


def test_a_resnet_of_another_depth_is_refused(tmp_path: Path) -> None:
    path = wrapped(dict(ResNetTrunk(18).state_dict()), tmp_path / "resnet18.pth")
    with pytest.raises(UsageError, match=r"does not hold weights of global_local: .*has no tensor layer1\.2"):
        start_from(build("global_local"), path)


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"model": Evil(), "step": 1}, tmp_path / "evil.pt")
    with pytest.raises(UsageError, match="it cannot be read"):
        start_from(build("local_features"), tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_what_init_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "gml.safetensors").touch()
    monkeypatch.setenv("DEEPSCAN_WEIGHTS", str(tmp_path))
    assert find_start("none", "gml") is None
    assert find_start("shipped", "gml") == tmp_path / "checkpoints" / "gml.safetensors"
    with pytest.raises(UsageError, match=r"no checkpoint of sola ships beside the weights \(gml do\)"):
        find_start("shipped", "sola")
    with pytest.raises(UsageError, match=r"gone.pt: there is no such file"):
        find_start("gone.pt", "gml")


def test_the_shipped_checkpoints_fit_their_networks() -> None:
    for path in sorted((Path(__file__).parents[3] / "weights" / "checkpoints").glob("*.safetensors")):
        if path.name != UNTUNED:
            start_from(build(path.stem), path)


def test_a_tuning_starts_from_the_shipped_encoder_and_what_ships_with_it() -> None:
    untuned, tuned = start(CLIP), start(SHIPPED)
    assert not untuned.head.weight.any() and tuned.head.weight.any()
    assert torch.equal(*(net.vision_model.layers[0].mlp.fc1.weight for net in (untuned, tuned)))
    with pytest.raises(UsageError, match="is no tuning"):
        start("nowhere.safetensors")


def test_start_weights_come_from_a_checkpoint_or_from_safetensors(whole: Path, tmp_path: Path) -> None:
    net: Any = build("local_features")
    start_from(net, whole)
    save_weights(net, tmp_path / "net.safetensors")
    other: Any = build("local_features")
    start_from(other, tmp_path / "net.safetensors")
    for name, tensor in weights(whole).items():
        assert torch.equal(net.state_dict()[name], tensor)
        torch.testing.assert_close(other.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    with pytest.raises(UsageError, match="does not hold weights of sola"):
        start_from(build("sola"), tmp_path / "net.safetensors")
