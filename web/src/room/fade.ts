// The sound's way from one player to another: never both at full, never a hole. Pure: elapsed time in, levels out.

export const FADE_MS = 60; // Long enough not to click, too short to hear the echo of two program times.

const AUDIBLE = 0.25; // -12 dB: what is softer does not count as heard when gaps and overlaps are measured.

/** Levels, 0 to 1. Equal power: the two sound at different program times, so their powers add, not their waves. */
export function levels(elapsedMs: number, durationMs = FADE_MS): { from: number; to: number } {
  const part = Math.min(1, Math.max(0, elapsedMs / durationMs));
  if (part === 1) return { from: 0, to: 1 };
  return { from: Math.cos((part * Math.PI) / 2), to: Math.sin((part * Math.PI) / 2) };
}

/** Longest times in which neither, or both, of two sounds could be heard. Told of every change of the levels. */
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

/** Longest time without a new picture among those that were on top. */
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
