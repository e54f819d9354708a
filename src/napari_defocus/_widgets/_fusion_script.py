"""The script that repeats a run of the fusion widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_defocus._script import call, load, save, script
from napari_defocus._stacks import StackPlan
from napari_defocus._widgets._fusing import BY_INDEX

_SAVED = {"image": "fused", "index": "index", "height": "height"}


def fusion_script(title: str, plan: StackPlan, arguments: Mapping[str, Any], never_above: float) -> str:
    """Lines that fuse what a plan says, at all its positions, and save image, decision map and height.

    Parameters
    ----------
    title : str
        Of the widget.
    plan : StackPlan
        What is fused.
    arguments : dict
        Of `fuse`.
    never_above : float
        Of `fuse`.
    """
    source, z = plan.source, plan.z()
    options: dict[str, Any] = {"channel_axis": source.channel_axis, **arguments, "never_above": never_above}
    if z is not None:
        options["z"] = [float(place) for place in z]
    if len(plan.sources) > 1:
        body = [line for i, s in enumerate(plan.sources) for line in load(f"slice_{i}", s)]
        body.append(f"stack = [{', '.join(f'slice_{i}' for i in range(len(plan)))}]")
        return script(title, [*body, *_fuse("stack", options), *_save(plan)])
    fixed = plan.fixed or {}
    index = [fixed.get(a, slice(None)) for a in range(source.ndim - 2)]
    looped = [a for a in plan.others if a not in fixed]
    channel = [] if plan.channel_axis is None else [plan.channel_axis]
    kept = [a for a in range(source.ndim - 2) if a not in fixed]
    order = [kept.index(a) for a in (*looped, *channel, plan.axis)]
    body = load("stack", source, index)
    if order != sorted(order):
        body = ["import numpy as np", *body, f"stack = np.moveaxis(stack, {order}, {sorted(order)})"]
    if not looped:
        return script(title, [*body, *_one("stack", plan, options, "")])
    lines = _one("stack[position]", plan, options, "{name}_")
    if "import numpy as np" not in body:
        body.insert(0, "import numpy as np")
    body += [f"for position in np.ndindex(stack.shape[:{len(looped)}]):", "    name = '_'.join(map(str, position))"]
    return script(title, [*body, *("    " + line for line in lines)])


def _one(stack: str, plan: StackPlan, options: Mapping[str, Any], prefix: str) -> list[str]:
    """Lines for one stack, all channels after the decision of one."""
    if plan.channel_axis is None:
        return [*_fuse(stack, options), *_save(plan, prefix)]
    by_index = {n: options[n] for n in ("channel_axis", *BY_INDEX, "value_range")}
    other = call("other", "fuse_by_index", ["channel", "fusion.index"], by_index)
    lines = [
        f"channels = {stack}",
        *_fuse(f"channels[{plan.judge}]", options),
        *_save(plan, prefix, ("index", "height")),
    ]
    lines += ["for number, channel in enumerate(channels):", *("    " + line for line in other)]
    return [*lines, "    " + _formatted(save("other", prefix + "fused_{number}.tif", rgb=plan.source.rgb))]


def _fuse(stack: str, options: Mapping[str, Any]) -> list[str]:
    return call("fusion", "fuse", [stack], options)


def _save(plan: StackPlan, prefix: str = "", names: Sequence[str] = tuple(_SAVED)) -> list[str]:
    rgb = plan.source.rgb
    lines = [save(f"fusion.{n}", f"{prefix}{_SAVED[n]}.tif", rgb=rgb and n == "image") for n in names]
    return [_formatted(line) for line in lines] if prefix else lines


def _formatted(line: str) -> str:
    return line.replace("imwrite('", "imwrite(f'")
