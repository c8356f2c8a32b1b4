/* What a page can do beyond being read: sort and filter its tables, draw its figures (charts.js), put any two runs side by
   side, and keep what is shown in the address. State is
   `#NAME.q=words&NAME.sort=-2&compare.before=time&compare.after=time` and that of the figures. */

const UNITS = { ns: 1e-9, "µs": 1e-6, ms: 1e-3, s: 1, B: 1, KiB: 1024, MiB: 1048576, GiB: 1073741824, "%": 0.01, "×": 1 };
const NUMBER = /^([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?:\s*(ns|µs|ms|s|KiB|MiB|GiB|B|%|×))?(?![\w.-])/;
const FEW = 5; // rows that need no filter
const tables = new Map();
let charts = null;
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
  charts?.restore(known);
  comparison?.restore(known);
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
const figures = [...document.querySelectorAll("figure[data-column]")];
if (figures.length && "uPlot" in window) charts = new Charts(figures, [...tables.get("nights-table").rows].reverse());
const compared = document.querySelector("#compare[data-before]");
if (compared) comparison = new Comparison(compared, tables.get("compare-table"));
tellAges();
restore(true);
window.addEventListener("hashchange", () => restore(true));
