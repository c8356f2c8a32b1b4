/* The figures of a cost's page, drawn by uPlot: numbers from the page's table; levels, changes and the interval of the
   newest report from the static drawing. State is `#history.last=30` or `#history.from=RUN&history.to=RUN`,
   `&history.axis=linear&FIGURE.at=RUN`. */

const TALL = 240, DATE = 84, DIGIT = 7; // pixels: a figure, the room of a date, a digit
const DATES = 6; // at most, the first and the last run's among them
const MANY = 250; // dots are smaller from so many on
const LEAST = 0.05; // an axis extends at least by this share from its middle, so that noise does not look large
const WIDE = 12; // from this quotient of its ends on, a log axis has powers of ten
const FAR = 1e20; // bounds of measured values; a damaged file may exceed them
const CELL = /^(\S+)(?: \[(\S+), (\S+)\])?$/; // "1.302 [1.250, 1.350]"

const clamped = (number, low, high) => Math.min(Math.max(number, low), high);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/* Value, low and high end of a cell; null where there is none. */
function numbersIn(text) {
  const parts = CELL.exec(text.replaceAll("−", "-")) ?? [];
  return [1, 2, 3].map((part) => clamped(Number(parts[part]), -FAR, FAR)).map((one) => (Number.isNaN(one) ? null : one));
}

/* So many whole numbers from one to another. */
function evenly(first, last, count) {
  return [...new Set(Array.from({ length: count }, (_, n) => Math.round(first + ((last - first) * n) / (count - 1))))];
}

/* Round numbers between two others; `step` is uPlot's. */
function roundNumbers(low, high, step, log) {
  const between = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
  if (!log || high / low < WIDE) return between(Math.ceil(low / step), Math.floor(high / step)).map((n) => n * step);
  const powers = between(Math.floor(Math.log10(low)), Math.floor(Math.log10(high)));
  const factors = powers.length < 3 ? [1, 2, 5] : powers.length < 5 ? [1, 3] : [1];
  const found = powers.flatMap((power) => factors.map((factor) => factor * 10 ** power)).filter((one) => one >= low && one <= high);
  return found.filter((_, n) => n % Math.ceil(found.length / 7) === 0);
}

class Chart {
  constructor(figure, rows, page) {
    this.name = figure.id;
    this.page = page;
    this.unit = figure.dataset.unit;
    this.texts = rows.map((row) => row.cells[figure.dataset.column]?.textContent.trim() ?? "");
    const numbers = this.texts.map(numbersIn);
    [this.values, this.lows, this.highs] = [0, 1, 2].map((part) => numbers.map((one) => one[part]));
    [this.levels, this.changes, this.software, this.report] = ["level", "change", "software", "interval"].map((name) =>
      [...figure.querySelectorAll(`svg .${name}`)].map(({ dataset, textContent }) => {
        const data = Object.entries(dataset).map(([key, value]) => [key, Number(value)]);
        return { ...Object.fromEntries(data), words: textContent };
      }));
    this.readout = figure.querySelector(".readout");
    this.readout.classList.add("live");
    this.at = -1; // the run that the readout tells
    this.drawing = figure.querySelector(".drawing");
    this.drawing.classList.add("drawn");
    this.drawing.addEventListener("keydown", (event) => this.key(event));
    this.drawing.addEventListener("pointerdown", () => (this.dragged = false));
    this.drawing.addEventListener("click", () => this.dragged || this.at < 0 || this.keep(this.at));
  }

  draw() {
    this.plot?.destroy();
    this.log = !this.page.linear && this.values.every((one) => one === null || one > 0);
    const [first, last] = this.page.view;
    const [ink, faint, line, bad, dots, link] = ["--ink", "--faint", "--line", "--bad", "--dots", "--link"].map(colour);
    const runs = this.values.map((_, run) => run);
    const report = (end) => runs.map((run) => this.report.find(({ night }) => night === run)?.[end] ?? null);
    const bars = (lows, highs, fill, alpha) => ({
      fill, alpha, width: 0, points: { show: false },
      paths: uPlot.paths.bars({ size: [0.6, 1.5], disp: { y0: { values: () => lows }, y1: { values: () => highs } } }),
    });
    const marks = (all, stroke, dash) => {
      const seen = all.filter(({ night }) => night >= first && night <= last);
      const [splits, values] = [seen.map(({ night }) => night - 0.5), seen.map(({ words }) => parseInt(words))];
      return { scale: "x", side: 0, size: 15, gap: 2, stroke: ink, splits, values, ticks: { show: false }, grid: { stroke, dash, width: 1.5 } };
    };
    this.plot = new uPlot({
      width: this.drawing.clientWidth,
      height: TALL,
      padding: [0, DATE / 2, 0, 0],
      legend: { show: false }, // the readout says more
      scales: { x: { time: false, min: first - 0.5, max: last + 0.5 }, y: { distr: this.log ? 3 : 1, range: () => this.range() } },
      series: [
        {},
        bars(this.lows, this.highs, dots, 0.4),
        bars(report("low"), report("high"), ink, 1),
        { stroke: line, points: { show: true, size: last - first < MANY ? 6 : 4, width: 0, fill: dots } },
        { stroke: ink, width: 2.5, points: { show: false }, paths: (plot) => this.levelPaths(plot) },
      ],
      axes: [
        {
          stroke: faint, size: 30, grid: { show: false }, ticks: { stroke: line, width: 1, size: 5 },
          splits: ({ width }) => evenly(first, last, clamped(Math.floor(width / DATE / 1.3), 2, DATES)),
          values: (_, nights) => nights.map((night) => this.page.labels[night]?.slice(0, 10) ?? ""),
        },
        {
          stroke: faint, space: 36, grid: { stroke: line, width: 1 }, ticks: { show: false }, filter: (_, numbers) => numbers,
          splits: (_, axis, low, high, step) => roundNumbers(low, high, step, this.log),
          values: (_, numbers) => numbers.map((one) => `${Number(one.toPrecision(6))}${this.unit}`.replace("-", "−")),
          size: (_, words) => 10 + DIGIT * Math.max(...(words ?? [""]).map((one) => one.length)),
        },
        marks(this.changes, bad, [6, 4]),
        marks(this.software, faint, [2, 4]),
      ],
      cursor: {
        y: false,
        points: { size: 9, width: 2, stroke: link, fill: dots },
        drag: { setScale: false, dist: 5, click: () => {} }, // uPlot would stop clicks, since `move` takes them for drags
        dataIdx: (_, series, run) => (series === 0 || series === 3 ? run : null),
        move: (plot, left, top) => [left < 0 ? left : plot.valToPos(plot.posToIdx(left), "x"), top], // onto a run
        bind: { dblclick: () => () => this.reset() },
      },
      hooks: {
        ready: [() => this.place()],
        setSize: [() => this.place()],
        setCursor: [({ cursor }) => (cursor.idx === null ? this.place() : cursor.idx !== this.at && this.show(cursor.idx))],
        setSelect: [(plot) => this.select(plot)],
      },
    }, [runs, this.highs, report("high"), this.values, this.values], this.drawing);
    const words = this.drawing.querySelector("svg").getAttribute("aria-label");
    Object.assign(this.plot.ctx.canvas, { role: "img", ariaLabel: words });
  }

  levelPaths({ valToPos }) {
    const stroke = new Path2D();
    for (const { first, last, number } of this.levels) {
      stroke.moveTo(valToPos(first - 0.5, "x", true), valToPos(number, "y", true));
      stroke.lineTo(valToPos(last + 0.5, "x", true), valToPos(number, "y", true));
    }
    return { stroke };
  }

  /* The vertical axis: the values and nine in ten of the intervals' ends that are in view, so that a very wide interval
     does not flatten all others; it is cut off. */
  range() {
    const [first, last] = this.page.view;
    const [values, lows, highs] = [this.values, this.lows, this.highs].map((all) =>
      all.slice(first, last + 1).filter((one) => one !== null && (one > 0 || !this.log)).sort((a, b) => a - b));
    const [into, back] = this.log ? [Math.log, Math.exp] : [Number, Number];
    const low = into(Math.min(values[0] ?? 1, lows[Math.ceil((lows.length - 1) * 0.1)] ?? FAR));
    const high = into(Math.max(values.at(-1) ?? 1, highs[Math.floor((highs.length - 1) * 0.9)] ?? -FAR));
    const middle = (low + high) / 2;
    const half = Math.max((high - low) / 2, this.log ? LEAST : LEAST * Math.abs(middle) || 1) * 1.1;
    return [back(middle - half), back(middle + half)];
  }

  select(plot) {
    const { left, width } = plot.select;
    const runs = [plot.posToIdx(left), plot.posToIdx(left + width)];
    this.dragged = true;
    queueMicrotask(() => this.page.show(runs)); // uPlot is not done with this plot
  }

  reset() {
    this.keep(-1); // the first of the two clicks has kept a run
    this.page.show(this.page.all);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [first, last] = this.page.view;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const factor = { "+": 0.5, "=": 0.5, "-": 2 }[event.key];
    const middle = this.at < 0 ? last : this.at;
    if (step) this.show(clamped(this.at < 0 ? last : this.at + step, first, last));
    else if (factor) this.page.show([first, last].map((end) => Math.round(middle + (end - middle) * factor)));
    else if (event.key === "Enter" && this.at >= 0) this.keep(this.at);
    else if (event.key === "Escape") this.keep(-1);
    else return;
    event.preventDefault();
  }

  keep(night) {
    save(`${this.name}.at`, this.page.labels[night] ?? "");
    this.show(night);
  }

  show(night) {
    this.at = night;
    const lines = night < 0 ? [] : this.wordsOf(night);
    this.readout.replaceChildren(...lines.map((words) => Object.assign(document.createElement("span"), { textContent: words })));
    this.place();
  }

  /* The run's value and interval, and what changed before it, or else since when the host's software is as it was. */
  wordsOf(night) {
    const value = this.texts[night].replace(/^\S+/, (number) => number + this.unit) || "no value";
    const here = [...this.changes, ...this.software].filter((one) => one.night === night);
    const software = here.length ? undefined : this.software.findLast((one) => one.night < night);
    const changes = here.map(({ words }) => `Change ${words}`);
    return [`${this.page.labels[night]}: ${value}`, ...changes, ...(software ? [`Software since change ${software.words}`] : [])];
  }

  /* The cursor is put on its run, if that is in view and uPlot has its scales. */
  place() {
    if (!this.plot.status) return;
    const [first, last] = this.page.view;
    const left = this.at >= first && this.at <= last ? this.plot.valToPos(this.at, "x") : -10;
    this.plot.setCursor({ left, top: left < 0 ? -10 : 1 }, false);
  }
}

/* All figures of the page: which runs they show, and on which axis. */
class Charts {
  constructor(figures, rows) {
    this.labels = rows.map((row) => row.cells[0].textContent.trim());
    this.all = [0, rows.length - 1];
    this.charts = figures.map((figure) => new Chart(figure, rows, this));
    const tools = document.getElementById("history-tools");
    tools.hidden = false;
    this.buttons = [...tools.querySelectorAll("button")].map((button) => [button, [...new URLSearchParams(button.dataset.choice)]]);
    for (const [button, choice] of this.buttons) button.addEventListener("click", () => this.choose(choice));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.restore(state()));
    window.addEventListener("resize", () => {
      for (const { plot, drawing } of this.charts) plot.setSize({ width: drawing.clientWidth, height: TALL });
    });
  }

  choose(choice) {
    for (const [key, value] of choice) save(`history.${key}`, value);
    this.restore(state());
  }

  /* Show the runs from one to another, at least two. */
  show(ends) {
    const [first, last] = ends.map((one) => clamped(one, ...this.all));
    const whole = first === 0 && last === this.all[1];
    if (last > first || whole) {
      this.choose([["last", ""], ["from", whole ? "" : this.labels[first]], ["to", whole ? "" : this.labels[last]]]);
    }
  }

  /* A run of the address that is gone by now is replaced by the next one that is left. */
  restore(known) {
    const [last, from, to, axis] = ["last", "from", "to", "axis"].map((key) => known.get(`history.${key}`) ?? "");
    const count = Math.trunc(Number(last));
    const first = count > 0 ? Math.max(this.labels.length - count, 0) : this.labels.findIndex((one) => one >= from);
    const end = count > 0 || !to ? this.all[1] : this.labels.findLastIndex((one) => one <= to);
    this.view = first >= 0 && first <= end ? [first, end] : this.all;
    this.linear = axis === "linear";
    for (const [button, choice] of this.buttons) {
      button.setAttribute("aria-pressed", String(choice.every(([key, value]) => value === { last, from, to, axis }[key])));
    }
    for (const chart of this.charts) {
      const kept = known.get(`${chart.name}.at`);
      chart.draw();
      chart.show(kept ? this.labels.indexOf(kept) : chart.at);
    }
  }
}
