// The player drives the transport choice and owns the sessions, the stage and every timer.
//
// It passes inputs and deadlines to transport_choice.ts, which makes all decisions, and carries out the effects. After
// `close` no timer, listener, request or peer connection is left.

import type { Mic, MicChange, MicOptions, SwitchReport } from '../room/mic';
import { Descent } from './descent';
import { Emitter } from './emitter';
import { Endpoint } from './endpoint';
import { Figures } from './figures';
import { FrameWatch } from './frame_watch';
import { type HlsListener, HlsSession } from './hls_session';
import type { Latency } from './latency';
import { LevelControl } from './level_control';
import { AUDIO_ONLY, AUTOMATIC, type Level, type LevelChoice, type Levels } from './levels';
import { end, type Live, type Measurable } from './live';
import { watchNetworkChange } from './network_change';
import { NetworkWatch, type Verdict } from './network_watch';
import { browserNow, NodeClock } from './node_clock';
import { type Picture, watchPictures } from './pictures';
import { delayOf, type PlayerEvents, type PlayerOptions, savesData } from './player_options';
import { watchSize } from './player_size';
import { type PromiseWithResolver, promiseWithResolver } from './resolver';
import { askRoom } from './room_state';
import type { Session } from './session';
import { Stage } from './stage';
import type { SessionReadings, Stats } from './stats';
import { TransportChoice } from './transport_choice';
import {
  type Choice,
  type Effect,
  type Input,
  MEDIA_REASONS,
  type Reason,
  type State,
  TIMING,
  type Transport,
} from './transport_words';
import { WhepSession } from './whep_session';

const WHEP_STALL_MS = 2000;
const HLS_STALL_MS = 6000; // hls.js nudges a stalled element by itself after 1 s, and reloads after a few tries.
const MEASURE_MS = 500;
const ASLEEP_MS = 5000; // If a timer is this late, the machine has slept.

export class Player extends Emitter<PlayerEvents> {
  readonly #endpoint: Endpoint;
  readonly #choice: TransportChoice;
  readonly #clock: NodeClock;
  readonly #stage: Stage;
  readonly #life = new AbortController();
  readonly #figures = new Figures();
  #whep: Live<WhepSession> | null = null;
  #hls: Live<HlsSession> | null = null;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #ticker: ReturnType<typeof setInterval> | undefined;
  #tickedAt = 0;
  readonly #whepGivenUp: Partial<Record<Reason, number>> = {};
  #fallback: Reason | null = null;
  #usualFps: number | null = null;
  readonly #levels: LevelControl;
  readonly #descent = new Descent();
  #started: PromiseWithResolver | null = null;
  #mic: Mic | null = null;

  constructor(options: PlayerOptions) {
    super();
    this.#endpoint = new Endpoint(
      options.url,
      options.room,
      options.token,
      options.sync,
      delayOf(options.playoutDelay),
    );
    // To try WHEP beside LL-HLS costs data, so it is rare for a viewer who wants to save data.
    const { limitMs } = TIMING.doubted;
    const timing = savesData() ? { ...TIMING, doubted: { firstMs: limitMs, limitMs } } : TIMING;
    this.#choice = new TransportChoice(options.prefer ?? 'auto', Math.random, timing);
    this.#clock = new NodeClock(this.#endpoint);
    this.#stage = new Stage(options.element, options.muted ?? true, () => this.#emitSound());
    this.#levels = new LevelControl(options.level ?? AUTOMATIC, () => this.#onLevels());
    const { dataset } = this.container;
    dataset['onmic'] = 'player';
    dataset['state'] = 'idle';
    dataset['transport'] = 'none';
  }

  /**
   * Returns the element that holds the videos. It has `data-state`, `data-transport` and `data-latency-ms` for tests.
   */
  get container(): HTMLElement {
    return this.#stage.container;
  }

  /** Returns the video element that is shown now. After a change of transport it is another element. */
  get video(): HTMLVideoElement {
    return this.#stage.top;
  }

  get state(): State {
    return this.#choice.state;
  }

  /** Returns the transport that is shown. */
  get transport(): Transport {
    return this.#choice.shown;
  }

  /** Returns why LL-HLS is shown and not WHEP, if the player decided it. */
  get fallback(): Reason | null {
    return this.#fallback;
  }

  get preferred(): Choice {
    return this.#choice.choice;
  }

  get stats(): Stats {
    const { level, estimate } = this.#levels.seen;
    return { ...this.#figures.stats, level, estimate, whepGivenUp: { ...this.#whepGivenUp } };
  }

  /** Returns the node's time in ms since 1970, by which it dates rooms and people. It is the browser's until it is known. */
  nodeNow(): number {
    return this.#clock.offset.toNode(browserNow());
  }

  get muted(): boolean {
    return this.#stage.muted;
  }

  set muted(muted: boolean) {
    this.#stage.setMuted(muted);
  }

  /** Returns the volume, from 0 to 1. */
  get volume(): number {
    return this.#stage.volume;
  }

  set volume(volume: number) {
    this.#stage.setVolume(volume);
  }

  /** Turns the audio on. Call it from a click or a key press, because browsers allow audio only then. */
  unmute(): void {
    this.muted = false;
  }

  /**
   * Starts the player. Resolves with the first frame, which may take until the broadcaster goes live. Rejects if the
   * player fails for good or is closed before that.
   */
  play(): Promise<void> {
    if (this.state === 'closed') return Promise.reject(new Error('the player is closed'));
    if (this.state === 'playing') return Promise.resolve();
    if (!this.#started) {
      this.#started = promiseWithResolver();
      this.#started.promise.catch(() => {}); // A caller who ignores the promise must not cause an unhandled rejection.
    }
    const { promise } = this.#started;
    if (this.#ticker === undefined) this.#begin();
    this.#apply({ kind: 'play' });
    return promise;
  }

  /** Changes the transport during playback, without a break in the video. */
  prefer(choice: Choice): void {
    this.#apply({ kind: 'prefer', choice });
  }

  /** Returns the levels among which the viewer may choose, the best first. It is empty where there is no choice. */
  get levels(): readonly Level[] {
    return this.#levels.seen.levels;
  }

  /** Returns the key of the level that plays, `none` for audio only, or null while it is not known. */
  get level(): string | null {
    return this.#levels.seen.level;
  }

  /** Returns what was chosen last: the key of a level, `none`, or `auto`. */
  get chosenLevel(): LevelChoice {
    return this.#levels.seen.choice;
  }

  /**
   * Chooses the level with this key, `none` for audio only, or `auto` for what the network carries and the player can
   * show. The choice holds over changes of transport. While the level does not exist, it counts as `auto`.
   */
  setLevel(choice: LevelChoice): void {
    this.#levels.choose(choice);
  }

  /**
   * Asks for the mic, prepares camera and connections meanwhile, and switches to the return feed when a seat is
   * granted. Resolves when this person is on mic. If that fails, it rejects and the program plays on.
   */
  async goOnMic(options: MicOptions): Promise<SwitchReport> {
    const { Mic } = await import('../room/mic');
    if (this.state === 'closed') throw new Error('the player is closed');
    this.#mic ??= new Mic(this.#theatre());
    return this.#mic.go(options);
  }

  /** Switches back to the transport that played before. Before a seat is granted, it withdraws the request. */
  async leaveMic(): Promise<SwitchReport | null> {
    return this.#mic ? this.#mic.leave() : null;
  }

  /** Mutes or unmutes this person's own audio or video while on mic. */
  async muteMic(muted: { audio?: boolean; video?: boolean }): Promise<void> {
    await this.#mic?.mute(muted);
  }

  /** Returns the state of going on mic. */
  get mic(): MicChange['state'] {
    return this.#mic?.state ?? 'off';
  }

  /** Returns the stream that this person sends, or null. */
  get micStream(): MediaStream | null {
    return this.#mic?.stream ?? null;
  }

  /** Ends all sessions and restores the page's element. The player cannot be started again. */
  close(): void {
    if (this.state === 'closed') return;
    this.#mic?.close();
    this.#apply({ kind: 'close' });
    this.#life.abort();
    this.#clock.close();
    clearTimeout(this.#deadline);
    clearInterval(this.#ticker);
    this.#stage.close();
    const { dataset } = this.container;
    for (const name of ['onmic', 'state', 'transport', 'mic', 'level', 'latencyMs', 'latencyMethod'])
      delete dataset[name];
    this.removeAllListeners();
  }

  #begin(): void {
    const { signal } = this.#life;
    this.#clock.start();
    this.#tickedAt = browserNow();
    this.#ticker = setInterval(() => this.#tick(), MEASURE_MS);
    document.addEventListener('visibilitychange', () => this.#onVisibility(), { signal });
    watchNetworkChange((isBack) => this.#apply({ kind: isBack ? 'online' : 'other_network' }), signal);
    window.addEventListener('pageshow', (event) => event.persisted && this.#wake(), { signal });
    const unwatch = watchSize(this.container, (size) => this.#levels.setSize(size));
    signal.addEventListener('abort', unwatch);
    // Tells the node that this viewer leaves, so that it need not wait for a timeout.
    window.addEventListener('pagehide', (event) => !event.persisted && this.close(), { signal });
    this.#onVisibility();
  }

  #theatre() {
    return {
      endpoint: this.#endpoint,
      stage: this.#stage,
      clock: this.#clock.offset,
      program: () => this.#shownLive(this.transport),
      latencyMs: () => this.#figures.stats.latencyMs,
      park: () => this.#apply({ kind: 'park' }),
      unpark: () => this.#apply({ kind: 'unpark' }),
      changed: (change: MicChange) => {
        this.container.dataset['mic'] = change.state;
        this.emit('mic', change);
      },
      switched: (report: SwitchReport) => this.emit('switch', report),
    };
  }

  #shownLive(transport: Transport): Live<Session> | null {
    return transport === 'whep' ? this.#whep : transport === 'hls' ? this.#hls : null;
  }

  // Inputs and effects

  #apply(input: Input): void {
    this.#perform(this.#choice.apply(input, performance.now()));
  }

  #perform(effects: Effect[]): void {
    for (const effect of effects) this.#performOne(effect);
    clearTimeout(this.#deadline);
    const deadline = this.#choice.deadline();
    if (deadline === null || this.#life.signal.aborted) return;
    const wait = Math.max(0, deadline - performance.now());
    this.#deadline = setTimeout(() => this.#perform(this.#choice.due(performance.now())), wait);
  }

  #performOne(effect: Effect): void {
    switch (effect.do) {
      case 'open_whep':
        return this.#openWhep();
      case 'restart_whep':
        if (!effect.early) this.#whep?.watch.expect();
        void this.#whep?.session.restartIce();
        return;
      case 'close_whep':
        if (this.#whep) this.#levels.remove(this.#whep.session);
        this.#whep?.unwatch();
        this.#whep?.session.close(effect.reason);
        this.#whep = null;
        if (effect.reason) this.#gaveWhepUp(effect.reason);
        return;
      case 'play_audio':
        this.#whep?.session.playAudioAlone();
        return;
      case 'open_hls':
        return this.#openHls();
      case 'close_hls':
        if (this.#hls) this.#levels.remove(this.#hls.session);
        this.#hls = end(this.#hls);
        return;
      case 'show':
        return this.#show(effect.transport, effect.reason);
      case 'ask_room':
        void this.#askRoom();
        return;
      case 'state':
        return this.#tell(effect);
    }
  }

  #openWhep(): void {
    const apply = (input: Input) => {
      // Between two effects of one list the state is only half applied, so an input waits until all effects are carried
      // out.
      queueMicrotask(() => live === this.#whep && this.#apply(input));
    };
    const session = new WhepSession(this.#endpoint, this.#freeVideo(), {
      answered: () => apply({ kind: 'whep_answered' }),
      connected: () => apply({ kind: 'whep_connected' }),
      received: (media) => apply({ kind: 'whep_received', media }),
      audioAlone: () => apply({ kind: 'whep_audio' }),
      down: () => apply({ kind: 'whep_down' }),
      lost: () => apply({ kind: 'whep_lost' }),
      restartFailed: (unreachable) => apply({ kind: 'whep_restart_failed', unreachable }),
      levels: (levels) => this.#toldLevels(live, levels),
      unsupported: () => apply({ kind: 'whep_unsupported' }),
      refused: ({ status, title, detail, retryAfterMs }) => {
        if (live === this.#whep && status !== 404 && status !== 409) this.#emitError('whep', status, detail || title);
        apply({ kind: 'whep_refused', status, detail, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
      },
    });
    const live = this.#watch(
      session,
      WHEP_STALL_MS,
      () => apply({ kind: 'whep_frame' }),
      () => apply({ kind: 'whep_pictures' }),
    );
    this.#whep = live;
    void session.open();
    this.#stage.start(session.video);
  }

  #openHls(): void {
    const apply = (input: Input) => queueMicrotask(() => live === this.#hls && this.#apply(input));
    const listener: HlsListener = {
      notLive: () => apply({ kind: 'hls_not_live' }),
      ended: () => apply({ kind: 'hls_ended' }),
      datesStepped: () => this.#clock.sampleSoon(),
      levels: (levels) => this.#toldLevels(live, levels),
      failed: (reason, detail) => {
        if (live === this.#hls) this.#emitError('hls', 0, detail);
        apply({ kind: 'hls_failed', reason, detail });
      },
    };
    // After going on mic the viewer comes from a return feed.
    const near = this.transport === 'mic';
    const startBps = this.#whep && this.#levels.of(this.#whep.session).estimate;
    const session = new HlsSession(this.#endpoint, this.#freeVideo(), listener, { near, startBps });
    const live = this.#watch(session, HLS_STALL_MS, () => apply({ kind: 'hls_frame' }));
    this.#hls = live;
    void session.open();
    this.#stage.start(session.video);
  }

  /** Returns a video element that is not shown and belongs to no session, and clears its old stream. */
  #freeVideo(): HTMLVideoElement {
    const { front, back } = this.#stage;
    const frontIsFree = this.transport === 'none' && !this.#inUse(front);
    const video = frontIsFree ? front : back;
    video.srcObject = null;
    return video;
  }

  #inUse(video: HTMLVideoElement): boolean {
    return this.#whep?.session.video === video || this.#hls?.session.video === video;
  }

  /**
   * Calls `onFirst` for the first frame, also after a stall. Calls `onVideo` for the first frame that is not audio alone.
   */
  #watch<S extends Session>(session: S, stallMs: number, onFirst: () => void, onVideo = () => {}): Live<S> {
    let isSeen = false;
    const watch = new FrameWatch(stallMs);
    if (document.hidden) watch.pause();
    const network = new NetworkWatch(this.#usualFps);
    const live: Live<S> = { session, watch, network, picture: null, pictures: 0, unwatch: () => {} };
    const onPicture = (picture: Picture) => {
      live.picture = picture;
      live.pictures++;
      if (this.#stage.hasPoster && !picture.audioAlone && session === this.#shownLive(this.transport)?.session) {
        this.#stage.setPoster(this.#levels.isAudioOnly);
      }
      if (!isSeen && !picture.audioAlone) {
        isSeen = true;
        onVideo();
      }
      if (watch.picture(performance.now())) onFirst();
      if (live === this.#shownLive(this.transport)) this.#mic?.programPicture(session);
    };
    live.unwatch = watchPictures(session.video, session, onPicture);
    this.#levels.add(session);
    return live;
  }

  #show(transport: Transport, reason?: Reason): void {
    this.#fallback = reason ?? null;
    const live = this.#shownLive(transport);
    if (transport === 'none') this.#stage.clear((video) => this.#inUse(video));
    else if (live) this.#stage.swapTo(live.session.video);
    this.#figures.begin(transport);
    this.#levels.show(live?.session ?? null);
    if (!live) this.#stage.setPoster(false);
    const { dataset } = this.container;
    dataset['transport'] = transport;
    delete dataset['latencyMs'];
    delete dataset['latencyMethod'];
    this.emit('transport', { transport, ...(reason ? { reason } : {}) });
    if (transport === 'none') this.#mic?.programGone();
  }

  #tell(effect: Effect & { do: 'state' }): void {
    const { state, reason, detail } = effect;
    this.container.dataset['state'] = state;
    if (state === 'playing') {
      // A new WHEP session of the same transport plays in the other element.
      const live = this.#shownLive(this.transport);
      if (live) this.#stage.swapTo(live.session.video);
      this.#levels.show(live?.session ?? null);
    }
    this.emit('state', { state, ...(reason ? { reason } : {}), ...(detail ? { detail } : {}) });
    if (state === 'failed') {
      this.emit('error', {
        transport: 'none',
        status: 0,
        reason: reason ?? 'refused',
        detail: detail ?? '',
        fatal: true,
      });
    }
    if (state === 'playing') this.#started?.resolve();
    else if (state === 'failed' || state === 'closed') this.#started?.reject(new Error(detail ?? reason ?? 'closed'));
    else return;
    this.#started = null;
  }

  async #askRoom(): Promise<void> {
    const seen = await askRoom(this.#endpoint, this.#life.signal);
    if (!this.#life.signal.aborted) this.#apply({ kind: 'room', ...seen });
  }

  #toldLevels({ session, watch }: Live<Session>, levels: Levels): void {
    const before = this.#levels.of(session).current;
    // The first frame after audio alone is not late yet.
    if (before === AUDIO_ONLY && levels.current !== AUDIO_ONLY && !document.hidden) watch.resume(performance.now());
    this.#levels.told(session, levels);
  }

  #onLevels(): void {
    const { seen, isAudioOnly } = this.#levels;
    if (seen.level === null) delete this.container.dataset['level'];
    else this.container.dataset['level'] = seen.level;
    if (isAudioOnly) this.#stage.setPoster(true); // It goes with the next frame.
    this.emit('levels', seen);
  }

  // Timers

  #tick(): void {
    const now = browserNow();
    const slept = now - this.#tickedAt > ASLEEP_MS && !document.hidden;
    this.#tickedAt = now;
    if (slept) this.#wake();
    const { session, watch } = this.#whep ?? {};
    // Without video, audio shows that the session works.
    if (session?.isAudioOnly && session.isHeard && watch?.picture(performance.now()))
      this.#apply({ kind: 'whep_frame' });
    if (this.#whep && !this.#whep.session.mayLackPictures && this.#whep.watch.stalled(performance.now()))
      this.#apply({ kind: 'whep_stalled' });
    if (this.#hls?.watch.stalled(performance.now())) this.#apply({ kind: 'hls_stalled' });
    const shown = this.#measured();
    void this.#measure(shown);
    // A session that is on trial is measured as well.
    if (this.#whep && this.#whep !== shown && this.transport === 'hls') void this.#measure(this.#whep);
  }

  #onVisibility(): void {
    const visible = !document.hidden;
    for (const live of [this.#whep, this.#hls]) {
      if (visible) live?.watch.resume(performance.now());
      else live?.watch.pause();
    }
    this.#apply({ kind: 'visible', visible });
    if (visible && this.transport !== 'none') this.#wake();
  }

  #wake(): void {
    this.#clock.restart();
    for (const live of [this.#whep, this.#hls]) {
      live?.watch.resume(performance.now());
      live?.session.wake();
    }
    this.#apply({ kind: 'woke' });
  }

  // Measuring

  #measured(): Measurable | null {
    return this.transport === 'mic' ? (this.#mic?.live ?? null) : this.#shownLive(this.transport);
  }

  async #measure(live: Measurable | null): Promise<void> {
    if (!live) return;
    const { latency, readings } = await live.session
      .measure(live.picture, this.#clock.offset)
      .catch(() => NOTHING_READ);
    if (this.#life.signal.aborted) return;
    if (readings) this.#judge(live, readings);
    if (live.session !== this.#measured()?.session) return;
    if (latency && this.state === 'playing') this.#emitLatency(latency);
    if (readings) this.#emitStats(live, readings);
  }

  /** A hidden page is not judged, because a browser saves work there. */
  #judge({ session }: Measurable, { network }: SessionReadings): void {
    const live = session === this.#whep?.session ? this.#whep : session === this.#hls?.session ? this.#hls : null;
    if (!live || document.hidden) return;
    const sampled = live.network.sample(network, performance.now());
    if (live === this.#whep) this.#usualFps = live.network.usualFps ?? this.#usualFps;
    const shown = live === this.#whep && this.transport === 'whep';
    const verdict = shown ? this.#tryLower(live, sampled) : sampled;
    if (verdict.poor !== null || verdict.fit !== null)
      this.#apply({ kind: live === this.#whep ? 'whep_judged' : 'hls_judged', verdict });
  }

  /** Lets the level fall where the network does not carry the session, and returns what is then left of the verdict. */
  #tryLower(live: Live<Session>, verdict: Verdict): Verdict {
    const levels = this.#levels.of(live.session);
    const { leave, anew, maxBitrate } = this.#descent.judge(
      verdict,
      levels,
      this.#levels.isAutomatic,
      performance.now(),
    );
    this.#levels.setMaxBitrate(maxBitrate);
    if (anew) {
      // A lower level may have fewer frames.
      const fps = levels.list.find(({ key }) => key === levels.current)?.frameRate ?? Number.POSITIVE_INFINITY;
      live.network = new NetworkWatch(this.#usualFps && Math.min(this.#usualFps, fps));
    }
    return leave ? verdict : { ...verdict, poor: null };
  }

  #emitLatency(read: Latency): void {
    const latency = this.#figures.addLatency(read, this.#clock.offset);
    this.container.dataset['latencyMs'] = String(latency.latencyMs);
    this.container.dataset['latencyMethod'] = latency.method;
    this.emit('latency', latency);
  }

  #emitStats(live: Measurable, readings: SessionReadings): void {
    if (this.#figures.add(live, readings, performance.now())) this.emit('stats', this.stats);
  }

  #emitSound(): void {
    const { muted, volume, blocked } = this.#stage;
    this.emit('sound', { muted, volume, blocked });
  }

  #gaveWhepUp(reason: Reason): void {
    this.#whepGivenUp[reason] = (this.#whepGivenUp[reason] ?? 0) + 1;
    // The listener of the session has reported a refusal already, with its status.
    if (MEDIA_REASONS.includes(reason))
      this.emit('error', { transport: 'whep', status: 0, reason, detail: '', fatal: false });
  }

  #emitError(transport: Transport, status: number, detail: string): void {
    this.emit('error', { transport, status, reason: status === 0 ? 'unreachable' : 'refused', detail, fatal: false });
  }
}

const NOTHING_READ = { latency: null, readings: null };
