// Draws curves as an SVG picture that reads well on light and dark pages.

const WIDTH = 640;
const PANEL = 170;
const LEFT = 60;
const RIGHT = 20;
const TOP = 30;
const BOTTOM = 40;
const TICKS = 4;

const round = (value) => Number(value.toFixed(1));

/** Returns a round number that is at least `most`, which the axis ends with. */
function axisEnd(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((end) => end >= most);
}

/**
 * Draws one panel per curve, above each other, with one common axis of x. A curve is { name, unit, points: [[x, y]…] }. A point whose y is
 * null interrupts its curve.
 */
export function plot({ title, x, curves }) {
  const last = Math.max(...curves.flatMap(({ points }) => points.map(([at]) => at)));
  const across = (at) => round(LEFT + (at / last) * (WIDTH - LEFT - RIGHT));
  const height = TOP + curves.length * PANEL + BOTTOM;
  const parts = [`<text class="title" x="${LEFT}" y="20">${title}</text>`];
  curves.forEach(({ name, unit, points }, index) => {
    const end = axisEnd(Math.max(...points.map(([, y]) => y ?? 0)));
    const floor = TOP + (index + 1) * PANEL;
    const up = (y) => round(floor - (y / end) * (PANEL - 35));
    parts.push(`<text x="${LEFT}" y="${floor - PANEL + 22}">${name}</text>`);
    for (let tick = 0; tick <= TICKS; tick += 1) {
      const y = up((end * tick) / TICKS);
      parts.push(`<line x1="${LEFT}" y1="${y}" x2="${WIDTH - RIGHT}" y2="${y}"/>`);
      parts.push(`<text class="y" x="${LEFT - 6}" y="${y + 4}">${round((end * tick) / TICKS)}${tick === TICKS ? ` ${unit}` : ""}</text>`);
    }
    const runs = points.reduce((runs, [at, y]) => {
      if (y === null) runs.push([]);
      else runs.at(-1).push(`${across(at)},${up(y)}`);
      return runs;
    }, [[]]);
    for (const run of runs.filter((run) => run.length > 0)) parts.push(`<polyline points="${run.join(" ")}"/>`);
  });
  const floor = TOP + curves.length * PANEL;
  for (const [at] of curves[0].points) parts.push(`<text class="x" x="${across(at)}" y="${floor + 16}">${at}</text>`);
  parts.push(`<text class="x" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${floor + 34}">${x}</text>`);
  const style = `text{font:12px sans-serif;fill:#667}.title{font-size:14px}.y{text-anchor:end}.x{text-anchor:middle}
line{stroke:#8884}polyline{fill:none;stroke:#27c;stroke-width:2}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${title}">
<style>${style}</style>
${parts.join("\n")}
</svg>
`;
}
