import pytest
import torch
from PIL import Image

from lightning_gans.data import CelebA

NAMES = ["Eyeglasses", "Male", "Smiling"]


def write_celeba(root):
    """Write twelve faces in the published layout, black above and below, where the centre crop removes it."""
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    files = [f"{number:06d}.jpg" for number in range(1, 13)]
    for number, name in enumerate(files):
        image = Image.new("RGB", (178, 218))
        image.paste((20 * number, 100, 200), (0, 20, 178, 198))
        image.save(folder / "img_align_celeba" / name, quality=100)
    lines = {
        "list_eval_partition.txt": [f"{name} {number // 6 + (number > 9)}" for number, name in enumerate(files)],
        "identity_CelebA.txt": [f"{name} 1" for name in files],
        "list_bbox_celeba.txt": ["12", "image_id x y w h", *(f"{name} 1 2 3 4" for name in files)],
        "list_landmarks_align_celeba.txt": ["12", "a b", *(f"{name} 1 2" for name in files)],
        "list_attr_celeba.txt": [
            "12",
            " ".join(NAMES),
            *(f"{name} -1 {1 if number % 2 else -1}  1" for number, name in enumerate(files)),
        ],
    }
    for name, rows in lines.items():
        (folder / name).write_text("\n".join(rows) + "\n")


@pytest.fixture
def celeba(tmp_path, monkeypatch):
    write_celeba(tmp_path)
    monkeypatch.setattr("torchvision.datasets.celeba.check_integrity", lambda path, md5: True)
    return tmp_path


def test_published_split_crop_and_labels(celeba):
    data = CelebA(str(celeba), size=16, attribute="Male", labels=True, num_workers=0, batch_size=6)
    data.prepare_data()
    data.setup()
    assert [len(data.load(split)) for split in ("train", "val", "test")] == [6, 4, 2]
    x, y = next(iter(data.test_dataloader()))
    assert x.shape == (2, 3, 16, 16) and x.dtype == torch.float32 and y.dtype == torch.int64
    assert y.tolist() == [0, 1] and data.num_classes == 2
    value = (x + 1) * 127.5
    assert (value[:, 1] - 100).abs().max() < 6, "the crop leaves no black border"
    assert (value[:, 0].mean((1, 2)) - torch.tensor([200.0, 220.0])).abs().max() < 6


def test_without_labels_and_in_workers(celeba):
    data = CelebA(str(celeba), size=8, batch_size=3, num_workers=2)
    batches = list(data.train_dataloader())
    assert [x.shape for x in batches] == [(3, 3, 8, 8)] * 2


def test_attribute(celeba):
    assert CelebA(str(celeba), labels=True).load("train").y.tolist() == [1] * 6, "Smiling is the default"
    assert CelebA(str(celeba), labels=True, attribute="Eyeglasses").load("train").y.tolist() == [0] * 6
    with pytest.raises(ValueError, match="attribute='Smile' is not one of CelebA's; use one of Eyeglasses, Male, Smil"):
        CelebA(str(celeba), labels=True, attribute="Smile").setup("fit")


def test_a_damaged_face_is_named(celeba):
    (celeba / "celeba" / "img_align_celeba" / "000002.jpg").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match=r"CelebA's image 000002\.jpg cannot be read"):
        list(CelebA(str(celeba), num_workers=0, batch_size=6).train_dataloader())


def test_missing_files_without_a_network(tmp_path, monkeypatch):
    def fail(*_):
        raise ModuleNotFoundError("gdown")

    monkeypatch.setattr("torchvision.datasets.celeba.download_file_from_google_drive", fail)
    for method in (CelebA(str(tmp_path)).prepare_data, CelebA(str(tmp_path)).setup):
        with pytest.raises(
            FileNotFoundError, match=r"CelebA is missing or incomplete in .*celeba.*; copy its"
        ) as caught:
            method()
        assert "\n" not in str(caught.value)


def test_size_out_of_range():
    with pytest.raises(ValueError, match=r"^CelebA\(size=7\): expected a whole number of at least 8, such as 64\.$"):
        CelebA(size=7)
