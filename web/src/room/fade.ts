// Fades the audio from one player to another: never both at full level, and never a gap. This is pure: elapsed time in,
// levels out.

export const FADE_MS = 60; // Long enough to avoid a click, and too short to hear the two program times as an echo.

const AUDIBLE = 0.25; // -12 dB. Softer audio does not count as heard when gaps and overlaps are measured.

/**
 * Returns the levels of both players, from 0 to 1, for a fade of equal power. Both play different program times, so
 * their powers add and not their amplitudes.
 */
export function levels(elapsedMs: number, durationMs = FADE_MS): { from: number; to: number } {
  const part = Math.min(1, Math.max(0, elapsedMs / durationMs));
  if (part === 1) return { from: 0, to: 1 };
  return { from: Math.cos((part * Math.PI) / 2), to: Math.sin((part * Math.PI) / 2) };
}

/** Measures the longest time without audio and the longest time with both. The caller reports each change of levels. */
export class SoundLog {
  gapMs = 0;
  overlapMs = 0;
  #since: number | null = null;
  #heard = 1;

  note(now: number, from: number, to: number): void {
    if (this.#since !== null) {
      const lasted = now - this.#since;
      if (this.#heard === 0) this.gapMs = Math.max(this.gapMs, lasted);
      if (this.#heard === 2) this.overlapMs = Math.max(this.overlapMs, lasted);
    }
    const heard = Number(from > AUDIBLE) + Number(to > AUDIBLE);
    if (heard !== this.#heard || this.#since === null) this.#since = now;
    this.#heard = heard;
  }
}

/** Measures the longest time without a new frame. The caller reports each frame of the element on top. */
export class PictureGaps {
  longestMs = 0;
  #last: number;

  constructor(now: number) {
    this.#last = now;
  }

  picture(now: number): void {
    this.longestMs = Math.max(this.longestMs, now - this.#last);
    this.#last = now;
  }
}
