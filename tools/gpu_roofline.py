# SPDX-License-Identifier: Apache-2.0
"""The products of gpu-bench.json under the machine's roofs, as an SVG.

    gpu_roofline.py GPU_BENCH_JSON OUT_SVG

Across: operations for each byte that must move (every operand once); up: TFLOP/s. The roofs were
measured in the same run: the device copy's bytes a second, and the fastest product of each
library. Of a shape the chosen kernel alone is drawn, at M = 1, 2, 4, ... 8192.
"""

import json
import math
import sys

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 860, 560, 70, 40, 230, 60
X_RANGE, Y_RANGE = (1.0, 1e4), (1.0, 2e3)
COLORS = {"w4a16 nvfp4": "#1f5fa8", "w4a16 mxfp4": "#3f9a6b", "w4a8": "#b8452f"}


def place(intensity, rate):
    def part(value, ends):
        low, high = math.log10(ends[0]), math.log10(ends[1])
        return (math.log10(min(max(value, ends[0]), ends[1])) - low) / (high - low)

    x = LEFT + part(intensity, X_RANGE) * (WIDTH - LEFT - RIGHT)
    return x, HEIGHT - BOTTOM - part(rate, Y_RANGE) * (HEIGHT - TOP - BOTTOM)


def text(x, y, string, anchor="start", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{string}</text>'


def line(start, end, style):
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" {style}/>'
    )


def rate_of(row):
    return row["operations"] / row["microseconds"] * 1e-6


def grid():
    for x in (1, 10, 100, 1000, 10000):
        yield line(place(x, Y_RANGE[0]), place(x, Y_RANGE[1]), 'stroke="#ddd"')
        at = place(x, Y_RANGE[0])
        yield text(at[0], at[1] + 18, f"{x:g}", "middle")
    for y in (1, 10, 100, 1000):
        yield line(place(X_RANGE[0], y), place(X_RANGE[1], y), 'stroke="#ddd"')
        at = place(X_RANGE[0], y)
        yield text(at[0] - 8, at[1] + 4, f"{y:g}", "end")
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield text(middle, HEIGHT - 16, "operations / byte", "middle")
    yield text(14, TOP - 12, "TFLOP/s")


def roofs(copy, peaks):
    top = max(peaks.values())
    yield line(place(Y_RANGE[0] / copy, Y_RANGE[0]), place(top / copy, top), 'stroke="#333"')
    yield text(*place(1.3, 2.2 * copy), f"device copy, {copy:.2f} TB/s")
    for library, peak in peaks.items():
        yield line(place(peak / copy, peak), place(X_RANGE[1], peak), 'stroke="#333"')
        at = place(X_RANGE[1], peak)
        yield text(at[0] + 6, at[1] + 4, f"{library}, {peak:.0f} TFLOP/s")


def main(bench, out):
    with open(bench, encoding="utf-8") as file:
        data = json.load(file)
    products = [r for r in data["rows"] if r["suite"] in ("w4a16", "w4a8") and r["bytes"] > 0]
    peaks = {}
    for row in products:
        if row["baseline"] and row["ratio"] > 0:
            # The ratio is the library's time over the row's: that gives the library's rate.
            rate = rate_of(row) / row["ratio"]
            peaks[row["baseline"]] = max(rate, peaks.get(row["baseline"], 0))
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, 18, f'{data["gpu"]}, driver {data["driver"]}, {data["cublas"]}', size=13),
    ]
    svg += grid()
    svg += roofs(data["copy_bytes_per_second"] * 1e-12, peaks)
    drawn = set()
    for row in products:
        if not row["kernel"].endswith("*"):
            continue
        family = next((f for f in COLORS if f"{row['suite']} {row['kernel']}".startswith(f)), "w4a8")
        point = (family, row["m"], row["n"], row["k"])
        if point in drawn:
            continue
        drawn.add(point)
        x, y = place(row["operations"] / row["bytes"], rate_of(row))
        note = f'{row["kernel"]}, {row["m"]} x {row["n"]} x {row["k"]}: {rate_of(row):.1f} TFLOP/s'
        svg.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{COLORS[family]}" fill-opacity="0.75">'
            f"<title>{note}</title></circle>"
        )
    for i, (family, color) in enumerate(COLORS.items()):
        y = TOP + 110 + 20 * i
        svg.append(f'<circle cx="{WIDTH - RIGHT + 20}" cy="{y}" r="4" fill="{color}"/>')
        svg.append(text(WIDTH - RIGHT + 30, y + 4, family))
    svg.append("</svg>")
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(svg) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
