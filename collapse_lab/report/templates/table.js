// Let the reader sort a table by any column, and filter its rows by text or by comparison.
"use strict";

(() => {
  const FEWEST = 8; // a table with fewer rows needs no filter
  const COMPARISON = /^(.+?)(<=|>=|!=|=|<|>)(.+)$/;
  const HOLDS = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
    "=": (a, b) => a === b, "!=": (a, b) => a !== b,
  };

  const sortText = (cell) => (cell.dataset.value ?? cell.textContent).trim();
  const asNumber = (text) => (text === "" ? NaN : Number(text.replace(/,/g, "")));

  // Because the cells never change, read them once for all later sorts and filters.
  const read = (row) => {
    const texts = Array.from(row.cells, sortText);
    return { row, texts, numbers: texts.map(asNumber), all: row.textContent.toLowerCase() };
  };

  // Sort numbers by size and other texts by the alphabet. A missing value stays last in both directions.
  const compare = (column, sign) => (a, b) => {
    const [x, y] = [a.numbers[column], b.numbers[column]];
    if (!Number.isNaN(x) && !Number.isNaN(y)) return sign * (x - y);
    const missing = (entry) => (entry.texts[column] === "" || entry.texts[column] === "–" ? 1 : 0);
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return sign * a.texts[column].localeCompare(b.texts[column], undefined, { numeric: true });
  };

  // A query such as "ratio>0.1, diverged" has conditions that must all hold. A condition that names no column of the
  // table is text to search for.
  const conditions = (query, titles) => query.toLowerCase().split(",").map((text) => text.trim()).filter(Boolean).map((text) => {
    const [, name, sign, value] = COMPARISON.exec(text) ?? [];
    const title = (name ?? "").trim();
    const column = [(t) => t === title, (t) => t.startsWith(title), (t) => t.includes(title)]
      .map((matches) => (title ? titles.findIndex(matches) : -1)).find((index) => index >= 0);
    if (column === undefined) return (entry) => entry.all.includes(text);
    const number = asNumber(value.trim());
    return Number.isNaN(number)
      ? (entry) => HOLDS[sign](entry.texts[column].toLowerCase(), value.trim())
      : (entry) => HOLDS[sign](entry.numbers[column], number);
  });

  const enhance = (table) => {
    const body = table.tBodies[0];
    const headings = Array.from(table.tHead.rows[0].cells);
    const titles = headings.map((th) => th.textContent.trim().toLowerCase());
    const entries = Array.from(body.rows, read);
    if (entries.length < 2) return;

    headings.forEach((th, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener("click", () => {
        const down = th.getAttribute("aria-sort") === "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        th.setAttribute("aria-sort", down ? "descending" : "ascending");
        entries.sort(compare(column, down ? -1 : 1));
        body.append(...entries.map((entry) => entry.row));
      });
    });

    if (entries.length < FEWEST) return;
    const bar = document.createElement("div");
    const label = document.createElement("label");
    const input = document.createElement("input");
    const count = document.createElement("output");
    bar.className = "filter";
    input.type = "search";
    const numeric = titles.findIndex((_, column) => !Number.isNaN(entries[0].numbers[column]));
    input.placeholder = numeric < 0 ? "text" : `text, or ${titles[numeric]}>=${entries[0].texts[numeric]}`;
    label.append("Filter ", input);
    bar.append(label, count);
    const filter = () => {
      const tests = conditions(input.value, titles);
      let shown = 0;
      for (const entry of entries) {
        const keep = tests.every((test) => test(entry));
        entry.row.hidden = !keep;
        shown += keep;
      }
      count.textContent = `${shown.toLocaleString("en")} of ${entries.length.toLocaleString("en")} rows`;
    };
    input.addEventListener("input", filter);
    filter();
    table.parentElement.before(bar);
  };

  document.querySelectorAll("table.sortable").forEach(enhance);
})();
