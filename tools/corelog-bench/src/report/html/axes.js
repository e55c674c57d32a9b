"use strict";
// Scales, ticks and numbers. Nothing here touches the page.

/** About four significant digits, with commas between thousands. */
function significant(value) {
  const size = Math.abs(value);
  if (size >= 999.95) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(size >= 99.995 ? 1 : size >= 9.9995 ? 2 : 3);
}

/** A tick's number without digits that say nothing. */
function tickText(value) {
  if (value >= 1e6) return `${+(value / 1e6).toFixed(3)} M`;
  if (value >= 1e4) return `${+(value / 1e3).toFixed(3)} k`;
  return String(+value.toPrecision(6));
}

/** 0 %, 90 %, 99 %, 99.9 %, …: the percentile at log10(1 / (1 - quantile)). */
function percentileText(place) {
  const percent = 100 * (1 - 10 ** -place);
  const decimals = Math.max(0, Math.ceil(place - 1e-9) - 2);
  return `${+percent.toFixed(Math.min(decimals + (Number.isInteger(place) ? 0 : 1), 12))} %`;
}

/** The smallest of 1, 2 and 5 times a power of ten that is at least this. */
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * (1 - 1e-9));
}

function linearTicks(low, high, count) {
  const step = niceStep(Math.max((high - low) / count, 1e-9));
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-6; n += 1) ticks.push(n * step);
  return ticks;
}

/** A linear scale from 0 to a tick above the highest value. */
function linearScale(high, count) {
  const step = niceStep(Math.max(high / count, 1e-9));
  const top = Math.max(Math.ceil(high / step - 1e-9), 1) * step;
  return { place: (value) => value / top, ticks: linearTicks(0, top, count) };
}

/** A logarithmic scale between ticks around the values, which are above 0. */
function logScale(low, high) {
  const marks = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.ceil(Math.log10(high)) + 1; power += 1) {
    for (const factor of [1, 2, 5]) marks.push(factor * 10 ** power);
  }
  const from = marks.filter((mark) => mark <= low * 1.0001).pop();
  const to = marks.find((mark) => mark >= high * 0.9999 && mark > from);
  const span = Math.log10(to / from);
  const place = (value) => Math.log10(Math.max(value, from) / from) / span;
  const within = marks.filter((mark) => mark >= from * 0.9999 && mark <= to * 1.0001);
  const decades = within.filter((mark) => Math.abs(Math.log10(mark) - Math.round(Math.log10(mark))) < 1e-9);
  return { place, ticks: span > 2.2 && decades.length > 1 ? decades : within };
}
