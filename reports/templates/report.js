// The figures of a run, and the filter over figures and table.

const run = JSON.parse(document.getElementById("data").textContent);
run.cells.forEach((cell, row) => {
  cell.row = row;
});
const styles = makeStyles([...new Set(run.cells.map(({ stack }) => stack))]);
const table = document.getElementById("summary");
const filters = document.getElementById("filters");

/** Cells of one question: the same scenario, panel, request and mode, at all its steps. */
function groupsOf(cells) {
  const groups = new Map();
  for (const cell of cells) {
    const key = JSON.stringify([cell.section, cell.panel, cell.request, cell.mode]);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(cell);
  }
  return [...groups.values()];
}

const isStack = ({ role }) => role === "stack" || role === "trap";
/** All figures of one question. */
function group(cells) {
  const { section: number, panel, request, mode, placement } = cells[0];
  const section = run.sections[number];
  const made = element("section", undefined, {
    "data-group": `${section.scenario} ${panel} ${request} ${mode} ${placement}`,
  });
  made.append(element("h3", `${section.scenario}: ${request}, ${mode} (${panel}, ${placement})`));
  const add = (parent, figures) => parent.append(...figures.filter(Boolean));
  const whole = element("div", undefined, { class: "figures" });
  made.append(whole);
  if (section.kind === "plain") {
    add(whole, [...atOnePoint(cells, section), ...inside(cells), ...memory(cells.filter(isStack))]);
    return made;
  }
  if (section.kind === "rate") add(whole, offeredCurves(cells));
  if (section.kind === "connections" || section.kind === "workers") add(whole, countCurves(cells, section));
  if (section.kind === "other") add(whole, orderedSteps(cells, section));
  const steps = [...new Set(cells.map(({ step }) => step))];
  const label = element("label", "Step ", { class: "quiet" });
  const select = element("select");
  steps.forEach((step) =>
    select.append(element("option", section.steps[step]?.title ?? `step ${step}`, { value: step })),
  );
  label.append(select);
  const one = element("div", undefined, { class: "figures" });
  const show = () => {
    const chosen = cells.filter(({ step }) => String(step) === select.value);
    one.replaceChildren();
    add(one, [
      ...(section.kind === "fault" ? [recoveries(chosen)] : atOnePoint(chosen, section)),
      ...inside(chosen),
      ...memory(chosen.filter(isStack)),
    ]);
  };
  select.addEventListener("change", show);
  show();
  made.append(label, one);
  return made;
}

/** What the filter leaves. */
function passes({ section, panel, request, mode, placement, stack }) {
  const is = (name, value) => filters.elements[name].value === "" || filters.elements[name].value === String(value);
  return (
    is("section", section) &&
    is("panel", panel) &&
    is("request", request) &&
    is("mode", mode) &&
    is("placement", placement) &&
    stack.toLowerCase().includes(filters.elements.stack.value.trim().toLowerCase())
  );
}

function applyFilter() {
  const rows = [...table.tBodies[0].rows];
  rows.forEach((row) => {
    row.hidden = !passes(row.dataset);
  });
  const shown = rows.filter((row) => !row.hidden).length;
  filters.elements.shown.value = `${shown} of ${rows.length} lines`;
  const cells = run.cells.filter(passes);
  document.getElementById("groups").replaceChildren(...groupsOf(cells).map(group));
}

/** Shows the first scenario's first panel: all at once would be too much to look at. */
function chooseFirst() {
  const [first] = run.cells;
  filters.elements.section.value = String(first.section);
  filters.elements.panel.value = first.panel;
  applyFilter();
}

if (table) {
  filters.hidden = false;
  document.getElementById("figures").hidden = false;
  makeSortable(table);
  filters.addEventListener("input", applyFilter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", (event) => {
    event.preventDefault();
    filters.elements.stack.value = "";
    for (const name of ["request", "mode", "placement"]) filters.elements[name].value = "";
    chooseFirst();
  });
  addEventListener("hashchange", openTarget);
  chooseFirst();
  openTarget();
}
