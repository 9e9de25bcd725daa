"use strict";
(() => {
  // --- theme: system, light, dark
  const root = document.documentElement, themes = ["system", "light", "dark"];
  const button = document.getElementById("theme");
  const stored = () => { try { return localStorage.getItem("unidet-theme"); } catch { return null; } };
  const choose = (name) => {
    if (name === "system") delete root.dataset.theme; else root.dataset.theme = name;
    button.textContent = `Theme: ${name}`;
    try { localStorage.setItem("unidet-theme", name); } catch { /* a page from a file may not */ }
  };
  let theme = themes.includes(stored()) ? stored() : "system";
  choose(theme);
  button.hidden = false;
  button.addEventListener("click", () => choose(theme = themes[(themes.indexOf(theme) + 1) % 3]));

  // --- contents: open beside the page, closed above it
  const contents = document.querySelector("nav details");
  const narrow = matchMedia("(max-width:64rem)");
  const fold = () => { contents.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();

  // --- tables
  const numberOf = (cell) => {
    const text = cell.textContent.replace(/[,%\s]/g, "").replace("−", "-");
    return text === "–" || text === "" ? NaN : Number(text);
  };
  const compare = (kind, down) => (a, b) => {
    if (kind === "text") return down ? b.key.localeCompare(a.key) : a.key.localeCompare(b.key);
    if (isNaN(a.key) || isNaN(b.key)) return isNaN(a.key) - isNaN(b.key);  // undefined ones last
    return down ? b.key - a.key : a.key - b.key;
  };
  const sort = (table, head) => {
    const column = [...head.parentElement.children].indexOf(head);
    const kind = head.matches(".text, .tag") ? "text" : "number";
    const before = head.getAttribute("aria-sort");
    const down = before ? before === "ascending" : kind !== "text";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => {
      const cell = row.cells[column];
      return { row, key: kind === "text" ? cell.textContent : numberOf(cell) };
    });
    rows.sort(compare(kind, down));
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows.map(({ row }) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of table.tHead.rows[0].cells) {
      const inner = document.createElement("button");
      inner.type = "button";
      inner.textContent = head.textContent;
      head.replaceChildren(inner);
      inner.addEventListener("click", () => sort(table, head));
    }
  }
  for (const form of document.querySelectorAll("form.filters")) {
    const table = document.getElementById(form.dataset.table);
    const keys = [...table.tHead.rows[0].cells].map((head) => head.dataset.key);
    const count = form.querySelector("output");
    const filter = () => {
      const wanted = [...form.querySelectorAll("[data-column]")].filter((field) => field.value);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        row.hidden = !wanted.every((field) => {
          const text = row.cells[keys.indexOf(field.dataset.column)].textContent;
          return field.type === "search"
            ? text.toLowerCase().includes(field.value.toLowerCase()) : text === field.value;
        });
        shown += !row.hidden;
      }
      count.textContent = `${shown.toLocaleString("en")} of ${table.tBodies[0].rows.length.toLocaleString("en")}`;
    };
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }

  // --- images
  const large = document.getElementById("large");
  for (const enlarge of document.querySelectorAll(".enlarge")) {
    enlarge.addEventListener("click", () => {
      const picture = enlarge.querySelector("img");
      large.querySelector("img").src = picture.src;
      large.querySelector("img").alt = picture.alt;
      large.querySelector("p").textContent = picture.alt;
      large.showModal();
    });
  }
})();
