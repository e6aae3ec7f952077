// Holds the two transports of the transport choice, what is shown and what people were told. Each change of them becomes an
// effect, so what the driver has open is what is held here.
//
// It decides nothing: transport_choice.ts does, and owns it.

import type { Restart } from './restart';
import type { Choice, Effect, HlsPhase, Leg, Reason, State, Transport, WhepPhase } from './transport_words';

const NEVER = Number.POSITIVE_INFINITY;

export class Legs {
  choice: Choice;
  state: State = 'idle';
  reason: Reason | undefined;
  shown: Transport = 'none';
  visible = true;
  /** The newest ICE restart of the WHEP session, until frames come again. */
  ice: Restart | null = null;
  /** The network does not carry the WHEP session that is shown, so LL-HLS is being opened. */
  leaving: { reason: Reason; harm: number } | null = null;
  /** The WHEP session plays unseen beside LL-HLS until it is judged. */
  trial = false;
  whyNotWhep: Reason | undefined;
  whep: Leg<WhepPhase> = { phase: 'off', until: NEVER, failures: 0, playingSince: 0 };
  hls: Leg<HlsPhase> = { phase: 'off', until: NEVER, failures: 0, playingSince: 0 };
  effects: Effect[] = [];

  constructor(choice: Choice) {
    this.choice = choice;
  }

  begin(now: number): void {
    this.whep = { phase: 'off', until: NEVER, failures: 0, playingSince: now };
    this.hls = { phase: 'off', until: NEVER, failures: 0, playingSince: now };
  }

  /** Returns when a leg that may act is due, or null. */
  deadline(): number | null {
    const until = Math.min(this.whepMayAct() ? this.whep.until : NEVER, this.hlsMayAct() ? this.hls.until : NEVER);
    return until === NEVER ? null : until;
  }

  closeAll(): void {
    this.whepEnters('off', NEVER, true);
    this.hlsEnters('off', NEVER, true);
    this.show('none');
  }

  /** `close` closes the session. If it is a reason, WHEP is given up for it. */
  whepEnters(phase: WhepPhase, until: number, close: boolean | Reason = false): void {
    if (close !== false && this.whepOpen())
      this.effects.push({ do: 'close_whep', ...(close === true ? {} : { reason: close }) });
    if (typeof close === 'string') this.whyNotWhep = close;
    if (phase === 'resting' || phase === 'off' || phase === 'given_up') this.trial = false;
    if (phase !== 'playing' && phase !== 'held' && phase !== 'restarting') this.ice = null;
    this.whep.phase = phase;
    this.whep.until = until;
  }

  hlsEnters(phase: HlsPhase, until: number, close = false): void {
    if (close && this.hlsOpen()) this.effects.push({ do: 'close_hls' });
    if (phase !== 'opening') this.leaving = null;
    this.hls.phase = phase;
    this.hls.until = until;
  }

  hlsMayOpen(now: number): boolean {
    return this.hls.phase === 'off' || (this.hls.phase === 'resting' && now >= this.hls.until);
  }

  whepOpen(): boolean {
    return this.whep.phase === 'playing' || this.whep.phase === 'held' || this.whepOpening();
  }

  hlsOpen(): boolean {
    return this.hls.phase === 'opening' || this.hls.phase === 'playing' || this.hls.phase === 'held';
  }

  whepOpening(): boolean {
    return ['asking', 'connecting', 'buffering', 'restarting'].includes(this.whep.phase);
  }

  /** A resting WHEP leg waits while HLS is opening, and does not probe while the page is hidden and HLS plays. */
  whepMayAct(): boolean {
    if (this.whep.phase !== 'resting') return true;
    return this.hls.phase !== 'opening' && (this.hls.phase !== 'playing' || this.visible);
  }

  hlsMayAct(): boolean {
    return this.hls.phase !== 'resting' || !this.whepOpening();
  }

  show(transport: Transport, reason?: Reason): void {
    if (transport === this.shown) return;
    this.shown = transport;
    if (transport === 'whep') this.whyNotWhep = undefined;
    this.effects.push({ do: 'show', transport, ...(reason && this.choice === 'auto' ? { reason } : {}) });
  }

  tell(state: State, reason?: Reason, detail?: string): void {
    if (state === this.state && reason === this.reason) return;
    this.state = state;
    this.reason = reason;
    const effect: Effect = { do: 'state', state };
    if (reason) effect.reason = reason;
    if (detail) effect.detail = detail;
    this.effects.push(effect);
  }
}
