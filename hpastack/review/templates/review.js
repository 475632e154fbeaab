"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const names = (numbers) =>
    numbers === null || numbers === undefined ? "not annotated"
      : numbers.map((k) => data.labels[k]).join(", ") || "no label";
  const same = (a, b) => a.length === b.length && a.every((value) => b.includes(value));
  const byId = new Map(data.fields.map((field) => [field.id, field]));
  const annotated = new Map();
  for (const field of data.fields) {
    for (const [id, labels] of field.near_duplicates) annotated.set(id, labels);
  }
  for (const field of data.fields) annotated.set(field.id, field.annotated);

  // Saved in the browser; a page with other fields, labels or probabilities has another key.
  const KEY = `hpastack-review:${data.digest}`;
  let state = { decisions: {}, log: [], undo: [], view: {} };
  let kept = true;
  try {
    const before = JSON.parse(localStorage.getItem(KEY));
    if (before && before.decisions && before.log && before.undo) state = { ...state, ...before };
    at("who").value = localStorage.getItem("hpastack-review-who") || "";
  } catch { kept = false; }
  const keep = () => {
    try { localStorage.setItem(KEY, JSON.stringify(state)); kept = true; } catch { kept = false; }
  };
  // An id may be the name of a built-in property, such as __proto__.
  const decisionOf = (id) => Object.hasOwn(state.decisions, id) ? state.decisions[id] : null;
  const setDecision = (id, decision) => {
    if (decision === null) delete state.decisions[id];
    else Object.defineProperty(state.decisions, id,
      { value: decision, enumerable: true, configurable: true, writable: true });
  };

  const view = { order: data.order, label: "", show: "all", palette: data.palette,
    stains: [true, true, true, true], contrast: 1, ...state.view };
  let current = data.fields.length ? data.fields[0] : null;
  let shown = [];
  let allProbabilities = false;

  // The list -----------------------------------------------------------------------------------
  const scoreOf = (field) => {
    const place = data.orders.indexOf(view.order);
    if (view.label === "") return field.score[place];
    const doubt = field.doubts.find(([k]) => String(k) === view.label);
    return doubt ? doubt[2 + place] : 0;
  };
  const questionOf = (field) => {
    const doubt = view.label === "" ? field.doubts[0]
      : field.doubts.find(([k]) => String(k) === view.label);
    const [k, kind] = doubt;
    return kind === "add" ? `${data.labels[k]} missing?` : `${data.labels[k]}?`;
  };
  const MARKS = { accept: "\u2713 changed", edit: "\u2713 edited", keep: "\u2713 kept", unsure: "? unsure" };

  function list() {
    shown = data.fields.filter((field) => {
      const done = decisionOf(field.id) !== null;
      return (view.label === "" || field.doubts.some(([k]) => String(k) === view.label)) &&
        (view.show === "all" || (view.show === "done") === done || field === current);
    });
    const position = new Map(data.fields.map((field, number) => [field, number]));
    shown.sort((a, b) => scoreOf(b) - scoreOf(a) || position.get(a) - position.get(b));
    const items = shown.map((field) => {
      const item = make("li");
      const button = make("button");
      button.type = "button";
      button.dataset.id = field.id;
      const decision = decisionOf(field.id);
      button.append(make("span", questionOf(field)),
        make("span", decision ? MARKS[decision.decision] : scoreOf(field).toFixed(2), "score"));
      button.addEventListener("click", () => select(field));
      item.append(button);
      return item;
    });
    if (!items.length) items.push(make("li", "No matching fields.", "empty"));
    at("list").replaceChildren(...items);
    mark();
    const decisions = Object.entries(state.decisions);
    const own = decisions.filter(([id]) => byId.has(id)).length;
    const changed = corrections().length;
    at("progress").textContent = `${own} of ${data.fields.length} reviewed, ${changed} changed` +
      (decisions.length > own ? `, ${decisions.length - own} more through their cluster` : "") +
      (kept ? "" : ". This browser does not store decisions: save them before you close the page");
  }
  function mark() {
    const anywhere = shown.includes(current);
    for (const [number, button] of [...at("list").querySelectorAll("button")].entries()) {
      const is = current !== null && button.dataset.id === current.id;
      button.setAttribute("aria-current", is ? "true" : "false");
      button.tabIndex = is || (!anywhere && number === 0) ? 0 : -1;
      if (is) {
        const nav = at("list").parentElement;
        const top = button.offsetTop - nav.offsetTop, bottom = top + button.offsetHeight;
        if (top < nav.scrollTop) nav.scrollTop = top;
        if (bottom > nav.scrollTop + nav.clientHeight) nav.scrollTop = bottom - nav.clientHeight;
      }
    }
  }
  function select(field) {
    current = field;
    allProbabilities = false;
    at("editor").hidden = at("cluster").hidden = true;
    zoom = 1; centre = [0.5, 0.5];
    mark();
    details();
    load();
  }
  function step(by) {
    if (!shown.length) return;
    const place = shown.indexOf(current);
    const next = place < 0 ? 0 : Math.min(Math.max(place + by, 0), shown.length - 1);
    const focused = document.activeElement && document.activeElement.closest("nav");
    select(shown[next]);
    if (focused) at("list").querySelector("[aria-current=true]").focus();
  }

  // The picture --------------------------------------------------------------------------------
  const canvas = at("canvas"), context = canvas.getContext("2d");
  const mixed = document.createElement("canvas"), plane = document.createElement("canvas");
  let picture = null, zoom = 1, centre = [0.5, 0.5];
  const pictureOf = (id) => Object.hasOwn(data.pictures, id) ? data.pictures[id] : null;

  function load() {
    picture = null;
    const facts = current && pictureOf(current.id);
    at("stage").hidden = at("mixer").hidden = !facts;
    at("no-picture").hidden = Boolean(facts) || !current;
    if (!facts) return;
    canvas.width = facts.width * 2; canvas.height = facts.height * 2;
    canvas.dataset.ready = "";
    const image = new Image(), id = current.id;
    image.addEventListener("load", () => { if (current.id === id) { picture = image; mix(); } });
    image.addEventListener("error", () => {
      if (current.id === id) { at("stage").hidden = at("mixer").hidden = true; at("no-picture").hidden = false; }
    });
    image.src = facts.src;
  }
  // A page must not read the pixels of picture files, so colours are made by blending: grey times
  // colour, stains added, and contrast by adding the same stain several times.
  function mix() {
    if (!picture) return;
    const { width, height } = pictureOf(current.id);
    for (const each of [mixed, plane]) { each.width = width; each.height = height; }
    const onto = mixed.getContext("2d"), of = plane.getContext("2d");
    onto.globalCompositeOperation = "source-over";
    onto.globalAlpha = 1;
    onto.fillStyle = "#000";
    onto.fillRect(0, 0, width, height);
    onto.globalCompositeOperation = "lighter";
    data.palettes[view.palette].forEach(([red, green, blue], k) => {
      if (!view.stains[k]) return;
      of.globalCompositeOperation = "source-over";
      of.drawImage(picture, (k % 2) * width, Math.floor(k / 2) * height, width, height, 0, 0, width, height);
      of.globalCompositeOperation = "multiply";
      of.fillStyle = `rgb(${red}, ${green}, ${blue})`;
      of.fillRect(0, 0, width, height);
      for (let left = view.contrast; left > 0.01; left -= 1) {
        onto.globalAlpha = Math.min(1, left);
        onto.drawImage(plane, 0, 0);
      }
    });
    draw();
  }
  function draw() {
    if (!picture) return;
    const { width, height, pixel } = pictureOf(current.id);
    const w = width / zoom, h = height / zoom;
    centre = [centre[0], centre[1]].map((c) => Math.min(Math.max(c, 0.5 / zoom), 1 - 0.5 / zoom));
    context.imageSmoothingEnabled = zoom < 3;
    context.drawImage(mixed, centre[0] * width - w / 2, centre[1] * height - h / 2, w, h, 0, 0, canvas.width, canvas.height);
    canvas.classList.toggle("near", zoom > 1);
    canvas.tabIndex = zoom > 1 ? 0 : -1;
    canvas.dataset.ready = current.id;
    const on = data.stains.filter((_, k) => view.stains[k]).map(([, name]) => name);
    canvas.setAttribute("aria-label", `Field ${current.id}: ${on.join(", ") || "no stain"}`);
    at("zoom").textContent = `${zoom}\u00d7`;
    at("scale").hidden = !pixel;
    if (pixel) {
      const across = width * pixel / zoom;
      const lengths = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500];
      const length = lengths.filter((each) => each <= across / 4).pop() || 0.5;
      at("scale").style.width = `${100 * length / across}%`;
      at("scale-text").textContent = `${length} \u00b5m`;
    }
  }
  function toggle(k) {
    view.stains[k] = !view.stains[k];
    controls(); mix(); remember();
  }
  function zoomBy(factor) { zoom = Math.min(Math.max(zoom * factor, 1), 8); draw(); }
  function controls() {
    at("stains").replaceChildren(...data.stains.map(([, name], k) => {
      const button = make("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(view.stains[k]));
      const dot = make("span", "", "dot");
      dot.style.backgroundColor = `rgb(${data.palettes[view.palette][k].join(",")})`;
      button.append(dot, `${name} `, make("kbd", String(k + 1)));
      button.addEventListener("click", () => { toggle(k); at("stains").children[k].focus(); });
      return button;
    }));
    at("palette").value = view.palette;
    at("contrast").value = view.contrast;
  }
  const remember = () => { state.view = view; keep(); };
  let dragged = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (zoom > 1) { dragged = [event.clientX, event.clientY, ...centre]; canvas.setPointerCapture(event.pointerId); }
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!dragged) return;
    const box = canvas.getBoundingClientRect();
    centre = [dragged[2] - (event.clientX - dragged[0]) / box.width / zoom,
      dragged[3] - (event.clientY - dragged[1]) / box.height / zoom];
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { dragged = null; });
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!move || zoom === 1) return;
    centre = [centre[0] + 0.15 * move[0] / zoom, centre[1] + 0.15 * move[1] / zoom];
    draw();
    event.preventDefault();
  });

  // One field ----------------------------------------------------------------------------------
  const percent = (p) => `${(100 * p).toFixed(1)} %`;
  function details() {
    at("field").hidden = !current;
    if (!current) return;
    const decision = decisionOf(current.id);
    at("image-id").textContent = current.id;
    at("decision").textContent = !decision ? ""
      : { accept: "Changed to", edit: "Changed to", keep: "Kept as annotated:", unsure: "Unsure; remains" }[decision.decision] +
        ` ${names(decision.labels)}` + (decision.who ? ` (${decision.who})` : "");
    const sentences = current.doubts.filter(([, kind]) => kind !== "keep").map(([k, kind]) => {
      const item = make("li");
      const p = percent(current.p[k]);
      if (kind === "remove") item.append("Annotated: ", make("strong", data.labels[k]), `, but the predicted probability is only ${p}.`);
      else item.append("Not annotated: ", make("strong", data.labels[k]), `, but the predicted probability is ${p}.`);
      return item;
    });
    const suggestion = make("li");
    suggestion.append("Annotated: ", make("strong", names(current.annotated)), ". Predicted: ", make("strong", names(current.suggested)), ".");
    at("doubts").replaceChildren(...sentences, suggestion);
    for (const button of document.querySelectorAll("[data-do=undo]")) button.disabled = !state.undo.length;
    probabilities();
    const cards = (title, rows, text) => {
      if (!rows.length) return [];
      const box = make("ul", undefined, "cards");
      for (const row of rows) {
        const item = make("li");
        if (Object.hasOwn(data.small, row[0])) {
          const image = make("img");
          image.alt = `Field ${row[0]}: all stains, and the protein alone`;
          image.src = data.small[row[0]];
          item.append(image);
        }
        item.append(make("code", row[0]), make("br"), text(row));
        box.append(item);
      }
      return [make("h3", title), box];
    };
    const now = (id, labels) => {
      const changed = decisionOf(id);
      return changed && ["accept", "edit"].includes(changed.decision)
        ? `${names(changed.labels)} (changed)` : names(labels);
    };
    at("near-duplicates").replaceChildren(...cards("Same cluster (near-duplicates and fields of the same group)",
      current.near_duplicates, ([id, labels]) => now(id, labels)));
    at("neighbours").replaceChildren(...cards("Most similar fields",
      current.neighbours, ([id, cosine, labels]) => `${now(id, labels)}; cosine ${cosine.toFixed(2)}`));
  }
  function probabilities() {
    const order = data.labels.map((_, k) => k).sort((a, b) => current.p[b] - current.p[a] || a - b);
    const least = order.filter((k, place) => allProbabilities || place < 6 || current.annotated.includes(k));
    at("probabilities").tBodies[0].replaceChildren(...least.map((k) => {
      const row = make("tr"), is = current.annotated.includes(k);
      if (is) row.className = "annotated";
      const name = make("th", data.labels[k] + (is ? " (annotated)" : ""));
      name.scope = "row";
      const bar = make("td", undefined, "bar"), fill = make("span");
      fill.style.width = `${100 * current.p[k]}%`;
      bar.append(fill);
      row.append(name, make("td", current.p[k].toFixed(3), "number"), bar);
      return row;
    }));
    at("more").hidden = least.length === order.length && !allProbabilities;
    at("more").textContent = allProbabilities ? "Fewer labels" : `All ${order.length} labels`;
  }

  // Decisions ----------------------------------------------------------------------------------
  function decide(decision, labels, ids = [current.id], why = at("why").value.trim()) {
    const who = at("who").value.trim(), when = new Date().toISOString();
    const before = ids.map((id) => [id, decisionOf(id)]);
    for (const id of ids) {
      const old = (decisionOf(id) || { labels: annotated.get(id) }).labels;
      setDecision(id, { decision, labels, who });
      state.log.push({ image_id: id, decision, old, new: labels, who, when, why });
    }
    state.undo.push(before);
    keep();
    const from = current;
    list(); details();
    if (ids.length === 1 && ["accept", "edit"].includes(decision)) {
      const others = from.near_duplicates.filter(([id, known]) => !same((decisionOf(id) || { labels: known }).labels, labels));
      if (others.length) { offer(others, labels); return; }
    }
    at("why").value = "";
    at("cluster").hidden = at("editor").hidden = true;
    if (ids[0] === from.id) step(1);
  }
  function offer(others, labels) {
    const box = at("cluster");
    const yes = make("button", `Apply to ${others.length === 1 ? "this field" : `all ${others.length} fields`}`);
    const no = make("button", "Do not change");
    yes.type = no.type = "button";
    const why = at("why").value.trim();
    const done = () => { box.hidden = true; at("why").value = ""; step(1); };
    yes.addEventListener("click", () => {
      decide("accept", labels, others.map(([id]) => id), why || `cluster of ${current.id}`);
      done();
    });
    no.addEventListener("click", done);
    const rows = make("ul");
    for (const [id, known] of others) rows.append(make("li", `${id}: ${names((decisionOf(id) || { labels: known }).labels)}`));
    const tools = make("div", undefined, "tools");
    tools.append(yes, no);
    box.replaceChildren(make("strong", `The cluster has ${others.length} other training field${others.length === 1 ? "" : "s"} with labels other than ${names(labels)}:`), rows, tools);
    box.hidden = false;
    yes.focus();
  }
  function undo() {
    const before = state.undo.pop();
    if (!before) return;
    const when = new Date().toISOString(), who = at("who").value.trim();
    for (const [id, decision] of before) {
      const old = decisionOf(id).labels;
      setDecision(id, decision);
      state.log.push({ image_id: id, decision: "undo", old, new: decision ? decision.labels : annotated.get(id), who, when, why: "" });
    }
    keep();
    at("cluster").hidden = true;
    const field = byId.get(before[0][0]);
    if (field) { select(field); }
    list(); details();
  }
  function edit(open = at("editor").hidden) {
    at("editor").hidden = !open;
    document.querySelector("[data-do=edit]").setAttribute("aria-expanded", String(open));
    if (!open) return;
    const now = (decisionOf(current.id) || { labels: current.annotated }).labels;
    at("boxes").replaceChildren(...data.labels.map((name, k) => {
      const label = make("label"), box = make("input");
      box.type = "checkbox"; box.value = k; box.checked = now.includes(k);
      label.append(box, ` ${name} (${current.p[k].toFixed(2)})`);
      return label;
    }));
    at("boxes").querySelector("input").focus();
  }
  at("editor").addEventListener("submit", (event) => {
    event.preventDefault();
    const labels = [...at("boxes").querySelectorAll("input:checked")].map((box) => Number(box.value));
    if (!labels.length) { at("decision").textContent = "A field needs at least one label; choose Unsure instead."; return; }
    edit(false);
    decide("edit", labels);
  });
  at("cancel").addEventListener("click", () => edit(false));
  const actions = {
    accept: () => decide("accept", current.suggested),
    keep: () => decide("keep", current.annotated),
    unsure: () => decide("unsure", current.annotated),
    edit: () => edit(),
    undo,
  };
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => { if (current) actions[button.dataset.do](); });
  }

  // Files --------------------------------------------------------------------------------------
  function corrections() {
    return Object.entries(state.decisions)
      .filter(([id, { decision, labels }]) => ["accept", "edit"].includes(decision) && !same(labels, annotated.get(id)))
      .map(([id, { labels }]) => [id, [...labels].sort((a, b) => a - b).join(" ")]);
  }
  const csv = (rows) => rows.map((row) => row.map((value) => {
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }).join(",") + "\n").join("");
  function save(name, rows) {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  at("save").addEventListener("click", () => {
    const own = corrections(), ids = new Set(own.map(([id]) => id));
    const earlier = Object.entries(data.earlier).filter(([id]) => !ids.has(id));
    const rows = [...earlier, ...own].sort((a, b) => (a[0] < b[0] ? -1 : 1));
    if (!rows.length) { at("progress").textContent = "No labels were changed: nothing to save."; return; }
    save("corrections.csv", [["Id", "Target"], ...rows]);
  });
  at("save-log").addEventListener("click", () => {
    const columns = ["image_id", "decision", "old", "new", "who", "when", "why"];
    save("review_log.csv", [columns, ...state.log.map((entry) =>
      columns.map((name) => Array.isArray(entry[name]) ? entry[name].join(" ") : entry[name]))]);
  });

  // Controls -----------------------------------------------------------------------------------
  const option = (value, text) => { const element = make("option", text); element.value = value; return element; };
  at("order").append(...data.orders.map((name) => option(name, { normalised: "normalised by label", plain: "plain difference" }[name] || name)));
  const doubted = new Map();
  for (const field of data.fields) for (const [k] of field.doubts) doubted.set(k, (doubted.get(k) || 0) + 1);
  at("filter").append(option("", "all"), ...[...doubted.keys()].sort((a, b) => a - b).map((k) => option(String(k), `${data.labels[k]} (${doubted.get(k)})`)));
  at("palette").append(...Object.keys(data.palettes).map((name) => option(name, { safe: "colour-blind safe", hpa: "Human Protein Atlas" }[name] || name)));
  if (!(view.palette in data.palettes)) view.palette = data.palette;
  if (!data.orders.includes(view.order)) view.order = data.order;
  if (view.label !== "" && !doubted.has(Number(view.label))) view.label = "";
  for (const [id, key] of [["order", "order"], ["filter", "label"], ["show", "show"]]) {
    at(id).value = view[key];
    at(id).addEventListener("change", () => {
      view[key] = at(id).value;
      list(); remember();
      if (shown.length && !shown.includes(current)) select(shown[0]);
    });
  }
  at("palette").addEventListener("change", () => { view.palette = at("palette").value; controls(); mix(); remember(); });
  at("contrast").addEventListener("input", () => { view.contrast = Number(at("contrast").value); mix(); remember(); });
  at("zoom-in").addEventListener("click", () => zoomBy(2));
  at("zoom-out").addEventListener("click", () => zoomBy(0.5));
  at("more").addEventListener("click", () => { allProbabilities = !allProbabilities; probabilities(); });
  at("who").addEventListener("change", () => { try { localStorage.setItem("hpastack-review-who", at("who").value); } catch { kept = false; } });
  const keys = {
    a: actions.accept, r: actions.keep, e: actions.edit, q: actions.unsure, u: undo,
    j: () => step(1), k: () => step(-1), "+": () => zoomBy(2), "=": () => zoomBy(2), "-": () => zoomBy(0.5),
    c: () => {
      const all = Object.keys(data.palettes);
      view.palette = all[(all.indexOf(view.palette) + 1) % all.length];
      controls(); mix(); remember();
    },
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("select, textarea, input:not([type=checkbox]):not([type=range])");
    if (!current || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && !at("editor").hidden) { edit(false); return; }
    if (typing || !at("shortcuts").checked) return;
    if (event.target.closest("nav") && ["ArrowDown", "ArrowUp"].includes(event.key)) {
      step(event.key === "ArrowDown" ? 1 : -1);
    } else if (/^[1-4]$/.test(event.key)) toggle(Number(event.key) - 1);
    else if (Object.hasOwn(keys, event.key.toLowerCase())) keys[event.key.toLowerCase()]();
    else return;
    event.preventDefault();
  });

  // A report links to a field by its id, irrespective of the saved list settings.
  function linked() {
    let id = "";
    try { id = decodeURIComponent(location.hash.slice(1)); } catch { return null; }
    return byId.get(id) || null;
  }
  function follow() {
    const field = linked();
    if (!field) return;
    view.label = at("filter").value = "";
    view.show = at("show").value = "all";
    list();
    select(field);
  }
  window.addEventListener("hashchange", follow);

  controls();
  list();
  if (shown.length) current = shown.find((field) => decisionOf(field.id) === null) || shown[0];
  mark(); details(); load();
  follow();
  if (!Object.keys(data.pictures).length) at("no-picture").textContent = "This page was made without pictures.";
})();
