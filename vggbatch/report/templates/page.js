"use strict";
// Tables that can be sorted by a click on a heading and searched. Without it they are complete.
const value = (row, column) => {
  const text = row.cells[column].textContent.trim();
  const number = Number(text.replace(/[,%\s]/g, "").replace("−", "-"));
  return text && !Number.isNaN(number) ? number : text;
};
const compare = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1;
  if (typeof b === "number") return 1;
  return a.localeCompare(b);
};
for (const table of document.querySelectorAll("table[data-limit]")) {
  const body = table.tBodies[0];
  const limit = Number(table.dataset.limit);
  const tools = table.parentElement.previousElementSibling;
  const search = tools.querySelector("input");
  const status = tools.querySelector("[role=status]");
  const more = document.createElement("button");
  more.className = "more";
  table.parentElement.after(more);
  let all = false;
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    const found = [];
    for (const row of body.rows) {
      const titles = [...row.querySelectorAll("[title]")].map((cell) => cell.title);
      const text = `${row.textContent} ${titles.join(" ")}`.toLowerCase();
      row.hidden = true;
      if (words.every((word) => text.includes(word))) found.push(row);
    }
    // a button for a handful of rows would take as much room as they do
    const long = found.length > limit + 5;
    const shown = long && !all ? found.slice(0, limit) : found;
    for (const row of shown) row.hidden = false;
    const count = found.length.toLocaleString("en");
    status.textContent = `${shown.length.toLocaleString("en")} of ${count} rows`;
    more.hidden = !long;
    more.textContent = all ? "Show fewer" : `Show all ${count}`;
  };
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const text = heading.classList.contains("text");
      const rising = heading.ariaSort ? heading.ariaSort === "descending" : text;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.ariaSort = rising ? "ascending" : "descending";
      const rows = [...body.rows].map((row) => [value(row, heading.cellIndex), row]);
      rows.sort(([a], [b]) => (rising ? compare(a, b) : compare(b, a)));
      body.append(...rows.map(([, row]) => row));
      show();
    });
  }
  search.addEventListener("input", show);
  more.addEventListener("click", () => { all = !all; show(); });
  tools.hidden = false;
  show();
}
