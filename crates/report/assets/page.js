// Draws each chart from the specification that stands in the page beside it.
document.querySelectorAll("script.chart-data").forEach((data) => {
  const place = document.getElementById(data.dataset.for);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ink = dark ? "#d8d6cf" : "#3a3a38";
  const faint = dark ? "#3a3b3e" : "#e2e0da";
  const axis = { labelColor: ink, titleColor: ink, gridColor: faint, domainColor: faint, tickColor: faint, labelLimit: 220 };
  const options = {
    actions: false,
    renderer: "svg",
    ast: false,
    loader: { http: { credentials: "omit" } },
    config: {
      background: "transparent",
      font: "system-ui, sans-serif",
      view: { stroke: null },
      axis,
      legend: { labelColor: ink, titleColor: ink, labelLimit: 260, symbolLimit: 40 },
      mark: { color: "#c2571a" },
      range: { category: { scheme: "tableau20" } },
    },
  };
  vegaEmbed(place, JSON.parse(data.textContent), options).catch((error) => {
    place.textContent = "This chart could not be drawn: " + error.message;
  });
});
