"use strict";
// Sorting, filtering and finding. Without this script the page shows everything, unsorted.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // -- sorting: a button in a column's heading; aria-sort says how it stands --
  for (const th of all("th[data-sort]")) {
    th.querySelector("button").addEventListener("click", () => {
      const numeric = th.dataset.sort === "number";
      const now = th.getAttribute("aria-sort");
      const down = now ? now === "ascending" : numeric;
      const table = th.closest("table");
      for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      const place = [...th.parentNode.children].indexOf(th);
      const value = (row) => {
        const cell = row.children[place];
        if (!cell) return null;
        if (!numeric) return cell.textContent.trim();
        return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
      };
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [value(row), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = numeric ? a - b : a.localeCompare(b);
        return down ? -order : order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  }

  // -- filtering: a box unticked hides rows, columns, blocks and figures --
  const panel = document.getElementById("filters");
  const form = panel.querySelector("form");
  const kinds = ["method", "task", "protocol", "budget"];
  const apply = () => {
    const off = {};
    const said = [];
    for (const kind of kinds) {
      const boxes = all(`input[name="${kind}"]`, form);
      off[kind] = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
      if (off[kind].size) {
        said.push(`${boxes.length - off[kind].size} of ${boxes.length} ${kind}s`);
      }
    }
    for (const item of all("main [data-method], main [data-task], main [data-protocol], main [data-budget]")) {
      item.hidden = kinds.some((kind) => off[kind].has(item.dataset[kind]));
    }
    spans(off);
    panel.querySelector("output").textContent = said.length
      ? `Showing ${said.join(", ")}. Numbers, ranks and figures of several methods stay as computed.`
      : "";
  };
  // A heading that spans the rows of a map belongs to the first row that is shown.
  const spans = () => {
    for (const table of all("table.map")) {
      let head = null;
      for (const row of table.tBodies[0].rows) {
        const own = row.querySelector("th[scope=rowgroup]");
        if (own) head = { cell: own, key: row.dataset.task + "|" + row.dataset.protocol };
        if (!head || row.dataset.task + "|" + row.dataset.protocol !== head.key) continue;
        if (!row.hidden && head.cell.parentNode.hidden) row.prepend(head.cell);
      }
      for (const cell of all("th[scope=rowgroup]", table)) {
        const row = cell.parentNode;
        const rows = [...table.tBodies[0].rows].filter((other) => !other.hidden &&
          other.dataset.task === row.dataset.task && other.dataset.protocol === row.dataset.protocol);
        cell.rowSpan = Math.max(rows.length, 1);
      }
    }
  };
  form.addEventListener("change", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  panel.hidden = false;

  // -- finding cells --
  const find = document.getElementById("find");
  find.closest(".find").hidden = false;
  const groups = all("#register tbody").map((group) => [group, group.textContent.toLowerCase()]);
  find.addEventListener("input", () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [group, text] of groups) {
      const fits = words.every((word) => text.includes(word));
      group.classList.toggle("vh", !fits);
      shown += fits;
    }
    document.getElementById("found").textContent = words.length
      ? `${shown} of ${groups.length} groups` : "";
  });

  // -- a number's link: the cells it comes from are shown whatever is filtered out --
  const reveal = () => {
    const group = document.getElementById(location.hash.slice(1));
    if (!group || group.tagName !== "TBODY") return;
    group.hidden = false;
    group.classList.remove("vh");
    group.tabIndex = -1;
    group.focus({ preventScroll: true });
    group.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", reveal);
  reveal();

  // -- contents: where the reader is --
  const entries = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((found) => {
    for (const one of found) {
      if (!one.isIntersecting) continue;
      for (const link of entries.values()) link.removeAttribute("aria-current");
      entries.get(one.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  for (const section of all("main > section")) seen.observe(section);
})();
