"use strict";
// Sorting and filtering tables, opening cards, filtering pictures. The page is readable without scripts.
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
    document.querySelector(input.dataset.count).textContent = wanted ? `${shown} of ${rows.length} ${rows.length === 1 ? "label" : "labels"}` : "";
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

// A click on an element with data-missed and data-instead shows the pictures of fields in which the first label is
// annotated but not predicted and the second predicted, on the card of the missed label.
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

// Cells of tables that list their fields. The tab key reaches one cell of each table; arrow keys reach the others.
for (const item of all(".keys[hidden], .map fieldset[hidden]")) item.hidden = false;
const listed = all("#listed-fields li"), labelNames = all("#label-names li").map((item) => item.textContent);
const namesOf = (numbers) => numbers.split(" ").filter(Boolean).map((k) => labelNames[k]).join(", ") || "nothing";
const element = (tag, text, kind = "") => Object.assign(document.createElement(tag), { textContent: text, className: kind });
const pictureOf = (id) => all("img[data-field]").find((image) => image.dataset.field === id && !image.closest(".listed, .map-shown"));
const copyOf = (id) => {
  const image = pictureOf(id)?.cloneNode();
  if (image) delete image.dataset.field;
  return image;
};
const listFields = (button, box) => {
  const table = button.closest("table");
  for (const other of all("button[aria-pressed]", table)) other.removeAttribute("aria-pressed");
  button.setAttribute("aria-pressed", "true");
  const tiles = element("div", "", "tiles");
  for (const place of button.dataset.listed.split(" ")) {
    const field = listed[place], id = field.textContent, tile = element("figure", "", "tile"), text = document.createElement("figcaption");
    const image = copyOf(id);
    for (const [word, numbers] of [["annotated", field.dataset.a], ["predicted", field.dataset.p]]) {
      const line = document.createElement("span");
      line.append(element("i", word), ` ${namesOf(numbers)}`);
      text.append(line);
    }
    text.append(element("code", id));
    tile.append(...(image ? [image] : []), text);
    tiles.append(tile);
  }
  const [missed, instead] = (button.dataset.pair ?? "").split(" ");
  const link = Object.assign(element("button", "Show only fields with this confusion on the card of the missed label"), { type: "button" });
  Object.assign(link.dataset, { missed, instead });
  box.replaceChildren(element("p", `${button.title}. First fields:`), tiles, ...(instead ? [link] : []));
};
for (const table of all("table.heat")) {
  const buttons = all("button[data-listed]", table), box = document.getElementById(table.dataset.box);
  for (const button of buttons) button.tabIndex = button === buttons[0] ? 0 : -1;
  const near = (cell, down, right) => {
    let row = cell.parentElement, column = cell.cellIndex;
    for (;;) {
      column += right;
      if (down) row = down > 0 ? row.nextElementSibling : row.previousElementSibling;
      const button = row?.cells[column]?.querySelector("button");
      if (button || !row?.cells[column]) return button;
    }
  };
  table.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const cell = event.target.closest("td"), next = step && cell && near(cell, ...step);
    if (!step || !cell) return;
    event.preventDefault();
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-listed]");
    if (button) listFields(button, box);
  });
}

// The map of domains: one colouring at a time, and the details of the field under the pointer.
for (const map of all(".map")) {
  const figures = all("figure", map), fields = all(".map-fields li", map), box = map.querySelector(".map-shown");
  const shown = () => figures.find((figure) => !figure.hidden);
  const choose = () => {
    const chosen = map.querySelector("input:checked").value;
    figures.forEach((figure, place) => { figure.hidden = String(place) !== chosen; });
  };
  map.addEventListener("change", choose);
  choose();
  let current = -1;
  const pick = (number) => {
    current = number;
    for (const point of all(".picked", map)) point.classList.remove("picked");
    for (const point of all(`[data-i="${number}"]`, map)) {
      point.classList.add("picked");
      if (!point.matches(":hover")) point.parentElement.append(point);  // above the others
    }
    const field = fields[number], image = copyOf(field.textContent);
    box.replaceChildren(...(image ? [image] : []), element("p", field.dataset.words), element("code", field.textContent));
  };
  const pictured = fields.map((field, number) => number).filter((number) => pictureOf(fields[number].textContent));
  const steps = pictured.length ? pictured : fields.map((field, number) => number);
  map.addEventListener("pointerover", (event) => {
    const point = event.target.closest("[data-i]");
    if (point) pick(Number(point.dataset.i));
  });
  map.querySelector(".map-charts").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || !shown()) return;
    event.preventDefault();
    const place = steps.indexOf(current);
    pick(steps[place < 0 ? 0 : (place + step + steps.length) % steps.length]);
  });
}

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
