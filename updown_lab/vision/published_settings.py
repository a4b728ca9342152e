"""A published config.yaml in the words of this library: sizes, colours, thresholds."""

from collections.abc import Callable
from pathlib import Path

from updown_lab.config import Config, override
from updown_lab.errors import DataInvalid


def _numbers(value) -> tuple[float, ...]:
    """Numbers of a list, however deep: [[64, 128]] or 64."""
    if isinstance(value, list | tuple):
        return tuple(number for item in value for number in _numbers(item))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("numbers expected")
    return (float(value),)


def _one(value) -> float:
    return _numbers(value)[0]


def _whole(value) -> int:
    return int(_one(value))


def _three(value) -> tuple[float, ...]:
    return _of_length(3, value)


def _four(value) -> tuple[float, ...]:
    """Box weights: LXMERT has four numbers, detectron2's cascade a list of fours whose first counts."""
    return _of_length(4, value[0] if isinstance(value, list) and value and isinstance(value[0], list) else value)


def _of_length(count: int, value) -> tuple[float, ...]:
    numbers = _numbers(value)
    if len(numbers) != count:
        raise ValueError(f"{count} numbers expected")
    return numbers


#: Name in the file (with or without "MODEL." before it), our setting, and how to read the value.
SETTINGS: tuple[tuple[str, str, Callable], ...] = (
    ("PIXEL_MEAN", "trunk.pixel_mean", _three),
    ("PIXEL_STD", "trunk.pixel_deviation", _three),
    ("RESNETS.STRIDE_IN_1X1", "trunk.stride_in", lambda value: "1x1" if value else "3x3"),
    ("CAFFE_MAXPOOL", "trunk.pool_edge", lambda value: "ceil" if value else "padded"),
    ("MAX_POOL", "trunk.pool_edge", lambda value: "ceil" if value else "padded"),
    ("MIN_SIZE_TEST", "detector.image_min", _whole),
    ("MAX_SIZE_TEST", "detector.image_max", _whole),
    ("ANCHOR_GENERATOR.SIZES", "detector.anchor_sizes", _numbers),
    ("ANCHOR_GENERATOR.ASPECT_RATIOS", "detector.anchor_ratios", _numbers),
    ("RPN.PRE_NMS_TOPK_TEST", "detector.proposal_candidates", _whole),
    ("RPN.POST_NMS_TOPK_TEST", "detector.proposals_test", _whole),
    ("RPN.NMS_THRESH", "detector.proposal_nms", _one),
    ("PROPOSAL_GENERATOR.MIN_SIZE", "detector.proposal_minimum", _one),
    ("ROI_BOX_HEAD.POOLER_RESOLUTION", "detector.roi_size", _whole),
    ("ROI_BOX_HEAD.BBOX_REG_WEIGHTS", "detector.box_weights", _four),
    ("ROI_HEADS.NMS_THRESH_TEST", "selection.nms_ladder", _numbers),
    ("MIN_DETECTIONS", "selection.minimum", _whole),
    ("MAX_DETECTIONS", "selection.maximum", _whole),
)
#: Settings that the published programs carry but do not obey; a note says what the network has instead.
IGNORED = (
    ("RESNETS.RES5_DILATION", 2, "the published res5 is dilated by 2 at stride 1, so trunk.head_dilation stays 2"),
    ("ROI_BOX_HEAD.POOLER_TYPE", "ROIPool", "the published features are RoIPool's, so roi_pooling stays 'max'"),
)  # fmt: skip


def apply_settings(config: Config, settings: dict[str, object], file: Path | None) -> tuple[Config, list[str]]:
    """The configuration with what the file says, and notes about what it leaves open.

    Args:
        config:   where to start.
        settings: upper-case dotted names to values, of ``published_files.read_settings``.
        file:     for messages; None if there was none.

    Raises:
        DataInvalid: a value that cannot be meant; the message names file, setting and value.

    >>> from updown_lab.config import preset
    >>> changed, notes = apply_settings(preset("visual-genome"), {"MIN_DETECTIONS": 10}, Path("config.yaml"))
    >>> changed.selection.minimum
    10
    """
    notes = [] if file else ["settings: no config.yaml beside the weights, so those of the preset 'visual-genome'"]
    for name, ours, read in SETTINGS:
        value = _find(settings, name)
        if value is None:
            continue
        try:
            config = override(config, **{ours: read(value)})
        except (ValueError, TypeError, IndexError) as error:
            raise DataInvalid(f"{file}: {name} is {value!r}, which cannot be {ours} ({error})") from None
    for name, expected, remark in IGNORED:
        value = _find(settings, name)
        if value is not None and value != expected:
            notes.append(f"{name} is {value!r} in the file; {remark}")
    return _with_colours(config, _find(settings, "INPUT.FORMAT"), notes)


def _find(settings: dict[str, object], name: str):
    """The value of a setting, whatever group it lies in."""
    found = [value for full, value in settings.items() if full == name or full.endswith(f".{name}")]
    return found[0] if found else None


def _with_colours(config: Config, stated: object, notes: list[str]) -> tuple[Config, list[str]]:
    """The order of colours, by the means: photos are bluish least, so the smallest mean is blue.

    The file's own word is not enough: one published reader gives BGR arrays for the word "RGB".
    """
    mean = config.trunk.pixel_mean
    order = "bgr" if mean[0] <= mean[2] else "rgb"
    if mean[0] == mean[2]:
        order = str(stated or "bgr").lower()
    if stated is not None and str(stated).lower() != order:
        notes.append(
            f"colours: INPUT.FORMAT says {stated}, but the means {mean} are in the order {order.upper()}, and means "
            f"decide; the other order would be trunk.colours={'rgb' if order == 'bgr' else 'bgr'}"
        )
    else:
        notes.append(f"colours: {order.upper()}, means {mean}")
    top = 255.0 if max(mean) > 1 else 1.0
    return override(config, **{"trunk.colours": order, "trunk.pixel_top": top}), notes
