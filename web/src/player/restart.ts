// Times one ICE restart of a session that has played. It is pure: `now` is any monotonic milliseconds.
//
// Invariant: the session is kept for `restartMs`, unless the node refuses. Where UDP is blocked, ICE needs some 4 s to come
// to TCP. LL-HLS gets ready after `standbyMs`, so the viewer does not wait for the end. The first of the two with a frame
// is shown. While the node cannot be reached, the restart is asked for again and again.
//
// What is opened and closed is decided in transport_choice.ts.

/** `again`: the node must be asked again. `standby`: LL-HLS must get ready. `over`: the session cannot be repaired. */
export type RestartStep = 'again' | 'standby' | 'over';

export interface RestartTiming {
  /** The longest time from an ICE restart to the next frame. */
  restartMs: number;
  /** After this time of it, LL-HLS gets ready. */
  standbyMs: number;
  /** The time until the node is asked again after it could not be reached. */
  askAgainMs: number;
}

const NEVER = Number.POSITIVE_INFINITY;

export class Restart {
  readonly #timing: RestartTiming;
  #endsAt: number;
  #standbyAt: number;
  #againAt = NEVER;

  constructor(timing: RestartTiming, now: number) {
    this.#timing = timing;
    this.#endsAt = now + timing.restartMs;
    this.#standbyAt = now + timing.standbyMs;
  }

  /** Returns when `due` must be called. */
  get deadline(): number {
    return Math.min(this.#endsAt, this.#standbyAt, this.#againAt);
  }

  /** Returns whether it is too early for another restart: this one was asked for a moment ago, and may succeed. */
  isFresh(now: number): boolean {
    return this.#againAt === NEVER && now < this.#endsAt - this.#timing.restartMs + this.#timing.standbyMs;
  }

  /** The node could not be reached. */
  unreachable(now: number): void {
    this.#againAt = now + this.#timing.askAgainMs;
  }

  due(now: number): RestartStep | null {
    if (now >= this.#endsAt) return 'over';
    if (now >= this.#standbyAt) {
      this.#standbyAt = NEVER;
      return 'standby';
    }
    if (now < this.#againAt) return null;
    this.#againAt = NEVER;
    return 'again';
  }
}
