#!/usr/bin/env python3
"""The dashboard's colours, in numbers: every text and every mark stands out from its ground, and those that stand
beside one another are told apart, with normal colour vision and without red, green or blue cones.

    test_palette.py PROJECT

Sources: WCAG 2.2, 1.4.3 and 1.4.11 (contrast); Machado, Oliveira and Fernandes, "A Physiologically-based Model for
Simulation of Color Vision Deficiency" (2009), severity 1.0; CIE 1976 L*a*b* differences.
"""
import itertools
import math
import pathlib
import re
import sys

TEXT_MIN, MARK_MIN = 4.5, 3.0
APART_MIN = 12.0  # a just noticeable difference is about 2.3
VISIONS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(colour: str) -> list[float]:
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(one: str, other: str) -> float:
    low, high = sorted(sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(colour))) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def seen(colour: str, vision: str) -> tuple[float, float, float]:
    rgb = linear(colour)
    red, green, blue = (min(1, max(0, sum(w * c for w, c in zip(row, rgb)))) for row in VISIONS[vision])
    x = (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047
    y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
    z = (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883
    x, y, z = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def apart(one: str, other: str, vision: str) -> float:
    return math.dist(seen(one, vision), seen(other, vision))


class Palette:
    def __init__(self, web: pathlib.Path) -> None:
        self.css = (web / "app.css").read_text()
        self.chart = (web / "chart.tsx").read_text()

    def variables(self, selector: str) -> dict[str, str]:
        block = re.search(re.escape(selector) + r" \{(.*?)\}", self.css, re.DOTALL).group(1)
        return dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))

    def lines(self, name: str) -> list[str]:
        return re.findall(r"#[0-9a-f]{6}", re.search(rf"const {name} = \[(.*?)\];", self.chart).group(1))

    def fill(self, selector: str) -> str:
        return re.search(rf"(?:^|\}})\s*{re.escape(selector)}[ ,][^{{}}]*\{{ (?:fill|background): (#[0-9a-f]{{6}})", self.css,
                         re.MULTILINE).group(1)


def check_contrast(found: list[str], what: str, colour: str, ground: str, least: float) -> None:
    if contrast(colour, ground) < least:
        found.append(f"{what}: {colour} on {ground} has a contrast of {contrast(colour, ground):.2f}, below {least}")


def check_apart(found: list[str], what: str, colours: list[str]) -> None:
    for vision in VISIONS:
        for one, other in itertools.combinations(colours, 2):
            if apart(one, other, vision) < APART_MIN:
                found.append(f"{what}: {one} and {other} differ by {apart(one, other, vision):.1f} with {vision}, below {APART_MIN}")


def problems(palette: Palette) -> list[str]:
    found: list[str] = []
    stages = [palette.fill(f"rect.{name}") for name in ("computed", "critical", "answered", "wait")]
    more = [palette.fill(f"rect.more{step}") for step in (1, 2, 3)]
    less = [palette.fill(f"rect.less{step}") for step in (1, 2, 3)]
    same = palette.fill("rect.same")
    on_frames = re.search(r"\.flame svg text \{ fill: (#[0-9a-f]{6})", palette.css).group(1)
    for theme, selector, name in (("light", ":root", "COLOURS"), ("dark", ':root[data-theme="dark"]', "COLOURS_DARK")):
        own = palette.variables(selector)
        for ground in ("card", "ground"):
            for text in ("ink", "soft", "accent", "good", "warn", "bad"):
                check_contrast(found, f"{theme} {text}", own[text], own[ground], TEXT_MIN)
        lines = palette.lines(name)
        if len(lines) != 6:
            found.append(f"{theme}: {len(lines)} colours of lines")
        for colour in lines + stages:
            check_contrast(found, f"{theme} mark", colour, own["card"], MARK_MIN)
        check_apart(found, f"{theme} lines", lines)
    check_apart(found, "stages", stages)
    for one, other in itertools.product(more, less):
        check_apart(found, "more and less", [one, other])
    check_apart(found, "steps of more", [same, *more])
    check_apart(found, "steps of less", [same, *less])
    for colour in [*more, *less, same, palette.fill("rect.found"), *(palette.fill(f".heat{i}") for i in range(5))]:
        check_contrast(found, "text on a frame", on_frames, colour, TEXT_MIN)
    return found


def main() -> int:
    # The measures themselves: black on white, and two colours that only red and green cones tell apart.
    assert abs(contrast("#000000", "#ffffff") - 21) < 1e-6
    assert apart("#a04040", "#507030", "normal") > 2 * apart("#a04040", "#507030", "deuteranopia")
    found = problems(Palette(pathlib.Path(sys.argv[1]) / "web" / "src"))
    print("\n".join(found) or "ok")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
