// Judges by a session's own readings how well the network carries it. It is pure: readings and `now` (any monotonic
// milliseconds) go in, a verdict comes out. It holds the readings of 10 s.
//
// Invariant: only harm that the viewer's network does counts. If the publisher stutters, so does LL-HLS. So a WebRTC
// session is poor only if packets are lost on the way to this viewer, or its round trips have become long.
//
// A network that carries nothing at all is not its concern: the frame watch and ICE see that.

/** Why the network does not carry WebRTC. They are among the reasons to give WHEP up. */
export type Poor =
  | 'lossy' // Most packets are lost.
  | 'frozen' // Video stood still for too much of the time.
  | 'audio_gaps'; // Too much of the audio was made up by the browser, because packets were missing.

/** What a session has counted so far. */
export interface NetworkReadings {
  /** The length of all freezes, in ms. A browser adds that of WebRTC when a freeze is over. */
  frozenMs: number;
  /** Is absent for LL-HLS. TCP repairs its losses, so a viewer notices stalls alone. */
  rtp?: RtpReadings;
}

export interface RtpReadings {
  /** Frames that were decoded. */
  frames: number;
  /** Packets of audio and video that arrived, without repairs. */
  packets: number;
  /** Packets of audio and video that did not arrive, repaired or not. */
  lost: number;
  videoPackets: number;
  audioLost: number;
  /** Samples of audio that were played. */
  samples: number;
  /** Those of them that the browser made up. */
  concealed: number;
  /** Those of them that were made up as silence. They are no harm if nothing was sent. */
  silent: number;
  rttMs: number | null;
}

export interface Verdict {
  /** Is null while the network carries the session. */
  poor: Poor | null;
  /** The share of time, from 0 to 1, in which video was frozen or audio was missing, whichever is greater. */
  harm: number;
  /** Whether a session that began a while ago plays well. Is null before that is known. */
  fit: boolean | null;
}

/** Readings that come sooner after the last ones are left out. */
const SAMPLE_MS = 400;
/** Timers are late by about this much. */
const SLACK_MS = 200;
/** After a longer time without readings, as in a hidden page, it begins anew. */
const PAUSE_MS = 3000;
/** A session begins with the frames that the node has kept, played fast, and with an empty buffer of audio. */
const SETTLE_MS = 2000;
/** People put up with a short disturbance, and less with a change of transport that repeats 1 to 2 s of the program. */
const WINDOW_MS = 10_000;
/** LL-HLS over a network that loses packets stalls for less than this share of the time. */
const FROZEN = 0.1;
/** Speech is hard to follow from about this share of missing audio on. */
const CONCEALED = 0.05;
/** Harm has to last. A single outage, as on the way from one Wi-Fi cell to the next, is over sooner. */
const LASTS_MS = 5000;
/** It is not too late to stay if nothing was wrong in this time. */
const STILL_MS = 2000;
/** Retransmission repairs less loss than this without harm, so there the harm has another cause. */
const LEAST_LOSS = 0.02;
/** A queue on the way makes round trips longer by this much before it loses packets. */
const QUEUE_MS = 300;
/**
 * The extreme case is clear sooner: with this loss all the time, and this harm in spite of all repairs, it does not become
 * better. Audio that was sent again does not count as lost, so of 70 % some 50 % are left.
 */
const COLLAPSE = { ms: 2000, loss: 0.35, harm: 0.25 };
/** Fewer frames than this share of the usual ones count as frozen for the share that is missing. */
const CHOPPY = 0.5;
/** How fast the usual frame rate follows the one that is measured on a good network: within some 5 readings. */
const FOLLOW = 0.2;
/** A session is fit if it played for this long with at most half of the harm for which it would be left. */
const JUDGE_MS = 4000;
const FIT = { frozen: 0.03, concealed: 0.02 };

interface Interval {
  end: number;
  ms: number;
  frozenMs: number;
  concealedMs: number;
  packets: number;
  lost: number;
  rttMs: number | null;
}

const UNKNOWN: Verdict = { poor: null, harm: 0, fit: null };

export class NetworkWatch {
  #last: (NetworkReadings & { at: number }) | null = null;
  #beganAt: number | null = null;
  #intervals: Interval[] = [];
  /** The part of the present freeze that has been counted. */
  #openMs = 0;
  #usualFps: number | null;
  #bestRttMs = Number.POSITIVE_INFINITY;
  #verdict = UNKNOWN;

  /** `usualFps` is what an earlier session has seen, if there was one. */
  constructor(usualFps: number | null = null) {
    this.#usualFps = usualFps;
  }

  /** Returns the frame rate of the program, as far as it is known from times without loss. */
  get usualFps(): number | null {
    return this.#usualFps;
  }

  sample(readings: NetworkReadings, now: number): Verdict {
    const last = this.#last;
    if (last && now - last.at < SAMPLE_MS) return this.#verdict;
    this.#last = { ...readings, at: now };
    const plays = !readings.rtp || readings.rtp.frames > 0 || readings.rtp.samples > 0;
    if (plays) this.#beganAt ??= now;
    if (!last || now - last.at > PAUSE_MS) {
      this.#intervals = [];
      this.#openMs = 0;
      this.#verdict = UNKNOWN;
    } else if (this.#beganAt !== null && last.at >= this.#beganAt + SETTLE_MS) {
      this.#add(this.#interval(last, readings, now));
      this.#verdict = this.#judge(now, readings.rtp !== undefined);
    }
    return this.#verdict;
  }

  #add(interval: Interval): void {
    this.#intervals.push(interval);
    const oldest = interval.end - WINDOW_MS;
    while ((this.#intervals[0]?.end ?? oldest) < oldest) this.#intervals.shift();
  }

  #interval(last: NetworkReadings & { at: number }, { frozenMs, rtp }: NetworkReadings, end: number): Interval {
    const ms = end - last.at;
    const frozen = Math.max(0, frozenMs - last.frozenMs);
    const interval = { end, ms, frozenMs: frozen, concealedMs: 0, packets: 0, lost: 0, rttMs: null };
    if (!rtp || !last.rtp) return interval;
    const since = (name: Exclude<keyof RtpReadings, 'rttMs'>) => Math.max(0, rtp[name] - (last.rtp?.[name] ?? 0));
    const [packets, lost, samples] = [since('packets'), since('lost'), since('samples')];
    // Nobody sends audio that is only silent, unless packets were lost.
    const missing = since('concealed') - (since('audioLost') > 0 ? 0 : since('silent'));
    const video = { frames: since('frames'), comes: since('videoPackets') > 0, lossless: lost <= packets * LEAST_LOSS };
    if (rtp.rttMs !== null) this.#bestRttMs = Math.min(this.#bestRttMs, rtp.rttMs);
    return {
      ...interval,
      frozenMs: this.#frozen(frozen, ms, video),
      concealedMs: samples > 0 ? (Math.max(0, missing) / samples) * ms : 0,
      packets,
      lost,
      rttMs: rtp.rttMs,
    };
  }

  /** `ended` is what the browser has added for freezes that are over. */
  #frozen(ended: number, ms: number, video: { frames: number; comes: boolean; lossless: boolean }): number {
    const fps = (video.frames * 1000) / ms;
    if (!video.comes) return 0; // Nobody sends video.
    const usual = this.#usualFps;
    if (video.frames === 0) {
      const due = usual === null ? 2 : (usual * ms) / 1000;
      if (due < 2) return 0;
      this.#openMs += ms;
      return ms;
    }
    const frozen = Math.max(0, ended - this.#openMs);
    this.#openMs = 0;
    if (video.lossless) this.#usualFps = usual === null ? fps : usual + (fps - usual) * FOLLOW;
    const choppy = usual !== null && fps < usual * CHOPPY ? (1 - fps / usual) * ms : 0;
    return Math.max(frozen, choppy);
  }

  #judge(now: number, isRtp: boolean): Verdict {
    const whole = sum(this.#intervals);
    const recent = sum(newest(this.#intervals, COLLAPSE.ms - SLACK_MS));
    const collapsed =
      recent.ms >= COLLAPSE.ms - SLACK_MS && recent.leastLoss >= COLLAPSE.loss && recent.harm >= COLLAPSE.harm;
    const fit = collapsed ? false : this.#fit();
    if (collapsed) return { poor: 'lossy', harm: recent.harm, fit };
    const [frozen, concealed] = [whole.frozenMs / WINDOW_MS, whole.concealedMs / WINDOW_MS];
    const harm = Math.max(frozen, concealed);
    const isPoor = (frozen >= FROZEN || concealed >= CONCEALED) && this.#lasts(now);
    if (!isPoor || (isRtp && !this.#isToBlame(whole.loss))) return { poor: null, harm, fit };
    return { poor: frozen >= FROZEN ? 'frozen' : 'audio_gaps', harm, fit };
  }

  /** Returns whether the viewer's network, and not the publisher, causes the harm. */
  #isToBlame(loss: number): boolean {
    const queues = ({ rttMs }: Interval) => rttMs !== null && rttMs >= this.#bestRttMs + QUEUE_MS;
    return loss >= LEAST_LOSS || this.#intervals.some(queues);
  }

  /** Returns whether the harm is not a single outage, and not over. */
  #lasts(now: number): boolean {
    const bad = this.#intervals.filter(
      ({ ms, frozenMs, concealedMs }) => frozenMs >= ms * FROZEN || concealedMs >= ms * CONCEALED,
    );
    const [first, last] = [bad[0], bad.at(-1)];
    if (!first || !last || last.end < now - STILL_MS) return false;
    return last.end - (first.end - first.ms) >= LASTS_MS;
  }

  #fit(): boolean | null {
    const { ms, frozenMs, concealedMs } = sum(newest(this.#intervals, JUDGE_MS - SLACK_MS));
    if (ms < JUDGE_MS - SLACK_MS) return null;
    return frozenMs <= ms * FIT.frozen && concealedMs <= ms * FIT.concealed;
  }
}

/** Returns the newest intervals that last for `ms` together, or all if they are shorter. */
function newest(intervals: Interval[], ms: number): Interval[] {
  let [first, lasts] = [intervals.length, 0];
  while (first > 0 && lasts < ms) lasts += intervals[--first]?.ms ?? 0;
  return intervals.slice(first);
}

function sum(intervals: Interval[]) {
  const total = { ms: 0, frozenMs: 0, concealedMs: 0, packets: 0, lost: 0, leastLoss: 1 };
  for (const { ms, frozenMs, concealedMs, packets, lost } of intervals) {
    total.ms += ms;
    total.frozenMs += frozenMs;
    total.concealedMs += concealedMs;
    total.packets += packets;
    total.lost += lost;
    total.leastLoss = Math.min(total.leastLoss, share(lost, packets));
  }
  const harm = total.ms > 0 ? Math.min(1, Math.max(total.frozenMs, total.concealedMs) / total.ms) : 0;
  return { ...total, harm, loss: share(total.lost, total.packets) };
}

function share(lost: number, arrived: number): number {
  return lost > 0 ? lost / (arrived + lost) : 0;
}
