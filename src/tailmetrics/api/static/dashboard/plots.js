// How the two charts are drawn, with uPlot.

import * as format from "./format.js";

const SECONDS_A_DAY = 86_400;

export const SERIES = {
  requests: [
    { key: "successful_requests", label: "Succeeded", color: "--good", show: format.count },
    { key: "failed_requests", label: "Failed", color: "--bad", show: format.count, hatched: true },
  ],
  latency: [
    { key: "average_latency", label: "Mean", color: "--mean", show: format.seconds, dash: [7, 4] },
    { key: "median_latency", label: "Median", color: "--median", show: format.seconds },
    { key: "p99_latency", label: "p99", color: "--p99", show: format.seconds, dash: [2, 3] },
  ],
};

// What the ghost of the period before is drawn from.
const GHOSTS = { requests: ["total_requests"], latency: ["median_latency", "p99_latency"] };

// `before` has the windows of the period before, which are as many, or is empty.
export function dataOf(kind, windows, before) {
  const starts = windows.map((window) => Date.parse(window.start) / 1000);
  // The first window may be cut by the range; its bar is as wide as the others, and cut where it is drawn.
  if (starts.length > 2) starts[0] = 2 * starts[1] - starts[2];
  const ghosts = GHOSTS[kind].map((key) => windows.map((_window, place) => before[place]?.[key] ?? null));
  if (kind === "requests") {
    // Stacked: the whole is drawn first, what succeeded over it, so what failed stays on top.
    const column = (key) => windows.map((window) => window[key]);
    return [starts, column("total_requests"), column("successful_requests"), ...ghosts];
  }
  return [starts, ...SERIES.latency.map(({ key }) => windows.map((window) => window[key])), ...ghosts];
}

// `shown` is {tz, from, to, marks} in epoch seconds; it is read anew at each drawing. `onCursor` is told where
// the cursor is, `onDrag` from where to where it was dragged, in pixels.
export function optionsOf(kind, size, shown, onCursor, onDrag) {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color("--soft"),
    font: `12px ${style.getPropertyValue("--font")}`,
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    ...size,
    legend: { show: false },
    padding: [10, 30, 0, 0], // on the right for half of the last label
    cursor: { y: false, points: { show: kind === "latency" }, drag: { x: true, y: false, dist: 6, setScale: false } },
    tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), shown().tz),
    scales: {
      x: { time: true, range: () => [shown().from, shown().to] },
      y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.08 : 1] },
    },
    axes: [
      { ...axis, space: 74, size: 40, values: (_plot, splits, _index, _space, step) => ticks(splits, step, shown().tz) },
      {
        ...axis,
        size: 62,
        space: 34,
        incrs: kind === "requests" ? WHOLE_STEPS : undefined,
        values: (_plot, splits) => splits.map(kind === "requests" ? format.compact : format.roundSeconds),
      },
    ],
    series: [{}, ...(kind === "requests" ? bars(color) : lines(color))],
    hooks: {
      setCursor: [(plot) => onCursor(plot.cursor.left)],
      setSelect: [({ select }) => onDrag(select.left, select.left + select.width)],
      draw: [(plot) => shown().marks.forEach((mark) => drawMark(plot, mark, color))],
    },
  };
}

const WHOLE_STEPS = Array.from({ length: 15 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

function ticks(splits, step, tz) {
  let before = null;
  return splits.map((seconds) => {
    const day = format.dayOf(seconds, tz);
    const isNewDay = day !== before && step < SECONDS_A_DAY;
    before = day;
    return format.tick(seconds, step, tz, isNewDay);
  });
}

function bars(color) {
  const paths = window.uPlot.paths.bars({ size: [0.9, 60], align: 1 });
  const bar = { paths, points: { show: false }, width: 0 };
  return [
    { ...bar, fill: hatched(color("--bad"), color("--bad-soft")) },
    { ...bar, fill: color("--good") },
    { ...ghost(color("--text")), paths: window.uPlot.paths.stepped({ align: 1 }) },
  ];
}

function ghost(stroke) {
  return { stroke, alpha: 0.55, width: 1.5, dash: [3, 3], points: { show: false } };
}

function lines(color) {
  const drawn = SERIES.latency.map((series) => ({
    stroke: color(series.color),
    width: 2,
    dash: series.dash,
    points: { size: 5, fill: color("--panel") },
  }));
  return [...drawn, ghost(color("--median")), ghost(color("--p99"))];
}

// When something began to fire: a line with a flag, which is no color alone.
function drawMark(plot, { at, severity }, color) {
  const x = Math.round(plot.valToPos(at, "x", true));
  const { left, top, width, height } = plot.bbox;
  if (x < left || x > left + width) return;
  const side = 9 * devicePixelRatio;
  const pen = plot.ctx;
  pen.save();
  pen.strokeStyle = pen.fillStyle = color("--wrong");
  pen.lineWidth = 1.5 * devicePixelRatio;
  if (severity !== "page") pen.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
  pen.beginPath();
  pen.moveTo(x, top);
  pen.lineTo(x, top + height);
  pen.stroke();
  pen.beginPath();
  pen.moveTo(x, top);
  pen.lineTo(x + side, top + side / 2);
  pen.lineTo(x, top + side);
  pen.fill();
  pen.restore();
}

// Failed requests differ by their pattern, too: colors alone tell some readers nothing.
function hatched(strong, soft) {
  const side = 6 * devicePixelRatio;
  const tile = document.createElement("canvas");
  tile.width = tile.height = side;
  const pen = tile.getContext("2d");
  pen.fillStyle = soft;
  pen.fillRect(0, 0, side, side);
  pen.strokeStyle = strong;
  pen.lineWidth = side / 2.6;
  pen.beginPath();
  for (const shift of [-side, 0, side]) {
    pen.moveTo(shift - 1, side + 1);
    pen.lineTo(shift + side + 1, -1);
  }
  pen.stroke();
  const pattern = pen.createPattern(tile, "repeat");
  return () => pattern;
}
