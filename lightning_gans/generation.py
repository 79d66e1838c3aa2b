"""What one does with a trained generator: draw samples, look at them, write them to a file."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_gans.gan import GAN
from lightning_gans.networks import StochasticGenerator

_CELL = 48  # a small image is enlarged to at least this many pixels per side, so that a person sees it
_PLOT = 480  # side of the picture of two-dimensional samples, in pixels


def load(checkpoint: str | Path) -> GAN:
    """The GAN that a run of `lightning-gans fit` wrote to a checkpoint, on the CPU and in evaluation mode.

    Only tensors and plain types are read from the file, and its class must be a `GAN`.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where the file is no checkpoint of a GAN made by the command line.
    """
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f"no checkpoint at '{checkpoint}'; runs keep theirs in runs/<experiment>/<version>/checkpoints/."
        )
    try:
        gan = GAN.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # a class unknown, a network missing, a value refused
        raise ValueError(f"'{checkpoint}' cannot be rebuilt as a GAN: {str(error).splitlines()[0]}") from error
    return gan.eval()


@torch.no_grad()
def draw(
    gan: GAN, num: int, seed: int | None = None, labels: Sequence[int] | None = None, batch_size: int = 256
) -> tuple[Tensor, Tensor | None]:
    """Samples of the generator in evaluation mode, (num, …) on the CPU, and their labels if it has classes.

    Args:
        gan: its mode is left as it was.
        num: how many, at least 1.
        seed: of the latents and whatever else the generator draws; None draws from torch's own generator.
        labels: classes to draw, repeated as often as needed; None takes all classes in turn.
        batch_size: how many at a time.
    """
    if num < 1:
        raise ValueError(f"num={num}: expected at least 1 sample.")
    classes = class_labels(gan, num, labels)
    samples = []
    with seeded(seed), showing(gan):
        z = gan.generator.latents.sample(num)
        for start in range(0, num, batch_size):
            part = slice(start, start + batch_size)
            part_labels = None if classes is None else classes[part].to(gan.device)
            samples.append(gan(z[part].to(gan.device, gan.dtype), part_labels).float().cpu())  # type: ignore[arg-type]
    return torch.cat(samples), classes


@torch.no_grad()
def draw_by_route(
    gan: GAN, routes: int, per_route: int = 8, seed: int | None = None, labels: Sequence[int] | None = None
) -> Tensor:
    """The same latents along several routes of a stochastic ensemble, (routes, per_route, …) on the CPU.

    Args:
        gan: its generator must have routes; its mode is left as it was.
        routes: how many, drawn without repetition.
        per_route: samples along each.
        seed: of latents and routes; None draws from torch's own generator.
        labels: classes to draw, repeated as often as needed; None takes all classes in turn.
    """
    generator = gan.generator
    if not isinstance(generator, StochasticGenerator):
        raise ValueError(f"routes={routes}, but {type(generator).__name__} has none; leave them out.")
    if not 1 <= routes <= generator.num_routes:
        raise ValueError(f"routes={routes}: expected 1 to {generator.num_routes}, which is all that there are.")
    if per_route < 1:
        raise ValueError(f"per_route={per_route}: expected at least 1 sample.")
    classes = class_labels(gan, per_route, labels)
    with seeded(seed), showing(gan):
        z = generator.latents.sample(per_route).to(gan.device, gan.dtype)  # type: ignore[arg-type]
        chosen = random.Random(torch.randint(2**62, ()).item()).sample(range(generator.num_routes), routes)
        rows = [generator(z, None if classes is None else classes.to(gan.device), route) for route in chosen]
    return torch.stack(rows).float().cpu()


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Torch's random numbers from a seed for a while, and as they were afterwards; None leaves them alone."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def class_labels(gan: GAN, num: int, labels: Sequence[int] | None = None) -> Tensor | None:
    """`num` labels in turn, or None for an unconditional generator."""
    num_classes = gan.generator.num_classes
    if not num_classes:
        if labels is not None:
            raise ValueError(f"labels={list(labels)}, but this generator has no classes; leave the labels out.")
        return None
    chosen = torch.arange(num_classes) if labels is None else torch.tensor(list(labels), dtype=torch.long)
    if len(chosen) == 0 or int(chosen.min()) < 0 or int(chosen.max()) >= num_classes:
        raise ValueError(f"labels={chosen.tolist()}: expected classes from 0 to {num_classes - 1}.")
    return chosen[torch.arange(num) % len(chosen)]


@contextmanager
def showing(gan: GAN) -> Iterator[None]:
    """The generator that is to be shown, in evaluation mode for a while: dropout off, BatchNorm by its statistics."""
    modes = {module: module.training for module in gan.generator.modules()}
    gan.generator.eval()
    try:
        with gan.presented():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def picture(samples: Tensor, real: Tensor | None = None, columns: int = 8) -> Tensor:
    """Samples as one picture, uint8 (H, W, 3): a grid of images, or a map of points.

    Args:
        samples: images (N, C, H, W) in [−1, 1], enlarged where they are small and averaged over channels
            unless they have 1 or 3; or points (N, D), of which the first two coordinates are drawn.
        real: real points to draw underneath, in grey; they also fix the map's extent.
        columns: images per row.
    """
    if samples.dim() != 4:
        return _point_map(samples, real)
    from torchvision.utils import make_grid

    images = ((samples.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    if images.shape[1] not in (1, 3):
        images = images.float().mean(1, keepdim=True).to(torch.uint8)
    zoom = max(1, math.ceil(_CELL / max(images.shape[-2:])))
    images = images.repeat_interleave(zoom, dim=-2).repeat_interleave(zoom, dim=-1)
    return make_grid(images, nrow=columns, padding=2, pad_value=255).permute(1, 2, 0).contiguous()


def _point_map(samples: Tensor, real: Tensor | None) -> Tensor:
    samples = samples.detach().flatten(1).float().cpu()
    real = samples if real is None else real.detach().flatten(1).float().cpu()
    samples, real = (nn.functional.pad(x, (0, max(0, 2 - x.shape[1])))[:, :2] for x in (samples, real))
    low, high = real.min(0).values, real.max(0).values
    centre, half = (low + high) / 2, max(float((high - low).max()) * 0.65, 1e-3)
    image = torch.full((_PLOT, _PLOT, 3), 255, dtype=torch.uint8)
    for points, colour in ((real, (190, 190, 190)), (samples, (214, 69, 30))):
        at = ((points - centre) / half + 1) / 2 * _PLOT
        at = at[torch.isfinite(at).all(1)].long()
        at = at[((at >= 1) & (at < _PLOT - 1)).all(1)]
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                image[_PLOT - 1 - at[:, 1] + dy, at[:, 0] + dx] = torch.tensor(colour, dtype=torch.uint8)
    return image


def save_picture(image: Tensor, path: str | Path) -> None:
    """Write a picture (H, W, 3) to a file in the format that its name says."""
    from PIL import Image

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        Image.fromarray(image.numpy()).save(path)
    except ValueError as error:
        raise ValueError(f"'{path}' names no picture format; end it in .png.") from error


def sample(
    checkpoint: str,
    out: str = "grid.png",
    num: int = 64,
    seed: int = 0,
    labels: list[int] | None = None,
    routes: int | None = None,
) -> None:
    """Draw samples of a trained generator and write them as one picture.

    Args:
        checkpoint: a checkpoint of `lightning-gans fit`, runs/<experiment>/<version>/checkpoints/last.ckpt.
        out: the picture to write; the name's ending chooses the format. A file of that name is replaced.
        num: how many samples.
        seed: of the latents; the same seed gives the same picture.
        labels: classes to draw, for a conditional generator, as a list such as [3,7]; all in turn if left out.
        routes: for a stochastic ensemble, how many routes to draw, one per row, the same latents in each; num is
            shared among them.
    """
    gan = load(checkpoint)
    if routes is None:
        samples, classes = draw(gan, num, seed, labels)
        columns = 8 if classes is None else min(len(classes.unique()), 16)
    else:
        columns = max(1, num // max(1, routes))
        samples = draw_by_route(gan, routes, columns, seed, labels).flatten(0, 1)
    save_picture(picture(samples, columns=columns if routes else max(columns, 2)), out)
    along = f" along {routes} routes of {gan.generator.num_routes}" if routes else ""
    print(
        f"{len(samples)} samples{along} of {type(gan).__name__} after {gan.generator_updates} generator updates: {out}"
    )
