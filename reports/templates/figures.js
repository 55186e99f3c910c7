// Figures: each is drawn when it comes into view, at the width it has there, and has its numbers beside it as a table.

const US_PER_MS = 1000;
const SERIES_COLOURS = 7;
const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "wye", "cross"];
const DASHES = ["", "6 3", "2 3"];

/** Draws what comes near the window, once. */
const whenSeen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      whenSeen.unobserve(target);
      target.draw();
    }
  },
  { rootMargin: "400px" },
);

/** Draws again what is there when its width changes. */
const whenResized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.drawnWidth !== undefined && Math.abs(target.drawnWidth - target.clientWidth) > 8) target.draw();
  }
});

/** A marker of its own for each stack: colour, then symbol, then dash, so that no two share all three. */
function makeStyles(stacks) {
  const styles = new Map();
  stacks.forEach((stack, index) => {
    const round = Math.floor(index / SERIES_COLOURS);
    styles.set(stack, {
      colour: `var(--s${index % SERIES_COLOURS})`,
      symbol: SYMBOLS[(index + round) % SYMBOLS.length],
      dash: DASHES[round % DASHES.length],
    });
  });
  return styles;
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/**
 * A figure. `plot(width)` gives the marks and scales for a width in pixels, or null where there is nothing to draw; `rows` are
 * the numbers in it, one object a line.
 */
function figure({ kind, title, caption, stacks, plot, rows }) {
  const made = element("figure", undefined, { "data-kind": kind });
  const canvas = element("div");
  made.append(element("h4", title), canvas);
  if (stacks) made.append(swatches(stacks));
  made.append(element("figcaption", caption), numbers(rows));
  made.draw = () => {
    made.drawnWidth = made.clientWidth;
    const width = Math.max(260, made.clientWidth);
    canvas.replaceChildren(
      Plot.plot({
        width,
        style: { background: "none", fontSize: "12px", fontFamily: "inherit" },
        // Colours and symbols are said as such.
        color: { type: "identity" },
        symbol: { type: "identity" },
        ariaLabel: title,
        ariaDescription: caption,
        ...plot(width),
      }),
    );
    canvas.querySelector("svg")?.setAttribute("role", "img");
  };
  whenSeen.observe(made);
  whenResized.observe(made);
  return made;
}

/** Which colour and symbol is whose. */
function swatches(stacks) {
  const list = element("ul", undefined, { class: "swatches", "aria-label": "stacks" });
  for (const stack of stacks) {
    const item = element("li");
    const style = styles.get(stack);
    item.append(
      Plot.plot({
        width: 26,
        height: 12,
        margin: 0,
        axis: null,
        x: { domain: [0, 1] },
        y: { domain: [0, 1] },
        style: { background: "none" },
        marks: [
          Plot.line(
            [
              [0, 0.5],
              [1, 0.5],
            ],
            { stroke: style.colour, strokeDasharray: style.dash },
          ),
          Plot.dot([[0.5, 0.5]], { fill: style.colour, symbol: style.symbol, r: 4 }),
        ],
      }),
      stack,
    );
    item.querySelector("svg").setAttribute("aria-hidden", "true");
    list.append(item);
  }
  return list;
}

/** The numbers of a figure as a table, made when it is opened. */
function numbers(rows) {
  const details = element("details");
  details.append(element("summary", "its numbers"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("table")) return;
    const table = element("table");
    const columns = rows.length > 0 ? Object.keys(rows[0]) : [];
    const head = table.createTHead().insertRow();
    columns.forEach((column) => head.append(element("th", column, { scope: "col" })));
    const body = table.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      columns.forEach((column) => line.append(element("td", row[column] ?? "–")));
    }
    const scroll = element("div", undefined, { class: "scroll" });
    scroll.append(table);
    details.append(scroll);
  });
  return details;
}

const rounded = (value) => (value == null ? null : Number(value.toPrecision(3)).toLocaleString("en"));
const inMs = (us) => (us == null ? null : us / US_PER_MS);
const link = (cell) => `#row-${cell.row}`;
const colourOf = (cell) => styles.get(cell.stack).colour;

/** 1, 2 and 5 times each power of ten from the last not above the least value to the first not below the greatest. */
function roundSteps(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const steps = [];
  for (let power = Math.floor(Math.log10(least)); steps.length < 2 || steps.at(-1) < most; power += 1) {
    steps.push(...[1, 2, 5].map((digit) => digit * 10 ** power));
  }
  const first = steps.findLastIndex((step) => step <= least);
  const last = steps.findIndex((step) => step >= most);
  return steps.slice(Math.max(0, first), Math.max(first + 2, last + 1));
}

/** A logarithmic scale whose ends and marks are round numbers; with many of them, only powers of ten are named. */
function logarithmic(label) {
  return {
    type: "log",
    label,
    grid: true,
    over(values) {
      const steps = roundSteps(values);
      const isPower = (step) => Number.isInteger(Math.round(1e6 * Math.log10(step)) / 1e6);
      const { over, ...scale } = this;
      return {
        ...scale,
        domain: [steps[0], steps.at(-1)],
        ticks: steps,
        tickFormat: (step) => (steps.length <= 9 || isPower(step) ? rounded(step) : ""),
      };
    },
  };
}

/**
 * Bars with their spread: one for each cell that has the figure `[median, low, high]`, in the order of the table. With places
 * where it is the figure that they are of.
 */
function bars({ kind, title, caption, cells, of, unit, sound, scale = 1, hasPlaces = false }) {
  const there = cells.filter((cell) => of(cell));
  const points = there.map((cell) => {
    const [median, low, high] = of(cell).map((value) => value / scale);
    return { cell, stack: cell.stack, median, low, high, isSound: sound(cell) };
  });
  if (points.length === 0) return null;
  const places = [...new Set(points.map(({ cell }) => cell.place).filter((place) => place))].sort((a, b) => a - b);
  const shade = ({ cell, isSound }) => {
    if (!isSound || (hasPlaces && !cell.place)) return "var(--bar-none)";
    if (!hasPlaces) return "var(--bar-even)";
    const index = places.indexOf(cell.place);
    return index === 0 ? "var(--bar-1)" : index % 2 === 1 ? "var(--bar-even)" : "var(--bar-odd)";
  };
  const words = ({ cell, median, isSound }) =>
    `${rounded(median)}${hasPlaces && cell.place && isSound ? `  #${cell.place}` : ""}${isSound ? "" : `  (${cell.verdict})`}`;
  const most = Math.max(...points.map(({ high }) => high));
  return figure({
    kind,
    title,
    caption,
    rows: points.map((p) => ({
      stack: p.stack,
      [unit]: rounded(p.median),
      low: rounded(p.low),
      high: rounded(p.high),
      place: p.cell.place,
      verdict: p.cell.verdict,
    })),
    plot: (width) => ({
      marginLeft: Math.min(160, 12 + 7 * Math.max(...points.map(({ stack }) => stack.length))),
      marginRight: Math.min(150, width / 3),
      height: 40 + 24 * points.length,
      x: { label: unit, domain: [0, most || 1], nice: true, grid: true, ticks: 4 },
      y: { label: null, domain: points.map(({ stack }) => stack) },
      marks: [
        Plot.barX(points, {
          x: "median",
          y: "stack",
          fill: shade,
          fillOpacity: ({ isSound }) => (isSound ? 1 : 0.5),
          insetTop: 3,
          insetBottom: 3,
          href: ({ cell }) => link(cell),
          title: (p) => `${p.stack}: ${words(p)} [${rounded(p.low)}–${rounded(p.high)}]`,
        }),
        Plot.ruleY(
          points.filter(({ cell }) => cell.trials > 1),
          {
            x1: "low",
            x2: "high",
            y: "stack",
            strokeWidth: 2,
          },
        ),
        Plot.text(points, { x: "high", y: "stack", text: words, textAnchor: "start", dx: 6 }),
      ],
    }),
  });
}

/**
 * Curves: a line for each stack over `x`, a point for each cell that has both, hollow where it is a lower bound or must not
 * be trusted. Where there is no value the line is broken.
 */
function curves({ kind, title, caption, points, x, y, extra = [] }) {
  const placed = points.filter((point) => point.x != null && (!x.over || point.x > 0));
  const hasValue = (point) => point.y != null && (!y.over || point.y > 0);
  const there = placed.filter(hasValue);
  if (there.length === 0) return null;
  const stacks = [...new Set(there.map(({ stack }) => stack))];
  const series = stacks.map((stack) => placed.filter((point) => point.stack === stack).sort((a, b) => a.x - b.x));
  const words = (p) => `${p.stack}: ${rounded(p.y)} at ${rounded(p.x)}${p.note ? `; ${p.note}` : ""}`;
  return figure({
    kind,
    title,
    caption,
    stacks,
    rows: there.map((p) => ({
      stack: p.stack,
      [x.label]: rounded(p.x),
      [y.label]: (p.isBound ? "≥ " : "") + rounded(p.y),
      verdict: p.verdict,
    })),
    plot: () => ({
      marginLeft: 56,
      marginBottom: 40,
      height: 320,
      x: x.over ? x.over(there.map((point) => point.x)) : x,
      y: y.over ? y.over(there.map((point) => point.y)) : y,
      marks: [
        ...extra,
        ...series.map((line) =>
          Plot.lineY(line, {
            x: "x",
            y: (point) => (hasValue(point) ? point.y : NaN),
            stroke: styles.get(line[0].stack).colour,
            strokeDasharray: styles.get(line[0].stack).dash,
          }),
        ),
        ...series
          .filter(([{ dots }]) => dots !== false)
          .map((line) =>
            Plot.dot(line.filter(hasValue), {
              x: "x",
              y: "y",
              r: 4,
              symbol: styles.get(line[0].stack).symbol,
              fill: styles.get(line[0].stack).colour,
              fillOpacity: (p) => (p.isSound === false || p.isBound ? 0 : 1),
              stroke: styles.get(line[0].stack).colour,
              href: (p) => p.href,
              title: words,
            }),
          ),
        Plot.tip(there, Plot.pointer({ x: "x", y: "y", title: words })),
      ],
    }),
  });
}
