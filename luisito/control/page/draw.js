// Sparklines and the bar of the pool.

const SPACE = "http://www.w3.org/2000/svg";

export function spark(svg, series, words) {
  const points = series.points;
  svg.setAttribute("aria-label", words);
  if (!svg.firstChild) {
    svg.setAttribute("viewBox", "0 0 100 40");
    for (const name of ["area", "line"]) {
      const path = document.createElementNS(SPACE, "path");
      path.setAttribute("class", name);
      svg.append(path);
    }
  }
  const [area, line] = svg.children;
  if (points.length < 2) {
    area.setAttribute("d", "");
    line.setAttribute("d", "M0 39H100");
    return;
  }
  const top = Math.max(...points, 1e-9);
  const step = 100 / (points.length - 1);
  const drawn = points
    .map((value, n) => `${(n * step).toFixed(2)} ${(39 - (36 * value) / top).toFixed(2)}`)
    .join("L");
  line.setAttribute("d", `M${drawn}`);
  area.setAttribute("d", `M${drawn}L100 40L0 40Z`);
}

export function bar(element, counts, of, words) {
  const order = ["awake", "waking", "hibernating", "draining"];
  const sum = Math.max(of, order.reduce((all, name) => all + (counts[name] || 0), 0), 1);
  while (element.children.length < order.length) element.append(document.createElement("i"));
  order.forEach((name, n) => {
    const part = element.children[n];
    part.className = `s-${name}`;
    part.style.width = `${(100 * (counts[name] || 0)) / sum}%`;
  });
  element.setAttribute("aria-label", words);
}
