// Waiting times between attempts: each twice the last, up to a limit, spread by ±20 % so that
// a thousand viewers of one restarted node do not all return in the same instant.
//
// Pure: the caller owns the count of failures and the source of randomness.

export interface Backoff {
  firstMs: number;
  limitMs: number;
}

/** Milliseconds to wait after the `failures`-th failure in a row (1 is the first). `random` is in [0, 1). */
export function backoffMs(backoff: Backoff, failures: number, random: number): number {
  const doublings = Math.min(Math.max(failures - 1, 0), 30);
  const plain = Math.min(backoff.firstMs * 2 ** doublings, backoff.limitMs);
  return Math.round(plain * (0.8 + 0.4 * random));
}
