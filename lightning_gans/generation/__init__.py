"""Use of a trained generator: samples, interpolation, latent arithmetic, nearest neighbours, pictures, export."""

from lightning_gans.generation.drawing import (
    class_labels,
    draw,
    draw_by_route,
    draw_in_batches,
    from_latents,
    render,
    seed_latents,
    showing,
)
from lightning_gans.generation.interpolation import draw_path, interpolate, slerp
from lightning_gans.generation.latent_arithmetic import arithmetic, draw_arithmetic
from lightning_gans.generation.loading import export, load, load_generator
from lightning_gans.generation.nearest import find_neighbours, neighbours
from lightning_gans.generation.pictures import captioned, columns_of, picture, point_map, save_animation, save_picture
from lightning_gans.generation.samples import sample
from lightning_gans.networks import evaluating

__all__ = [
    "arithmetic",
    "captioned",
    "class_labels",
    "columns_of",
    "draw",
    "draw_arithmetic",
    "draw_by_route",
    "draw_in_batches",
    "draw_path",
    "evaluating",
    "export",
    "find_neighbours",
    "from_latents",
    "interpolate",
    "load",
    "load_generator",
    "neighbours",
    "picture",
    "point_map",
    "render",
    "sample",
    "save_animation",
    "save_picture",
    "seed_latents",
    "showing",
    "slerp",
]
