"use strict";
const root = document.documentElement, tip = document.getElementById("tip");
const spoken = document.getElementById("spoken"), button = document.getElementById("theme");

// Light or dark.
const system = matchMedia("(prefers-color-scheme: dark)");
const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
const label = () => { button.textContent = dark() ? "Light page" : "Dark page"; };
button.addEventListener("click", () => {
  root.dataset.theme = dark() ? "light" : "dark";
  try { localStorage.setItem("passlaw-theme", root.dataset.theme); } catch { /* not kept */ }
  label();
});
system.addEventListener("change", label);
button.hidden = !CSS.supports("color", "light-dark(#000, #fff)");
label();

// What a point tells: the row of the table below the chart.
const REACH = 14;
function tellings(figure) {
  const heads = [...figure.querySelectorAll(".numbers th")].map((head) => head.textContent);
  const rows = [...figure.querySelectorAll(".numbers tbody tr")];
  return rows.map((row) => heads.map((head, at) => [head, row.cells[at].textContent.trim()])
    .filter(([, text]) => text));
}
function show(told, mark) {
  tip.replaceChildren(...told.map(([head, text]) => {
    const line = document.createElement("div"), name = document.createElement("span");
    name.textContent = head + " ";
    line.append(name, text);
    return line;
  }));
  tip.hidden = false;
  place(mark);
}
function place(mark) {
  const at = mark.getBoundingClientRect(), size = tip.getBoundingClientRect();
  const right = at.right + 10 + size.width < innerWidth;
  tip.style.left = Math.max(right ? at.right + 10 : at.left - 10 - size.width, 4) + "px";
  tip.style.top = Math.min(Math.max(at.top - 8, 4), innerHeight - size.height - 4) + "px";
}
let marked = null;
function unmark() {
  marked?.classList.remove("at");
  marked = null;
  tip.hidden = true;
}
function mark(node, told) {
  if (node === marked) return;
  unmark();
  if (!node) return;
  marked = node;
  node.classList.add("at");
  show(told[+node.dataset.row], node);
}
function centre(node) {
  const box = node.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}
for (const chart of document.querySelectorAll(".chart")) {
  const points = [...chart.querySelectorAll("[data-row]")];
  const told = tellings(chart.closest("figure"));
  chart.addEventListener("pointermove", (event) => {
    const over = event.target.closest("[data-row]");
    if (over) return mark(over, told);
    let nearest = null, least = REACH;
    for (const point of points) {
      const [x, y] = centre(point), far = Math.hypot(x - event.clientX, y - event.clientY);
      if (far < least) [nearest, least] = [point, far];
    }
    mark(nearest, told);
  });
  chart.addEventListener("pointerleave", unmark);
  chart.addEventListener("blur", unmark);
  chart.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (event.key === "Escape") unmark();
    if (!step || !points.length) return;
    event.preventDefault();
    const from = points.indexOf(marked), last = points.length - 1;
    const to = from < 0 ? (step > 0 ? 0 : last) : Math.min(Math.max(from + step, 0), last);
    points[to].scrollIntoView({block: "nearest", inline: "nearest"});
    mark(points[to], told);
    spoken.textContent = told[+points[to].dataset.row].map((pair) => pair.join(" ")).join(", ");
  });
}
addEventListener("scroll", () => { if (marked) place(marked); }, {passive: true, capture: true});

// Tables sort by their heads.
const value = (row, at) => row.cells[at].textContent.trim();
const plain = (text) => {
  const found = text.replace(/,/g, "").replace("\u2212", "-")
    .match(/^-?\d+(?:\.\d+)?(?:\u00d710([\u207b\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+))?/);
  if (!found) return NaN;
  const digits = {"\u207b": "-", "\u2070": 0, "\u00b9": 1, "\u00b2": 2, "\u00b3": 3, "\u2074": 4,
    "\u2075": 5, "\u2076": 6, "\u2077": 7, "\u2078": 8, "\u2079": 9};
  const power = found[1] ? +[...found[1]].map((digit) => digits[digit]).join("") : 0;
  return parseFloat(found[0]) * 10 ** power;
};
for (const table of document.querySelectorAll("table.sorts")) {
  for (const [at, head] of [...table.tHead.rows[0].cells].entries()) {
    const sorter = document.createElement("button");
    sorter.type = "button";
    sorter.append(...head.childNodes);
    head.append(sorter);
    sorter.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const compare = (one, two) => {
        const [a, b] = [value(one, at), value(two, at)], [x, y] = [plain(a), plain(b)];
        const order = isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) || a.localeCompare(b) : x - y;
        return up ? order : -order;
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(compare));
    });
  }
}

// Print has all of it, but for long tables of points.
const opened = [];
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open], .numbers)")) {
    part.open = true;
    opened.push(part);
  }
});
addEventListener("afterprint", () => { for (const part of opened.splice(0)) part.open = false; });
