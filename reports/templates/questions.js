// The figures that a question has, by what the steps of its scenario differ in.

/** What every point of a curve has of its cell. */
const noted = (cell, isSound) => ({
  stack: cell.stack,
  verdict: cell.verdict,
  href: link(cell),
  isSound,
  note: isSound ? "" : cell.verdict,
});

/** Throughput and cost of one point, as bars and against each other. */
function atOnePoint(cells, section) {
  const shades =
    "A place (#) is one more than the stacks that are better by more than chance and noise; bars of one shade share one. The line is the spread over trials.";
  const spread = "The line is the spread over trials.";
  const both = cells.filter((cell) => cell.rate && cell.cost_us);
  return [
    bars({
      kind: "rate",
      title: "Throughput",
      unit: "requests/s",
      cells,
      of: ({ rate }) => rate,
      sound: ({ sound }) => sound.rate,
      caption: section.by_cost ? spread : shades,
      hasPlaces: !section.by_cost,
    }),
    bars({
      kind: "cost",
      title: "Server CPU per request",
      unit: "µs",
      cells,
      of: ({ cost_us }) => cost_us,
      sound: ({ sound }) => sound.cost,
      caption: section.by_cost ? shades : spread,
      hasPlaces: section.by_cost,
    }),
    both.length > 0 &&
      figure({
        kind: "cost-throughput",
        title: "Cost against throughput",
        stacks: both.map(({ stack }) => stack),
        caption: "Down and to the right is better. Hollow: one of the two must not be trusted as the stack's own.",
        rows: both.map((cell) => ({
          stack: cell.stack,
          "requests/s": rounded(cell.rate[0]),
          µs: rounded(cell.cost_us[0]),
          verdict: cell.verdict,
        })),
        plot: () => ({
          marginLeft: 50,
          marginRight: 30,
          marginBottom: 40,
          height: 320,
          x: { label: "requests/s", grid: true, zero: true, nice: true, ticks: 5 },
          y: { label: "server CPU, µs/request", grid: true, zero: true, nice: true },
          marks: [
            Plot.dot(both, {
              x: ({ rate }) => rate[0],
              y: ({ cost_us }) => cost_us[0],
              r: 5,
              symbol: ({ stack }) => styles.get(stack).symbol,
              fill: colourOf,
              stroke: colourOf,
              fillOpacity: ({ sound }) => (sound.rate && sound.cost ? 1 : 0),
              href: link,
              title: (cell) =>
                `${cell.stack}: ${rounded(cell.rate[0])} requests/s, ${rounded(cell.cost_us[0])} µs; ${cell.verdict}`,
            }),
          ],
        }),
      }),
  ];
}

/** A figure of each cell over what the steps differ in. */
function overSteps(cells, { kind, title, caption, x, xOf, y, yOf, isBound = () => false, sound }) {
  const points = cells.map((cell) => ({
    ...noted(cell, sound(cell)),
    x: xOf(cell),
    y: yOf(cell),
    isBound: isBound(cell),
  }));
  return curves({ kind, title, caption, points, x, y });
}

const trusted = "Hollow points must not be trusted as the stack's own.";

function offeredCurves(cells) {
  const open = cells.filter(({ offered }) => offered != null);
  const x = logarithmic("offered, requests/s");
  const xOf = ({ offered }) => offered;
  const latency = (which, label) =>
    overSteps(open, {
      kind: `load-${which}`,
      title: `${label} against load`,
      x,
      xOf,
      y: logarithmic("ms from due"),
      yOf: (cell) => inMs(cell[which]?.[0]),
      isBound: (cell) => cell[which]?.[1],
      sound: ({ sound }) => sound.latency,
      caption: `Latency from the instants at which requests were due. ${trusted} Where the rate was not carried it is a lower bound, and hollow.`,
    });
  return [
    latency("p99", "p99"),
    latency("p50", "Median latency"),
    overSteps(open, {
      kind: "load-cost",
      title: "Server CPU per request against load",
      x,
      xOf,
      y: { label: "µs/request", grid: true, zero: true, nice: true },
      yOf: ({ cost_us }) => cost_us?.[0],
      sound: ({ sound }) => sound.cost,
      caption: `The same work offered to all: at an equal rate, costs can be compared. ${trusted}`,
    }),
    overSteps(open, {
      kind: "load-carried",
      title: "Carried against offered",
      x,
      xOf,
      y: { label: "% carried", grid: true, zero: true },
      yOf: ({ rate, offered }) => rate && (100 * rate[0]) / offered,
      sound: ({ sound }) => sound.rate,
      caption: `Answers over requests offered. ${trusted}`,
    }),
  ];
}

function countCurves(cells, section) {
  const count = section.kind === "workers" ? "workers" : "connections";
  const xOf = (cell) => (section.kind === "workers" ? section.steps[cell.step]?.workers : cell.connections);
  const x = logarithmic(count);
  const linear = (label) => ({ label, grid: true, zero: true, nice: true });
  return [
    overSteps(cells, {
      kind: "count-rate",
      title: `Throughput over ${count}`,
      x,
      xOf,
      y: linear("requests/s"),
      yOf: ({ rate }) => rate?.[0],
      sound: ({ sound }) => sound.rate,
      caption: trusted,
    }),
    overSteps(cells, {
      kind: "count-cost",
      title: `Server CPU per request over ${count}`,
      x,
      xOf,
      y: linear("µs/request"),
      yOf: ({ cost_us }) => cost_us?.[0],
      sound: ({ sound }) => sound.cost,
      caption: trusted,
    }),
    overSteps(cells, {
      kind: "count-memory",
      title: `Peak memory over ${count}`,
      x,
      xOf,
      y: logarithmic("MiB"),
      yOf: ({ rss_bytes }) => rss_bytes && rss_bytes[0] / 2 ** 20,
      sound: () => true,
      caption: "Peak resident set of all the server's processes.",
    }),
  ];
}

function orderedSteps(cells, section) {
  const x = {
    label: "step",
    ticks: section.steps.map((_, step) => step + 1),
    tickFormat: (value) => String(value),
    grid: true,
  };
  const xOf = ({ step }) => step + 1;
  const names = section.steps.map(({ title }, step) => `${step + 1}: ${title}`).join("; ");
  const linear = (label) => ({ label, grid: true, zero: true, nice: true });
  return [
    overSteps(cells, {
      kind: "step-rate",
      title: "Throughput over steps",
      x,
      xOf,
      y: linear("requests/s"),
      yOf: ({ rate }) => rate?.[0],
      sound: ({ sound }) => sound.rate,
      caption: `${names}. ${trusted}`,
    }),
    overSteps(cells, {
      kind: "step-cost",
      title: "Server CPU per request over steps",
      x,
      xOf,
      y: linear("µs/request"),
      yOf: ({ cost_us }) => cost_us?.[0],
      sound: ({ sound }) => sound.cost,
      caption: `${names}. ${trusted}`,
    }),
  ];
}

/** How long each stack took to be itself again, at one step. */
function recoveries(cells) {
  const there = cells.filter(({ fault }) => fault);
  if (there.length === 0) return null;
  const points = there.map((cell) => ({
    cell,
    stack: cell.stack,
    seconds: cell.fault.recovered_s ?? cell.fault.watched_s,
    isBack: cell.fault.recovered_s != null,
  }));
  points.sort((a, b) => b.isBack - a.isBack || a.seconds - b.seconds);
  const words = ({ cell, seconds, isBack }) =>
    `${isBack ? "" : "> "}${rounded(seconds)} s${cell.sound.latency ? "" : `  (${cell.verdict})`}`;
  return figure({
    kind: "recovery",
    title: "Time until it was itself again",
    caption:
      "From the end of the fault until the p99 of a second was within a tenth of what it was before, or within what seconds before it differed by. > marks one that was not seen to recover.",
    rows: points.map((p) => ({
      stack: p.stack,
      "back after, s": (p.isBack ? "" : "> ") + rounded(p.seconds),
      lost: p.cell.fault.lost,
      503: rounded(p.cell.fault.unavailable),
      "p99 before, ms": rounded(inMs(p.cell.fault.p99_before_us)),
      "p99 meanwhile, ms": rounded(inMs(p.cell.fault.p99_during_us)),
      verdict: p.cell.verdict,
    })),
    plot: (width) => ({
      marginLeft: Math.min(160, 12 + 7 * Math.max(...points.map(({ stack }) => stack.length))),
      marginRight: Math.min(150, width / 3),
      height: 40 + 24 * points.length,
      x: {
        label: "seconds",
        grid: true,
        domain: [0, Math.max(0.1, ...points.map(({ seconds }) => seconds))],
        nice: true,
        ticks: 4,
      },
      y: { label: null, domain: points.map(({ stack }) => stack) },
      marks: [
        Plot.barX(points, {
          x: "seconds",
          y: "stack",
          fill: ({ cell }) => colourOf(cell),
          fillOpacity: ({ isBack }) => (isBack ? 1 : 0.4),
          insetTop: 3,
          insetBottom: 3,
          href: ({ cell }) => link(cell),
          title: (p) => `${p.stack}: ${words(p)}`,
        }),
        Plot.text(points, { x: "seconds", y: "stack", text: words, textAnchor: "start", dx: 6 }),
      ],
    }),
  });
}

/** What cells look like from inside: the distribution, and second by second. */
function inside(cells) {
  const isOpen = cells.some(({ offered }) => offered != null);
  const of = (cell) => run.series[cell.series];
  const latency = isOpen ? "ms from due" : "ms in the queue";
  const percentiles = cells.flatMap((cell) =>
    of(cell).percentiles.map(([distance, us, isBound]) => ({
      ...noted(cell, cell.sound.latency),
      x: distance,
      y: inMs(us),
      isBound,
      dots: false,
      note: `${(100 * (1 - 1 / distance)).toPrecision(5)} %${isBound ? ", at least" : ""}`,
    })),
  );
  const seconds = (value) =>
    cells.flatMap((cell) =>
      of(cell).seconds.map((second, index) => ({
        ...noted(cell, cell.sound.latency),
        x: index + 1,
        y: value(second),
      })),
    );
  const faults = cells
    .filter(({ fault }) => fault)
    .slice(0, 1)
    .map(({ fault }) => fault);
  const band =
    faults.length === 0
      ? []
      : [
          Plot.rect(faults, {
            // The first second is from 0 to 1, and its point stands at 1.
            x1: ({ from_s }) => 0.5 + from_s,
            x2: ({ from_s, to_s }) => 0.5 + Math.max(to_s, from_s + 0.05),
            fill: "var(--bad)",
            fillOpacity: 0.15,
          }),
        ];
  const last = Math.max(1, ...cells.map((cell) => of(cell).seconds.length));
  const every = Math.ceil(last / 10);
  const ticks = Array.from({ length: Math.ceil(last / every) }, (_, index) => 1 + index * every);
  const x = { label: "second of the window", tickFormat: (value) => String(value), ticks };
  const blocks = [...new Set(cells.map((cell) => of(cell).block).filter((block) => block != null))];
  const which = `One trial of each stack, the one of the median rate (block ${blocks.join(", ")}). ${faults.length > 0 ? "Shaded: the fault. " : ""}Neighbouring seconds depend on each other.`;
  return [
    curves({
      kind: "percentiles",
      title: "Latency by percentile",
      points: percentiles,
      y: logarithmic(latency),
      x: {
        type: "log",
        label: "percentile",
        grid: true,
        domain: [1, Math.max(10, ...percentiles.map((p) => p.x))],
        ticks: 5,
        tickFormat: (distance) => `${Number((100 * (1 - 1 / distance)).toPrecision(6))} %`,
      },
      caption: `All trials together. ${isOpen ? "From the instants at which requests were due." : "A closed loop keeps up a queue: this is the wait in it, not the latency of the stack."}`,
    }),
    curves({
      kind: "seconds-rate",
      title: "Answers per second",
      points: seconds(([answers]) => answers),
      x,
      y: { label: "answers/s", grid: true, zero: true, nice: true },
      caption: which,
      extra: band,
    }),
    curves({
      kind: "seconds-p99",
      title: "p99 of each second",
      points: seconds(([, p99]) => inMs(p99)),
      x,
      y: logarithmic(latency),
      caption: which,
      extra: band,
    }),
  ];
}

function memory(cells) {
  return [
    bars({
      kind: "memory",
      title: "Peak memory",
      unit: "MiB",
      cells,
      of: ({ rss_bytes }) => rss_bytes,
      scale: 2 ** 20,
      sound: () => true,
      caption: "Peak resident set of all the server's processes.",
    }),
    bars({
      kind: "idle-memory",
      title: "Memory of an idle connection",
      unit: "KiB",
      cells,
      of: ({ idle_bytes }) => idle_bytes,
      scale: 2 ** 10,
      sound: () => true,
      caption: "Resident memory; what the kernel holds for the socket is not in it.",
    }),
  ];
}
