(() => {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const figures = read("figures");
  const dark = read("dark");
  const root = document.documentElement;
  const wishesDark = window.matchMedia("(prefers-color-scheme: dark)");
  const choices = ["system", "light", "dark"];
  let choice = "system";

  // Charts are built in light colours; a dark page replaces each by its twin.
  const recoloured = (node) => {
    if (typeof node === "string") return Object.hasOwn(dark, node) ? dark[node] : node;
    if (Array.isArray(node)) return node.map(recoloured);
    if (node === null || typeof node !== "object") return node;
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, recoloured(value)]));
  };
  const config = { responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

  // Beside a narrow chart's title there is no room for names: they go above it.
  const compact = (layout) => {
    const inner = layout.height - layout.margin.t - layout.margin.b;
    layout.height += 44;
    layout.margin.t += 44;
    layout.legend = { ...layout.legend, x: 0, xanchor: "left", y: 1 + 30 / inner, font: { ...layout.legend.font, size: 11 } };
    if (layout.legend2) layout.legend2.visible = false;
  };

  const draw = (isDark) => {
    root.dataset.theme = isDark ? "dark" : "light";
    const style = getComputedStyle(root);
    const hoverlabel = {
      bgcolor: style.getPropertyValue("--card").trim(),
      bordercolor: style.getPropertyValue("--line").trim(),
      font: { color: style.getPropertyValue("--ink").trim() },
    };
    for (const element of document.querySelectorAll(".chart")) {
      const figure = structuredClone(figures[element.dataset.figure]);
      const { data, layout } = isDark ? recoloured(figure) : figure;
      if (element.clientWidth < 640) compact(layout);
      Plotly.react(element, data, { ...layout, hoverlabel }, config);
    }
  };
  const refresh = () => draw(choice === "system" ? wishesDark.matches : choice === "dark");

  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    choice = choices[(choices.indexOf(choice) + 1) % choices.length];
    button.querySelector("span").textContent = choice;
    refresh();
  });
  wishesDark.addEventListener("change", refresh);
  // Paper is light. The width of the page while printing is not the window's.
  window.addEventListener("beforeprint", () => draw(false));
  window.addEventListener("afterprint", refresh);
  refresh();
})();
