// Decides how a viewer goes on mic and back, as a pure state machine. Inputs and `now` (any monotonic milliseconds) go
// in, effects come out. The driver (mic.ts) calls `due` when `deadline` has passed.
//
// Invariants: the program plays on until the return feed has shown a frame and its audio has been faded in. The return
// feed stays until the program plays again. A failure before the first frame changes nothing that the viewer sees.
// A person who leaves is not heard or seen by others from then on, although their own player still shows the return feed.
// Everything that was opened is closed exactly once: what sends by `stop_sending` or `end`, the rest by `end`.

import type { Problem } from '../player/problem';

/** The state as the page sees it. */
export type MicState = 'off' | 'asking' | 'waiting' | 'joining' | 'on' | 'leaving';

export type MicReason =
  | 'left' // This person left.
  | 'removed' // The host removed this person.
  | 'refused' // The host refused the request.
  | 'expired' // Nobody answered in time.
  | 'timeout' // The server gave up on this person.
  | 'room-ended'
  | 'devices' // No camera or microphone could be opened. `problem` says why.
  | 'failed' // The connection could not be made. The viewer watches on as before.
  | 'lost'; // The connection broke and could not be repaired.

export type MicInput =
  | { kind: 'go'; ticket: boolean }
  | { kind: 'warm' }
  | { kind: 'warm_failed'; problem: Problem }
  | { kind: 'asked' }
  | { kind: 'ask_refused'; problem: Problem }
  | { kind: 'ticket' }
  | { kind: 'published' }
  | { kind: 'publish_refused'; problem: Problem }
  | { kind: 'publish_lost' }
  | { kind: 'picture' }
  | { kind: 'sound' }
  | { kind: 'return_refused'; problem: Problem }
  | { kind: 'return_lost' }
  | { kind: 'faded' }
  | { kind: 'leave'; reason: MicReason }
  | { kind: 'program' }
  | { kind: 'program_gone' };

export type MicEffect =
  | { do: 'warm' }
  | { do: 'ask' }
  | { do: 'withdraw' }
  /** Opens both sessions by POST. */
  | { do: 'open' }
  | { do: 'reopen_return' }
  | { do: 'show_return' }
  | { do: 'fade_to_return' }
  /** Ends the sessions of the program, because nobody watches them. */
  | { do: 'park' }
  | { do: 'unpark' }
  | { do: 'show_program' }
  | { do: 'fade_to_program' }
  /** Ends the WHIP session and stops the devices. `tell_server`: this person left, which ends the seat too. */
  | { do: 'stop_sending'; tell_server: boolean }
  /**
   * Deletes the sessions and stops the devices, unless that is done. `tell_server`: this person left while joining
   * (`left`), or a ticket was of no use (`failed`).
   */
  | { do: 'end'; tell_server: 'left' | 'failed' | null }
  | { do: 'state'; state: MicState; reason?: MicReason; problem?: Problem };

type Phase = 'off' | 'asking' | 'waiting' | 'joining' | 'sounding' | 'fading' | 'on' | 'returning' | 'fading_back';

export interface MicTiming {
  /** The longest time from the ticket to the first frame, and to being published. */
  joinMs: number;
  /** The longest time that the program's audio goes on while the return feed has no audio. */
  soundMs: number;
  /** The wait before asking again for a return feed that does not exist yet. */
  againMs: number;
  /** The longest time that the return feed is shown while the program starts. */
  returnMs: number;
}

export const MIC_TIMING: MicTiming = { joinMs: 8000, soundMs: 1000, againMs: 150, returnMs: 10_000 };

const NEVER = Number.POSITIVE_INFINITY;
// The return feed exists only once the participant publishes, and the WHIP session may connect a little later.
const NOT_YET = [404, 409, 425, 503];

export class MicSwitch {
  readonly #timing: MicTiming;
  #phase: Phase = 'off';
  #until = NEVER;
  #publishUntil = NEVER;
  #againAt = NEVER;
  #warm = false;
  #ticket = false;
  #open = false;
  #soundHere = false;
  #reason: MicReason = 'left';
  #problem: Problem | undefined;
  #effects: MicEffect[] = [];

  constructor(timing: MicTiming = MIC_TIMING) {
    this.#timing = timing;
  }

  get state(): MicState {
    switch (this.#phase) {
      case 'sounding':
      case 'fading':
        return 'on';
      case 'returning':
      case 'fading_back':
        return 'leaving';
      default:
        return this.#phase;
    }
  }

  /** Is true while the program is on top. */
  get programShown(): boolean {
    return !['sounding', 'fading', 'on', 'returning'].includes(this.#phase);
  }

  deadline(): number | null {
    const until = Math.min(this.#until, this.#publishUntil, this.#againAt);
    return until === NEVER ? null : until;
  }

  apply(input: MicInput, now: number): MicEffect[] {
    this.#effects = [];
    this.#take(input, now);
    return this.#effects;
  }

  due(now: number): MicEffect[] {
    this.#effects = [];
    if (now >= this.#againAt) {
      this.#againAt = NEVER;
      this.#effects.push({ do: 'reopen_return' });
    }
    if (now >= this.#publishUntil) this.#fail('failed', now, LATE);
    if (now >= this.#until) this.#late(now);
    return this.#effects;
  }

  #take(input: MicInput, now: number): void {
    switch (input.kind) {
      case 'go':
        return this.#go(input.ticket, now);
      case 'warm':
        this.#warm = true;
        return this.#join(now);
      case 'warm_failed':
        return this.#fail('devices', now, input.problem);
      case 'asked':
        if (this.#phase === 'asking') this.#enter('waiting');
        return;
      case 'ask_refused':
        if (this.#phase === 'asking') this.#finish('refused', false, input.problem);
        return;
      case 'ticket':
        this.#ticket = true;
        return this.#join(now);
      case 'published':
        this.#publishUntil = NEVER;
        return;
      case 'publish_refused':
        return this.#fail('failed', now, input.problem);
      case 'publish_lost':
        return this.#fail(this.#phase === 'on' ? 'lost' : 'failed', now);
      case 'picture':
        if (this.#phase !== 'joining' || !this.#open) return;
        this.#effects.push({ do: 'show_return' });
        this.#enter('sounding', now + this.#timing.soundMs);
        if (this.#soundHere) this.#fade();
        return;
      case 'sound':
        this.#soundHere = true;
        if (this.#phase === 'sounding') this.#fade();
        return;
      case 'return_refused':
        if (this.#phase === 'joining' && NOT_YET.includes(input.problem.status)) {
          this.#againAt = now + this.#timing.againMs;
          this.#problem = input.problem;
        } else this.#fail('failed', now, input.problem);
        return;
      case 'return_lost':
        return this.#fail(this.#phase === 'on' ? 'lost' : 'failed', now);
      case 'faded':
        if (this.#phase === 'fading') {
          this.#effects.push({ do: 'park' });
          this.#enter('on');
        } else if (this.#phase === 'fading_back') this.#finish(this.#reason, false, this.#problem);
        return;
      case 'leave':
        return this.#leave(input.reason, now);
      case 'program':
        if (this.#phase !== 'returning') return;
        this.#effects.push({ do: 'show_program' }, { do: 'fade_to_program' });
        this.#enter('fading_back');
        return;
      case 'program_gone':
        if (this.#phase === 'returning') this.#cutBack();
        return;
    }
  }

  #go(ticket: boolean, now: number): void {
    if (this.#phase !== 'off') return;
    this.#warm = this.#open = this.#soundHere = false;
    this.#ticket = ticket;
    this.#problem = undefined;
    this.#effects.push({ do: 'warm' });
    if (!ticket) this.#effects.push({ do: 'ask' });
    this.#enter(ticket ? 'joining' : 'asking', ticket ? now + this.#timing.joinMs : NEVER);
  }

  #join(now: number): void {
    const early = this.#phase === 'asking' || this.#phase === 'waiting';
    if (!early && this.#phase !== 'joining') return;
    if (this.#ticket && early) this.#enter('joining', now + this.#timing.joinMs);
    if (this.#ticket && this.#warm && !this.#open) {
      this.#open = true;
      this.#publishUntil = this.#until;
      this.#effects.push({ do: 'open' });
    }
  }

  #fade(): void {
    this.#effects.push({ do: 'fade_to_return' });
    this.#enter('fading');
  }

  #leave(reason: MicReason, now: number): void {
    if (this.#phase === 'returning' || this.#phase === 'fading_back') {
      // The connections may end before the server's message with the reason comes. That reason is better.
      if (this.#reason === 'lost') this.#reason = reason;
      return;
    }
    this.#reason = reason;
    switch (this.#phase) {
      case 'asking':
      case 'waiting':
        if (reason === 'left') this.#effects.push({ do: 'withdraw' });
        return this.#finish(reason, false);
      case 'joining':
        return this.#finish(reason, reason === 'left');
      case 'sounding':
      case 'fading':
        // The program still plays under the cover.
        this.#effects.push(stopSending(reason), { do: 'show_program' }, { do: 'fade_to_program' });
        return this.#enter('fading_back');
      case 'on':
        this.#effects.push(stopSending(reason), { do: 'unpark' });
        return this.#enter('returning', now + this.#timing.returnMs);
    }
  }

  #fail(reason: 'failed' | 'lost' | 'devices', now: number, problem?: Problem): void {
    if (this.#phase === 'off' || this.#phase === 'returning' || this.#phase === 'fading_back') return;
    this.#publishUntil = this.#againAt = NEVER;
    this.#problem = problem ?? this.#problem;
    if (this.#phase === 'asking' || this.#phase === 'waiting') {
      this.#effects.push({ do: 'withdraw' });
      return this.#finish(reason, false, this.#problem);
    }
    if (this.#phase === 'joining') return this.#finish(reason, false, this.#problem);
    this.#leave(reason, now);
  }

  #late(now: number): void {
    this.#until = NEVER;
    if (this.#phase === 'joining') this.#fail('failed', now, this.#problem ?? LATE);
    else if (this.#phase === 'sounding') this.#fade();
    else if (this.#phase === 'returning') this.#cutBack();
  }

  /** Switches back without a fade, because there is no program to fade to. The page says why. */
  #cutBack(): void {
    this.#effects.push({ do: 'show_program' });
    this.#finish(this.#reason, false, this.#problem);
  }

  /** `left`: this person left, and the server has to be told. */
  #finish(reason: MicReason, left: boolean, problem?: Problem): void {
    this.#reason = reason;
    const failed = this.#phase === 'joining' && (reason === 'failed' || reason === 'devices');
    this.#effects.push({ do: 'end', tell_server: left ? 'left' : failed ? 'failed' : null });
    this.#enter('off', NEVER, problem);
  }

  #enter(phase: Phase, until = NEVER, problem?: Problem): void {
    const before = this.state;
    this.#phase = phase;
    this.#until = until;
    if (phase === 'off' || phase === 'returning' || phase === 'fading_back') this.#publishUntil = this.#againAt = NEVER;
    if (this.state === before) return;
    const ending = this.state === 'off' || this.state === 'leaving';
    this.#effects.push({
      do: 'state',
      state: this.state,
      ...(ending ? { reason: this.#reason } : {}),
      ...(problem ? { problem } : {}),
    });
  }
}

function stopSending(reason: MicReason): MicEffect {
  return { do: 'stop_sending', tell_server: reason === 'left' };
}

const LATE: Problem = { status: 0, title: 'No connection', detail: 'The connection could not be made in time.' };
