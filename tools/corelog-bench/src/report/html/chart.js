// One chart: axes, curves, and a guide that follows pointer and arrow keys.

const DASHES = ["", "8 4", "2 4", "12 4 2 4", "5 3", "14 4", "2 2 6 2", "10 3 2 3 2 3"];
const STYLES_MAX = 8;
const READOUT_ROWS_MAX = 14;

function svgElement(name, attributes, parent) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.append(element);
  return element;
}

function strokeOf(side) {
  return { stroke: `var(--c${side % STYLES_MAX})`, "stroke-dasharray": DASHES[side % STYLES_MAX] };
}

/** A piece of a side's line. */
function swatch(side) {
  const svg = svgElement("svg", { width: 30, height: 10, "aria-hidden": "true" });
  svgElement("line", { x1: 1, x2: 29, y1: 5, y2: 5, "stroke-width": 2.5, ...strokeOf(side) }, svg);
  return svg;
}

/**
 * A chart in a figure. `view()` gives what is to be drawn: curves [{name, side, points: [[x, y or null]]}], xTicks [[x, text]],
 * xRange, xTitle, yTitle, unit, log, xText(x), and `exact`: whether the guide reads the points or what lies between them.
 */
class Chart {
  constructor(figure, label, view) {
    this.figure = figure;
    this.view = view;
    this.svg = svgElement("svg", { class: "plot", role: "img", tabindex: "0", "aria-label": label }, figure);
    this.readout = document.createElement("div");
    this.readout.className = "readout";
    this.readout.setAttribute("aria-live", "polite");
    this.readout.hidden = true;
    figure.append(this.readout);
    this.svg.addEventListener("pointermove", (event) => this.point(event.clientX));
    this.svg.addEventListener("pointerdown", (event) => this.point(event.clientX));
    this.svg.addEventListener("pointerleave", () => this.leave());
    this.svg.addEventListener("blur", () => this.leave());
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(figure);
  }

  draw() {
    const shown = this.view();
    const { width, height } = this.figure.getBoundingClientRect();
    this.svg.replaceChildren();
    this.shown = shown;
    const values = shown.curves.flatMap((curve) => curve.points.map((point) => point[1])).filter((y) => y !== null);
    const positive = values.filter((y) => y > 0);
    if (values.length === 0 || width < 80) {
      const text = svgElement("text", { x: 4, y: 40 }, this.svg);
      text.textContent = "No run with these figures is shown.";
      this.plot = null;
      this.leave();
      return;
    }
    const high = values.reduce((most, y) => Math.max(most, y), 0);
    const low = positive.reduce((least, y) => Math.min(least, y), Infinity);
    const scale = shown.log && positive.length > 0 ? logScale(low, high) : linearScale(high, height > 300 ? 7 : 5);
    const widest = Math.max(...scale.ticks.map((tick) => tickText(tick).length));
    const left = 14 + widest * 7;
    const plot = { left, top: 26, right: width - 16, bottom: height - 40, scale };
    const [from, to] = shown.xRange;
    plot.x = (x) => plot.left + ((x - from) / (to - from)) * (plot.right - plot.left);
    plot.y = (y) => plot.bottom - scale.place(y) * (plot.bottom - plot.top);
    plot.back = (place) => from + ((place - plot.left) / (plot.right - plot.left)) * (to - from);
    this.plot = plot;
    this.axes(width);
    for (const curve of shown.curves) this.curve(curve);
    this.marks = svgElement("g", {}, this.svg);
    if (this.at !== undefined) this.guide(this.at);
  }

  axes(width) {
    const { shown, plot, svg } = this;
    if (shown.xRange[0] < 0) {
      const start = plot.x(0);
      svgElement("rect", { class: "warm-up", x: plot.left, y: plot.top, width: start - plot.left, height: plot.bottom - plot.top }, svg);
      if (start - plot.left > 62) this.text((plot.left + start) / 2, plot.bottom + 17, "warm-up", "middle");
    }
    for (const tick of plot.scale.ticks) {
      const y = plot.y(tick);
      svgElement("line", { class: "grid", x1: plot.left, x2: plot.right, y1: y, y2: y }, svg);
      this.text(plot.left - 7, y + 4, tickText(tick), "end");
    }
    let taken = -Infinity;
    for (const [x, label] of shown.xTicks) {
      const place = plot.x(x);
      svgElement("line", { class: "grid", x1: place, x2: place, y1: plot.top, y2: plot.bottom }, svg);
      const half = label.length * 3.4;
      const centre = Math.min(place, width - half - 2);
      if (centre - half < taken + 6) continue;
      this.text(centre, plot.bottom + 17, label, "middle");
      taken = centre + half;
    }
    svgElement("line", { class: "axis", x1: plot.left, x2: plot.right, y1: plot.bottom, y2: plot.bottom }, svg);
    this.text(2, 13, shown.yTitle, "start");
    this.text(plot.right, plot.bottom + 35, shown.xTitle, "end");
  }

  text(x, y, content, anchor) {
    svgElement("text", { x, y, "text-anchor": anchor }, this.svg).textContent = content;
  }

  /** A line, broken where values are missing; a value on its own is a dot. */
  curve(curve) {
    let path = "";
    let pen = false;
    curve.points.forEach(([x, y], index) => {
      if (y === null) {
        pen = false;
        return;
      }
      const next = curve.points[index + 1];
      const alone = !pen && (!next || next[1] === null);
      path += `${pen ? "L" : "M"}${this.plot.x(x).toFixed(1)} ${this.plot.y(y).toFixed(1)}${alone ? "h0" : ""}`;
      pen = true;
    });
    svgElement("path", { class: "curve", d: path, ...strokeOf(curve.side) }, this.svg);
  }

  point(clientX) {
    if (!this.plot) return;
    const place = clientX - this.svg.getBoundingClientRect().left;
    this.guide(this.plot.back(Math.min(Math.max(place, this.plot.left), this.plot.right)));
  }

  key(event) {
    const [from, to] = this.shown.xRange;
    const step = (to - from) / (event.shiftKey ? 10 : 60);
    const moves = { ArrowLeft: -step, ArrowRight: step, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.leave();
    if (!(event.key in moves) || !this.plot) return;
    event.preventDefault();
    const at = this.at === undefined ? (from + to) / 2 : this.at + moves[event.key];
    this.guide(Math.min(Math.max(at, from), to));
  }

  leave() {
    this.at = undefined;
    this.readout.hidden = true;
    if (this.marks) this.marks.replaceChildren();
  }

  /** The values of all curves at x, as a line with dots and a list beside it. */
  guide(x) {
    const { plot, shown } = this;
    this.at = x;
    this.marks.replaceChildren();
    const found = shown.curves.map((curve) => ({ curve, point: valueAt(curve.points, x, shown.exact) }));
    const read = found.filter((one) => one.point && one.point[1] !== null);
    const place = plot.x(x);
    svgElement("line", { class: "guide", x1: place, x2: place, y1: plot.top, y2: plot.bottom }, this.marks);
    for (const { curve, point } of read) {
      const at = { cx: shown.exact ? plot.x(point[0]) : place, cy: plot.y(point[1]), r: 4 };
      svgElement("circle", { class: "dot", fill: strokeOf(curve.side).stroke, ...at }, this.marks);
    }
    const head = document.createElement("b");
    head.textContent = shown.xText(x);
    const rows = read.slice(0, READOUT_ROWS_MAX).map(({ curve, point }) => readoutRow(curve, point[1], shown.unit));
    if (read.length > rows.length) rows.push(readoutMore(read.length - rows.length));
    this.readout.replaceChildren(head, ...rows);
    this.readout.hidden = false;
    const beside = place + 14;
    const fits = beside + this.readout.offsetWidth < this.figure.clientWidth;
    this.readout.style.left = `${fits ? beside : Math.max(place - 14 - this.readout.offsetWidth, 4)}px`;
  }
}

/** The point of a curve for x: the nearest one, or, between percentiles, the value that the curve shows there. */
function valueAt(points, x, exact) {
  if (points.length === 0) return null;
  const after = points.findIndex((point) => point[0] >= x);
  if (after < 0) return exact ? points[points.length - 1] : null;
  if (after === 0) return points[0];
  const [before, next] = [points[after - 1], points[after]];
  if (exact) return x - before[0] < next[0] - x ? before : next;
  const share = (x - before[0]) / (next[0] - before[0] || 1);
  return [x, before[1] + (next[1] - before[1]) * share];
}

function readoutRow(curve, value, unit) {
  const row = document.createElement("div");
  const [name, figure] = [document.createElement("span"), document.createElement("span")];
  name.append(swatch(curve.side), curve.name);
  figure.textContent = `${significant(value)} ${unit}`;
  row.append(name, figure);
  return row;
}

function readoutMore(count) {
  const row = document.createElement("div");
  row.textContent = `and ${count} more`;
  return row;
}
