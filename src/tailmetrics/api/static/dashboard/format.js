// Numbers and times as the reader's locale writes them.

const NONE = "–";

const counts = new Intl.NumberFormat();
const percents = new Intl.NumberFormat(undefined, { style: "percent", minimumFractionDigits: 2, maximumFractionDigits: 2 });
const shares = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const small = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

const threeDigits = new Intl.NumberFormat(undefined, { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const upToThree = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });

export const count = (value) => counts.format(value);
// Where a line begins: in a topic's partition, the offset of its message and which of its lines it is.
export const place = (path, offset) =>
  path?.startsWith("kafka://") ? `offset ${counts.format(Math.floor(offset / 2 ** 20))}, line ${counts.format(offset % 2 ** 20)}` : `byte ${counts.format(offset)}`;
export const compact = (value) => small.format(value);
export const share = (part, whole) => (whole ? shares.format(part / whole) : NONE);

// As exact as it was written.
const exactPercents = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 5 });
export const percent = (value) => exactPercents.format(value / 100);

export const wholePercent = (value) => shares.format(value / 100);
export const amount = (value) => upToThree.format(value);
const twoDigits = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 });
export const rate = (value) => twoDigits.format(value);

// What was missed once never looks as if all was kept.
const threeDecimals = new Intl.NumberFormat(undefined, { style: "percent", minimumFractionDigits: 2, maximumFractionDigits: 3 });
export const exactUptime = (value) => threeDecimals.format((value < 100 ? Math.min(value, 99.999) : value) / 100);

// How a figure differs from what it was: by a share of that, or between per cents in points.
const changes = new Intl.NumberFormat(undefined, { style: "percent", maximumSignificantDigits: 2 });
const points = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
export function change(value, before, isPercent) {
  if (value === null || before === null) return "";
  const difference = value - before;
  const size = isPercent ? points.format(Math.abs(difference)) : before ? changes.format(Math.abs(difference / before)) : "";
  if (difference === 0 || Number.parseFloat(size.replace(",", ".")) === 0) return "=";
  return `${difference > 0 ? "▲" : "▼"}\u202f${size}`.trim();
}

// What failed once never looks as if all went well.
export function uptime(value) {
  if (value === null) return NONE;
  return percents.format((value < 100 ? Math.min(value, 99.99) : value) / 100);
}

// Symbols of units are the same in every language; a narrow space keeps them with their number.
function inSeconds(value, numbers) {
  if (value === null) return NONE;
  if (value === 0) return "0\u202fs";
  if (value < 0.0009995) return `${numbers.format(value * 1e6)}\u202fµs`;
  if (value < 0.9995) return `${numbers.format(value * 1e3)}\u202fms`;
  return value < 999.5 ? `${numbers.format(value)}\u202fs` : `${counts.format(Math.round(value))}\u202fs`;
}

export const seconds = (value) => inSeconds(value, threeDigits);
export const roundSeconds = (value) => inSeconds(value, upToThree);

export function bytes(value) {
  const [size, unit] = value < 1e3 ? [1, "B"] : value < 1e6 ? [1e3, "kB"] : value < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  return `${upToThree.format(value / size)}\u202f${unit}`;
}

const makers = new Map();
function dated(options, tz) {
  const key = `${tz} ${JSON.stringify(options)}`;
  if (!makers.has(key)) {
    // Few zones and few forms are ever used, but a page may be open for long.
    if (makers.size > 50) makers.clear();
    makers.set(key, new Intl.DateTimeFormat(undefined, { ...options, timeZone: tz }));
  }
  return makers.get(key);
}

const DATE = { year: "numeric", month: "short", day: "numeric" };
const MINUTE = { hour: "2-digit", minute: "2-digit" };
const SECOND = { ...MINUTE, second: "2-digit" };

export const clock = (time, tz) => dated(SECOND, tz).format(new Date(time));
export const precise = (time, tz) => dated({ month: "short", day: "numeric", ...SECOND, fractionalSecondDigits: 3 }, tz).format(new Date(time));
export const moment = (time, tz) => dated({ ...DATE, ...SECOND }, tz).format(new Date(time));

export function span(from, to, tz) {
  const [begin, end] = [new Date(from), new Date(to)];
  const form = end - begin < 3_600_000 ? SECOND : MINUTE;
  return dated({ ...DATE, ...form }, tz).formatRange(begin, end);
}

// A label of an axis, as coarse as the distance between two labels.
export function tick(epochSeconds, stepSeconds, tz, isNewDay) {
  const time = new Date(epochSeconds * 1000);
  if (stepSeconds >= 86_400) return dated({ month: "short", day: "numeric" }, tz).format(time);
  const label = dated(stepSeconds < 60 ? SECOND : MINUTE, tz).format(time);
  return isNewDay ? `${label}\n${dated({ month: "short", day: "numeric" }, tz).format(time)}` : label;
}

// A day as 2024-10-10, and such a day as it is written and said.
const isoParts = { year: "numeric", month: "2-digit", day: "2-digit" };
export function isoDay(time, tz) {
  const key = `iso ${tz}`;
  if (!makers.has(key)) makers.set(key, new Intl.DateTimeFormat("en-CA", { ...isoParts, timeZone: tz }));
  return makers.get(key).format(new Date(time));
}
export const weekday = (date) => dated({ weekday: "short" }, "UTC").format(new Date(date));
export const dayNumber = (date) => dated({ day: "numeric" }, "UTC").format(new Date(date));
export const longDay = (date) => dated({ weekday: "long", ...DATE, month: "long" }, "UTC").format(new Date(date));

export const dayOf = (epochSeconds, tz) => dated(DATE, tz).format(new Date(epochSeconds * 1000));
