// The page: reads its data, fills legend and controls, and draws the three charts.

const problems = [];
window.addEventListener("error", (event) => {
  problems.push(event.message);
  document.documentElement.dataset.error = problems.join("; ");
});

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const state = { timing: data.timings[0], rate: data.rates[0], log: true, hidden: new Set() };
  const runsOf = (side) => data.runs.filter((run) => run.side === side);
  const nameOf = (run) => data.sides[run.side] + (runsOf(run.side).length > 1 ? ` ${run.number}` : "");
  const shownRuns = () => data.runs.filter((run) => !state.hidden.has(run));

  function curvesOf(pointsOf) {
    const curves = shownRuns().map((run) => ({ name: nameOf(run), side: run.side, points: pointsOf(run) }));
    return curves.filter((curve) => curve.points.length > 0);
  }

  function percentiles() {
    const curves = curvesOf((run) => run.curves[state.timing] ?? []);
    const end = Math.max(2, ...curves.map((curve) => curve.points[curve.points.length - 1][0]));
    const xTicks = [[0, "0 %"], [Math.log10(2), "50 %"]];
    for (let place = 1; place <= end; place += 1) xTicks.push([place, percentileText(place)]);
    return {
      curves, xTicks, xRange: [0, end], xTitle: "percentile", yTitle: `${state.timing} latency, ms`,
      unit: "ms", log: state.log, exact: false, xText: percentileText,
    };
  }

  function overTime(pick, yTitle, unit, log) {
    const curves = curvesOf((run) => (pick(run) ?? []).map((value, index) => [run.times[index], value]));
    const times = curves.flatMap((curve) => [curve.points[0][0], curve.points[curve.points.length - 1][0]]);
    const [from, to] = [Math.min(0, ...times), Math.max(1, ...times)];
    const xTicks = linearTicks(0, to, 8).map((tick) => [tick, tickText(tick)]);
    const xText = (x) => `${x.toFixed(to > 300 ? 0 : 1)} s`;
    return { curves, xTicks, xRange: [from, to], xTitle: "seconds since the warm-up", yTitle, unit, log, exact: true, xText };
  }

  const rates = () => overTime((run) => run.rates[state.rate], state.rate ?? "", (state.rate ?? "").split(" ").pop(), false);
  const p99 = () => overTime((run) => run.p99[state.timing], `${state.timing} p99, ms`, "ms", state.log);

  const charts = [
    new Chart(document.getElementById("percentiles"), "Latency by percentile; arrow keys read values", percentiles),
    new Chart(document.getElementById("rates"), "Throughput over time; arrow keys read values", rates),
    new Chart(document.getElementById("p99"), "p99 latency over time; arrow keys read values", p99),
  ];

  function button(content, className, pressed, press) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = className;
    made.append(...content);
    made.setAttribute("aria-pressed", String(pressed));
    made.addEventListener("click", () => {
      press();
      refresh();
    });
    return made;
  }

  function toggle(runs) {
    const hide = runs.some((run) => !state.hidden.has(run));
    for (const run of runs) state.hidden[hide ? "add" : "delete"](run);
  }

  function legend() {
    return data.sides.map((name, side) => {
      const runs = runsOf(side);
      const group = document.createElement("div");
      group.className = "group-of-runs";
      const shown = (run) => !state.hidden.has(run);
      group.append(button([swatch(side), name], "side", runs.some(shown), () => toggle(runs)));
      if (runs.length > 1) {
        for (const run of runs) {
          const single = button([String(run.number)], "run", shown(run), () => toggle([run]));
          single.setAttribute("aria-label", `${name} run ${run.number}`);
          group.append(single);
        }
      }
      return group;
    });
  }

  function choice(label, options, chosen, choose) {
    const group = document.createElement("div");
    group.className = "choice";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", label);
    group.append(...options.map(([value, text]) => button([text], "", value === chosen, () => choose(value))));
    return group;
  }

  function controls() {
    const named = (names) => names.map((name) => [name, name]);
    const made = [];
    if (data.timings.length > 1) {
      made.push(choice("Kind of latency", named(data.timings), state.timing, (value) => { state.timing = value; }));
    }
    if (data.rates.length > 1) {
      made.push(choice("Unit of throughput", named(data.rates), state.rate, (value) => { state.rate = value; }));
    }
    const axes = [[true, "log"], [false, "linear"]];
    made.push(choice("Latency axis", axes, state.log, (value) => { state.log = value; }));
    return made;
  }

  /** Draws all anew; the button that was pressed keeps the focus. */
  function refresh() {
    const bar = document.getElementById("bar");
    const focused = [...bar.querySelectorAll("button")].indexOf(document.activeElement);
    document.getElementById("legend").replaceChildren(...legend());
    document.getElementById("controls").replaceChildren(...controls());
    if (focused >= 0) bar.querySelectorAll("button")[focused].focus();
    for (const chart of charts) chart.draw();
    for (const chart of charts) {
      const { figure } = chart;
      figure.dataset.curves = String(figure.querySelectorAll("path.curve").length);
    }
  }

  for (const place of document.querySelectorAll(".swatch")) place.append(swatch(Number(place.dataset.side)));
  refresh();
  document.documentElement.dataset.ready = "1";
})();
