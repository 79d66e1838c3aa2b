"""Commands by name: those of this library are functions whose docstring is their help, the others are Lightning's."""

from __future__ import annotations

import inspect
import json
import re
from argparse import Action, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence

from jsonargparse import DefaultHelpFormatter, auto_cli

from lightning_gans.cli import imports
from lightning_gans.cli.ablate import ablate
from lightning_gans.cli.errors import Parser, fail, first_line, is_deliberate
from lightning_gans.cli.gan_cli import GANCLI
from lightning_gans.cli.input import check_configs
from lightning_gans.cli.rescue import rescue
from lightning_gans.cli.wandb_workspace import workspace
from lightning_gans.generation import arithmetic, export, interpolate, neighbours, sample

FUNCTIONS: dict[str, Callable[..., None]] = {
    "sample": sample,
    "interpolate": interpolate,
    "arithmetic": arithmetic,
    "neighbours": neighbours,
    "export": export,
    "rescue": rescue,
    "ablate": ablate,
    "workspace": workspace,
}
_OF_FIT = {  # commands that take the options of `fit` beside their own, and what their help says of --config
    "ablate": "Config of the base, for `lightning-gans fit`; may be given several times, beside any option of fit."
}


def run(args: Sequence[str]) -> None:
    """Run a command, given with its options."""
    check_configs(args)
    args, modules = imports.take_imports(args)
    imports.import_modules(modules)
    if args[0] in _OF_FIT:
        own = [*inspect.signature(FUNCTIONS[args[0]]).parameters, "help"]
        args = [args[0], *_with_options_of_fit(args[1:], own, modules)]
    if args[0] in FUNCTIONS:
        _call(args[0], args[1:])
    else:
        GANCLI([*args, *imports.option(modules)])


def _call(name: str, options: Sequence[str]) -> None:
    function = FUNCTIONS[name]
    summary = (inspect.getdoc(function) or "").partition("\n\nArgs:")[0]
    try:
        auto_cli(
            function,
            args=list(options),
            as_positional=False,
            prog=f"lightning-gans {name}",
            config_help=_OF_FIT.get(name, "Path to a configuration file."),
            description=f"{summary}\n\n--import MODULE: {imports.HELP}",
            formatter_class=_HelpFormatter,
            parser_class=Parser,
        )
    except Exception as error:
        if not isinstance(error, ValueError) and not is_deliberate(error):
            raise
        fail(first_line(error))


def _with_options_of_fit(options: Sequence[str], own: Sequence[str], modules: Sequence[str]) -> list[str]:
    """Return the options of a command, with all that it does not know as its option `--fit`."""
    kept: list[str] = []
    others = imports.option(modules)
    target = others
    for option in options:
        if option.startswith("-"):
            name = option.lstrip("-").partition("=")[0].partition(".")[0]
            target = kept if name in own or option == "-h" else others
        target.append(option)
    return [*kept, f"--fit={json.dumps(others)}"]


class _HelpFormatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keep the line breaks of a description, and leave out the list of all modules of torch."""

    def _expand_help(self, action: Action) -> str:
        return re.sub(r", known subclasses: torch\.nn\.Module, .*", ")", super()._expand_help(action), flags=re.DOTALL)
