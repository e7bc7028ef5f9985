#!/usr/bin/python3
"""picture.py PROMETHEUS DASHBOARD SECONDS PNG

Draws main panels of the dashboard, by the dashboard's own expressions, units and
legends, from what a Prometheus has of the last SECONDS. It takes Debian's
python3-matplotlib.
"""

import json
import re
import sys
import time
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter

prometheus, dashboard, seconds, png = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
now = time.time()
panels = {p["title"]: p for p in json.load(open(dashboard))["panels"]}
variables = {"$instance": ".+", "$client": ".+", "$__range": f"{seconds}s"}
colours = {"laptop": "#5794f2", "phone": "#73bf69", "printer": "#ff9830"}
text, dim, paper, ground = "#d8d9da", "#8e8e8e", "#181b1f", "#111217"
plt.rcParams.update({"font.size": 9, "text.color": text, "axes.edgecolor": "#2c3235", "axes.labelcolor": dim,
                     "xtick.color": dim, "ytick.color": dim, "axes.facecolor": paper, "figure.facecolor": ground})


def ask(target, **kind):
    expr = target["expr"]
    for name, value in variables.items():
        expr = expr.replace(name, value)
    path = "query_range" if kind else "query"
    with urllib.request.urlopen(f"{prometheus}/api/v1/{path}?" + urllib.parse.urlencode({"query": expr, **kind})) as answer:
        return json.load(answer)["data"]["result"]


def name(target, labels):
    legend = target.get("legendFormat", "").replace(" ({{instance}})", "")  # there is but one
    return re.sub(r"{{(\w+)}}", lambda m: labels.get(m[1], ""), legend)


def human(value, unit):
    if unit in ("bps", "bytes"):
        base, suffix = (1000, "b/s") if unit == "bps" else (1024, "B")
        for prefix in ("", "k", "M", "G"):
            if abs(value) < base or prefix == "G":
                number = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
                return f"{number} {prefix}{'i' if unit == 'bytes' and prefix else ''}{suffix}"
            value /= base
    return f"{100 * value:.2g}%" if unit == "percentunit" else f"{value:.0f}"


def unit(panel):
    return panel["fieldConfig"]["defaults"].get("unit")


def heading(axes, panel):
    axes.set_title(panel["title"], loc="left", fontsize=10, fontweight="bold", color=text)


def stat(axes, title):
    panel = panels[title]
    values = [ask(t)[0]["value"][1] for t in panel["targets"]]
    mappings = {k: v["text"] for m in panel["fieldConfig"]["defaults"].get("mappings", []) for k, v in m["options"].items()}
    shown = [mappings.get(v, human(float(v), unit(panel))) for v in values]
    heading(axes, panel)
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.45, " of ".join(shown), ha="center", va="center", fontsize=19, color="#73bf69")


def lines(axes, title, stacked=False):
    panel = panels[title]
    heading(axes, panel)
    stack, names = [], []
    for index, target in enumerate(panel["targets"]):
        for series in ask(target, start=now - seconds, end=now, step="0.5"):
            points = {round(float(t) * 2) / 2: float(v) for t, v in series["values"]}
            times = [round(now * 2) / 2 - seconds + i / 2 for i in range(2 * seconds + 1)]
            values = [points.get(t, float("nan") if not stacked else 0.0) for t in times]
            colour = colours.get(series["metric"].get("client"), "#b877d9")
            label = f"{name(target, series['metric'])}  max {human(max(points.values()), unit(panel))}"
            times = [t - times[0] for t in times]
            if stacked:
                stack.append((times, values, colour, label))
            else:
                axes.step(times, [-v for v in values] if index else values, where="post", color=colour,
                          linewidth=1, linestyle="--" if index else "-", label=label)
    if stacked:
        axes.stackplot(stack[0][0], [s[1] for s in stack], colors=[s[2] for s in stack], labels=[s[3] for s in stack], alpha=0.75)
    axes.set_xlim(0, seconds)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{int(t) // 60}:{int(t) % 60:02}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: human(abs(v), unit(panel))))
    axes.grid(color="#25282c", linewidth=0.8)
    axes.set_axisbelow(True)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.5 * (top - bottom))  # room for the legend
    axes.legend(loc="upper left", ncols=2 if len(panel["targets"]) > 1 else 1, fontsize=8, facecolor=ground, edgecolor="#2c3235", labelcolor=text, framealpha=0.8)


def bars(axes, title):
    panel = panels[title]
    heading(axes, panel)
    target = panel["targets"][0]
    found = sorted(((float(s["value"][1]), s["metric"]["client"]) for s in ask(target)))
    axes.barh([c for _, c in found], [v for v, _ in found], color=[colours.get(c, "#b877d9") for _, c in found], height=0.6)
    for row, (value, _) in enumerate(found):
        axes.text(value, row, " " + human(value, unit(panel)), va="center")
    axes.set_xticks([])
    axes.margins(x=0.2)


def table(axes, title):
    panel = panels[title]
    heading(axes, panel)
    axes.set(xticks=[], yticks=[])
    rows = {}
    for column, target in enumerate(panel["targets"]):
        for s in ask(target):
            m = s["metric"]
            rows.setdefault((m["client"], m["ip"]), ["", ""])[column] = float(s["value"][1])
    cells = [[c, ip, *(human(v, unit(panel)) for v in values)] for (c, ip), values in sorted(rows.items(), key=lambda r: -r[1][0])]
    drawn = axes.table([["Client", "Address", "Received", "Sent"], *cells], cellLoc="left", bbox=[0.01, 0.02, 0.98, 0.96])
    for (row, _), cell in drawn.get_celld().items():
        cell.set(edgecolor="#2c3235", facecolor=paper)
        cell.get_text().set_color(dim if row == 0 else text)


figure = plt.figure(figsize=(12, 8.6), dpi=100)
grid = figure.add_gridspec(4, 12, height_ratios=[0.5, 1.5, 1.5, 1.3], hspace=0.42, wspace=1.4,
                           left=0.06, right=0.985, top=0.955, bottom=0.03)
for column, title in enumerate(["Clients online", "Download", "Upload", "Connections", "Conntrack table", "Exporter"]):
    stat(figure.add_subplot(grid[0, 2 * column:2 * column + 2]), title)
lines(figure.add_subplot(grid[1, :6]), "Download by client", stacked=True)
lines(figure.add_subplot(grid[1, 6:]), "Upload by client", stacked=True)
lines(figure.add_subplot(grid[2, :6]), "Peaks by client")
bars(figure.add_subplot(grid[2, 6:]), "Top consumers of the last minute")
lines(figure.add_subplot(grid[3, :6]), "Connections by client")
table(figure.add_subplot(grid[3, 6:]), "Totals over the chosen range")
figure.savefig(png)
