// Computes percentiles and formats numbers. `null` means that there is no sample. 0 never means that.

export function percentile(values, percent) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))];
}

/**
 * Returns how long the gap is in which at least `100 - percent` percent of all moments lie. A gap counts by its length, so one second
 * without a frame in ten seconds with frames is seen at 95 percent, and one frame that is late is not.
 */
export function gapPercentile(gaps, percent) {
  const sorted = [...gaps].sort((a, b) => a - b);
  const all = sorted.reduce((sum, gap) => sum + gap, 0);
  let passed = 0;
  return sorted.find((gap) => (passed += gap) * 100 >= all * percent) ?? null;
}

export const median = (values) => percentile(values, 50);

export function rounded(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return "-";
  return value.toFixed(digits);
}
