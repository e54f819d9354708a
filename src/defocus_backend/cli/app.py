"""The group of commands: loads each command on demand and turns errors into one line and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from defocus_backend.cli.interrupt import remember_interrupt
from defocus_backend.cli.streams import lasting_streams, libraries_quiet, say
from defocus_backend.errors import Cancelled, from_system
from defocus_backend.threads import spin_briefly

REFUSED = 2
"""Exit code for arguments, files, weights or a device that cannot be used."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""

_INTERRUPTED = "interrupted; nothing was written"

_COMMANDS = {
    "map": ("pictures", "Estimate the blur of every pixel, as a sigma in pixels."),
    "sharpen": ("pictures", "Sharpen only the areas that are slightly soft."),
    "shallow": ("pictures", "Increase the blur of areas that are out of focus."),
    "fuse": ("stacks", "Fuse a focal stack into one all-in-focus picture."),
    "info": ("info", "Show what image files contain and how fuse would read them."),
    "batch": ("batch", "Run one of these commands on many stacks or pictures, and write a report."),
    "qc": ("qc", "Measure the focus of many pictures, and write a table and a report."),
    "calibrate": ("calibrate", "Calibrate sigma against z, to measure defocus in micrometres."),
    "surface": ("surface", "Measure the roughness of a height map, and render views of it."),
    "score": ("score", "Score a fused picture against its slices and, if known, the true picture."),
    "methods": ("methods", "List every method, ours and published ones, with its citation."),
    "demo": ("demo", "Run the main operations on photographs that come with scikit-image."),
    "models": ("training", "List the trained weights that come with the package."),
    "train": ("training", "Train a network on a folder of photographs."),
    "evaluate": ("training", "Score trained weights on photographs."),
}


class _LazyGroup(click.Group):
    """Imports the module of a command when the command runs, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in _COMMANDS:
            return None
        module = import_module(f"defocus_backend.cli.{_COMMANDS[name][0]}")
        command: click.Command = getattr(module, f"{name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Interrupts are caught here, before click prints an empty line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Cancelled(_INTERRUPTED) from None

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command. Every error becomes at most one line on stderr and an exit code."""
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        code = INTERRUPTED
        with contextlib.suppress(KeyboardInterrupt), lasting_streams(), libraries_quiet():
            code = self._run(args, prog_name, **extra)
        if code == INTERRUPTED:
            # A second Ctrl-C while the interpreter shuts down would end the process by the signal instead.
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
        sys.exit(code)

    def _run(self, args: Sequence[str] | None, prog_name: str | None, **extra: Any) -> int:
        try:
            with remember_interrupt():
                spin_briefly()
                code = super().main(args, prog_name, standalone_mode=False, **extra)
                return code if isinstance(code, int) else 0
        except click.exceptions.Exit as error:
            return error.exit_code
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return error.exit_code
        except click.ClickException as error:
            context = error.ctx if isinstance(error, click.NoSuchOption) else None
            say(error.format_message() + (f"; {context.command_path} --help lists them" if context else ""))
            return error.exit_code
        except (KeyboardInterrupt, click.Abort):
            say(_INTERRUPTED)
            return INTERRUPTED
        except Cancelled as error:
            say(str(error))
            return INTERRUPTED
        except Exception as error:
            ours = from_system(error)
            if ours is None:
                raise
            say(str(ours))
            return REFUSED


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="napari-defocus", prog_name="defocus")
def main() -> None:
    """Estimate how blurred every pixel is, then sharpen, blur, fuse or measure pictures by it.

    Reads PNG, JPEG and TIFF with 8-bit, 16-bit or float pixels. A TIFF with several pages is a focal stack. Maps
    are written as float TIFF, in pixels of Gaussian sigma, and as coloured PNG.

    \b
    defocus map photo.jpg                 writes photo_sigma.tif, photo_sigma.png
    defocus fuse stack/*.jpg --out made   writes made/stack_fused.jpg and its maps
    defocus COMMAND --help                options of a command; --help-all lists all of them
    """
