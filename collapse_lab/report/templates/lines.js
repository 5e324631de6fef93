// Show the value, interval and seeds of the point that the reader points at, and let entries of a legend and rows of a
// table pick out their line in every figure of their group.
"use strict";

(() => {
  const NEAR = 30; // points of the drawing, from the pointer to the point that is shown
  const PARTS = ["line", "band", "theory"];
  const groupOf = (element) => element.closest("article") ?? document.querySelector("main");

  // A figure knows the parts of each of its lines by their ids, which end in "-of-RANK".
  const figures = Array.from(document.querySelectorAll("figure[data-readings]"), (figure) => {
    const svg = figure.querySelector("svg");
    const lines = JSON.parse(figure.dataset.readings).map((line) => ({
      ...line,
      parts: PARTS.flatMap((part) => Array.from(svg.querySelectorAll(`[id$="${part}-of-${line.line}"]`))),
    }));
    return { svg, lines, group: groupOf(figure), shown: lines };
  });

  // Draw all lines but one faintly; null draws all alike.
  const pickOut = (group, rank) => {
    for (const figure of figures.filter((other) => other.group === group)) {
      const found = figure.lines.some((line) => line.line === rank);
      figure.shown = found ? figure.lines.filter((line) => line.line === rank) : figure.lines;
      for (const line of figure.lines) {
        const faint = found && line.line !== rank;
        line.parts.forEach((part) => part.classList.toggle("faint", faint));
      }
    }
  };

  const pressed = new Map(); // group -> the rank whose entry is pressed
  const rest = (group) => pickOut(group, pressed.get(group) ?? null);

  const buttons = [];
  document.querySelectorAll(".legend[data-lines] li[data-line]").forEach((item) => {
    const [group, rank] = [groupOf(item), Number(item.dataset.line)];
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(...item.childNodes);
    item.append(button);
    buttons.push({ button, group, rank });
    button.addEventListener("click", () => {
      pressed.set(group, pressed.get(group) === rank ? null : rank);
      buttons.filter((other) => other.group === group)
        .forEach((other) => other.button.setAttribute("aria-pressed", String(other.rank === pressed.get(group))));
      rest(group);
    });
  });

  document.querySelectorAll("tr[data-line]").forEach((row) => {
    const group = groupOf(row);
    row.addEventListener("pointerenter", () => pickOut(group, Number(row.dataset.line)));
    row.addEventListener("pointerleave", () => rest(group));
  });

  const rows = Array.from(document.querySelectorAll("tr[data-line]"));
  const light = (group, rank) => rows.filter((row) => groupOf(row) === group)
    .forEach((row) => row.classList.toggle("lit", Number(row.dataset.line) === rank));

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);

  const nearest = ({ svg, shown }, event) => {
    const [box, view] = [svg.getBoundingClientRect(), svg.viewBox.baseVal];
    const scale = view.width / box.width;
    const [x, y] = [view.x + scale * (event.clientX - box.left), view.y + scale * (event.clientY - box.top)];
    let best = { distance: NEAR };
    for (const line of shown) {
      for (const [px, py, text] of line.points) {
        const distance = Math.hypot(px - x, py - y);
        if (distance < best.distance) best = { distance, line, text };
      }
    }
    return best;
  };

  for (const figure of figures) {
    const leave = () => {
      tip.hidden = true;
      light(figure.group, null);
    };
    figure.svg.addEventListener("pointermove", (event) => {
      const { line, text } = nearest(figure, event);
      if (!line) return leave();
      tip.textContent = [line.label, `${line.over ?? "generation "}${text}`].filter(Boolean).join("\n");
      tip.hidden = false;
      const [right, below] = [event.clientX + 14, event.clientY + 14];
      tip.style.left = `${Math.max(4, Math.min(right, innerWidth - tip.offsetWidth - 4))}px`;
      tip.style.top = `${below + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : below}px`;
      light(figure.group, line.line);
    });
    figure.svg.addEventListener("pointerleave", leave);
  }
})();
