"""Colours in the light and in the dark: each has a counterpart of its own hue.

Knows colours as hex texts, not what is drawn in them.
Sources: Ottosson, "A perceptual color space for image processing" (OKLab, 2020); Web Content
Accessibility Guidelines 2.2, relative luminance and contrast ratio.
"""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

PAPER, NIGHT = "#ffffff", "#0f1419"
"""What pages are written on, in the light and in the dark."""
_GREY = 0.03
"""Chroma below which a colour is ink or paper, and is turned over in the dark."""
_LIGHTEST, _DARKEST = 1.08, 0.22
"""OKLab lightness, in the dark, of what is black and what is white in the light; at most 1."""
_LEAST, _SPAN = 0.52, 0.42
"""All other colours are lifted: from 0..1 to what can be seen in the dark, in the same order."""
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def in_the_dark(colour: str) -> str:
    """Return the counterpart of a colour on white for a dark page, of the same hue.

    Greys are turned over; among the others the lighter stay the lighter.

    Args:
        colour: "#rrggbb".
    """
    lightness, *hue = _lab(colour)
    if np.hypot(*hue) < _GREY:
        turned = _LIGHTEST - (_LIGHTEST - _DARKEST) * lightness
        return _hex(min(turned, 1.0), np.array(hue))
    return _hex(_LEAST + _SPAN * lightness, np.array(hue))


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(weights @ _linear(colour)) + 0.05 for colour in (one, other))
    return high / low


def _linear(colour: str) -> Vector:
    """Return [3] linear RGB in 0..1."""
    levels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def _lab(colour: str) -> Vector:
    lab: Vector = _TO_LAB @ np.cbrt(_TO_CONES @ _linear(colour))
    return lab


def _hex(lightness: float, hue: Vector) -> str:
    """Return the colour of a lightness and hue; less of the hue where no screen has it."""
    for share in np.linspace(1, 0, 41):
        cones = np.linalg.solve(_TO_LAB, np.array([lightness, *(share * hue)])) ** 3
        linear = np.linalg.solve(_TO_CONES, cones)
        if linear.min() > -1e-4 and linear.max() < 1 + 1e-4:
            break
    linear = linear.clip(0, 1)
    levels = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * float(level)):02x}" for level in levels)
