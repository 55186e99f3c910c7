"use strict";
// Tables that can be sorted and filtered. Without this script they are tables all the same.

/** The value a cell is sorted by: its number where it has one, else its text; null where there is nothing. */
function sortValue(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.v ?? cell.textContent.trim();
  if (text === "" || text === "–") return null;
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

/** Orders two values; words come after numbers. */
function compareValues(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b);
}

/** Lets each heading with a button sort the table, up and then down; what has no value stays last. */
function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
      const body = table.tBodies[0];
      const keyed = [...body.rows].map((row) => ({ row, value: sortValue(row, column) }));
      keyed.sort((a, b) => {
        if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
        return direction * compareValues(a.value, b.value);
      });
      body.append(...keyed.map(({ row }) => row));
    });
  });
}

/** Opens what a link within the page leads to. */
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  target?.querySelectorAll("details").forEach((details) => {
    details.open = true;
  });
  target?.scrollIntoView({ block: "center" });
}
