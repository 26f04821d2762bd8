"use strict";
// Draws small time plots on a canvas: lines or bars over evenly spaced points, oldest first.

function niceTop(max) {
  if (max <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(max));
  for (const step of [1, 2, 2.5, 5, 10]) if (max <= step * unit) return step * unit;
  return 10 * unit;
}

function shortNumber(n) {
  if (n === 0) return "0";
  const abs = Math.abs(n);
  if (abs >= 1e6) return (n / 1e6).toFixed(1) + "M";
  if (abs >= 1e4) return (n / 1e3).toFixed(0) + "k";
  return abs >= 10 || Number.isInteger(n) ? String(Math.round(n)) : n.toFixed(abs >= 1 ? 1 : abs >= 0.1 ? 2 : 4);
}

// plot = {times: [ms], lines: [{name, color: "--one", values: [number], bars}]}
function drawPlot(canvas, plot) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio);
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const left = 46, right = 6, top = 8, bottom = 20;
  const w = width - left - right, h = height - top - bottom;
  g.font = "11px system-ui, sans-serif";
  const n = plot.times.length;
  if (n < 2) {
    g.fillStyle = color("--muted");
    g.fillText("Nothing yet", left, top + h / 2);
    return;
  }
  const max = niceTop(Math.max(...plot.lines.flatMap((l) => l.values)));
  const x = (i) => left + (w * i) / (n - 1), y = (v) => top + h - (h * Math.max(v, 0)) / max;
  g.strokeStyle = color("--line");
  g.fillStyle = color("--muted");
  g.lineWidth = 1;
  for (const part of [0, 0.5, 1]) {
    g.beginPath();
    g.moveTo(left, y(max * part));
    g.lineTo(left + w, y(max * part));
    g.stroke();
    g.textAlign = "right";
    g.fillText(shortNumber(max * part), left - 6, y(max * part) + 4);
  }
  const clock = (ms) => new Date(ms).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", hour12: false});
  g.textAlign = "left";
  g.fillText(clock(plot.times[0]), left, height - 5);
  g.textAlign = "right";
  g.fillText(clock(plot.times[n - 1]), left + w, height - 5);
  for (const line of plot.lines) {
    g.strokeStyle = g.fillStyle = color(line.color);
    if (line.bars) {
      const bar = Math.max((w / n) * 0.7, 1.5);
      line.values.forEach((v, i) => { if (v > 0) g.fillRect(Math.min(x(i), left + w - bar), y(v), bar, top + h - y(v)); });
      continue;
    }
    g.lineWidth = 1.8;
    g.lineJoin = "round";
    g.beginPath();
    line.values.forEach((v, i) => (i ? g.lineTo(x(i), y(v)) : g.moveTo(x(i), y(v))));
    g.stroke();
  }
  const at = canvas.dataset.at === undefined ? null : Math.round(((Number(canvas.dataset.at) - left) / w) * (n - 1));
  if (at !== null && at >= 0 && at < n) {
    g.strokeStyle = color("--muted");
    g.lineWidth = 1;
    g.beginPath();
    g.moveTo(x(at), top);
    g.lineTo(x(at), top + h);
    g.stroke();
    const text = clock(plot.times[at]) + "  " + plot.lines.map((l) => l.name + " " + shortNumber(l.values[at])).join("  ");
    const box = g.measureText(text).width + 10;
    const bx = Math.min(Math.max(x(at) - box / 2, left), left + w - box);
    g.fillStyle = color("--ink");
    g.fillRect(bx, top, box, 18);
    g.fillStyle = color("--card");
    g.textAlign = "left";
    g.fillText(text, bx + 5, top + 13);
  }
}
