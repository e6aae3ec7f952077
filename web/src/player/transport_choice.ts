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
import { Legs } from './legs';
import { MissingVideo } from './missing_video';
import type { Verdict } from './network_watch';
import { Restart } from './restart';
import {
  type Choice,
  type Effect,
  type Input,
  type Reason,
  type State,
  TIMING,
  type Timing,
  type Transport,
} from './transport_words';

const NEVER = Number.POSITIVE_INFINITY;

export class TransportChoice {
  readonly #timing: Timing;
  readonly #random: () => number;
  readonly #legs: Legs;
  #parked: Transport | null = null; // The transport that was shown before, while parked.
  #reopened = false; // The shown WHEP session was lost, and one new session is being opened to replace it.
  #notLiveSeen = 0;
  readonly #video = new MissingVideo();
  /** How often in a row the network did not carry WHEP. */
  #doubts = 0;
  /** The harm with which WHEP was left. */
  #harmLeft = Number.POSITIVE_INFINITY;
  /** Until then WHEP is not left, because LL-HLS was worse. */
  #keptUntil = Number.NEGATIVE_INFINITY;

  constructor(choice: Choice, random: () => number, timing: Timing = TIMING) {
    this.#legs = new Legs(choice);
    this.#random = random;
    this.#timing = timing;
  }

  get shown(): Transport {
    return this.#legs.shown;
  }

  get state(): State {
    return this.#legs.state;
  }

  get choice(): Choice {
    return this.#legs.choice;
  }

  /** Returns when `due` must be called, or null if only an input can change anything. */
  deadline(): number | null {
    return this.#legs.deadline();
  }

  apply(input: Input, now: number): Effect[] {
    this.#legs.effects = [];
    if (this.#legs.state !== 'closed') this.#take(input, now);
    return this.#legs.effects;
  }

  due(now: number): Effect[] {
    this.#legs.effects = [];
    if (this.#legs.whepMayAct() && now >= this.#legs.whep.until) this.#whepDue(now);
    if (this.#legs.hlsMayAct() && now >= this.#legs.hls.until) this.#hlsDue(now);
    return this.#legs.effects;
  }

  #take(input: Input, now: number): void {
    if (this.#parked !== null && !['close', 'prefer', 'visible', 'unpark'].includes(input.kind)) return;
    switch (input.kind) {
      case 'park':
        return this.#park();
      case 'unpark':
        return this.#unpark(now);
      case 'play':
        if (this.#legs.state === 'idle' || this.#legs.state === 'failed') this.#start(now);
        return;
      case 'close':
        this.#legs.closeAll();
        return this.#legs.tell('closed');
      case 'prefer':
        return this.#prefer(input.choice, now);
      case 'online':
      case 'woke':
        this.#hurry(input.kind === 'online', now);
        if (input.kind === 'online') this.#restartEarly(now);
        return;
      case 'other_network':
        return this.#restartEarly(now);
      case 'visible':
        this.#legs.visible = input.visible;
        if (this.#legs.trial && !this.#legs.visible) this.#legs.whepEnters('resting', now, true);
        return;
      case 'room':
        this.#heardOfVideo(input.video, now);
        return this.#roomSeen(input.room, input.video, now);
      case 'whep_answered':
        if (this.#legs.whep.phase === 'asking') this.#legs.whepEnters('connecting', now + this.#timing.connectMs);
        return;
      case 'whep_connected':
        if (this.#legs.whep.phase === 'connecting') this.#legs.whepEnters('buffering', now + this.#timing.firstFrameMs);
        return;
      case 'whep_received':
        this.#video.received[input.media] = true;
        return;
      case 'whep_audio':
        if (!this.#legs.whepOpen() || this.#video.alone !== 'no') return;
        this.#video.alone = 'asked';
        this.#legs.effects.push({ do: 'ask_room' });
        return;
      case 'whep_pictures':
        this.#video.alone = 'no';
        if (this.#legs.whep.phase === 'playing' && !this.#legs.trial) this.#legs.whep.until = NEVER;
        return;
      case 'whep_frame':
        return this.#whepPlays(now);
      case 'whep_refused':
        return this.#whepRefused(input, now);
      case 'whep_unsupported':
        return this.#whepGivesUp('unsupported', now);
      case 'whep_down':
        if (this.#legs.whep.phase === 'restarting') return;
        if (this.#legs.trial) this.#whepFails('blocked', now);
        else if (this.#legs.whep.phase === 'playing' || this.#legs.whep.phase === 'held') this.#restart(now);
        else if (this.#legs.whepOpening()) this.#whepFails('blocked', now);
        return;
      case 'whep_lost':
        return this.#whepLost(now);
      case 'whep_stalled':
        this.#video.flows = false;
        if (this.#legs.trial) this.#whepFails('stalled', now);
        else if (this.#legs.whep.phase === 'playing' && this.#video.alone !== 'still') this.#hold('whep', now);
        return;
      case 'whep_restart_failed':
        return this.#restartFailed(input.unreachable === true, now);
      case 'whep_judged':
        return this.#whepJudged(input.verdict, now);
      case 'hls_judged':
        return this.#hlsJudged(input.verdict, now);
      case 'hls_frame':
        return this.#hlsPlays(now);
      case 'hls_not_live':
        return this.#hlsNotLive(now);
      case 'hls_ended':
        return this.#nothingToWatch('ended', now);
      case 'hls_stalled':
        if (this.#legs.hls.phase === 'playing') this.#hold('hls', now);
        return;
      case 'hls_failed':
        return this.#hlsFails(input.reason, now, input.detail);
    }
  }

  #start(now: number): void {
    this.#reopened = false;
    this.#notLiveSeen = 0;
    this.#doubts = 0;
    this.#legs.begin(now);
    this.#legs.tell('connecting');
    if (this.#legs.choice === 'hls') this.#openHls(now);
    else this.#openWhep(now);
  }

  #park(): void {
    if (this.#legs.state === 'idle') return;
    this.#parked = this.#legs.shown;
    this.#legs.whepEnters('off', NEVER, true);
    this.#legs.hlsEnters('off', NEVER, true);
    this.#legs.show('mic');
    this.#legs.tell('playing');
  }

  #unpark(now: number): void {
    if (this.#parked === null) return;
    const before = this.#parked;
    this.#parked = null;
    this.#reopened = false;
    this.#notLiveSeen = 0;
    this.#legs.begin(now);
    const byHls = this.#legs.choice === 'hls' || (this.#legs.choice === 'auto' && before === 'hls');
    if (!byHls) return this.#openWhep(now);
    if (this.#legs.choice === 'auto') this.#legs.whepEnters('resting', now + this.#rest());
    this.#openHls(now);
  }

  #prefer(choice: Choice, now: number): void {
    if (choice === this.#legs.choice) return;
    this.#legs.choice = choice;
    this.#legs.leaving = null;
    const plays = this.#legs.trial && this.#legs.whep.phase === 'playing';
    this.#legs.trial = false;
    if (this.#legs.state === 'idle' || this.#parked !== null) return;
    if (this.#legs.state === 'failed') return this.#start(now);
    const wanted = choice === 'hls' ? 'hls' : 'whep';
    if (this.#legs.shown === wanted && (wanted === 'hls' ? this.#legs.hls : this.#legs.whep).phase === 'playing') {
      // The wanted transport plays already, so only stop the other one.
      if (wanted === 'hls') this.#legs.whepEnters('off', NEVER, true);
      else this.#legs.hlsEnters('off', NEVER, true);
      return;
    }
    if (wanted === 'hls') {
      if (this.#legs.shown !== 'whep' || !this.#legs.whepOpen()) this.#legs.whepEnters('off', NEVER, true);
      if (!this.#legs.hlsOpen()) this.#openHls(now);
    } else {
      if (this.#legs.shown !== 'hls' || !this.#legs.hlsOpen()) this.#legs.hlsEnters('off', NEVER, true);
      this.#legs.whep.failures = 0;
      if (plays) this.#whepPlays(now);
      else if (!this.#legs.whepOpen()) this.#openWhep(now);
    }
    if (this.#legs.shown === 'none' && this.#legs.state !== 'waiting') this.#legs.tell('connecting');
  }

  /** Resting transports may try again at once, but only a network that was away may have become another one. */
  #hurry(wasAway: boolean, now: number): void {
    for (const leg of [this.#legs.whep, this.#legs.hls]) {
      if (leg.phase !== 'resting' || (leg === this.#legs.whep && this.#doubts > 0 && !wasAway)) continue;
      leg.failures = 0;
      leg.until = now;
    }
  }

  // WHEP

  #openWhep(now: number): void {
    this.#video.begin();
    this.#legs.whepEnters('asking', now + this.#timing.askMs);
    this.#legs.effects.push({ do: 'open_whep' });
  }

  #whepPlays(now: number): void {
    if (this.#legs.whep.phase === 'off' || this.#legs.whep.phase === 'resting' || this.#legs.whep.phase === 'given_up')
      return;
    this.#video.flows = true;
    if (this.#legs.whep.phase !== 'playing') this.#legs.ice = null;
    if (this.#video.alone === 'still' && this.#legs.whep.phase === 'playing') return;
    const begins = this.#legs.whep.phase !== 'playing';
    if (begins) this.#legs.whep.playingSince = now;
    if (this.#legs.trial) {
      if (begins) this.#legs.whepEnters('playing', now + this.#timing.trialMs);
      return;
    }
    this.#legs.whepEnters('playing', this.#video.alone === 'plays' ? now + this.#timing.aloneMs : NEVER);
    this.#reopened = false;
    this.#notLiveSeen = 0;
    if (this.#legs.leaving) return this.#legs.tell('playing');
    if (this.#legs.choice === 'hls' && this.#legs.hls.phase !== 'off') {
      // WHEP is shown only until HLS, which the viewer chose, has a frame.
      if (this.#legs.shown === 'none') this.#legs.show('whep');
      if (this.#legs.shown === 'whep') this.#legs.tell('playing');
      return;
    }
    this.#legs.show('whep');
    this.#legs.hlsEnters('off', NEVER, true);
    this.#legs.hls.failures = 0;
    this.#legs.tell('playing');
  }

  #whepRefused(refusal: { status: number; detail?: string; retryAfterMs?: number }, now: number): void {
    const { status, detail } = refusal;
    if (status === 401 || status === 403) return this.#fail('unauthorized', detail);
    if (status === 406 || status === 415) return this.#whepGivesUp('no_codec', now, detail);
    if ((status === 404 || status === 409) && this.#legs.hls.phase !== 'playing')
      return this.#nothingToWatch('not_live', now);
    const reason = status === 0 ? 'unreachable' : status === 503 ? 'full' : 'refused';
    this.#whepFails(reason, now, detail, refusal.retryAfterMs);
  }

  /**
   * Does not try WHEP again by itself, because the answer would be the same. For want of a codec it tries again, rarely:
   * another program may have one.
   */
  #whepGivesUp(reason: Reason, now: number, detail?: string): void {
    const again = reason === 'no_codec' && this.#legs.choice === 'auto' && this.#legs.hls.phase !== 'given_up';
    if (again) this.#legs.whepEnters('resting', now + this.#timing.probe.limitMs, reason);
    else this.#legs.whepEnters('given_up', NEVER, reason);
    if (this.#legs.choice === 'hls') return;
    if (this.#legs.choice === 'whep' || this.#legs.hls.phase === 'given_up') {
      if (this.#legs.shown !== 'hls') this.#fail(reason, detail);
    } else if (this.#legs.hls.phase === 'off') {
      this.#legs.tell(this.#legs.state === 'connecting' ? 'connecting' : 'recovering', reason, detail);
      this.#openHls(now);
    }
  }

  #whepFails(reason: Reason, now: number, detail?: string, retryAfterMs = 0): void {
    this.#reopened = false;
    if (this.#legs.leaving) {
      this.#legs.tell('recovering', reason, detail);
      return this.#leave(now);
    }
    if (this.#legs.choice === 'hls') {
      // WHEP only bridged the time until HLS has a frame.
      this.#legs.whepEnters('off', NEVER, reason);
      return this.#legs.tell('recovering', reason, detail);
    }
    if (now - this.#legs.whep.playingSince > this.#timing.goodSpellMs && this.#legs.shown === 'whep')
      this.#legs.whep.failures = 0;
    this.#legs.whep.failures++;
    const fallback = this.#legs.choice === 'auto' && this.#legs.hls.phase !== 'given_up';
    if (fallback && (this.#doubts > 0 || reason === 'still_poor')) this.#doubts++;
    const rest = fallback ? this.#rest() : backoffMs(this.#timing.retry, this.#legs.whep.failures, this.#random());
    this.#legs.whepEnters('resting', now + Math.max(rest, retryAfterMs), reason);
    if (this.#legs.hls.phase === 'playing') return; // Only a probe failed, so the viewer sees no change.
    this.#legs.tell(this.#legs.state === 'connecting' && fallback ? 'connecting' : 'recovering', reason, detail);
    if (fallback && this.#legs.hls.phase === 'off') this.#openHls(now);
  }

  /** Returns how long WHEP rests while LL-HLS plays. */
  #rest(): number {
    if (this.#doubts > 0) return backoffMs(this.#timing.doubted, this.#doubts, this.#random());
    return backoffMs(this.#timing.probe, this.#legs.whep.failures, this.#random());
  }

  #whepJudged({ poor, harm, fit }: Verdict, now: number): void {
    if (this.#legs.trial) {
      if (this.#legs.whep.phase !== 'playing' || fit === null) return;
      if (!fit) return this.#whepFails('still_poor', now);
      this.#legs.trial = false;
      return this.#whepPlays(now);
    }
    const shown =
      this.#legs.choice === 'auto' &&
      this.#legs.shown === 'whep' &&
      this.#legs.whepOpen() &&
      this.#video.alone === 'no';
    if (!poor || !shown || !this.#legs.hlsMayOpen(now) || !this.#legs.visible || now < this.#keptUntil) return;
    if (now - this.#legs.whep.playingSince > this.#timing.steadyMs) this.#doubts = 0;
    this.#openHls(now);
    this.#legs.leaving = { reason: poor, harm };
  }

  /** Gives up the WHEP session that the network does not carry. */
  #leave(now: number): void {
    if (!this.#legs.leaving) return;
    const { reason, harm } = this.#legs.leaving;
    this.#legs.leaving = null;
    this.#harmLeft = harm;
    this.#doubts++;
    this.#legs.whepEnters('resting', now + this.#rest(), reason);
  }

  #hlsJudged({ poor, harm }: Verdict, now: number): void {
    const left =
      this.#legs.choice === 'auto' &&
      this.#legs.shown === 'hls' &&
      this.#doubts > 0 &&
      this.#legs.whep.phase === 'resting';
    if (!poor || !left || harm <= this.#harmLeft) return;
    this.#keptUntil = now + this.#timing.keptMs;
    this.#openWhep(now);
  }

  /** LL-HLS fails. Shows the WHEP session that is on trial, and returns whether there is one that plays. */
  #showTrial(now: number): boolean {
    const plays = this.#legs.trial && this.#legs.whep.phase === 'playing';
    this.#legs.trial = false;
    if (plays) this.#whepPlays(now);
    return plays;
  }

  #restart(now: number): void {
    // A session that is being left for LL-HLS is not repaired, unless LL-HLS fails.
    if (this.#legs.leaving) return this.#legs.whepEnters('held', now + this.#timing.askRoomMs);
    this.#video.alone = 'no';
    const fresh = this.#legs.ice?.isFresh(now) ? this.#legs.ice : null;
    this.#legs.ice = fresh ?? new Restart(this.#timing, now);
    this.#legs.whepEnters('restarting', this.#legs.ice.deadline);
    if (this.#legs.shown === 'whep') this.#legs.tell('recovering', 'stalled');
    if (!fresh) this.#legs.effects.push({ do: 'restart_whep' });
  }

  /** The network may be another one, on which the session goes on after a restart. Frames may not have stopped yet. */
  #restartEarly(now: number): void {
    const { phase } = this.#legs.whep;
    if ((phase !== 'playing' && phase !== 'held' && phase !== 'restarting') || this.#legs.ice?.isFresh(now)) return;
    this.#legs.ice = new Restart(this.#timing, now);
    if (phase === 'restarting') this.#legs.whep.until = this.#legs.ice.deadline;
    this.#legs.effects.push({ do: 'restart_whep', ...(phase === 'playing' ? { early: true } : {}) });
  }

  #restartFailed(unreachable: boolean, now: number): void {
    if (this.#legs.whep.phase !== 'restarting')
      this.#legs.ice = null; // If frames stop, it is tried again.
    else if (!unreachable || !this.#legs.ice) this.#reopen(now);
    else {
      this.#legs.ice.unreachable(now);
      this.#legs.whep.until = this.#legs.ice.deadline;
    }
  }

  #restartDue(now: number): void {
    const step = this.#legs.ice ? this.#legs.ice.due(now) : 'over';
    if (!this.#legs.ice || step === 'over') return this.#reopen(now);
    this.#legs.whep.until = this.#legs.ice.deadline;
    if (step === 'again') this.#legs.effects.push({ do: 'restart_whep' });
    if (step === 'standby' && this.#legs.choice === 'auto' && this.#legs.hlsMayOpen(now)) this.#openHls(now);
  }

  /** The node ended the session. Its answer to a new offer tells whether the room has ended too. */
  #whepLost(now: number): void {
    const established = ['playing', 'held', 'restarting'].includes(this.#legs.whep.phase);
    if (!established || this.#legs.trial) {
      if (this.#legs.whepOpen()) this.#whepFails('stalled', now);
      return;
    }
    if (this.#legs.shown === 'whep') this.#legs.tell('recovering', 'stalled');
    this.#reopen(now);
  }

  /** The session cannot be repaired. Opens a new one, but only once in a row. */
  #reopen(now: number): void {
    if (this.#reopened || this.#legs.trial || this.#legs.hls.phase === 'opening')
      return this.#whepFails('stalled', now);
    this.#reopened = true;
    this.#legs.effects.push({ do: 'close_whep' });
    this.#openWhep(now);
  }

  #whepDue(now: number): void {
    switch (this.#legs.whep.phase) {
      case 'asking':
        return this.#whepFails('unreachable', now);
      case 'connecting':
        return this.#whepFails('blocked', now);
      case 'buffering':
        return this.#whepFails(this.#video.reason, now);
      case 'playing': // On trial, audio alone, or a still picture.
        if (this.#legs.trial) return this.#whepFails('still_poor', now);
        this.#legs.whep.until = now + this.#timing.aloneMs;
        this.#legs.effects.push({ do: 'ask_room' });
        return;
      case 'restarting':
        return this.#restartDue(now);
      case 'held':
        if (this.#legs.reason !== 'interrupted') return this.#restart(now);
        this.#legs.whep.until = now + this.#timing.askRoomMs;
        this.#legs.effects.push({ do: 'ask_room' });
        return;
      case 'resting':
        this.#openWhep(now);
        this.#legs.trial = this.#legs.shown === 'hls' && this.#legs.hls.phase === 'playing';
        return;
    }
  }

  /** The room has said whether it has video. `undefined` means that it did not say. */
  #heardOfVideo(video: boolean | undefined, now: number): void {
    if (!this.#legs.whepOpen()) return;
    const step = this.#video.heard(video, this.#legs.whep.phase === 'playing', now, this.#timing.firstFrameMs);
    if (step === 'play_audio') this.#legs.effects.push({ do: step });
    else if (step === 'pictures') this.#legs.whep.until = NEVER;
    else if (step === 'restart') this.#restart(now);
    else if (step === 'fail') this.#whepFails(this.#video.reason, now);
  }

  /** Frames stopped because nobody sends any. The session goes on with its audio and its last frame. */
  #stands(now: number): void {
    this.#video.stands();
    this.#legs.whepEnters('playing', now + this.#timing.aloneMs);
    if (this.#legs.shown === 'whep') this.#legs.tell('playing');
  }

  // HLS

  #openHls(now: number): void {
    this.#legs.hlsEnters('opening', now + this.#timing.hlsFirstFrameMs);
    this.#legs.effects.push({ do: 'open_hls' });
  }

  #hlsPlays(now: number): void {
    if (this.#legs.hls.phase !== 'opening' && this.#legs.hls.phase !== 'held') return;
    this.#legs.hls.playingSince = now;
    this.#legs.hls.failures = 0;
    this.#notLiveSeen = 0;
    const restarts = this.#legs.whep.phase === 'restarting';
    this.#legs.show('hls', this.#legs.leaving?.reason ?? this.#legs.whyNotWhep ?? (restarts ? 'stalled' : undefined));
    if (this.#legs.choice === 'hls') this.#legs.whepEnters('off', NEVER, true);
    else if (this.#legs.leaving) this.#leave(now);
    else if (this.#legs.choice === 'auto') this.#legs.trial = restarts;
    this.#legs.hlsEnters('playing', NEVER);
    this.#legs.tell('playing');
  }

  #hlsNotLive(now: number): void {
    if (this.#legs.choice === 'whep') return this.#hlsFails('not_live', now);
    if (this.#showTrial(now)) return;
    if (this.#legs.shown === 'whep' && this.#legs.whepOpen()) {
      return this.#legs.hlsEnters(
        'resting',
        now + backoffMs(this.#timing.notLive, ++this.#legs.hls.failures, this.#random()),
        true,
      );
    }
    this.#legs.hlsEnters('resting', now + backoffMs(this.#timing.notLive, ++this.#notLiveSeen, this.#random()), true);
    this.#legs.show('none');
    this.#legs.tell('waiting', 'not_live');
  }

  #hlsFails(reason: Reason, now: number, detail?: string): void {
    if (this.#legs.hls.phase === 'off') return;
    if (reason === 'unauthorized') return this.#fail(reason, detail);
    if (this.#showTrial(now)) return;
    const whepPlays = this.#legs.whep.phase === 'playing';
    if (this.#legs.choice === 'whep') {
      // HLS only bridged the time until WHEP has a frame.
      this.#legs.hlsEnters('off', NEVER, true);
      if (!whepPlays) this.#legs.tell('recovering', reason, detail);
      return;
    }
    if (reason === 'unsupported') {
      this.#legs.hlsEnters('given_up', NEVER, true);
      if (whepPlays) return;
      if (this.#legs.choice === 'hls' || this.#legs.whep.phase === 'given_up') return this.#fail(reason, detail);
    } else {
      const rest = backoffMs(this.#timing.retry, ++this.#legs.hls.failures, this.#random());
      this.#legs.hlsEnters('resting', now + rest, true);
      if (whepPlays) return;
    }
    // Nothing plays, so WHEP need not wait as long as between probes.
    if (this.#legs.whep.phase === 'resting')
      this.#legs.whep.until = Math.min(this.#legs.whep.until, now + this.#timing.retry.firstMs);
    if (this.#legs.state !== 'waiting') this.#legs.tell('recovering', reason, detail);
  }

  #hlsDue(now: number): void {
    switch (this.#legs.hls.phase) {
      case 'opening':
        return this.#hlsFails('stalled', now);
      case 'held':
        if (this.#legs.reason === 'interrupted') {
          this.#legs.hls.until = now + this.#timing.askRoomMs;
          this.#legs.effects.push({ do: 'ask_room' });
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
    if (transport === 'whep') this.#legs.whepEnters('held', until);
    else this.#legs.hlsEnters('held', until);
    if (this.#legs.shown === transport) this.#legs.tell('recovering', 'stalled');
    this.#legs.effects.push({ do: 'ask_room' });
  }

  #roomSeen(room: 'live' | 'interrupted' | 'gone' | 'unknown', video: boolean | undefined, now: number): void {
    const whepHeld = this.#legs.whep.phase === 'held';
    const hlsHeld = this.#legs.hls.phase === 'held';
    if (!whepHeld && !hlsHeld) return;
    if (room === 'gone') return this.#nothingToWatch('ended', now);
    if (whepHeld && room === 'live' && video === false) return this.#stands(now);
    const leg = whepHeld ? this.#legs.whep : this.#legs.hls;
    if (room === 'interrupted') {
      leg.until = now + this.#timing.askRoomMs;
      this.#legs.tell('waiting', 'interrupted');
    } else if (this.#legs.reason === 'interrupted') {
      // The publisher is back. Its frames get some time to arrive in the session that was kept.
      leg.until = now + this.#timing.askRoomMs;
      this.#legs.tell('recovering', 'stalled');
    } else if (whepHeld) this.#restart(now);
    else this.#hlsFails('stalled', now);
  }

  #nothingToWatch(reason: Reason, now: number): void {
    this.#reopened = false;
    this.#notLiveSeen++;
    const until = now + backoffMs(this.#timing.notLive, this.#notLiveSeen, this.#random());
    if (this.#legs.choice === 'hls') {
      this.#legs.whepEnters('off', NEVER, true);
      this.#legs.hlsEnters('resting', until, true);
    } else {
      if (this.#legs.whep.phase === 'given_up' && this.#legs.choice === 'whep') return this.#fail('no_codec');
      this.#legs.whep.failures = 0; // The next program may work by WHEP.
      this.#legs.whepEnters('resting', until, true);
      this.#legs.hlsEnters('off', NEVER, true);
    }
    this.#legs.show('none');
    this.#legs.tell('waiting', reason === 'ended' || this.#legs.reason === 'ended' ? 'ended' : 'not_live');
  }

  #fail(reason: Reason, detail?: string): void {
    this.#legs.closeAll();
    this.#legs.tell('failed', reason, detail);
  }
}
