// Computes the waiting times between attempts. Each is twice the one before, up to a limit. They are spread by ±20 %,
// so that a thousand viewers of one restarted node do not all return at the same moment.
//
// This is pure: the caller owns the count of failures and the source of randomness.

export interface Backoff {
  firstMs: number;
  limitMs: number;
}

/** Returns the milliseconds to wait after `failures` failures in a row. `random` is in [0, 1). */
export function backoffMs(backoff: Backoff, failures: number, random: number): number {
  const doublings = Math.min(Math.max(failures - 1, 0), 30);
  const plain = Math.min(backoff.firstMs * 2 ** doublings, backoff.limitMs);
  return Math.round(plain * (0.8 + 0.4 * random));
}
