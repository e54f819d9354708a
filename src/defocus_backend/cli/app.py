"""The group of commands: loads each on demand and turns errors into one line and an exit code."""

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
"""Exit code for input, files, weights or a device that cannot be used."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

_INTERRUPTED = "interrupted; nothing was written"

_COMMANDS = {
    "map": ("pictures", "How blurred every pixel is, in pixels of sigma."),
    "sharpen": ("pictures", "Sharpen what is slightly soft, and only that."),
    "shallow": ("pictures", "Blur further what is out of focus already."),
    "fuse": ("stacks", "Make one all-in-focus picture from a focal stack."),
    "info": ("info", "What is in image files, and what fuse would do with them."),
    "batch": ("batch", "Do one of these on many stacks or pictures, with a report at the end."),
    "qc": ("qc", "Measure the focus of many pictures, with a table, verdicts and a report."),
    "calibrate": ("calibrate", "Calibrate sigma against z, for defocus in micrometres."),
    "surface": ("surface", "Measure a height map: roughness and profiles; refocus, stereo, animation."),
    "score": ("score", "Score a fused picture against its slices, and the truth where it is known."),
    "methods": ("methods", "List every method, ours and published ones, with its citation."),
    "demo": ("demo", "Do all of this on photographs that are installed already."),
    "models": ("training", "List the weights that come with the package."),
    "train": ("training", "Train a network on a folder of photographs."),
    "evaluate": ("training", "Score weights on photographs."),
}


class _LazyGroup(click.Group):
    """Imports the module of a command when the command is asked for, not to list it."""

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
        """Run the command; what interrupts it is caught here, before click writes an empty line about it."""
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
        """Run a command; whatever ends it becomes at most one line on stderr and an exit code."""
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
    """How blurred is every pixel, and what to do with it.

    Reads PNG, JPEG and TIFF, 8 and 16 bit and float; a TIFF with many pages is a focal stack. Maps are
    written as float TIFF in pixels of Gaussian sigma and as coloured PNG.

    \b
    defocus map photo.jpg                 photo_sigma.tif, photo_sigma.png
    defocus fuse stack/*.jpg --out made   made/stack_fused.jpg and its maps
    defocus COMMAND --help                all options with unit, range and default
    """
