// Switches, details, sorting, filtering and copying. Everything it shows is in the page already, and it only ever
// moves nodes and sets text: no string becomes markup.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  document.documentElement.classList.add("js");

  // -- one view of quality against bytes at a time ------------------------------------------------
  const views = all(".view");
  const shown = () => views.find((view) => !view.hidden);
  const asked = (name, view) => (one(`input[name="${name}"]:checked`) || { value: view.dataset[name] }).value;
  const choose = () => {
    for (const view of views) {
      view.hidden = ["metric", "size"].some((name) => asked(name, view) !== view.dataset[name]);
    }
    hide();
    rove();
  };
  all(".switches input").forEach((input) => input.addEventListener("change", choose));

  // -- details of a candidate ---------------------------------------------------------------------
  const tip = one("#tip");
  const detail = one("#detail");
  const points = (view = shown()) => all(".point[data-row]", view);
  const place = (point) => {
    const box = one("path", point).getBoundingClientRect();
    return { x: box.left + box.width / 2, y: box.top + box.height / 2 };
  };
  let picked = null;
  function hide() { tip.hidden = true; }
  function tell(point) {
    const { x, y } = place(point);
    tip.textContent = point.getAttribute("aria-label");
    tip.hidden = false;
    const left = Math.min(Math.max(8, x - tip.offsetWidth / 2), document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = y - tip.offsetHeight - 18;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : y + 18}px`;
  }
  function pick(point) {
    picked = point.dataset.row;
    for (const other of all(".point[data-row]")) other.classList.toggle("picked", other.dataset.row === picked);
    detail.replaceChildren(one(`#c${picked} .card`).cloneNode(true));
    rove();
  }
  function nearest(event, reach) {
    let best = null;
    for (const point of points()) {
      const { x, y } = place(point);
      const far = Math.hypot(event.clientX - x, event.clientY - y);
      if (far <= reach && (!best || far <= best.far)) best = { far, point };
    }
    return best && best.point;
  }
  // One tab stop for all marks: the picked one, or the recommended one; arrow keys go on from there.
  function rove() {
    for (const view of views) {
      const marks = points(view);
      const stop = marks.find((point) => point.dataset.row === picked) || marks[marks.length - 1];
      for (const point of marks) point.setAttribute("tabindex", point === stop ? "0" : "-1");
    }
  }
  function walk(event, point) {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
    if (event.key === "Escape") return hide();
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); return pick(point); }
    if (!(event.key in steps)) return undefined;
    event.preventDefault();
    const order = points().sort((a, b) => place(a).x - place(b).x || place(b).y - place(a).y);
    const next = order[order.indexOf(point) + steps[event.key]];
    if (next) { pick(next); next.focus(); }
    return undefined;
  }
  for (const view of views) {
    const drawing = one(".plot", view);
    view.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch") return;
      const point = nearest(event, 24);
      if (point) tell(point); else hide();
    });
    view.addEventListener("pointerleave", hide);
    // The nearest mark within a finger's width: marks lie closer together than fingers can point.
    drawing.parentElement.addEventListener("click", (event) => {
      const point = nearest(event, 32);
      if (point) { pick(point); tell(point); } else hide();
    });
    for (const point of points(view)) {
      point.addEventListener("focus", () => { if (point.matches(":focus-visible")) tell(point); });
      point.addEventListener("blur", hide);
      point.addEventListener("keydown", (event) => walk(event, point));
    }
  }
  addEventListener("scroll", hide, { passive: true });
  rove();

  // -- the table of candidates --------------------------------------------------------------------
  const table = one("#candidates");
  const rows = all("tbody tr", table);
  const heads = all("thead th", table);
  const order = one("#order");
  let column = -1;
  let rising = true;
  const key = (row) => row.children[column].dataset.sort;
  const number = (text) => (text === undefined || text === "" ? NaN : Number(text));
  function compare(a, b) {
    const [x, y] = [key(a), key(b)];
    const [p, q] = [number(x), number(y)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined); // unknown comes last
    const by = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
    return rising ? by : -by;
  }
  function sort(to, up) {
    [column, rising] = [to, up];
    one("tbody", table).append(...(column < 0 ? rows : [...rows].sort(compare)));
    heads.forEach((head, i) => {
      if (i === column) head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    order.value = String(column);
  }
  const better = (i) => !/^(Recall|nDCG)/.test(heads[i].textContent); // of these more is better
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(i, column === i ? !rising : better(i)));
  });
  order.addEventListener("change", () => sort(Number(order.value), Number(order.value) < 0 || better(Number(order.value))));
  const filter = one("#filter");
  const kind = one("#kind");
  function sift() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = kind.value;
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = wanted === "all" || row.dataset.kind === wanted || (wanted === kind.options[1].value && row.dataset.kept);
      row.hidden = !(fits && words.every((word) => text.includes(word)));
      count += !row.hidden;
    }
    one("#shown").textContent = `${count} of ${rows.length} shown`;
  }
  filter.addEventListener("input", sift);
  kind.addEventListener("change", sift);
  one(".controls").addEventListener("submit", (event) => event.preventDefault());
  sift();

  // -- copying, also where a page from disk may not use the clipboard -------------------------------
  function select(node) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }
  async function copy(node) {
    try { await navigator.clipboard.writeText(node.textContent); return true; } catch { select(node); }
    return document.execCommand("copy");
  }
  for (const button of all(".copy")) {
    button.addEventListener("click", async () => {
      const done = await copy(one("pre code", button.closest(".code")));
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
})();
