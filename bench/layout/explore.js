
/* One cost of the run, block by block, in the environments that are asked for. What is shown is in the address:
   `#explore.cost=startup.ready&explore.q=docker+kvm&explore.axis=linear&explore.blocks=off`. */

const EXPLORE = { top: 6, row: 30, foot: 30, spread: 16, rows: 60 };
const WIDE = { width: 920, left: 196, right: 900, most: 26 }, NARROW = { left: 112, most: 14 };

class Explorer {
  constructor(section) {
    Object.assign(this, JSON.parse(section.dataset.samples)); // baseline, blocks, costs
    const find = (selector) => section.querySelector(selector);
    [this.select, this.input, this.count, this.title] = ["select", "input", ".count", ".title"].map(find);
    [this.drawing, this.readout] = [".drawing", ".readout"].map(find);
    this.buttons = [...section.querySelectorAll("button")];
    this.costs.forEach(([name], index) => this.select.append(new Option(name, index)));
    this.select.addEventListener("change", () => this.choose({ cost: this.costs[this.select.value][0] }));
    this.input.addEventListener("input", () => this.choose({ q: this.input.value }));
    for (const button of this.buttons) button.addEventListener("click", () => this.press(button));
    this.drawing.addEventListener("pointermove", (event) => this.show(...this.under(event)));
    this.drawing.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("resize", () => this.draw());
  }

  press({ dataset: { axis, blocks } }) {
    this.choose(axis ? { axis: axis === "log" ? "" : axis } : { blocks: blocks && this.points ? "off" : "" });
  }

  choose(chosen) {
    for (const [key, value] of Object.entries(chosen)) save(`explore.${key}`, value);
    this.restore(state());
  }

  restore(known) {
    const index = this.costs.findIndex(([name]) => name === known.get("explore.cost"));
    const [name, unit, rows] = this.costs[Math.max(index, 0)];
    const text = known.get("explore.q") ?? "";
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.select.value = Math.max(index, 0);
    if (this.input.value !== text) this.input.value = text;
    Object.assign(this, { name, unit, all: rows, linear: known.get("explore.axis") === "linear" });
    this.points = known.get("explore.blocks") !== "off";
    this.rows = rows.filter(([environment, title]) => {
      const told = `${environment} ${title}`.toLowerCase();
      return !words.length || words.some((word) => told.includes(word));
    }).slice(0, EXPLORE.rows);
    this.count.textContent = `${this.rows.length} of ${counted(rows.length, "environment")}`;
    this.draw();
    for (const button of this.buttons) {
      const { axis } = button.dataset;
      button.setAttribute("aria-pressed", String(axis ? (axis === "linear") === !this.log : this.points));
    }
  }

  /* As wide as there is room, so that words on a phone are as large as elsewhere. */
  fitted() {
    const width = Math.max(this.drawing.clientWidth, 320);
    return width < 600 ? { ...NARROW, width, right: width - 20 } : WIDE;
  }

  /* The axis reaches over all that is drawn; a value of zero or less has no logarithm. */
  scale() {
    const drawnNumbers = this.rows.flatMap((row) => [...row.slice(2, 5), ...(this.points ? row[5] : [])]);
    const numbers = drawnNumbers.filter((number) => number !== null);
    let [low, high] = numbers.reduce(([least, most], one) => [Math.min(least, one), Math.max(most, one)], [Infinity, -Infinity]);
    this.log = !this.linear && low > 0;
    if (this.log) {
      const room = Math.max((high / low) ** 0.03, 1.02);
      [low, high] = [low / room, high * room];
    } else {
      const room = (high - low) * 0.03 || Math.abs(high) * 0.02 || 1e-9;
      [low, high] = [low > 0 && low < 0.5 * high ? 0 : low - room, high + room];
    }
    this.ends = [low, high];
  }

  x(number) {
    const [low, high, at] = [...this.ends, number].map((one) => (this.log ? Math.log(one) : one));
    return this.size.left + ((this.size.right - this.size.left) * (at - low)) / (high - low);
  }

  /* A block's place in its row: the first is the highest. */
  y(row, block) {
    const share = this.blocks.length > 1 ? block / (this.blocks.length - 1) - 0.5 : 0;
    return this.middle(row) + EXPLORE.spread * share;
  }

  middle(row) {
    return EXPLORE.top + EXPLORE.row * (row + 0.5);
  }

  draw() {
    this.readout.textContent = "";
    this.at = null;
    this.title.textContent = `${this.name} in ${counted(this.rows.length, "environment")}, ${counted(this.blocks.length, "block")}`;
    this.drawing.replaceChildren();
    if (!this.rows.length) {
      this.readout.textContent = "No environment has these words.";
      this.log = !this.linear;
      return;
    }
    this.size = this.fitted();
    this.scale();
    const bottom = EXPLORE.top + EXPLORE.row * this.rows.length;
    const medians = this.rows.map(([environment, , median]) => `${environment} ${this.words(median)}`).join(", ");
    const label = `${this.name}, medians: ${medians}`;
    this.svg = drawn("svg", { viewBox: `0 0 ${this.size.width} ${bottom + EXPLORE.foot}`, role: "img", "aria-label": label });
    const labels = new Map(ticks(...this.ends, this.log, this.unit).map((tick) => [trimmed(this.words(tick)), this.x(tick).toFixed(1)]));
    for (const [label, x] of labels) {
      this.add("path", { class: "grid", d: `M${x} ${EXPLORE.top}V${bottom + 5}` });
      this.add("text", { class: "date", x, y: bottom + 20 }, label);
    }
    this.rows.forEach((row, index) => this.drawRow(row, index));
    this.drawing.append(this.svg);
  }

  drawRow([environment, , median, low, high, values], row) {
    const y = this.middle(row);
    const word = environment.length > this.size.most ? `${environment.slice(0, this.size.most - 1)}…` : environment;
    this.add("text", { class: "tick", x: this.size.left - 12, y }, word);
    this.add("path", { class: "grid", d: `M${this.size.left} ${y + EXPLORE.row / 2}H${this.size.right}` });
    const places = this.points ? values.map((value, block) => [value, block]).filter(([value]) => value !== null) : [];
    const dots = places.map(([value, block]) => `M${this.x(value).toFixed(1)} ${this.y(row, block).toFixed(1)}h0`);
    this.add("path", { class: dots.length > 100 ? "dots many" : "dots", d: dots.join("") });
    this.add("path", { class: "interval", d: `M${this.x(low).toFixed(1)} ${y}H${this.x(high).toFixed(1)}` });
    this.add("path", { class: "level", d: `M${this.x(median).toFixed(1)} ${y - 8}v16` });
  }

  add(kind, attributes, text = "") {
    const part = drawn(kind, attributes);
    part.textContent = text;
    this.svg.append(part);
    return part;
  }

  words(number) {
    const [factor, unit] = scaleOf(number, this.unit);
    return `${digits(number / factor)} ${unit}`;
  }

  /* The row under the pointer, and its nearest value, or -1 for the median. */
  under(event) {
    if (!this.rows.length) return [];
    const box = this.svg.getBoundingClientRect();
    const factor = this.size.width / box.width;
    const [x, y] = [(event.clientX - box.left) * factor, (event.clientY - box.top) * factor];
    const row = Math.min(Math.max(Math.floor((y - EXPLORE.top) / EXPLORE.row), 0), this.rows.length - 1);
    const values = this.points ? this.rows[row][5] : [];
    const away = (value, block) => (this.x(value) - x) ** 2 + (this.y(row, block) - y) ** 2;
    let [best, least] = [-1, (this.x(this.rows[row][2]) - x) ** 2 + 16];
    values.forEach((value, block) => {
      if (value !== null && away(value, block) < least) [best, least] = [block, away(value, block)];
    });
    return [row, best];
  }

  key(event) {
    const [row, block] = this.at ?? [-1, -1];
    const down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const right = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!this.rows.length || (!down && !right && event.key !== "Escape")) return;
    event.preventDefault();
    if (event.key === "Escape") return this.show();
    if (down || row < 0) return this.show(Math.min(Math.max(row + (down ?? 1), 0), this.rows.length - 1), -1);
    const values = this.points ? this.rows[row][5] : [];
    let next = block + right;
    while (values[next] === null) next += right;
    if (next >= -1 && next < values.length) this.show(row, next);
  }

  show(row, block) {
    this.svg?.querySelector(".cursor")?.remove();
    this.readout.textContent = "";
    this.at = row === undefined ? null : [row, block];
    if (!this.at) return;
    const [environment, title, median, low, high, values] = this.rows[row];
    const number = block < 0 ? median : values[block];
    const [x, y] = [this.x(number).toFixed(1), block < 0 ? this.middle(row) : this.y(row, block)];
    this.add("path", { class: "cursor", d: `M${x} ${(y - 11).toFixed(1)}v22` });
    const who = title === environment ? environment : `${environment} (${title})`;
    const what = block < 0 ? `median ${this.words(median)}, quartiles ${this.words(low)} and ${this.words(high)}` : this.words(number);
    this.readout.textContent = `${who}${block < 0 ? "" : `, block ${this.blocks[block]}`}: ${what}${this.times(environment, number, block)}`;
  }

  /* A block's value against the baseline's in that block. */
  times(environment, number, block) {
    const usual = this.all.find(([name]) => name === this.baseline)?.[5][block];
    return block >= 0 && environment !== this.baseline && usual > 0 && number > 0
      ? `, ${digits(number / usual)}× ${this.baseline} in that block` : "";
  }
}

function counted(number, one) {
  return `${number} ${one}${number === 1 ? "" : "s"}`;
}

/* Without zeros at the end. */
function trimmed(words) {
  return words.replace(/\.0+(?= )|(\.\d*?[1-9])0+(?= )/, "$1");
}

/* Round numbers between two others, few enough to be read. */
function ticks(low, high, log, unit) {
  const powers = (base, factors) => {
    const found = [];
    for (let power = Math.floor(Math.log(low) / Math.log(base)); base ** power <= high; power += 1) {
      found.push(...factors.map((factor) => factor * base ** power).filter((one) => one >= low && one <= high));
    }
    return found;
  };
  const choices = unit === "byte" ? [[2, [1]], [4, [1]], [32, [1]], [1024, [1]]] : [[10, [1, 2, 5]], [10, [1, 3]], [10, [1]], [1000, [1]]];
  for (const [base, factors] of log ? choices : []) {
    const found = powers(base, factors);
    if (found.length >= 3 && found.length <= 7) return found;
  }
  const size = unit === "byte" ? scaleOf(high, unit)[0] : 1;
  const decade = 10 ** Math.floor(Math.log10((high - low) / size / 10));
  const step = size * [1, 2, 5, 10, 20].map((one) => one * decade).find((one) => (high - low) / size / one <= 5.5);
  const first = Math.ceil(low / step);
  return [...Array(Math.max(Math.floor(high / step) - first + 1, 0)).keys()].map((n) => (first + n) * step);
}

const explored = document.getElementById("explore");
const explorer = new Explorer(explored);
for (const part of document.querySelectorAll("[data-explore]")) part.hidden = false;
explorer.restore(state());
if ([...state().keys()].some((key) => key.startsWith("explore."))) explored.scrollIntoView();
window.addEventListener("hashchange", () => {
  if (location.hash.includes("=")) explorer.restore(state()); // a link to another place of the page changes nothing here
});
