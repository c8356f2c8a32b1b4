"use strict";
/* What a page can do beyond being read: sort and filter its tables, tell the night and the value under the mouse or the
   arrow keys, and keep what is shown in the address. State is `#NAME.q=words&NAME.sort=-2&FIGURE.at=night`. */

const UNITS = { ns: 1e-9, "µs": 1e-6, ms: 1e-3, s: 1, B: 1, KiB: 1024, MiB: 1048576, GiB: 1073741824, "%": 0.01, "×": 1 };
const NUMBER = /^([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?:\s*(ns|µs|ms|s|KiB|MiB|GiB|B|%|×))?(?![\w.-])/;
const FEW = 5; // rows that need no filter
const tables = new Map();
const figures = new Map();

function keyOf(cell) {
  const text = cell.textContent.trim().replace("−", "-");
  const found = NUMBER.exec(text);
  if (!found) return text;
  const number = Number(found[1]) * (UNITS[found[2]] ?? 1);
  return found[2] === "%" ? 1 + number : number; // a change of 100 % and one of 2× are the same
}

function compare(a, b) {
  if (a === "" || b === "") return 0;
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

class Rich {
  constructor(table) {
    this.table = table;
    this.name = table.dataset.name;
    this.body = table.tBodies[0];
    this.rows = [...this.body.rows];
    this.heads = [...table.tHead.rows[0].cells];
    this.words = this.rows.map((row) => row.textContent.toLowerCase());
    this.sorted = 0; // the column, from 1 on, negative when falling
    this.heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => this.sort(this.sorted === column + 1 ? -column - 1 : column + 1, true));
    });
    if (this.rows.length > FEW) this.addTools();
  }

  addTools() {
    const tools = document.createElement("div");
    tools.className = "tools";
    const label = document.createElement("label");
    this.input = document.createElement("input");
    this.input.type = "search";
    label.append("Filter", this.input);
    this.count = document.createElement("output");
    tools.append(label, this.count);
    const box = this.table.closest(".scroll");
    box.before(tools);
    this.input.setAttribute("aria-label", `Filter: ${document.getElementById(box.getAttribute("aria-labelledby")).textContent}`);
    this.input.addEventListener("input", () => this.filter(this.input.value, true));
    this.tell(this.rows.length);
  }

  tell(shown) {
    this.count.textContent = shown === this.rows.length ? `${shown} rows` : `${shown} of ${this.rows.length} rows`;
  }

  filter(text, keep) {
    if (!this.input) return;
    if (this.input.value !== text) this.input.value = text;
    const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    this.rows.forEach((row, index) => {
      row.hidden = !wanted.every((word) => this.words[index].includes(word));
      shown += row.hidden ? 0 : 1;
    });
    this.tell(shown);
    if (keep) save(`${this.name}.q`, text);
  }

  sort(by, keep) {
    const column = Math.abs(by) - 1;
    if (!(column < this.heads.length)) return;
    this.sorted = by;
    let rows = this.rows;
    if (by) {
      const keyed = this.rows.map((row) => [row.cells[column] ? keyOf(row.cells[column]) : "", row]);
      const empty = keyed.filter(([key]) => key === "");
      const full = keyed.filter(([key]) => key !== "");
      full.sort(([a], [b]) => Math.sign(by) * compare(a, b));
      rows = [...full, ...empty].map(([, row]) => row);
    }
    this.body.append(...rows);
    this.heads.forEach((head, index) => {
      if (index === column) head.setAttribute("aria-sort", by > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    if (keep) save(`${this.name}.sort`, by ? String(by) : "");
  }
}

/* The plot within the drawing, as chart.py draws it. */
const LEFT = 74, RIGHT = 900, TOP = 32, BOTTOM = 182;

class Chart {
  constructor(figure, nights) {
    this.name = figure.id;
    this.svg = figure.querySelector("svg");
    this.readout = figure.querySelector(".readout");
    this.readout.classList.add("live");
    this.unit = figure.dataset.unit;
    this.count = Number(this.svg.dataset.nights);
    const column = Number(figure.dataset.column);
    this.values = nights.map((row) => row.cells[column]?.textContent.trim() ?? "").reverse();
    this.labels = nights.map((row) => row.cells[0].textContent.trim()).reverse();
    this.changes = nights.map((row) => row.cells[1].textContent.trim()).reverse();
    this.at = -1;
    this.svg.addEventListener("pointermove", (event) => this.show(this.under(event), false));
    this.svg.addEventListener("pointerleave", () => this.show(this.kept ?? -1, false));
    this.svg.addEventListener("click", (event) => this.show(this.under(event), true));
    const drawing = figure.querySelector(".drawing");
    drawing.addEventListener("keydown", (event) => this.key(event));
    drawing.scrollLeft = drawing.scrollWidth; // the newest runs are on the right
  }

  under(event) {
    const box = this.svg.getBoundingClientRect();
    const across = ((event.clientX - box.left) / box.width) * this.svg.viewBox.baseVal.width;
    const night = Math.round(((across - LEFT) / (RIGHT - LEFT)) * (this.count - 1));
    return this.near(Math.min(Math.max(night, 0), this.count - 1), 0);
  }

  near(night, step) {
    for (let away = 0; away < this.count; away += 1) {
      for (const one of step ? [night + step * away] : [night - away, night + away]) if (this.values[one]) return one;
    }
    return this.at;
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) this.show(this.at < 0 ? this.near(this.count - 1, -1) : this.near(this.at + step, step), false);
    else if (event.key === "Enter" && this.at >= 0) this.show(this.at, true);
    else if (event.key === "Escape") this.show(-1, true);
    else return;
    event.preventDefault();
  }

  find(label) {
    this.show(label ? this.labels.indexOf(label) : -1, false);
    this.kept = this.at;
  }

  show(night, keep) {
    this.at = night;
    this.svg.querySelectorAll(".cursor").forEach((one) => one.remove());
    this.readout.textContent = "";
    if (night >= 0 && this.values[night]) {
      const change = this.changes[night] ? `; here change ${this.changes[night]}` : "";
      this.readout.textContent = `${this.labels[night]}: ${this.values[night]}${this.unit}${change}`;
      const x = LEFT + (RIGHT - LEFT) * (this.count > 1 ? night / (this.count - 1) : 0.5);
      this.draw("path", { class: "cursor", d: `M${x} ${TOP}V${BOTTOM}` });
    }
    if (keep) {
      this.kept = night;
      save(`${this.name}.at`, night < 0 ? "" : this.labels[night]);
    }
  }

  draw(kind, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    this.svg.append(made);
  }
}

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

function restore(scroll) {
  const known = state();
  for (const [name, table] of tables) {
    table.filter(known.get(`${name}.q`) ?? "", false);
    table.sort(Number(known.get(`${name}.sort`) ?? 0) || 0, false);
  }
  for (const [name, chart] of figures) chart.find(known.get(`${name}.at`) ?? "");
  const [first] = known.keys();
  if (!scroll || !first) return;
  const name = first.slice(0, first.lastIndexOf("."));
  (document.getElementById(`${name}-caption`) ?? document.getElementById(name))?.scrollIntoView();
}

function tellAges() {
  for (const time of document.querySelectorAll("time[data-age]")) {
    const hours = (Date.now() - Date.parse(time.dateTime)) / 3600000;
    if (!(hours >= 0)) continue;
    const age = document.createElement("span");
    if (hours >= 36) age.className = "old";
    age.textContent = hours < 36 ? ` (${Math.round(hours)} hours ago)` : ` (${Math.round(hours / 24)} days ago)`;
    time.after(age);
  }
}

for (const table of document.querySelectorAll("table.rich")) tables.set(table.dataset.name, new Rich(table));
const nights = tables.get("nights-table");
for (const figure of nights ? document.querySelectorAll("figure[data-column]") : []) {
  figures.set(figure.id, new Chart(figure, nights.rows));
}
tellAges();
restore(true);
window.addEventListener("hashchange", () => restore(true));
