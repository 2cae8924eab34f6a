"use strict";
// Tables that can be sorted by a click on a heading and searched, and images that enlarge. Without
// it the tables are complete.
const value = (row, column) => {
  const cell = row.cells[column];
  const text = (cell.dataset.value ?? cell.textContent).trim();
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

// A link to images that are folded opens them; browsers that do so themselves have done it.
const reveal = () => {
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  const folded = wanted && wanted.closest("details");
  if (!folded) return;
  folded.open = true;
  wanted.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();
const large = document.getElementById("large");
let shown;
const enlarge = (picture) => {
  shown = picture;
  const number = [...picture.classList].find((name) => /^p\d+$/.test(name));
  const view = large.querySelector(".pic");
  view.className = `pic ${number}`;
  view.ariaLabel = picture.ariaLabel.replace(/^Enlarge /, "");
  const text = [...picture.parentElement.children].filter((part) => part !== picture);
  const caption = large.querySelector(".caption");
  caption.replaceChildren(...text.map((part) => part.cloneNode(true)));
  for (const name of caption.querySelectorAll("[title]")) name.textContent = name.title;
  for (const fold of caption.querySelectorAll("details")) fold.open = true;
  if (!large.open) large.showModal();
};
const step = (by) => {
  const beside = [...shown.closest("ul").querySelectorAll(".pic")];
  enlarge(beside[(beside.indexOf(shown) + by + beside.length) % beside.length]);
};
document.addEventListener("click", (event) => {
  const picture = event.target.closest("button.pic");
  if (picture) enlarge(picture);
  else if (event.target === large) large.close();
});
for (const button of large.querySelectorAll("button[value]")) {
  button.addEventListener("click", () => step(Number(button.value)));
}
large.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
large.addEventListener("close", () => shown.focus());
