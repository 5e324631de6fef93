// Offer files that the page already holds: each plot as SVG in the colours for white paper, and the CSV unpacked.
"use strict";

(() => {
  const save = (name, blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  // The page shows a part of the drawing; the file shows all of it, with title and legend. The variable of a colour is
  // named after the colour on a light page, so put that colour in its place.
  const paper = (shown) => {
    const svg = shown.cloneNode(true);
    const [, , width, height] = svg.dataset.paper.split(" ");
    svg.setAttribute("viewBox", svg.dataset.paper);
    svg.setAttribute("width", `${width}pt`);
    svg.setAttribute("height", `${height}pt`);
    svg.setAttribute("font-family", "DejaVu Sans, Arial, sans-serif");
    svg.removeAttribute("data-paper");
    return new XMLSerializer().serializeToString(svg)
      .replace(/var\(--c([0-9a-f]{6})\)/g, "#$1");
  };

  document.querySelectorAll("button[data-svg]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      const svg = button.closest("figure").querySelector("svg");
      save(button.dataset.svg, new Blob([paper(svg)], { type: "image/svg+xml" }));
    });
  });

  // Where the browser cannot unpack it, the link gives the compressed CSV, which most tools for tables can read.
  if (!("DecompressionStream" in window)) return;
  document.querySelectorAll("a[data-csv]").forEach((link) => {
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      const bytes = Uint8Array.from(atob(link.href.split(",")[1]), (character) => character.charCodeAt(0));
      const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      save(link.dataset.csv, await new Response(unpacked, { headers: { "Content-Type": "text/csv" } }).blob());
    });
  });
})();
