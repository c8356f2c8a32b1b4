"use strict";
/* What the scripts of the report and of the site share. */

function drawn(kind, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/* Words of numbers, as format.py has them. */
const STEPS = { second: [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]], byte: [[1073741824, "GiB"], [1048576, "MiB"], [1024, "KiB"], [1, "B"]] };

function digits(number) {
  if (number === 0) return "0";
  const rounded = Number(number.toPrecision(3));
  const decimals = Math.max(2 - Math.floor(Math.log10(Math.abs(rounded))), 0);
  return rounded.toFixed(decimals).replace("-", "−");
}

function scaleOf(value, unit) {
  return STEPS[unit].find(([factor]) => Math.abs(value) >= factor * 0.9995) ?? STEPS[unit].at(-1);
}

/* What is shown is in the address: `#NAME=value&NAME=value`. */
function state() {
  const text = location.hash.slice(1);
  return new URLSearchParams(text.includes("=") ? text : "");
}

function save(key, value) {
  const known = state();
  if (value) known.set(key, value);
  else known.delete(key);
  const text = known.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}
