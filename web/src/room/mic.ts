// Drives one player on mic and back. It owns the camera, the WHIP session and the return feed. mic_switch.ts makes the
// decisions. The player loads this module when it is first needed.
//
// After `end` the player is as it was before: the sessions are deleted, the devices stopped, and the timers and
// listeners removed.

import type { ClockOffset } from '../player/clock_offset';
import type { Endpoint } from '../player/endpoint';
import type { Latency } from '../player/latency';
import { type Picture, watchPictures } from '../player/pictures';
import { type Problem, RequestError } from '../player/problem';
import { askRoom } from '../player/room_state';
import type { Session } from '../player/session';
import type { Stage } from '../player/stage';
import { WhepSession } from '../player/whep_session';
import { WhipSession } from '../player/whip_session';
import { openDevices, stopTracks } from './devices';
import { FADE_MS, levels, PictureGaps, SoundLog } from './fade';
import { type MicEffect, type MicInput, type MicReason, type MicState, MicSwitch } from './mic_switch';
import type { RoomEvent, Ticket } from './model';
import { Pace } from './pace';
import type { Room } from './room';
import { personOf } from './room_state';

export interface MicOptions {
  room: Room;
  /** The stream to send. It is stopped when this person leaves the mic. By default camera and microphone are opened. */
  stream?: MediaStream;
  /** An existing ticket. With it, no request is sent. */
  ticket?: Ticket;
  /** The seat to ask for. By default any seat. */
  seat?: number | null;
  /** Accepts the host's invitation instead of asking. */
  accept?: boolean;
}

/** Reports how a switch was seen and heard. */
export interface SwitchReport {
  direction: 'on' | 'off';
  /**
   * The time from the ticket to the first frame of the return feed, or from `leaveMic` to the program's first frame.
   */
  grantToFirstFrameMs: number;
  longestPictureGapMs: number;
  /** The longest time in which neither audio could be heard (both softer than -12 dB). */
  soundGapMs: number;
  /** The longest time in which both could be heard. */
  soundOverlapMs: number;
  /** The latency of the new transport minus that of the old one: how far the program jumped back. Null if unknown. */
  programStepMs: number | null;
}

export interface MicChange {
  state: MicState;
  reason?: MicReason;
  problem?: Problem;
}

/** Defines what this module needs of the player. */
export interface Theatre {
  readonly endpoint: Endpoint;
  readonly stage: Stage;
  readonly clock: ClockOffset;
  /** Returns the session that shows the program, if there is one. */
  program(): { session: Session; picture: Picture | null } | null;
  /** Returns the latency of the shown program, if it is known. */
  latencyMs(): number | null;
  park(): void;
  unpark(): void;
  changed(change: MicChange): void;
  switched(report: SwitchReport): void;
}

const STEP_MS = 8; // The time between two levels of a fade. Nobody hears steps this short.
const SETTLE_MS = 400; // Frames count for the report of a switch until this long after it.
const SOUND_LOOK_MS = 20;
const STILL_MS = 80; // Without a new frame for this long, the return feed stands still.
// The longest wait for the return feed to catch up, before a frame that plays too fast is shown anyway.
const JOINING_MS = 350;
// A return feed that plays unevenly at first is not shown before this long after the ticket.
const EVEN_BY_MS = 170;
// The longest wait for the program, under the cover, to play as near to the program time of the return feed as it can.
const COVERED_MS = 500;
// The longest wait after that for frames at an even pace.
const UNEVEN_MS = 400;
const STALL_LOOK_MS = 1000;
const STALL_MS = 2500;

export class Mic {
  readonly #theatre: Theatre;
  readonly #switch = new MicSwitch();
  #options: MicOptions | null = null;
  #off: (() => void)[] = [];
  #ticket: Ticket | null = null;
  #stream: MediaStream | null = null;
  #whip: WhipSession | null = null;
  #return: WhepSession | null = null;
  #picture: Picture | null = null;
  #pictures = 0;
  #picturedAt = 0;
  #returnPace = new Pace();
  /** The pace of the program under the cover, and since when it plays where it should. */
  #pace = new Pace();
  #alignedAt: number | null = null;
  #requested = false;
  #seated = false;
  /** The server has said that this person is off the mic, so it has ended the WHIP session. */
  #endedByServer = false;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #fading: ReturnType<typeof setInterval> | undefined;
  #looking: ReturnType<typeof setInterval> | undefined;
  #settling: ReturnType<typeof setTimeout> | undefined;
  #measure: { startedAt: number; firstAt: number | null; gaps: PictureGaps; sound: SoundLog; step: number | null };
  #wish: { resolve: (report: SwitchReport) => void; reject: (error: RequestError) => void } | null = null;
  #farewells: ((report: SwitchReport | null) => void)[] = [];
  #report: SwitchReport | null = null;

  constructor(theatre: Theatre) {
    this.#theatre = theatre;
    this.#measure = this.#freshMeasure();
  }

  get state(): MicState {
    return this.#switch.state;
  }

  /** Returns the stream that is sent, for a preview. */
  get stream(): MediaStream | null {
    return this.#stream;
  }

  /** Returns the return feed while it is shown, else null. */
  get live(): { session: Session; picture: Picture | null; pictures: number } | null {
    if (!this.#return || this.#switch.programShown) return null;
    return { session: this.#return, picture: this.#picture, pictures: this.#pictures };
  }

  /** Goes on mic. Resolves when this person is on mic, and rejects with a `RequestError` if that fails. */
  go(options: MicOptions): Promise<SwitchReport> {
    if (this.state !== 'off') return Promise.reject(mistake('This player is already on mic or going on mic.'));
    this.#options = options;
    this.#ticket = options.ticket ?? options.room.ticket;
    this.#requested = this.#seated = this.#endedByServer = false;
    this.#measure = this.#freshMeasure();
    const { room } = options;
    this.#off = [
      room.on('ticket', (ticket) => this.#onTicket(ticket)),
      room.on('event', ({ event }) => this.#onEvent(event)),
      room.on('state', () => this.#onRoom()),
    ];
    const done = new Promise<SwitchReport>((resolve, reject) => {
      this.#wish = { resolve, reject };
    });
    this.#apply({ kind: 'go', ticket: this.#ticket !== null });
    return done;
  }

  /** Leaves the mic. Resolves when the program plays again, with null if the return feed was not shown. */
  leave(reason: MicReason = 'left'): Promise<SwitchReport | null> {
    if (this.state === 'off') return Promise.resolve(null);
    const done = new Promise<SwitchReport | null>((resolve) => this.#farewells.push(resolve));
    this.#apply({ kind: 'leave', reason });
    return done;
  }

  /** Turns this person's microphone and camera on or off: at once in this browser, and by a command to the room. */
  async mute(muted: { audio?: boolean; video?: boolean }): Promise<void> {
    for (const track of this.#stream?.getTracks() ?? []) {
      const wanted = muted[track.kind as 'audio' | 'video'];
      if (wanted !== undefined) track.enabled = !wanted;
    }
    const room = this.#options?.room;
    const you = room?.you;
    if (room && you && this.state === 'on') await room.command({ kind: 'mute', person: you.person, ...muted });
  }

  /** Sends another camera or microphone while on mic. */
  async replace(track: MediaStreamTrack): Promise<void> {
    const kind = track.kind as 'audio' | 'video';
    await this.#whip?.replace(kind, track);
    for (const old of this.#stream?.getTracks().filter((one) => one.kind === kind) ?? []) {
      track.enabled = old.enabled;
      this.#stream?.removeTrack(old);
      old.stop();
    }
    this.#stream?.addTrack(track);
  }

  /** Is called when the player shows a frame of the program. */
  programPicture(session: Session): void {
    const now = performance.now();
    if (this.#switch.programShown) this.#measure.gaps.picture(now);
    if (this.state !== 'leaving' || this.#switch.programShown) return;
    // The program plays under the cover. It may be shown as soon as it plays at the live edge.
    const picture = this.#theatre.program()?.picture ?? null;
    // While the return feed plays on, the viewer misses nothing, and the program can reach the same program time.
    const { clock } = this.#theatre;
    const cover = now - this.#picturedAt < STILL_MS ? this.#picture : null;
    const even = this.#pace.picture(picture?.shownAt ?? now);
    if (!cover) {
      if (session.align(picture, clock)) this.#apply({ kind: 'program' });
      return;
    }
    if (!session.align(picture, clock, this.#return?.latencyMs(cover, clock) ?? 0, COVERED_MS)) return;
    this.#alignedAt ??= now;
    if (even || now - this.#alignedAt > UNEVEN_MS) this.#apply({ kind: 'program' });
  }

  /** Is called when the player has nothing to show. */
  programGone(): void {
    this.#apply({ kind: 'program_gone' });
  }

  close(): void {
    clearTimeout(this.#deadline);
    clearTimeout(this.#settling);
    this.#end(['joining', 'on'].includes(this.state) ? 'left' : null);
    this.#wish?.reject(mistake('The player was closed.'));
    this.#wish = null;
    for (const told of this.#farewells.splice(0)) told(null);
  }

  // Inputs and effects

  #apply(input: MicInput): void {
    this.#perform(this.#switch.apply(input, performance.now()));
  }

  #perform(effects: MicEffect[]): void {
    for (const effect of effects) this.#performOne(effect, effects);
    clearTimeout(this.#deadline);
    const deadline = this.#switch.deadline();
    if (deadline === null) return;
    const wait = Math.max(0, deadline - performance.now());
    this.#deadline = setTimeout(() => this.#perform(this.#switch.due(performance.now())), wait);
  }

  #performOne(effect: MicEffect, effects: MicEffect[]): void {
    switch (effect.do) {
      case 'warm':
        void this.#warm();
        return;
      case 'ask':
        void this.#ask();
        return;
      case 'withdraw':
        // An error means that the request is gone already.
        this.#options?.room.command({ kind: 'withdraw' }).catch(() => {});
        return;
      case 'open':
        this.#measure = this.#freshMeasure(this.#measure.startedAt);
        this.#returnPace = new Pace();
        this.#openWhip();
        return this.#openReturn();
      case 'reopen_return':
        return this.#openReturn();
      case 'show_return':
        this.#showReturn();
        return;
      case 'fade_to_return':
        return this.#fade((elapsed) => {
          const { from, to } = levels(elapsed);
          return { program: from, cover: to };
        });
      case 'fade_to_program':
        return this.#fade((elapsed) => {
          const { from, to } = levels(elapsed);
          return { program: to, cover: from };
        });
      case 'park':
        return this.#theatre.park();
      case 'unpark':
        this.#measure = this.#freshMeasure();
        [this.#pace, this.#alignedAt] = [new Pace(), null];
        return this.#theatre.unpark();
      case 'show_program':
        return this.#showProgram();
      case 'stop_sending':
        return this.#stopSending(effect.tell_server);
      case 'end':
        return this.#end(effect.tell_server, effects.find((one) => one.do === 'state')?.problem?.detail);
      case 'state':
        return this.#tell(effect);
    }
  }

  async #warm(): Promise<void> {
    const options = this.#options;
    try {
      const stream = options?.stream ?? (await openDevices());
      if (this.#options !== options || this.state === 'off') return stopTracks(stream);
      this.#stream = stream;
      this.#whip = new WhipSession(stream, {
        connected: () => this.#apply({ kind: 'published' }),
        refused: (problem) => this.#apply({ kind: 'publish_refused', problem }),
        lost: () => this.#apply({ kind: 'publish_lost' }),
      });
      const cover = this.#theatre.stage.addCover();
      const back = this.#makeReturn(cover);
      this.#return = back;
      this.#off.push(watchPictures(cover, back, (picture) => this.#onPicture(picture)));
      await Promise.all([this.#whip.warm(), back.warm()]);
      if (this.#options === options) this.#apply({ kind: 'warm' });
    } catch (error) {
      if (this.#options !== options) return;
      const problem = error instanceof RequestError ? error.problem : mistake(String(error)).problem;
      this.#apply({ kind: 'warm_failed', problem });
    }
  }

  async #ask(): Promise<void> {
    const options = this.#options;
    if (!options) return;
    const { room, seat = null, accept } = options;
    try {
      await (accept ? room.command({ kind: 'accept' }) : room.requestMic(seat));
      if (this.#options === options) this.#apply({ kind: 'asked' });
    } catch (error) {
      const problem = error instanceof RequestError ? error.problem : mistake(String(error)).problem;
      if (this.#options === options) this.#apply({ kind: 'ask_refused', problem });
    }
  }

  #openWhip(): void {
    if (this.#ticket) void this.#whip?.open(this.#ticketed(this.#ticket.whip, 'whip'));
  }

  #openReturn(): void {
    if (this.#ticket) void this.#return?.open(this.#ticketed(this.#ticket.return, 'whep'));
  }

  #ticketed(path: string, kind: 'whip' | 'whep'): Endpoint {
    const { endpoint } = this.#theatre;
    return endpoint.ticketed(endpoint.stated(path), kind, this.#ticket?.token);
  }

  #makeReturn(cover: HTMLVideoElement): WhepSession {
    return new WhepSession(this.#theatre.endpoint, cover, {
      answered: () => {
        cover.play().catch(() => {}); // It is muted, and browsers always allow muted playback.
        this.#lookForSound();
      },
      connected: () => {},
      received: () => {},
      audioAlone: () => void this.#playAudioAlone(),
      refused: (problem) => this.#apply({ kind: 'return_refused', problem }),
      down: () => void this.#return?.restartIce(),
      lost: () => this.#apply({ kind: 'return_lost' }),
      restartFailed: () => this.#apply({ kind: 'return_lost' }),
      unsupported: () => this.#apply({ kind: 'return_lost' }),
    });
  }

  /** A return feed with audio alone is shown only if nobody sends video. */
  async #playAudioAlone(): Promise<void> {
    const { video } = await askRoom(this.#theatre.endpoint);
    if (!video) this.#return?.playAudioAlone();
  }

  #lookForSound(): void {
    clearInterval(this.#looking);
    this.#looking = setInterval(() => {
      if (!this.#return?.hasSound) return;
      this.#apply({ kind: 'sound' });
      this.#lookForStalls();
    }, SOUND_LOOK_MS);
  }

  /** Restarts ICE when the return feed stands still, because it may need another path through the network. */
  #lookForStalls(): void {
    clearInterval(this.#looking);
    this.#looking = setInterval(() => {
      if (this.state !== 'on' || document.hidden || performance.now() - this.#picturedAt < STALL_MS) return;
      this.#picturedAt = performance.now() + STALL_MS; // The restart gets this time before the next one.
      void this.#return?.restartIce();
    }, STALL_LOOK_MS);
  }

  #onPicture(picture: Picture): void {
    const now = performance.now();
    this.#picture = picture;
    this.#pictures++;
    this.#picturedAt = Math.max(this.#picturedAt, now);
    const { clock } = this.#theatre;
    // Show it only when its latency is as low as that of the shown program. Otherwise the program would jump back and
    // then play too fast.
    const programMs = this.#theatre.latencyMs() ?? 0;
    const even = this.#returnPace.picture(picture.shownAt) || now - this.#measure.startedAt > EVEN_BY_MS;
    if (this.state === 'joining' && this.#return?.align(picture, clock, programMs, JOINING_MS) && even)
      this.#apply({ kind: 'picture' });
    if (!this.#switch.programShown) this.#measure.gaps.picture(now);
  }

  #showReturn(): void {
    this.#theatre.stage.raise(true);
    this.#measure.firstAt = performance.now();
    void this.#measureStep();
  }

  #showProgram(): void {
    void this.#measureStep();
    this.#theatre.stage.raise(false);
    this.#measure.firstAt = performance.now();
    this.#measure.gaps.picture(this.#measure.firstAt);
  }

  #fade(at: (elapsedMs: number) => { program: number; cover: number }): void {
    clearInterval(this.#fading);
    const startedAt = performance.now();
    const step = () => {
      const now = performance.now();
      const { program, cover } = at(now - startedAt);
      this.#theatre.stage.mix(program, cover);
      this.#measure.sound.note(now, program, cover);
      if (now - startedAt < FADE_MS) return;
      clearInterval(this.#fading);
      this.#apply({ kind: 'faded' });
    };
    this.#fading = setInterval(step, STEP_MS);
    step();
  }

  #tell({ state, reason, problem }: MicEffect & { do: 'state' }): void {
    this.#theatre.changed({ state, ...(reason ? { reason } : {}), ...(problem ? { problem } : {}) });
    if (state === 'on') {
      this.#settling = setTimeout(() => {
        this.#wish?.resolve(this.#tellReport('on'));
        this.#wish = null;
      }, SETTLE_MS);
    }
    if (state !== 'off') return;
    clearTimeout(this.#settling);
    this.#wish?.reject(new RequestError(problem ?? { status: 0, title: reason ?? 'left', detail: reason ?? 'left' }));
    this.#wish = null;
    const farewells = this.#farewells.splice(0);
    if (this.#measure.firstAt === null) for (const told of farewells) told(null);
    else {
      this.#settling = setTimeout(() => {
        const report = this.#tellReport('off');
        for (const told of farewells) told(report);
      }, SETTLE_MS);
    }
  }

  #end(tellServer: 'left' | 'failed' | null, why = ''): void {
    clearInterval(this.#fading);
    clearInterval(this.#looking);
    const room = this.#options?.room;
    if (tellServer === 'failed' && room) {
      // The server refuses this if the person is on mic already and only the return feed failed. Then leave the seat.
      room
        .command({ kind: 'connect-failed', reason: why || 'No connection.' })
        .catch(() => room.command({ kind: 'leave-mic' }))
        .catch(() => {});
    }
    this.#stopSending(tellServer === 'left');
    this.#return?.close();
    this.#return = null;
    this.#theatre.stage.removeCover();
    this.#options = this.#ticket = null;
    for (const stop of this.#off.splice(0)) stop();
  }

  #stopSending(tellServer: boolean): void {
    // The end of the session tells the server too, but later.
    if (tellServer) this.#options?.room.command({ kind: 'leave-mic' }).catch(() => {});
    this.#whip?.close(!tellServer && !this.#endedByServer); // The server ends the session together with the seat.
    this.#whip = null;
    stopTracks(this.#stream);
    this.#stream = null;
  }

  // Messages of the room

  #onTicket(ticket: Ticket): void {
    if (this.state !== 'asking' && this.state !== 'waiting') return;
    this.#ticket = ticket;
    this.#measure = this.#freshMeasure();
    this.#apply({ kind: 'ticket' });
  }

  #onEvent(event: RoomEvent): void {
    if (event.kind === 'room-ended') {
      this.#endedByServer = true;
      return this.#apply({ kind: 'leave', reason: 'room-ended' });
    }
    const person = personOf(event);
    if (!person || person !== this.#options?.room.you?.person) return;
    switch (event.kind) {
      case 'mic-refused':
        return this.#apply({ kind: 'leave', reason: 'refused' });
      case 'mic-expired':
        return this.#apply({ kind: 'leave', reason: 'expired' });
      case 'mic-failed': {
        const detail = event.reason ?? '';
        return this.#apply({ kind: 'publish_refused', problem: { status: 0, title: 'Not on mic', detail } });
      }
      case 'mic-left':
        this.#endedByServer = true;
        if (this.state === 'joining' || this.state === 'on' || this.state === 'leaving')
          this.#apply({ kind: 'leave', reason: event.reason === 'left' ? 'removed' : reasonOf(event.reason) });
        return;
    }
  }

  /** Notices that the request or the seat is gone. After a reconnect there may be no event for it. */
  #onRoom(): void {
    const room = this.#options?.room;
    if (room?.connection !== 'open') return;
    const waits = room.state.requests.some(({ person }) => person === room.you?.person);
    if (waits) this.#requested = true;
    else if (this.#requested && !room.seat && this.state === 'waiting')
      this.#apply({ kind: 'leave', reason: 'expired' });
    if (room.seat) this.#seated = true;
    else if (this.#seated && this.state === 'on') this.#apply({ kind: 'leave', reason: 'removed' });
  }

  // Measuring

  #freshMeasure(startedAt = performance.now()) {
    const now = performance.now();
    return { startedAt, firstAt: null, gaps: new PictureGaps(now), sound: new SoundLog(), step: null };
  }

  async #measureStep(): Promise<void> {
    const measure = this.#measure;
    const program = this.#theatre.program();
    const { clock } = this.#theatre;
    const backwards = this.state === 'leaving';
    const [ours, theirs] = await Promise.all([
      latencyOf(this.#return, this.#picture, clock),
      latencyOf(program?.session, program?.picture ?? null, clock),
    ]);
    if (!ours || !theirs) return;
    measure.step = Math.round(backwards ? theirs.ms - ours.ms : ours.ms - theirs.ms);
  }

  #tellReport(direction: 'on' | 'off'): SwitchReport {
    const { startedAt, firstAt, gaps, sound, step } = this.#measure;
    this.#report = {
      direction,
      grantToFirstFrameMs: Math.round((firstAt ?? performance.now()) - startedAt),
      longestPictureGapMs: Math.round(gaps.longestMs),
      soundGapMs: Math.round(sound.gapMs),
      soundOverlapMs: Math.round(sound.overlapMs),
      programStepMs: step,
    };
    this.#theatre.switched(this.#report);
    return this.#report;
  }
}

function latencyOf(session: Session | null | undefined, picture: Picture | null, clock: ClockOffset) {
  if (!session) return Promise.resolve<Latency | null>(null);
  return session.measure(picture, clock).then(
    ({ latency }) => latency,
    () => null,
  );
}

function reasonOf(reason: string | undefined): MicReason {
  return reason === 'timeout' || reason === 'room-ended' ? reason : 'removed';
}

function mistake(detail: string): RequestError {
  return new RequestError({ status: 0, title: 'Not on mic', detail });
}
