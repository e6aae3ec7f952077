// Gives lower levels a chance before WebRTC is given up. It is pure: verdicts of the network watch, the levels and `now`
// (any monotonic milliseconds) go in, the next step comes out.
//
// The node lowers the level by its estimate of the network. Where it has none, or its estimate says that the network carries the
// level although it does not play well, the player bounds the bit rate itself. LL-HLS comes after the lowest level or audio
// only, and at once where the viewer has chosen the level.
//
// Invariant: WebRTC that is not to be saved is left in bounded time, `URGENT_MS` where nearly nothing plays. Then LL-HLS
// plays within 5 s where most packets are lost: 2.5 s until that is known, and less than 1.2 s until its first frame.

import { AUDIO_ONLY, type Level, type Levels } from './levels';
import type { Verdict } from './network_watch';

export interface Step {
  /** Whether WebRTC is to be left for LL-HLS, if it is poor. Else the verdict is no reason to. */
  leave: boolean;
  /** Another level plays, so the network watch must begin anew. */
  anew: boolean;
  /** The most that the automatic choice may take, in bits per second. Null if it is not bounded. */
  maxBitrate: number | null;
}

/** Lower levels have this long where nearly nothing plays. */
const URGENT_MS = 1200;
const NOTHING_PLAYS = 0.9;
/** And this long, all levels together, where some plays. */
const WHOLE_MS = 20_000;
/** The node has this long to lower the level by its estimate. */
const NODE_MS = 1000;
/** And this long to lower it after it was asked to: levels change at keyframes. */
const ASKED_MS = 2500;
/** Without harm for this long, the bound is lifted. Each bound that follows soon after lasts twice as long. */
const LIFT = { firstMs: 30_000, limitMs: 300_000 };
/** After a longer time without verdicts, as while LL-HLS plays, it begins anew. The bound stays, so WebRTC is tried again by it. */
const PAUSE_MS = 5000;
/** A level must leave room for the audio and for repairs. */
const SHARE = 0.8;

/** A descent that goes on: when it began, when it was seen that nearly nothing plays, and when the node was asked. */
interface Run {
  since: number;
  urgent: number | null;
  asked: number | null;
}

export class Descent {
  #run: Run | null = null;
  #level: string | null = null;
  #bound: number | null = null;
  #wellSince = 0;
  #liftMs = LIFT.firstMs;
  #liftedAt = Number.NEGATIVE_INFINITY;
  #judgedAt = Number.NEGATIVE_INFINITY;

  /** `isAutomatic` means that the viewer has not chosen a level. */
  judge(verdict: Verdict, levels: Levels, isAutomatic: boolean, now: number): Step {
    if (now - this.#judgedAt > PAUSE_MS) [this.#run, this.#wellSince] = [null, now];
    this.#judgedAt = now;
    const isLower = this.#wentDown(levels);
    if (this.#run && isLower) this.#run.asked = null;
    if (!isAutomatic) {
      this.#bound = null;
      return this.#leave();
    }
    if (verdict.poor === null) return this.#well(isLower, now);
    this.#wellSince = now;
    const isUrgent = verdict.poor === 'lossy' || verdict.harm >= NOTHING_PLAYS;
    const lower = below(levels);
    const run = this.#run ?? { since: now, urgent: null, asked: null };
    if (isUrgent && run.urgent === null) {
      if (lower.length === 0) return this.#leave();
      run.urgent = now;
    }
    const urgentFor = run.urgent === null ? 0 : now - run.urgent;
    if (urgentFor >= URGENT_MS || now - run.since >= WHOLE_MS) return this.#leave();
    // What was measured before the change says nothing about the level that plays now, but harm this great is to end at once.
    if (isLower) return this.#stay(run, run.urgent === null);
    if (lower.length === 0) return run.urgent === null ? this.#leave() : this.#stay(run);
    if (run.asked !== null) return now - run.asked >= ASKED_MS ? this.#leave() : this.#stay(run);
    const willLower = levels.estimate !== null && levels.estimate < (playing(levels)?.bitrate ?? 0);
    if (willLower && !isUrgent && now - run.since < NODE_MS) return this.#stay(run);
    const target = isUrgent ? lower.at(-1) : fitting(lower, willLower ? levels.estimate : null);
    if (!target?.bitrate) return this.#leave(); // It is not known what it takes.
    run.asked = now;
    this.#bind(target.bitrate, now);
    return this.#stay(run);
  }

  #wentDown(levels: Levels): boolean {
    const { list, current } = levels;
    const before = this.#level;
    this.#level = current;
    if (before === null || current === null || current === before || before === AUDIO_ONLY) return false;
    const place = (key: string) => list.findIndex((level) => level.key === key);
    return current === AUDIO_ONLY || (place(before) >= 0 && place(current) > place(before));
  }

  #bind(bitrate: number, now: number): void {
    const soon = now - this.#liftedAt < 2 * LIFT.firstMs;
    if (this.#bound === null) this.#liftMs = soon ? Math.min(2 * this.#liftMs, LIFT.limitMs) : LIFT.firstMs;
    this.#bound = this.#bound === null ? bitrate : Math.min(this.#bound, bitrate);
  }

  #well(isLower: boolean, now: number): Step {
    if (this.#run?.urgent != null || isLower) {
      // It plays at the lower level.
      if (this.#run?.urgent != null) this.#run = null;
      this.#wellSince = now;
      return { leave: false, anew: true, maxBitrate: this.#bound };
    }
    if (this.#run && now - this.#run.since >= WHOLE_MS) this.#run = null;
    if (this.#bound !== null && now - this.#wellSince >= this.#liftMs) {
      this.#bound = null;
      this.#liftedAt = now;
    }
    return { leave: false, anew: false, maxBitrate: this.#bound };
  }

  #stay(run: Run, anew = false): Step {
    this.#run = run;
    return { leave: false, anew, maxBitrate: this.#bound };
  }

  /** It stays at that while WebRTC is poor. */
  #leave(): Step {
    this.#run = { since: Number.NEGATIVE_INFINITY, urgent: null, asked: null };
    return { leave: true, anew: false, maxBitrate: this.#bound };
  }
}

function playing({ list, current }: Levels): Level | undefined {
  return list.find(({ key }) => key === current);
}

/** Returns the levels below the one that plays, the best first. */
function below({ list, current }: Levels): readonly Level[] {
  const place = list.findIndex(({ key }) => key === current);
  return place < 0 ? [] : list.slice(place + 1);
}

/** Returns the best level that the estimate allows, or else the next one. */
function fitting(lower: readonly Level[], estimate: number | null): Level | undefined {
  if (estimate === null) return lower[0];
  return lower.find(({ bitrate }) => bitrate !== null && bitrate <= estimate * SHARE) ?? lower.at(-1);
}
