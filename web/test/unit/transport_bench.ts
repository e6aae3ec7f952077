// Drives the transport choice in virtual time, for the unit tests of it.

import type { Poor } from '../../src/player/network_watch';
import { TransportChoice } from '../../src/player/transport_choice';
import { type Effect, type Input, TIMING } from '../../src/player/transport_words';

/** Drives the state machine in virtual time. `run` lets deadlines pass. `take` returns the names of the new effects. */
export class Bench {
  now = 0;
  effects: Effect[] = [];
  readonly choice: TransportChoice;

  constructor(prefer: 'auto' | 'whep' | 'hls' = 'auto') {
    this.choice = new TransportChoice(prefer, () => 0.5);
  }

  put(...inputs: (Input | Input['kind'])[]): this {
    for (const input of inputs) {
      const whole = typeof input === 'string' ? ({ kind: input } as Input) : input;
      this.effects.push(...this.choice.apply(whole, this.now));
    }
    return this;
  }

  run(ms: number): this {
    const end = this.now + ms;
    for (let turns = 0; turns < 1000; turns++) {
      const deadline = this.choice.deadline();
      if (deadline === null || deadline > end) break;
      this.now = Math.max(this.now, deadline);
      this.effects.push(...this.choice.due(this.now));
    }
    this.now = end;
    return this;
  }

  take(): string[] {
    const names = this.effects.map((effect) => {
      if (effect.do === 'show') return `show ${effect.transport}`;
      if (effect.do === 'state') return effect.reason ? `${effect.state}: ${effect.reason}` : effect.state;
      return effect.do;
    });
    this.effects = [];
    return names;
  }

  /** Starts the player and lets WHEP play. */
  whep(): this {
    this.put('play', 'whep_answered', 'whep_connected', 'whep_frame').take();
    return this;
  }

  /** Starts the player and lets HLS play, because UDP is blocked. */
  fallenBack(): this {
    this.put('play', 'whep_answered').run(TIMING.connectMs).put('hls_frame').take();
    return this;
  }
}

export const refused = (status: number): Input => ({ kind: 'whep_refused', status });
export const poor = (reason: Poor = 'frozen', harm = 0.3): Input => ({
  kind: 'whep_judged',
  verdict: { poor: reason, harm, fit: false },
});
export const judged = (fit: boolean): Input => ({ kind: 'whep_judged', verdict: { poor: null, harm: 0, fit } });
export const hlsPoor = (harm: number): Input => ({ kind: 'hls_judged', verdict: { poor: 'frozen', harm, fit: false } });
