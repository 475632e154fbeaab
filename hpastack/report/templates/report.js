"use strict";
// Sorting and filtering of tables, opening of cards, and the filter of pictures. The page can be read without.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

const valueOf = (row, column) => {
  const cell = row.cells[column];
  const text = cell.dataset.v ?? cell.textContent.trim().replace(/,/g, "").replace("−", "-");
  const value = parseFloat(text);
  return /^[-+]?[\d.]/.test(text) && !Number.isNaN(value) ? value : text === "" || text === "–" ? NaN : text;
};

const compare = (a, b, sign) => {
  const missing = Number.isNaN(a) - Number.isNaN(b);
  if (missing) return missing;
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), "en");
};

const sortBy = (table, head) => {
  const ascending = head.getAttribute("aria-sort") === "descending" ||
    (!head.hasAttribute("aria-sort") && head.classList.contains("text"));
  for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = table.tBodies[0], column = head.cellIndex;
  const rows = [...body.rows].map((row, place) => ({ row, place, value: valueOf(row, column) }));
  rows.sort((a, b) => compare(a.value, b.value, ascending ? 1 : -1) || a.place - b.place);
  body.append(...rows.map(({ row }) => row));
};

for (const table of all("table.sortable")) {
  for (const head of all("thead th:not([data-plain])", table)) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, head));
  }
}

for (const input of all("input.filter")) {
  const apply = () => {
    const wanted = input.value.trim().toLowerCase();
    for (const selector of input.dataset.rows.split(",")) {
      for (const item of all(selector)) item.hidden = !item.dataset.name.toLowerCase().includes(wanted);
    }
    const rows = all(input.dataset.rows.split(",")[0]);
    const shown = rows.filter((row) => !row.hidden).length;
    document.querySelector(input.dataset.count).textContent = wanted ? `${shown} of ${rows.length} labels` : "";
  };
  input.addEventListener("input", apply);
}

for (const [name, open] of [["open", true], ["close", false]]) {
  for (const button of all(`button[data-${name}]`)) {
    button.addEventListener("click", () => {
      for (const card of all(button.dataset[name])) card.open = open;
    });
  }
}

const openTarget = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") { target.hidden = false; target.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", openTarget);
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link && link.hash === location.hash) openTarget();
});
openTarget();

let opened = [];
addEventListener("beforeprint", () => {
  opened = all("details:not([open])");
  for (const item of opened) item.open = true;
});
addEventListener("afterprint", () => { for (const item of opened) item.open = false; });

// Pictures of fields where label `missed` is annotated and `instead` predicted: anything with these attributes
// shows them on a click, in the card of the label that was missed.
const has = (item, name, number) => item.dataset[name].split(" ").includes(number);
const chip = document.getElementById("picture-filter");
const clearPictures = () => {
  for (const item of all("#cards [data-annotated]")) item.hidden = false;
  for (const item of all("#cards .no-match")) item.hidden = true;
  if (chip) chip.hidden = true;
};
const showPictures = (missed, instead) => {
  clearPictures();
  const card = document.getElementById(`card-${missed}`);
  const names = [missed, instead].map((k) => document.getElementById(`card-${k}`).dataset.name);
  const items = all("[data-annotated]", card);
  for (const item of items) {
    item.hidden = !(has(item, "annotated", missed) && !has(item, "predicted", missed) && has(item, "predicted", instead));
  }
  card.querySelector(".no-match").hidden = items.some((item) => !item.hidden);
  card.hidden = false;
  card.open = true;
  chip.replaceChildren(`Fields where ${names[0]} is missed and ${names[1]} predicted `);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Show all";
  button.addEventListener("click", clearPictures);
  chip.append(button);
  chip.hidden = false;
  chip.closest(".tools").scrollIntoView();
};
document.addEventListener("click", (event) => {
  const cell = event.target.closest("[data-missed][data-instead]");
  if (cell) showPictures(cell.dataset.missed, cell.dataset.instead);
});

const here = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
if ("IntersectionObserver" in window) {
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of here.values()) { link.classList.remove("here"); link.removeAttribute("aria-current"); }
      const link = here.get(entry.target.id);
      if (link) { link.classList.add("here"); link.setAttribute("aria-current", "true"); }
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of all("main > section")) watch.observe(section);
}
