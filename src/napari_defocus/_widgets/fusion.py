"""Focus fusion: one sharp image and a height map from a focal stack, with a decision map to paint on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QGridLayout

from defocus_backend.errors import FileError
from defocus_backend.params import BlendParams, DecisionParams, FusionParams, SliceMapParams
from defocus_backend.progress import CancelCallback, ProgressCallback, Share
from napari_defocus._corrections import Corrections, correction_calls
from napari_defocus._fusing import Fused, FusedStack, fusion_recipe, run_fusion
from napari_defocus._fusion_layers import fusion_layers, never_again, never_layer
from napari_defocus._layers import KEY, Result, identity, made_by, position, provenance
from napari_defocus._maps import place_in
from napari_defocus._recipe import Recipe
from napari_defocus._show import prepare_drawing, show
from napari_defocus._stacks import StackChoice, slice_in_view
from napari_defocus._widgets._alignbox import AlignBox
from napari_defocus._widgets._audit import AuditBox
from napari_defocus._widgets._base import OperationWidget, WidgetJob
from napari_defocus._widgets._continue import Earlier, find_earlier, missing_stack
from napari_defocus._widgets._form import Form
from napari_defocus._widgets._growing import Growing, Intake
from napari_defocus._widgets._mapsettings import MapSettings, chosen_device
from napari_defocus._widgets._measure import MeasureBox
from napari_defocus._widgets._panel import LABEL_WIDTH, button, group, labelled, wrapped
from napari_defocus._widgets._profile import ProfileBox
from napari_defocus._widgets._refocus import RefocusBox
from napari_defocus._widgets._relief import ReliefBox
from napari_defocus._widgets._repaint import Repainter
from napari_defocus._widgets._retouch import Retouch
from napari_defocus._widgets._stackbox import StackBox
from napari_defocus._worker import Preview, WorkerRun, tell

if TYPE_CHECKING:
    from napari.layers import Layer

_MAIN = ("decision", "blend")
_DETAILS = (*(name for name in DecisionParams.names() if name != "never_above"), *BlendParams.names())
_OUTPUTS = {
    "height": ("height map", "Place of best focus between the slices, in the unit of the z axis.", True),
    "height error": ("height error", "Standard error of the height, in the unit of the z axis.", False),
    "confidence": ("confidence", "Confidence of the least sigma, 0 to 1.", True),
    "never": ("never in focus", "Mask of what no slice has in focus: least sigma above the bound in px.", True),
    "sigma": ("least sigma", "Sigma in the sharpest slice, in pixels.", False),
    "weights": ("weight maps", "Weight of every slice, 0 to 1; takes memory for every slice.", False),
    "sigmas": ("slice maps", "Defocus map: sigma of every slice in pixels; takes memory for every slice.", False),
}


class FusionWidget(OperationWidget):
    """Fuses a focal stack and lets the user correct which slice is taken where."""

    title = "Focus fusion"
    about = "One image that is sharp wherever any slice is, the height of every pixel, and where no slice is sharp."
    key = "fusion"

    def build(self) -> None:
        """Make the controls."""
        self.repainter: Repainter | None = None
        self.fused: Fused | None = None
        self._notes: tuple[str, ...] = ()
        self.box = StackBox(self.viewer)
        self.missing = wrapped("")
        self.open_button = button("Open it and continue", "Open the file of the stack.", self._open_missing)
        self.add(self.missing)
        self.add(self.open_button)
        self.add(self.box)
        self.align = AlignBox(self)
        self.add_rows([("alignment", self.align.mode)])
        self.params = Form(FusionParams, _MAIN)
        self.details = Form(FusionParams, _DETAILS)
        self.forms += [self.params, self.details]
        self.params.changed.connect(self._enable)
        self._enable()
        self.settings = MapSettings(self, group_of=SliceMapParams)
        self._build_outputs()
        self.retouch, self.growing = Retouch(self.viewer), Growing(self.viewer, self)
        self.relief = ReliefBox(self)
        self.measure, self.refocus = MeasureBox(self), RefocusBox(self)
        self.profile, self.audit = ProfileBox(self), AuditBox(self)
        self.forms += [self.measure.form, self.refocus.form]
        self.add_section("Correct the decision", self.retouch, opened=True)
        self.add_section("Height", self.relief, opened=True)
        self.add_section("Measure the height", self.measure)
        self.add_section("Refocus", self.refocus)
        self.add_section("Blur along z", self.profile)
        self.add_section("How far to trust it", self.audit)
        self.add_section("Part of the stack", self.box.part)
        self.add_section("Layers to make", self.boxes)
        self.add_section("Advanced: fusion", self.params.panel(LABEL_WIDTH), self.details.panel(LABEL_WIDTH))
        self.add_section("Advanced: defocus maps", *self.settings.parts)
        self.add_section("Advanced: alignment", self.align.panel)
        self.box.changed.connect(self.update_state)
        for name, control in (("", self.params), ("", self.details), ("never_above", self.never_above)):
            self.memory.add(name, control)

    def _build_outputs(self) -> None:
        layout = QGridLayout()
        self.outputs: dict[str, QCheckBox] = {}
        for i, (name, (text, tip, on)) in enumerate(_OUTPUTS.items()):
            box = QCheckBox(text)
            box.setToolTip(tip)
            box.setChecked(on)
            box.toggled.connect(self.update_state)
            self.outputs[name] = box
            self.memory.add(f"layer_{name.replace(' ', '_')}", box)
            layout.addWidget(box, i // 2, i % 2)
        self.never_above = QDoubleSpinBox()
        self.never_above.setRange(0.1, 19.0)
        self.never_above.setSingleStep(0.5)
        self.never_above.setValue(DecisionParams.never_above)
        self.never_above.setToolTip(
            "A pixel whose least sigma over all slices is above this was never in focus. Unit: px. Range: 0.1 to 19."
        )
        layout.addWidget(group(labelled([("never in focus above [px]", self.never_above)])), 4, 0, 1, 2)
        self.boxes = group(layout)
        self._judging = Preview(self)
        self._judging.ready.connect(self._show_never)
        self._judging.failed.connect(tell)
        self.never_above.valueChanged.connect(self._never_changed)

    def _enable(self, *_: Any) -> None:
        """Firmness only for a soft blend; the rest also serves the height or the brush."""
        soft = self.params["blend"].value == "octaves" and self.params["decision"].value != "region"
        self.details["firmness"].enabled = soft

    # State

    def refresh_layers(self) -> None:
        """Offer the viewer's layers, and take up results that are open."""
        self.box.refresh()
        if self.repainter is None and self.current_run is None:
            self._continue()
        gone = missing_stack(self.viewer) if self.repainter is None else None
        self._missing_path = None if gone is None else gone[1]
        of = "" if gone is None else f"{gone[0]}" + (f" ({gone[1]})" if gone[1] else "")
        self.missing.setText(f"These results were made of the stack {of}: open it to go on painting." if of else "")
        self.missing.setVisible(bool(of))
        self.open_button.setVisible(bool(self._missing_path))
        self.update_state()

    _missing_path: str | None = None

    def _open_missing(self) -> None:
        """Open the stack that the results were made of."""
        if self._missing_path is None:
            return
        try:
            self.viewer.open(self._missing_path)
        except (OSError, ValueError) as error:
            self._fail(FileError(f"{self._missing_path}: cannot be opened ({error})"))

    def update_state(self, *args: Any) -> None:
        """Enable what can be used now."""
        super().update_state(*args)
        for part in (self.retouch, self.relief, self.measure, self.refocus, self.audit):
            part.update_state()

    def problem(self) -> str:
        """Why nothing can run now."""
        return self.box.problem()

    def notes(self) -> list[str]:
        """What the run found about the alignment, and what was done with corrections."""
        return list(self._notes)

    def place_in_view(self) -> dict[str, int]:
        """Index that the sliders show on every further axis."""
        layer, choice = self.box.stack.layer, self.box.safe_choice()
        if layer is None or choice is None or choice.several:
            return {}
        here = place_in(choice.source, position(layer, self.viewer.dims.point))
        names = {choice.source.axis_name(a) for a in choice.others}
        return {name: n for name, n in here.items() if name in names}

    def _is_stale(self) -> bool:
        made = self._ran
        if made is None or self.problem():
            return False
        choice = self.box.safe_choice()
        if choice is None:
            return True
        now, then = dict(self._about(choice)), dict(made.arguments)
        # A change of the sliders has a separate message; the bound of "never in focus" moves after the run.
        for name in ("position", "never_above"):
            now.pop(name), then.pop(name)
        return now != then

    def input_in_view(self) -> Layer | None:
        """The stack; of several layers the one that is selected, else the topmost in view."""
        choice = None if self.repainter is None else self.repainter.stack.choice
        number = None if choice is None else slice_in_view(choice, self.viewer)
        if choice is None or not choice.several or number is None:
            return super().input_in_view()
        return next((x for x in self.viewer.layers if identity(x) == choice.sources[number].identity), None)

    def stack_in_view(self) -> FusedStack | None:
        """The slices of the last run as they were fused, else those that are chosen."""
        if self.repainter is not None:
            return self.repainter.stack
        choice = self.box.safe_choice()
        return None if choice is None else FusedStack(choice, self.options(choice))

    @property
    def device(self) -> str:
        """Where to compute."""
        return chosen_device(self.settings.device)

    def slice_changed(self) -> None:
        """Let the brush follow the sliders."""
        self.retouch.slice_changed()

    # A run

    def options(self, choice: StackChoice) -> dict[str, Any]:
        """Arguments of `fuse`."""
        wanted = self.wanted
        return {
            **self.params.values(),
            **self.details.values(),
            **self.settings.arguments(choice.source),
            "never_above": self.never_above.value(),
            "keep_slices": "weights" in wanted or "sigmas" in wanted,
        }

    @property
    def wanted(self) -> list[str]:
        """Layers that are asked for."""
        return [name for name, box in self.outputs.items() if box.isChecked()]

    def _about(self, choice: StackChoice) -> dict[str, Any]:
        alignment = self.align.alignment
        return {
            **self.options(choice),
            "layers": [s.name for s in choice.sources],
            "z_axis": choice.axis,
            "channel_axis": choice.channel_axis,
            "judge_channel": choice.judge,
            "position": choice.fixed,
            "slices": list(choice.numbers),
            "window": None if choice.window is None else [[w.start, w.stop] for w in choice.window],
            "align": alignment.mode,
            "alignment": dict(alignment.options),
            "wanted": self.wanted,
        }

    def job(self) -> WidgetJob:
        """The run that the controls describe."""
        choice = self.box.choice()
        options, alignment, wanted = self.options(choice), self.align.alignment, self.wanted
        recipe = fusion_recipe(self.title, choice, options, alignment)
        corrections = Corrections.of(self.repainter)
        self._intake = intake = Intake(choice)

        def work(progress: ProgressCallback, cancel: CancelCallback) -> Fused:
            prepare_drawing()
            return run_fusion(recipe, choice, options, alignment, Share(progress, intake), cancel)

        def layers(fused: Fused) -> list[Result]:
            # A copy: corrections are found by comparison with this array.
            found = fusion_layers(fused, wanted)
            self._kept = None if corrections is None or self.new_layers.isChecked() else corrections.on(fused)
            if self._kept is not None:
                found[-1].data = self._kept
            elif corrections is not None and not self.new_layers.isChecked():
                self._leave_earlier()
            else:
                found[-1].data = fused.index.copy()
            return found

        self._kept = None
        place = choice.place
        return WidgetJob(choice.source, "fuse", self._about(choice), work, layers, place)

    def start(self, job: WidgetJob) -> WorkerRun:
        """Start a job; the image grows in a layer until its own layers are there."""
        run = super().start(job)
        self.growing.follow(self._intake)
        return run

    def _on_progress(self, done: int, total: int, what: str) -> None:
        super()._on_progress(done, total, what)
        self.growing.at(done, total)

    def _on_returned(self, value: Any) -> None:
        self.relief.show_flat()  # a surface is of the run before
        super()._on_returned(value)

    def _settle(self) -> None:
        self.growing.stop()
        super()._settle()

    def _leave_earlier(self) -> None:
        """Leave layers with corrections that do not fit the new run unchanged, as separate results."""
        assert self.repainter is not None
        run = made_by(self.repainter.labels).get("run")
        for layer in self.viewer.layers:
            if made_by(layer).get("run") == run:
                about = {**made_by(layer), "source_id": f"{made_by(layer).get('source_id')} before {run}"}
                layer.metadata = {**layer.metadata, KEY: about}
                layer.name += " (corrected)"
        self._lost_touch = True

    _kept: NDArray[Any] | None = None
    _lost_touch = False

    def finished(self, value: Any) -> None:
        """Start to follow the brush."""
        fused: Fused = value
        self.fused, self._notes = fused, fused.notes
        if self._lost_touch:
            self._notes += ("The corrections do not fit this run; they stay in the layers named “(corrected)”.",)
            self._lost_touch = False
        labels, image = self.made_layers["index"], self.made_layers["fused"]
        original = np.array(image.data)
        _keep(labels, automatic=fused.index, **fused.stack.as_dict())
        _keep(image, original=original)
        self._follow(fused.stack, labels, image, fused.index, original)
        if self._kept is not None and self.repainter is not None:
            self.repainter.catch_up(fused.index)
            self._notes += ("Your corrections are kept and applied to the new result.",)
        self.update_state()

    def _follow(
        self, stack: FusedStack, labels: Any, image: Layer, automatic: NDArray[Any], original: NDArray[Any]
    ) -> None:
        if self.repainter is not None:
            self.repainter.stop()
            self.repainter.deleteLater()
        labels.editable = False  # forgets napari's undo steps, which are of the run before
        labels.editable = True
        self.repainter = Repainter(stack, labels, image, automatic, original, self)
        self.repainter.failed.connect(tell)
        self.retouch.follow(self.repainter)
        for part in (self.measure, self.refocus):
            self.repainter.repainted.connect(part.forget)
            part.forget()

    def _continue(self) -> None:
        """Take up a fusion of an earlier session or of a dock that was closed."""
        earlier: Earlier | None = find_earlier(self.viewer)
        if earlier is None:
            return
        self.box.show(earlier.stack.choice, earlier.sources)
        self.memory.put(earlier.settings)
        self._follow(earlier.stack, earlier.labels, earlier.image, earlier.automatic, earlier.original)
        self.made_layers = earlier.layers
        self.say(f"Continued: {earlier.labels.name}.")

    def recipe(self) -> Recipe:
        """The calls of that run, and the corrections that were painted."""
        choice = self.box.choice()
        recipe = fusion_recipe(self.title, choice, self.options(choice), self.align.alignment)
        repainter = self.repainter
        if repainter is None or self._is_stale() or not repainter.painted.any():
            return recipe
        return recipe.with_calls(
            correction_calls(repainter.stack, repainter.automatic, np.asarray(repainter.labels.data)), {}
        )

    def reset(self) -> None:
        """Put every control back to its default."""
        super().reset()
        self.settings.reset()
        self.align.reset()
        self.box.reset()
        self.never_above.setValue(DecisionParams.never_above)
        for name, (_, _, on) in _OUTPUTS.items():
            self.outputs[name].setChecked(on)

    def closed(self) -> None:
        """Leave the retouch mode with the dock."""
        self.retouch.mode.setChecked(False)
        self.growing.stop()
        super().closed()

    # After a run

    def _never_changed(self, above: float) -> None:
        layer, fused = self.made_layers.get("never"), self.fused
        if layer is None or fused is None or layer not in self.viewer.layers:
            return
        self._judging.submit(lambda: (above, fused, never_again(fused, above)))

    def _show_never(self, found: Any) -> None:
        above, fused, mask = found
        if isinstance(fused, Fused) and fused is self.fused:
            stack = fused.stack
            made = provenance(stack.choice.source, "fuse", {"never_above": above}, stack.choice.place)
            show(self.viewer, [never_layer(mask, stack.maps().spatial)], made)


def _keep(layer: Layer, **about: Any) -> None:
    """Add to what a layer's metadata says about how it was made."""
    layer.metadata = {**layer.metadata, KEY: {**made_by(layer), **about}}
