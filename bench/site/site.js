/* What a page can do beyond being read: sort and filter its tables, tell the night and the value under the mouse or the
   arrow keys, put any two runs side by side, and keep what is shown in the address. State is
   `#NAME.q=words&NAME.sort=-2&history.last=30&FIGURE.at=night&compare.before=time&compare.after=time`. */

const UNITS = { ns: 1e-9, "µs": 1e-6, ms: 1e-3, s: 1, B: 1, KiB: 1024, MiB: 1048576, GiB: 1073741824, "%": 0.01, "×": 1 };
const NUMBER = /^([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?:\s*(ns|µs|ms|s|KiB|MiB|GiB|B|%|×))?(?![\w.-])/;
const FEW = 5; // rows that need no filter
const tables = new Map();
const figures = new Map();
const LASTS = [30, 100, 365]; // runs that figures can be cut to
let zoom = null;
let comparison = null;

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

  /* Other rows, sorted and filtered as those before. */
  refill(rows) {
    this.rows = rows;
    this.words = rows.map((row) => row.textContent.toLowerCase());
    this.body.replaceChildren(...rows);
    this.filter(this.input?.value ?? "", false);
    if (this.sorted) this.sort(this.sorted, false);
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

/* The plot within the drawing, as chart.py draws it: its edges, and the first and the last night within. */
const [EDGE, LEFT, RIGHT, FAR_EDGE, TOP, BOTTOM] = [66, 74, 900, 908, 32, 182];
const DATES = 6, MANY = 250;

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
    this.view = [0, this.count - 1];
    this.dots = this.readDots();
    this.bars = this.readBars();
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
    const [first, last] = this.view;
    const night = first + Math.round(((across - LEFT) / (RIGHT - LEFT)) * (last - first));
    return this.near(Math.min(Math.max(night, first), last), 0);
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
      if (night >= this.view[0]) {
        this.svg.append(drawn("path", { class: "cursor", d: `M${this.x(night)} ${TOP}V${BOTTOM}` }));
      }
    }
    if (keep) {
      this.kept = night;
      save(`${this.name}.at`, night < 0 ? "" : this.labels[night]);
    }
  }

  x(night, [first, last] = this.view) {
    return LEFT + (RIGHT - LEFT) * (last > first ? (night - first) / (last - first) : 0.5);
  }

  /* The height of each night's dot, as it was drawn. */
  readDots() {
    const moves = [...this.svg.querySelector(".dots").getAttribute("d").matchAll(/m-?\d+ (-?\d+)h0/g)];
    const nights = this.values.flatMap((value, night) => (value ? [night] : []));
    let y = 0;
    return moves.map((move, index) => [nights[index], (y += Number(move[1]))]);
  }

  /* The lower and the upper end of each night's interval, as they were drawn. */
  readBars() {
    const moves = [...(this.svg.querySelector(".bars")?.getAttribute("d").matchAll(/m-?\d+ (-?\d+)v(-?\d+)/g) ?? [])];
    let y = 0;
    return moves.map((move, index) => {
      const from = y + Number(move[1]);
      return [this.dots[index][0], from, (y = from + Number(move[2]))];
    });
  }

  /* Show the last so many nights, or all. */
  zoom(count) {
    const all = [0, this.count - 1];
    this.view = [count ? Math.max(0, this.count - count) : 0, this.count - 1];
    const [first] = this.view;
    const within = (x) => Math.min(Math.max(x, EDGE), FAR_EDGE).toFixed(1);
    const shown = this.dots.filter(([night]) => night >= first);
    const path = this.svg.querySelector(".dots");
    path.setAttribute("d", shown.map(([night, y]) => `M${this.x(night).toFixed(1)} ${y}h0`).join(""));
    path.classList.toggle("many", shown.length > MANY);
    const bars = this.bars.filter(([night]) => night >= first);
    const strokes = bars.map(([night, from, to]) => `M${this.x(night).toFixed(1)} ${from}V${to}`).join("");
    this.svg.querySelector(".bars")?.setAttribute("d", strokes);
    this.svg.querySelector(".bars")?.classList.toggle("many", shown.length > MANY);
    for (const level of this.svg.querySelectorAll(".level")) {
      const y = /\s([\d.]+)H/.exec(level.getAttribute("d"))[1];
      const [from, to] = [level.dataset.first - 0.5, Number(level.dataset.last) + 0.5];
      level.style.display = to > first ? "" : "none";
      level.setAttribute("d", `M${within(this.x(from))} ${y}H${within(this.x(to))}`);
    }
    for (const part of this.svg.querySelectorAll("[data-night]")) {
      const night = Number(part.dataset.night);
      part.style.display = night >= first - 0.5 ? "" : "none";
      part.setAttribute("transform", `translate(${within(this.x(night)) - within(this.x(night, all))})`);
    }
    this.date();
    this.show(this.at, false);
  }

  date() {
    const [first, last] = this.view;
    const count = Math.min(DATES, last - first + 1);
    const nights = new Set([...Array(count).keys()].map((n) => first + Math.round((n * (last - first)) / Math.max(count - 1, 1))));
    const parts = [...nights].flatMap((night) => {
      const x = this.x(night);
      const end = night === last && count > 1 ? { "text-anchor": "end", dx: 12 } : {};
      const label = drawn("text", { class: "date", x, y: BOTTOM + 19, ...end });
      label.textContent = this.labels[night].slice(0, 10);
      return [drawn("path", { class: "grid", d: `M${x} ${BOTTOM}v5` }), label];
    });
    this.svg.querySelector(".dates").replaceChildren(...parts);
  }
}

/* Buttons that show the last so many runs in all figures. */
class Zoom {
  constructor(before, count) {
    const tools = document.createElement("div");
    tools.className = "tools";
    tools.setAttribute("role", "group");
    tools.setAttribute("aria-label", "Runs in the figures");
    this.buttons = new Map();
    for (const last of [0, ...LASTS.filter((one) => one < count)]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = last ? `Last ${last} runs` : "All runs";
      button.addEventListener("click", () => this.show(last, true));
      this.buttons.set(last, button);
      tools.append(button);
    }
    if (this.buttons.size > 1) before.before(tools);
    this.last = 0;
    this.press();
  }

  press() {
    for (const [last, button] of this.buttons) button.setAttribute("aria-pressed", String(last === this.last));
  }

  show(last, keep) {
    if (last !== this.last && this.buttons.has(last)) {
      this.last = last;
      for (const chart of figures.values()) chart.zoom(last);
      this.press();
    }
    if (keep) save("history.last", last ? String(last) : "");
  }
}

const NONE = 999999, PRECISION = 1e4;

/* Files of numbers are scripts, for a page that was opened from a file may load nothing else. Each calls this. */
const asked = new Map();
function isobenchData(name, content) {
  asked.get(name)?.done(content);
}

function load(name) {
  if (!asked.has(name)) {
    const entry = {};
    entry.content = new Promise((done, failed) => {
      entry.done = done;
      const script = document.createElement("script");
      script.src = `${name}.js`;
      script.addEventListener("error", () => failed(new Error(`${name}.js cannot be loaded`)));
      document.head.append(script);
    });
    asked.set(name, entry);
  }
  return asked.get(name).content;
}

/* Two runs of a host side by side, as the page has them for the newest ones. */
class Comparison {
  constructor(section, table) {
    this.section = section;
    this.table = table;
    this.pair = this.usual = [section.dataset.before, section.dataset.after];
    this.sides = [...section.querySelectorAll(".side")];
    this.said = document.createElement("p");
    this.said.className = "said";
    this.said.setAttribute("role", "status");
    load("runs").then((found) => this.begin(found), (error) => this.fail(error));
  }

  begin({ part, runs }) {
    this.part = part;
    this.runs = runs;
    const tools = document.createElement("div");
    tools.className = "tools";
    this.fields = ["Before", "After"].map((words, side) => {
      const label = document.createElement("label");
      const field = document.createElement("select");
      runs.forEach(([at, , name]) => field.prepend(new Option(`${minute(at)} ${name}`.trim(), at)));
      field.addEventListener("change", () => this.choose(side, field.value));
      label.append(words, field);
      tools.append(label);
      return field;
    });
    this.sides[0].parentNode.before(tools, this.said);
    this.restore(state());
  }

  fail(error) {
    this.said.textContent = `Only these two can be shown: ${error.message}.`;
    if (!this.said.parentNode) this.sides[0].parentNode.before(this.said);
  }

  choose(side, at) {
    const pair = this.pair.map((one, index) => (index === side ? at : one));
    ["compare.before", "compare.after"].forEach((key, index) => save(key, pair[index]));
    this.show(pair);
  }

  restore(known) {
    if (!this.runs) return;
    const wanted = ["compare.before", "compare.after"].map((key, side) => {
      const at = known.get(key) ?? this.usual[side];
      return this.runs.find(([stamp]) => stamp === at || minute(stamp) === at)?.[0];
    });
    const missing = wanted.some((one) => !one);
    this.said.textContent = missing ? "A run that the address names is not there any more." : "";
    this.show(missing ? this.usual : wanted);
  }

  async show(pair) {
    this.fields.forEach((field, side) => (field.value = pair[side]));
    if (pair.join() === this.pair.join()) return;
    this.pair = pair;
    try {
      const runs = await Promise.all(pair.map((at) => this.read(at)));
      if (this.pair === pair) this.fill(runs);
    } catch (error) {
      this.fail(error);
    }
  }

  /* A run's words, its facts, and by cost its numbers. */
  async read(at) {
    const index = this.runs.findIndex(([stamp]) => stamp === at);
    const { costs, facts, runs } = await load(`runs-${Math.floor(index / this.part)}`);
    const [fact, ...columns] = runs[index % this.part];
    const numbers = new Map();
    costs.forEach(([metric, environment, unit], cost) => {
      if (columns[0].length <= cost || columns[0][cost] === NONE) return;
      const [value, ratio] = columns.slice(0, 2).map((column) => decoded(column[cost]));
      const ends = columns.slice(2).map((column) => decoded(column[cost], ratio ?? value));
      numbers.set(JSON.stringify([metric, environment]), { metric, environment, unit, value, ratio, ends });
    });
    return { at, word: this.runs[index][1], label: this.runs[index][2], facts: facts[fact], numbers };
  }

  fill([before, after]) {
    [before, after].forEach((run, side) => (this.sides[side].textContent = `${minute(run.at)} ${run.label}`.trim()));
    this.section.querySelector(".command").textContent = `isobench compare ${before.word} ${after.word}`;
    const changed = Object.keys(before.facts).filter((fact) => fact in after.facts && before.facts[fact] !== after.facts[fact]);
    const facts = changed.sort().map((fact) => `${fact}: ${before.facts[fact]} → ${after.facts[fact]}`);
    this.section.querySelector(".facts").textContent = facts.length ? `What changed on the host: ${facts.join("; ")}.` : "";
    const keys = [...new Set([...before.numbers.keys(), ...after.numbers.keys()])];
    this.table.refill(keys.map((key) => this.row(before.numbers.get(key), after.numbers.get(key))));
  }

  row(before, after) {
    const { metric, environment } = before ?? after;
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.className = "left";
    head.textContent = metric;
    row.append(head);
    for (const [index, words] of [environment, ...cells(before, after)].entries()) {
      const cell = row.insertCell();
      if (index === 0) cell.className = "left";
      cell.textContent = words;
    }
    return row;
  }
}

function minute(at) {
  return at.slice(0, 16).replace("T", " ");
}

/* Texts are numbers that have no logarithm; the others are relative to `middle`. */
function decoded(code, middle = 1) {
  if (code === undefined || code === NONE) return null;
  return typeof code === "string" ? Number(code) : Math.exp(code / PRECISION) * middle;
}

/* As compare.py has them. */
function cells(before, after) {
  const known = [before, after].filter(Boolean);
  if (new Set(known.map((one) => one.unit)).size > 1) return [valued(before), valued(after), "", "", ""];
  if (known.some((one) => one.ratio === null)) {
    return [valued(before), valued(after), quotient(before?.value, after?.value), "", ""];
  }
  const values = [before, after].map((one) => (one ? valued({ ...one, ends: [null, null] }) : ""));
  return [times(before), times(after), quotient(before?.ratio, after?.ratio), ...values];
}

function quotient(before, after) {
  return before > 0 && after > 0 ? `${digits(after / before)}×` : "";
}

function interval([low, high], factor) {
  return low === null || high === null ? "" : ` [${digits(low / factor)}, ${digits(high / factor)}]`;
}

function times(one) {
  return one ? `${digits(one.ratio)}×${interval(one.ends, 1)}` : "";
}

function valued(one) {
  if (!one) return "";
  const [factor, unit] = scaleOf(one.value, one.unit);
  return `${digits(one.value / factor)} ${unit}${one.ratio === null ? interval(one.ends, factor) : ""}`;
}

/* Links of runs that have no page of their own: the page of the newest can show them. */
function linkRuns(rows) {
  rows.forEach((row, index) => {
    const cell = row.cells[row.cells.length - 1], older = rows[index + 1];
    if (cell.textContent || !older) return;
    const link = document.createElement("a");
    const [before, after] = [older, row].map((one) => one.cells[0].textContent.trim());
    link.href = `compare.html#${new URLSearchParams({ "compare.before": before, "compare.after": after })}`;
    link.textContent = "compare";
    cell.append(link);
  });
}

function restore(scroll) {
  const known = state();
  for (const [name, table] of tables) {
    table.filter(known.get(`${name}.q`) ?? "", false);
    table.sort(Number(known.get(`${name}.sort`) ?? 0) || 0, false);
  }
  zoom?.show(Number(known.get("history.last") ?? 0) || 0, false);
  comparison?.restore(known);
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

linkRuns([...document.querySelectorAll("[data-name=runs-table] tbody tr")]);
for (const table of document.querySelectorAll("table.rich")) tables.set(table.dataset.name, new Rich(table));
const nights = tables.get("nights-table");
for (const figure of nights ? document.querySelectorAll("figure[data-column]") : []) {
  figures.set(figure.id, new Chart(figure, nights.rows));
}
if (figures.size) zoom = new Zoom(document.querySelector("figure[data-column]"), nights.rows.length);
const compared = document.querySelector("#compare[data-before]");
if (compared) comparison = new Comparison(compared, tables.get("compare-table"));
tellAges();
restore(true);
window.addEventListener("hashchange", () => restore(true));
