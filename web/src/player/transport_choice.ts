// Decides which transport plays, as a pure state machine. Inputs and `now` (any monotonic milliseconds) go in, effects
// come out. It never waits, fetches or touches the page. The driver (player.ts) calls `due` when `deadline` has passed.
//
// Invariants: at most one session is opening at a time, so two video elements are enough: one is shown, one gets ready.
// The shown session is closed only after its successor has shown a frame, or when there is nothing to watch. The driver
// drops inputs of sessions that it has closed, so an input always concerns the current session. A session plays audio
// alone only in a room without video, so the viewer never stays before a black picture.
//
// A network may carry WHEP so badly that LL-HLS is better (network_watch.ts judges it). Then LL-HLS gets ready beside WHEP
// and takes over with its first frame. When WHEP is tried again beside LL-HLS, it plays unseen until it is judged to be fit.
// If LL-HLS turns out to be worse than WHEP was, the viewer goes back at once. None of this happens to a viewer who chose the
// transport, on a hidden page, or on mic.
//
// When the network may have become another one, ICE is restarted at once. A session whose frames stopped is kept as long as the
// restart may succeed, with its last frame (restart.ts). If LL-HLS plays before that, the session is on trial beside it.

import { backoffMs } from './backoff';
import type { Verdict } from './network_watch';
import { Restart } from './restart';
import {
  type Choice,
  type Effect,
  type HlsPhase,
  type Input,
  type Leg,
  type Reason,
  type State,
  TIMING,
  type Timing,
  type Transport,
  type WhepPhase,
} from './transport_words';

const NEVER = Number.POSITIVE_INFINITY;

export class TransportChoice {
  readonly #timing: Timing;
  readonly #random: () => number;
  #choice: Choice;
  #state: State = 'idle';
  #reason: Reason | undefined;
  #shown: Transport = 'none';
  #visible = true;
  #parked: Transport | null = null; // The transport that was shown before, while parked.
  #ice: Restart | null = null; // The newest ICE restart of the WHEP session, until frames come again.
  #reopened = false; // The shown WHEP session was lost, and one new session is being opened to replace it.
  #notLiveSeen = 0;
  #received = { audio: false, video: false };
  /**
   * Whether the WHEP session plays audio alone. `asked` means that the room's answer decides. `still` means that nobody
   * sends video at the moment, as with a paused camera, so the last frame stays. The node may send it again.
   */
  #alone: 'no' | 'asked' | 'plays' | 'still' = 'no';
  /** When the room was first seen to have video that the session, which plays audio alone, does not bring. */
  #videoMissedSince = NEVER;
  /** Whether a frame has come since the last stall. Only the state `still` looks at it. */
  #flows = true;
  /** The network does not carry the WHEP session that is shown, so LL-HLS is being opened. */
  #leaving: { reason: Reason; harm: number } | null = null;
  /** The WHEP session plays unseen beside LL-HLS until it is judged. */
  #trial = false;
  /** How often in a row the network did not carry WHEP. */
  #doubts = 0;
  /** The harm with which WHEP was left. */
  #harmLeft = Number.POSITIVE_INFINITY;
  /** Until then WHEP is not left, because LL-HLS was worse. */
  #keptUntil = Number.NEGATIVE_INFINITY;
  #whyNotWhep: Reason | undefined;
  #whep: Leg<WhepPhase> = { phase: 'off', until: NEVER, failures: 0, playingSince: 0 };
  #hls: Leg<HlsPhase> = { phase: 'off', until: NEVER, failures: 0, playingSince: 0 };
  #effects: Effect[] = [];

  constructor(choice: Choice, random: () => number, timing: Timing = TIMING) {
    this.#choice = choice;
    this.#random = random;
    this.#timing = timing;
  }

  get shown(): Transport {
    return this.#shown;
  }

  get state(): State {
    return this.#state;
  }

  get choice(): Choice {
    return this.#choice;
  }

  /** Returns when `due` must be called, or null if only an input can change anything. */
  deadline(): number | null {
    const until = Math.min(this.#whepMayAct() ? this.#whep.until : NEVER, this.#hlsMayAct() ? this.#hls.until : NEVER);
    return until === NEVER ? null : until;
  }

  apply(input: Input, now: number): Effect[] {
    this.#effects = [];
    if (this.#state !== 'closed') this.#take(input, now);
    return this.#effects;
  }

  due(now: number): Effect[] {
    this.#effects = [];
    if (this.#whepMayAct() && now >= this.#whep.until) this.#whepDue(now);
    if (this.#hlsMayAct() && now >= this.#hls.until) this.#hlsDue(now);
    return this.#effects;
  }

  #take(input: Input, now: number): void {
    if (this.#parked !== null && !['close', 'prefer', 'visible', 'unpark'].includes(input.kind)) return;
    switch (input.kind) {
      case 'park':
        this.#park();
        return;
      case 'unpark':
        this.#unpark(now);
        return;
      case 'play':
        if (this.#state === 'idle' || this.#state === 'failed') this.#start(now);
        return;
      case 'close':
        this.#closeAll();
        this.#tell('closed');
        return;
      case 'prefer':
        this.#prefer(input.choice, now);
        return;
      case 'online':
      case 'woke':
        this.#hurry(input.kind === 'online', now);
        if (input.kind === 'online') this.#restartEarly(now);
        return;
      case 'other_network':
        this.#restartEarly(now);
        return;
      case 'visible':
        this.#visible = input.visible;
        if (this.#trial && !this.#visible) this.#whepEnters('resting', now, true);
        return;
      case 'room':
        this.#heardOfVideo(input.video, now);
        this.#roomSeen(input.room, input.video, now);
        return;
      case 'whep_answered':
        if (this.#whep.phase === 'asking') this.#whepEnters('connecting', now + this.#timing.connectMs);
        return;
      case 'whep_connected':
        if (this.#whep.phase === 'connecting') this.#whepEnters('buffering', now + this.#timing.firstFrameMs);
        return;
      case 'whep_received':
        this.#received[input.media] = true;
        return;
      case 'whep_audio':
        if (!this.#whepOpen() || this.#alone !== 'no') return;
        this.#alone = 'asked';
        this.#effects.push({ do: 'ask_room' });
        return;
      case 'whep_pictures':
        this.#alone = 'no';
        if (this.#whep.phase === 'playing' && !this.#trial) this.#whep.until = NEVER;
        return;
      case 'whep_frame':
        this.#whepPlays(now);
        return;
      case 'whep_refused':
        this.#whepRefused(input, now);
        return;
      case 'whep_unsupported':
        this.#whepGivesUp('unsupported', now);
        return;
      case 'whep_down':
        if (this.#whep.phase === 'restarting') return;
        if (this.#trial) this.#whepFails('blocked', now);
        else if (this.#whep.phase === 'playing' || this.#whep.phase === 'held') this.#restart(now);
        else if (this.#whepOpening()) this.#whepFails('blocked', now);
        return;
      case 'whep_lost':
        this.#whepLost(now);
        return;
      case 'whep_stalled':
        this.#flows = false;
        if (this.#trial) this.#whepFails('stalled', now);
        else if (this.#whep.phase === 'playing' && this.#alone !== 'still') this.#hold('whep', now);
        return;
      case 'whep_restart_failed':
        this.#restartFailed(input.unreachable === true, now);
        return;
      case 'whep_judged':
        this.#whepJudged(input.verdict, now);
        return;
      case 'hls_judged':
        this.#hlsJudged(input.verdict, now);
        return;
      case 'hls_frame':
        this.#hlsPlays(now);
        return;
      case 'hls_not_live':
        this.#hlsNotLive(now);
        return;
      case 'hls_ended':
        this.#nothingToWatch('ended', now);
        return;
      case 'hls_stalled':
        if (this.#hls.phase === 'playing') this.#hold('hls', now);
        return;
      case 'hls_failed':
        this.#hlsFails(input.reason, now, input.detail);
        return;
    }
  }

  #start(now: number): void {
    this.#reopened = false;
    this.#notLiveSeen = 0;
    this.#doubts = 0;
    this.#whep = { phase: 'off', until: NEVER, failures: 0, playingSince: now };
    this.#hls = { phase: 'off', until: NEVER, failures: 0, playingSince: now };
    this.#tell('connecting');
    if (this.#choice === 'hls') this.#openHls(now);
    else this.#openWhep(now);
  }

  #park(): void {
    if (this.#state === 'idle') return;
    this.#parked = this.#shown;
    this.#whepEnters('off', NEVER, true);
    this.#hlsEnters('off', NEVER, true);
    this.#show('mic');
    this.#tell('playing');
  }

  #unpark(now: number): void {
    if (this.#parked === null) return;
    const before = this.#parked;
    this.#parked = null;
    this.#reopened = false;
    this.#notLiveSeen = 0;
    this.#whep = { phase: 'off', until: NEVER, failures: 0, playingSince: now };
    this.#hls = { phase: 'off', until: NEVER, failures: 0, playingSince: now };
    const byHls = this.#choice === 'hls' || (this.#choice === 'auto' && before === 'hls');
    if (!byHls) return this.#openWhep(now);
    if (this.#choice === 'auto') this.#whepEnters('resting', now + this.#rest());
    this.#openHls(now);
  }

  #prefer(choice: Choice, now: number): void {
    if (choice === this.#choice) return;
    this.#choice = choice;
    this.#leaving = null;
    const plays = this.#trial && this.#whep.phase === 'playing';
    this.#trial = false;
    if (this.#state === 'idle' || this.#parked !== null) return;
    if (this.#state === 'failed') return this.#start(now);
    const wanted = choice === 'hls' ? 'hls' : 'whep';
    if (this.#shown === wanted && (wanted === 'hls' ? this.#hls : this.#whep).phase === 'playing') {
      // The wanted transport plays already, so only stop the other one.
      if (wanted === 'hls') this.#whepEnters('off', NEVER, true);
      else this.#hlsEnters('off', NEVER, true);
      return;
    }
    if (wanted === 'hls') {
      if (this.#shown !== 'whep' || !this.#whepOpen()) this.#whepEnters('off', NEVER, true);
      if (!this.#hlsOpen()) this.#openHls(now);
    } else {
      if (this.#shown !== 'hls' || !this.#hlsOpen()) this.#hlsEnters('off', NEVER, true);
      this.#whep.failures = 0;
      if (plays) this.#whepPlays(now);
      else if (!this.#whepOpen()) this.#openWhep(now);
    }
    if (this.#shown === 'none' && this.#state !== 'waiting') this.#tell('connecting');
  }

  /** Resting transports may try again at once, but only a network that was away may have become another one. */
  #hurry(wasAway: boolean, now: number): void {
    for (const leg of [this.#whep, this.#hls]) {
      if (leg.phase !== 'resting' || (leg === this.#whep && this.#doubts > 0 && !wasAway)) continue;
      leg.failures = 0;
      leg.until = now;
    }
  }

  // WHEP

  #openWhep(now: number): void {
    this.#received = { audio: false, video: false };
    this.#alone = 'no';
    this.#whepEnters('asking', now + this.#timing.askMs);
    this.#effects.push({ do: 'open_whep' });
  }

  #whepPlays(now: number): void {
    if (this.#whep.phase === 'off' || this.#whep.phase === 'resting' || this.#whep.phase === 'given_up') return;
    this.#flows = true;
    if (this.#whep.phase !== 'playing') this.#ice = null;
    if (this.#alone === 'still' && this.#whep.phase === 'playing') return;
    const begins = this.#whep.phase !== 'playing';
    if (begins) this.#whep.playingSince = now;
    if (this.#trial) {
      if (begins) this.#whepEnters('playing', now + this.#timing.trialMs);
      return;
    }
    this.#whepEnters('playing', this.#alone === 'plays' ? now + this.#timing.aloneMs : NEVER);
    this.#reopened = false;
    this.#notLiveSeen = 0;
    if (this.#leaving) return this.#tell('playing');
    if (this.#choice === 'hls' && this.#hls.phase !== 'off') {
      // WHEP is shown only until HLS, which the viewer chose, has a frame.
      if (this.#shown === 'none') this.#show('whep');
      if (this.#shown === 'whep') this.#tell('playing');
      return;
    }
    this.#show('whep');
    this.#hlsEnters('off', NEVER, true);
    this.#hls.failures = 0;
    this.#tell('playing');
  }

  #whepRefused(refusal: { status: number; detail?: string; retryAfterMs?: number }, now: number): void {
    const { status, detail } = refusal;
    if (status === 401 || status === 403) return this.#fail('unauthorized', detail);
    if (status === 406 || status === 415) return this.#whepGivesUp('no_codec', now, detail);
    if ((status === 404 || status === 409) && this.#hls.phase !== 'playing')
      return this.#nothingToWatch('not_live', now);
    const reason = status === 0 ? 'unreachable' : status === 503 ? 'full' : 'refused';
    this.#whepFails(reason, now, detail, refusal.retryAfterMs);
  }

  /**
   * Does not try WHEP again by itself, because the answer would be the same. For want of a codec it tries again, rarely:
   * another program may have one.
   */
  #whepGivesUp(reason: Reason, now: number, detail?: string): void {
    const again = reason === 'no_codec' && this.#choice === 'auto' && this.#hls.phase !== 'given_up';
    if (again) this.#whepEnters('resting', now + this.#timing.probe.limitMs, reason);
    else this.#whepEnters('given_up', NEVER, reason);
    if (this.#choice === 'hls') return;
    if (this.#choice === 'whep' || this.#hls.phase === 'given_up') {
      if (this.#shown !== 'hls') this.#fail(reason, detail);
    } else if (this.#hls.phase === 'off') {
      this.#tell(this.#state === 'connecting' ? 'connecting' : 'recovering', reason, detail);
      this.#openHls(now);
    }
  }

  #whepFails(reason: Reason, now: number, detail?: string, retryAfterMs = 0): void {
    this.#reopened = false;
    if (this.#leaving) {
      this.#tell('recovering', reason, detail);
      return this.#leave(now);
    }
    if (this.#choice === 'hls') {
      // WHEP only bridged the time until HLS has a frame.
      this.#whepEnters('off', NEVER, reason);
      return this.#tell('recovering', reason, detail);
    }
    if (now - this.#whep.playingSince > this.#timing.goodSpellMs && this.#shown === 'whep') this.#whep.failures = 0;
    this.#whep.failures++;
    const fallback = this.#choice === 'auto' && this.#hls.phase !== 'given_up';
    if (fallback && (this.#doubts > 0 || reason === 'still_poor')) this.#doubts++;
    const rest = fallback ? this.#rest() : backoffMs(this.#timing.retry, this.#whep.failures, this.#random());
    this.#whepEnters('resting', now + Math.max(rest, retryAfterMs), reason);
    if (this.#hls.phase === 'playing') return; // Only a probe failed, so the viewer sees no change.
    this.#tell(this.#state === 'connecting' && fallback ? 'connecting' : 'recovering', reason, detail);
    if (fallback && this.#hls.phase === 'off') this.#openHls(now);
  }

  /** Returns how long WHEP rests while LL-HLS plays. */
  #rest(): number {
    if (this.#doubts > 0) return backoffMs(this.#timing.doubted, this.#doubts, this.#random());
    return backoffMs(this.#timing.probe, this.#whep.failures, this.#random());
  }

  #whepJudged({ poor, harm, fit }: Verdict, now: number): void {
    if (this.#trial) {
      if (this.#whep.phase !== 'playing' || fit === null) return;
      if (!fit) return this.#whepFails('still_poor', now);
      this.#trial = false;
      return this.#whepPlays(now);
    }
    const shown = this.#choice === 'auto' && this.#shown === 'whep' && this.#whepOpen() && this.#alone === 'no';
    if (!poor || !shown || !this.#hlsMayOpen(now) || !this.#visible || now < this.#keptUntil) return;
    if (now - this.#whep.playingSince > this.#timing.steadyMs) this.#doubts = 0;
    this.#openHls(now);
    this.#leaving = { reason: poor, harm };
  }

  /** Gives up the WHEP session that the network does not carry. */
  #leave(now: number): void {
    if (!this.#leaving) return;
    const { reason, harm } = this.#leaving;
    this.#leaving = null;
    this.#harmLeft = harm;
    this.#doubts++;
    this.#whepEnters('resting', now + this.#rest(), reason);
  }

  #hlsJudged({ poor, harm }: Verdict, now: number): void {
    const left = this.#choice === 'auto' && this.#shown === 'hls' && this.#doubts > 0 && this.#whep.phase === 'resting';
    if (!poor || !left || harm <= this.#harmLeft) return;
    this.#keptUntil = now + this.#timing.keptMs;
    this.#openWhep(now);
  }

  /** LL-HLS fails. Shows the WHEP session that is on trial, and returns whether there is one that plays. */
  #showTrial(now: number): boolean {
    const plays = this.#trial && this.#whep.phase === 'playing';
    this.#trial = false;
    if (plays) this.#whepPlays(now);
    return plays;
  }

  #restart(now: number): void {
    // A session that is being left for LL-HLS is not repaired, unless LL-HLS fails.
    if (this.#leaving) return this.#whepEnters('held', now + this.#timing.askRoomMs);
    this.#alone = 'no';
    const fresh = this.#ice?.isFresh(now) ? this.#ice : null;
    this.#ice = fresh ?? new Restart(this.#timing, now);
    this.#whepEnters('restarting', this.#ice.deadline);
    if (this.#shown === 'whep') this.#tell('recovering', 'stalled');
    if (!fresh) this.#effects.push({ do: 'restart_whep' });
  }

  /** The network may be another one, on which the session goes on after a restart. Frames may not have stopped yet. */
  #restartEarly(now: number): void {
    const { phase } = this.#whep;
    if ((phase !== 'playing' && phase !== 'held' && phase !== 'restarting') || this.#ice?.isFresh(now)) return;
    this.#ice = new Restart(this.#timing, now);
    if (phase === 'restarting') this.#whep.until = this.#ice.deadline;
    this.#effects.push({ do: 'restart_whep', ...(phase === 'playing' ? { early: true } : {}) });
  }

  #restartFailed(unreachable: boolean, now: number): void {
    if (this.#whep.phase !== 'restarting')
      this.#ice = null; // If frames stop, it is tried again.
    else if (!unreachable || !this.#ice) this.#reopen(now);
    else {
      this.#ice.unreachable(now);
      this.#whep.until = this.#ice.deadline;
    }
  }

  #restartDue(now: number): void {
    const step = this.#ice ? this.#ice.due(now) : 'over';
    if (!this.#ice || step === 'over') return this.#reopen(now);
    this.#whep.until = this.#ice.deadline;
    if (step === 'again') this.#effects.push({ do: 'restart_whep' });
    if (step === 'standby' && this.#choice === 'auto' && this.#hlsMayOpen(now)) this.#openHls(now);
  }

  /** The node ended the session. Its answer to a new offer tells whether the room has ended too. */
  #whepLost(now: number): void {
    const established = ['playing', 'held', 'restarting'].includes(this.#whep.phase);
    if (!established || this.#trial) {
      if (this.#whepOpen()) this.#whepFails('stalled', now);
      return;
    }
    if (this.#shown === 'whep') this.#tell('recovering', 'stalled');
    this.#reopen(now);
  }

  /** The session cannot be repaired. Opens a new one, but only once in a row. */
  #reopen(now: number): void {
    if (this.#reopened || this.#trial || this.#hls.phase === 'opening') return this.#whepFails('stalled', now);
    this.#reopened = true;
    this.#effects.push({ do: 'close_whep' });
    this.#openWhep(now);
  }

  #whepDue(now: number): void {
    switch (this.#whep.phase) {
      case 'asking':
        return this.#whepFails('unreachable', now);
      case 'connecting':
        return this.#whepFails('blocked', now);
      case 'buffering':
        return this.#whepFails(this.#whyNoFrame(), now);
      case 'playing': // On trial, audio alone, or a still picture.
        if (this.#trial) return this.#whepFails('still_poor', now);
        this.#whep.until = now + this.#timing.aloneMs;
        this.#effects.push({ do: 'ask_room' });
        return;
      case 'restarting':
        return this.#restartDue(now);
      case 'held':
        if (this.#reason !== 'interrupted') return this.#restart(now);
        this.#whep.until = now + this.#timing.askRoomMs;
        this.#effects.push({ do: 'ask_room' });
        return;
      case 'resting':
        this.#openWhep(now);
        this.#trial = this.#shown === 'hls' && this.#hls.phase === 'playing';
        return;
    }
  }

  #whyNoFrame(): Reason {
    if (this.#received.video) return 'no_picture';
    return this.#received.audio ? 'audio_only' : 'no_packet';
  }

  /** The room has said whether it has video. `undefined` means that it did not say. */
  #heardOfVideo(video: boolean | undefined, now: number): void {
    if (!this.#whepOpen()) return;
    if (this.#alone === 'asked') {
      // With video in the room, the frames are waited for up to the deadline, and then played by LL-HLS.
      this.#alone = video ? 'no' : 'plays';
      this.#videoMissedSince = NEVER;
      if (!video) this.#effects.push({ do: 'play_audio' });
      return;
    }
    if (this.#alone === 'no' || this.#whep.phase !== 'playing') return;
    if (video && this.#alone === 'still' && this.#flows) {
      this.#alone = 'no';
      this.#whep.until = NEVER;
    } else if (!video) this.#videoMissedSince = NEVER;
    else if (this.#videoMissedSince === NEVER) this.#videoMissedSince = now;
    else if (now - this.#videoMissedSince < this.#timing.firstFrameMs) return;
    else if (this.#alone === 'still') this.#restart(now);
    else this.#whepFails(this.#whyNoFrame(), now);
  }

  /** Frames stopped because nobody sends any. The session goes on with its audio and its last frame. */
  #stands(now: number): void {
    this.#alone = 'still';
    this.#videoMissedSince = NEVER;
    this.#whepEnters('playing', now + this.#timing.aloneMs);
    if (this.#shown === 'whep') this.#tell('playing');
  }

  // HLS

  #openHls(now: number): void {
    this.#hlsEnters('opening', now + this.#timing.hlsFirstFrameMs);
    this.#effects.push({ do: 'open_hls' });
  }

  #hlsPlays(now: number): void {
    if (this.#hls.phase !== 'opening' && this.#hls.phase !== 'held') return;
    this.#hls.playingSince = now;
    this.#hls.failures = 0;
    this.#notLiveSeen = 0;
    const restarts = this.#whep.phase === 'restarting';
    this.#show('hls', this.#leaving?.reason ?? this.#whyNotWhep ?? (restarts ? 'stalled' : undefined));
    if (this.#choice === 'hls') this.#whepEnters('off', NEVER, true);
    else if (this.#leaving) this.#leave(now);
    else if (this.#choice === 'auto') this.#trial = restarts;
    this.#hlsEnters('playing', NEVER);
    this.#tell('playing');
  }

  #hlsNotLive(now: number): void {
    if (this.#choice === 'whep') return this.#hlsFails('not_live', now);
    if (this.#showTrial(now)) return;
    if (this.#shown === 'whep' && this.#whepOpen()) {
      return this.#hlsEnters(
        'resting',
        now + backoffMs(this.#timing.notLive, ++this.#hls.failures, this.#random()),
        true,
      );
    }
    this.#hlsEnters('resting', now + backoffMs(this.#timing.notLive, ++this.#notLiveSeen, this.#random()), true);
    this.#show('none');
    this.#tell('waiting', 'not_live');
  }

  #hlsFails(reason: Reason, now: number, detail?: string): void {
    if (this.#hls.phase === 'off') return;
    if (reason === 'unauthorized') return this.#fail(reason, detail);
    if (this.#showTrial(now)) return;
    const whepPlays = this.#whep.phase === 'playing';
    if (this.#choice === 'whep') {
      // HLS only bridged the time until WHEP has a frame.
      this.#hlsEnters('off', NEVER, true);
      if (!whepPlays) this.#tell('recovering', reason, detail);
      return;
    }
    if (reason === 'unsupported') {
      this.#hlsEnters('given_up', NEVER, true);
      if (whepPlays) return;
      if (this.#choice === 'hls' || this.#whep.phase === 'given_up') return this.#fail(reason, detail);
    } else {
      const rest = backoffMs(this.#timing.retry, ++this.#hls.failures, this.#random());
      this.#hlsEnters('resting', now + rest, true);
      if (whepPlays) return;
    }
    // Nothing plays, so WHEP need not wait as long as between probes.
    if (this.#whep.phase === 'resting') this.#whep.until = Math.min(this.#whep.until, now + this.#timing.retry.firstMs);
    if (this.#state !== 'waiting') this.#tell('recovering', reason, detail);
  }

  #hlsDue(now: number): void {
    switch (this.#hls.phase) {
      case 'opening':
        return this.#hlsFails('stalled', now);
      case 'held':
        if (this.#reason === 'interrupted') {
          this.#hls.until = now + this.#timing.askRoomMs;
          this.#effects.push({ do: 'ask_room' });
          return;
        }
        return this.#hlsFails('stalled', now);
      case 'resting':
        this.#openHls(now);
        return;
    }
  }

  // Both transports

  /** Frames stopped. Asks whether the room is live before it closes anything. */
  #hold(transport: 'whep' | 'hls', now: number): void {
    if (transport === 'hls' && this.#showTrial(now)) return;
    const until = now + this.#timing.askRoomMs;
    if (transport === 'whep') this.#whepEnters('held', until);
    else this.#hlsEnters('held', until);
    if (this.#shown === transport) this.#tell('recovering', 'stalled');
    this.#effects.push({ do: 'ask_room' });
  }

  #roomSeen(room: 'live' | 'interrupted' | 'gone' | 'unknown', video: boolean | undefined, now: number): void {
    const whepHeld = this.#whep.phase === 'held';
    const hlsHeld = this.#hls.phase === 'held';
    if (!whepHeld && !hlsHeld) return;
    if (room === 'gone') return this.#nothingToWatch('ended', now);
    if (whepHeld && room === 'live' && video === false) return this.#stands(now);
    const leg = whepHeld ? this.#whep : this.#hls;
    if (room === 'interrupted') {
      leg.until = now + this.#timing.askRoomMs;
      this.#tell('waiting', 'interrupted');
    } else if (this.#reason === 'interrupted') {
      // The publisher is back. Its frames get some time to arrive in the session that was kept.
      leg.until = now + this.#timing.askRoomMs;
      this.#tell('recovering', 'stalled');
    } else if (whepHeld) this.#restart(now);
    else this.#hlsFails('stalled', now);
  }

  #nothingToWatch(reason: Reason, now: number): void {
    this.#reopened = false;
    this.#notLiveSeen++;
    const until = now + backoffMs(this.#timing.notLive, this.#notLiveSeen, this.#random());
    if (this.#choice === 'hls') {
      this.#whepEnters('off', NEVER, true);
      this.#hlsEnters('resting', until, true);
    } else {
      if (this.#whep.phase === 'given_up' && this.#choice === 'whep') return this.#fail('no_codec');
      this.#whep.failures = 0; // The next program may work by WHEP.
      this.#whepEnters('resting', until, true);
      this.#hlsEnters('off', NEVER, true);
    }
    this.#show('none');
    this.#tell('waiting', reason === 'ended' || this.#reason === 'ended' ? 'ended' : 'not_live');
  }

  #fail(reason: Reason, detail?: string): void {
    this.#closeAll();
    this.#tell('failed', reason, detail);
  }

  #closeAll(): void {
    this.#whepEnters('off', NEVER, true);
    this.#hlsEnters('off', NEVER, true);
    this.#show('none');
  }

  /** `close` closes the session. If it is a reason, WHEP is given up for it. */
  #whepEnters(phase: WhepPhase, until: number, close: boolean | Reason = false): void {
    if (close !== false && this.#whepOpen())
      this.#effects.push({ do: 'close_whep', ...(close === true ? {} : { reason: close }) });
    if (typeof close === 'string') this.#whyNotWhep = close;
    if (phase === 'resting' || phase === 'off' || phase === 'given_up') this.#trial = false;
    if (phase !== 'playing' && phase !== 'held' && phase !== 'restarting') this.#ice = null;
    this.#whep.phase = phase;
    this.#whep.until = until;
  }

  #hlsEnters(phase: HlsPhase, until: number, close = false): void {
    if (close && this.#hlsOpen()) this.#effects.push({ do: 'close_hls' });
    if (phase !== 'opening') this.#leaving = null;
    this.#hls.phase = phase;
    this.#hls.until = until;
  }

  #hlsMayOpen(now: number): boolean {
    return this.#hls.phase === 'off' || (this.#hls.phase === 'resting' && now >= this.#hls.until);
  }

  #whepOpen(): boolean {
    return this.#whep.phase === 'playing' || this.#whep.phase === 'held' || this.#whepOpening();
  }

  #hlsOpen(): boolean {
    return this.#hls.phase === 'opening' || this.#hls.phase === 'playing' || this.#hls.phase === 'held';
  }

  #whepOpening(): boolean {
    return ['asking', 'connecting', 'buffering', 'restarting'].includes(this.#whep.phase);
  }

  /** A resting WHEP leg waits while HLS is opening, and does not probe while the page is hidden and HLS plays. */
  #whepMayAct(): boolean {
    if (this.#whep.phase !== 'resting') return true;
    return this.#hls.phase !== 'opening' && (this.#hls.phase !== 'playing' || this.#visible);
  }

  #hlsMayAct(): boolean {
    return this.#hls.phase !== 'resting' || !this.#whepOpening();
  }

  #show(transport: Transport, reason?: Reason): void {
    if (transport === this.#shown) return;
    this.#shown = transport;
    if (transport === 'whep') this.#whyNotWhep = undefined;
    this.#effects.push({ do: 'show', transport, ...(reason && this.#choice === 'auto' ? { reason } : {}) });
  }

  #tell(state: State, reason?: Reason, detail?: string): void {
    if (state === this.#state && reason === this.#reason) return;
    this.#state = state;
    this.#reason = reason;
    const effect: Effect = { do: 'state', state };
    if (reason) effect.reason = reason;
    if (detail) effect.detail = detail;
    this.#effects.push(effect);
  }
}
