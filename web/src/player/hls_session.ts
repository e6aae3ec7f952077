// Plays one LL-HLS session: with hls.js where the browser has MediaSource or ManagedMediaSource, else with the
// browser's own player. hls.js is loaded when it is first needed, so a viewer who plays by WebRTC never fetches it.
//
// The session decides nothing. It reports events to the listener, and none after it is closed.

import type Hls from 'hls.js';
import type { ErrorData, HlsConfig } from 'hls.js';
import type { ClockOffset } from './clock_offset';
import type { Endpoint } from './endpoint';
import { keyOf, levelsOf } from './hls_levels';
import { hlsLatency } from './latency';
import { AUDIO_ONLY, type Level, type Levels, type LevelWish } from './levels';
import { type Buffer, easingRate, isWhole, NEAR_S, nearestStart } from './near_edge';
import { browserNow } from './node_clock';
import type { Picture } from './pictures';
import type { Session } from './session';
import type { SessionReadings } from './stats';

export interface HlsListener {
  notLive(): void;
  ended(): void;
  /** The dates of what is played step: the node's clock was set. */
  datesStepped(): void;
  /** What the session knows of its levels has changed. The browser's own player tells nothing of them. */
  levels(levels: Levels): void;
  failed(reason: 'unsupported' | 'unauthorized' | 'unreachable' | 'refused', detail: string): void;
}

const MEDIA_RECOVERIES = 2; // If two recoveries did not help, the decoder needs a new session.
const ALIGNED_WITHIN_S = 0.5; // A few parts. hls.js starts one segment further back if it has to.
// Where the node moves its dates faster than this, the clock is looked at anew (packager/src/dates.rs).
const DATES_STEP_MS = 200;
const TOO_FAR_BEHIND_S = 2; // To catch up 2 s at a rate of 1.1 would take 20 s, so playback jumps.
// The target distance to the live edge is the playlist's PART-HOLD-BACK. With a rate of 1, hls.js's default, playback
// would never catch up to it.
const CATCH_UP_RATE = 1.1;

interface NativeVideo extends HTMLVideoElement {
  getStartDate?(): Date;
}

export class HlsSession implements Session {
  readonly video: NativeVideo;
  readonly receives = true; // The clock of an element with a media source runs only over media that it has.
  readonly mayLackPictures = true; // The media source has exactly the kinds that the playlists name.
  readonly #endpoint: Endpoint;
  readonly #listener: HlsListener;
  readonly #life = new AbortController();
  #hls: Hls | null = null;
  #wasLive = false;
  #mediaRecoveries = 0;
  #bytesReceived = 0;
  #freezes = 0;
  /** How long the video stood still, without the present freeze. */
  #frozenMs = 0;
  #frozenSince: number | null = null;
  #jumped = false;
  #aligningSince: number | null = null;
  #grewAt = 0;
  readonly #near: boolean;
  readonly #startBps: number | null;
  #module: typeof import('hls.js') | null = null;
  #wish: LevelWish | null = null;
  #levels: readonly Level[] = [];
  #current: string | null = null;
  /** The room has no audio to play alone. */
  #hasNoAudio = false;
  /** The date of position 0. */
  #zero: number | undefined;

  /**
   * `near`: the viewer comes from a closer transport, so playback starts nearer to the live edge. `startBps` is what the
   * network is known to carry, in bits per second, and the first level is chosen by it.
   */
  constructor(
    endpoint: Endpoint,
    video: HTMLVideoElement,
    listener: HlsListener,
    { near = false, startBps = null }: { near?: boolean; startBps?: number | null } = {},
  ) {
    this.#near = near;
    this.#startBps = startBps;
    this.#endpoint = endpoint;
    this.video = video;
    this.#listener = listener;
  }

  async open(): Promise<void> {
    let module: typeof import('hls.js');
    try {
      module = await import('hls.js');
    } catch (error) {
      return this.#fail('unreachable', `The LL-HLS player could not be loaded: ${String(error)}`);
    }
    if (this.#closed) return;
    const signal = this.#life.signal;
    this.video.addEventListener('ended', () => this.#listener.ended(), { signal });
    // `waiting` also fires once before the first frame. After the first frame it is a freeze that the viewer sees.
    this.video.addEventListener('waiting', () => this.video.currentTime > 0 && this.#freeze(), { signal });
    this.video.addEventListener('playing', () => this.#thaw(), { signal });
    if (module.default.isSupported()) {
      this.#module = module;
      this.#openHls(module);
    } else if (this.video.canPlayType('application/vnd.apple.mpegurl') !== '') await this.#openNative();
    else this.#fail('unsupported', 'This browser supports neither Media Source Extensions nor HLS.');
  }

  async measure(_picture: unknown, clock: ClockOffset) {
    const readings: SessionReadings = {
      bytesReceived: this.#bytesReceived,
      framesDropped: this.video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0,
      freezes: this.#freezes,
      rtt: null,
      codec: this.#hls?.levels[Math.max(this.#hls.currentLevel, 0)]?.videoCodec ?? '',
      network: { frozenMs: this.#frozenMs + (this.#frozenSince ? performance.now() - this.#frozenSince : 0) },
    };
    const playing = this.#playing();
    if (playing !== undefined) this.#lookAtDates(playing - this.video.currentTime * 1000);
    return { latency: hlsLatency(playing, browserNow(), clock), readings };
  }

  #freeze(): void {
    this.#freezes++;
    this.#frozenSince ??= performance.now();
  }

  #thaw(): void {
    if (this.#frozenSince !== null) this.#frozenMs += performance.now() - this.#frozenSince;
    this.#frozenSince = null;
  }

  #lookAtDates(zero: number): void {
    const steps = this.#zero !== undefined && Math.abs(zero - this.#zero) > DATES_STEP_MS;
    if (steps && !this.#closed) this.#listener.datesStepped();
    this.#zero = zero;
  }

  align(_picture: Picture | null, _clock: ClockOffset, _otherwiseMs?: number, patienceMs = 0): boolean {
    const hls = this.#hls;
    this.#aligningSince ??= performance.now();
    if (this.video.seeking) return false;
    if (!hls?.liveSyncPosition || this.#jumped) return true;
    let start: number | null;
    if (this.#near) {
      const buffer = this.#buffer(hls);
      const patient = performance.now() - this.#aligningSince < patienceMs;
      if (buffer && !isWhole(buffer) && patient) return false;
      start = buffer && nearestStart(buffer);
    } else {
      const behind = hls.latency - (hls.targetLatency ?? hls.latency);
      start = behind < ALIGNED_WITHIN_S ? null : hls.liveSyncPosition;
    }
    if (start === null) return true;
    this.#jumped = true;
    this.video.currentTime = start;
    return false;
  }

  #buffer(hls: Hls): Buffer | null {
    const { buffered, currentTime: position } = this.video;
    const details = hls.latestLevelDetails;
    if (!details?.partTarget || buffered.length === 0) return null;
    const [end, ageS] = [buffered.end(buffered.length - 1), (performance.now() - this.#grewAt) / 1000];
    return { position, end, edge: details.partEnd, partTarget: details.partTarget, ageS };
  }

  /** Starts near the live edge, and plays a little slower until the latency is what the playlist asks for. */
  #startNear(hls: Hls): void {
    hls.targetLatency = NEAR_S;
    hls.config.maxLiveSyncPlaybackRate = 1; // hls.js leaves the rate alone.
    const { signal } = this.#life;
    const ease = () => {
      const { partHoldBack, holdBack } = hls.latestLevelDetails ?? {};
      const target = partHoldBack || holdBack;
      if (!target) return;
      this.video.playbackRate = easingRate(hls.latency, target);
      if (this.video.playbackRate < 1) return;
      this.video.removeEventListener('timeupdate', ease);
      hls.targetLatency = target;
      hls.config.maxLiveSyncPlaybackRate = CATCH_UP_RATE;
    };
    this.video.addEventListener('playing', () => this.video.addEventListener('timeupdate', ease, { signal }), {
      once: true,
      signal,
    });
  }

  choose(wish: LevelWish): void {
    const before = this.#isAudioOnly;
    this.#wish = wish;
    const hls = this.#hls;
    if (!hls || this.#levels.length === 0) return; // The wish counts once the levels are known.
    if (this.#isAudioOnly !== before) this.#reopen();
    else if (!this.#isAudioOnly) {
      const level = this.#wanted(hls);
      if (level < 0) hls.loadLevel = -1;
      else if (level !== hls.loadLevel || hls.autoLevelEnabled) hls.nextLevel = level;
    }
  }

  get #isAudioOnly(): boolean {
    return this.#wish?.choice === AUDIO_ONLY && !this.#hasNoAudio;
  }

  /** Returns the place of the wished level, or -1 for the automatic choice. */
  #wanted(hls: Hls): number {
    return hls.levels.findIndex(({ uri }) => keyOf(uri) === this.#wish?.choice);
  }

  #tellLevels(current: string | null): void {
    this.#current = current;
    const estimate = this.#hls?.bandwidthEstimate;
    if (!this.#closed) this.#listener.levels({ list: this.#levels, current, estimate: estimate || null });
  }

  wake(): void {
    const hls = this.#hls;
    const behind = hls ? hls.latency - (hls.targetLatency ?? hls.latency) : 0;
    if (hls?.liveSyncPosition && behind > TOO_FAR_BEHIND_S) this.video.currentTime = hls.liveSyncPosition;
    this.video.play().catch(() => {});
  }

  close(): void {
    if (this.#closed) return;
    this.#life.abort();
    this.#hls?.destroy();
    this.#hls = null;
  }

  get #closed(): boolean {
    return this.#life.signal.aborted;
  }

  /** Returns the program date of the playback position, in ms since 1970. */
  #playing(): number | undefined {
    if (this.#hls) return this.#hls.playingDate?.getTime();
    const start = this.video.getStartDate?.().getTime();
    return start === undefined ? undefined : start + this.video.currentTime * 1000;
  }

  #openHls(module: typeof import('hls.js')): void {
    const { default: Hls, Events } = module;
    const hls = new Hls(this.#config(module));
    this.#hls = hls;
    hls.on(Events.ERROR, (_event, data) => this.#onError(module, data));
    // The levels are read first, also where only audio is played, so that another one can be chosen later.
    const isAudioAlone = this.#isAudioOnly && this.#levels.length > 0;
    if (isAudioAlone) this.#tellLevels(AUDIO_ONLY);
    hls.on(Events.MANIFEST_PARSED, () => (isAudioAlone ? hls.startLoad() : this.#onLevels(hls)));
    hls.on(Events.LEVEL_SWITCHED, (_event, { level }) => {
      const { uri } = hls.levels[level] ?? {};
      if (uri && !isAudioAlone) this.#tellLevels(keyOf(uri));
    });
    hls.on(Events.LEVEL_LOADED, (_event, { details }) => {
      // The playlist of an ended program may stay for a while. Its last seconds must not be played again.
      if (!details.live && !this.#wasLive) this.#listener.notLive();
      this.#wasLive ||= details.live;
    });
    hls.on(Events.FRAG_LOADED, (_event, data) => {
      this.#bytesReceived += data.part?.stats.loaded ?? data.frag.stats.loaded;
    });
    hls.on(Events.BUFFER_APPENDED, () => {
      this.#grewAt = performance.now();
    });
    if (this.#near) this.#startNear(hls);
    hls.attachMedia(this.video);
    hls.loadSource(isAudioAlone ? this.#endpoint.hlsAudio : this.#endpoint.hls);
  }

  /** Begins anew with another playlist. Waits until hls.js has told all its parts what has just happened. */
  #reopen(): void {
    queueMicrotask(() => {
      if (this.#closed || !this.#module) return;
      this.#hls?.destroy();
      this.#openHls(this.#module);
    });
  }

  #onLevels(hls: Hls): void {
    this.#levels = levelsOf(hls.levels.filter(({ videoCodec, height }) => videoCodec || height));
    this.#tellLevels(this.#current === AUDIO_ONLY ? null : this.#current);
    if (this.#isAudioOnly && this.#levels.length > 0) return this.#reopen();
    const level = this.#wanted(hls);
    if (level >= 0) hls.loadLevel = level;
    hls.startLoad();
  }

  #config({ default: Hls }: typeof import('hls.js')): Partial<HlsConfig> {
    const { manifestLoadPolicy } = Hls.DefaultConfig;
    return {
      autoStartLoad: false, // The wish for a level comes first.
      capLevelToPlayerSize: true,
      lowLatencyMode: true,
      ...(this.#startBps && { abrEwmaDefaultEstimate: this.#startBps }),
      maxLiveSyncPlaybackRate: CATCH_UP_RATE,
      backBufferLength: 10,
      // A 404 means "not live". transport_choice.ts decides when to ask again.
      manifestLoadPolicy: { default: { ...manifestLoadPolicy.default, errorRetry: null } },
      xhrSetup: (xhr, url) => {
        const authorization = this.#endpoint.authorization(url);
        if (authorization === undefined) return;
        if (xhr.readyState === XMLHttpRequest.UNSENT) xhr.open('GET', url, true);
        xhr.setRequestHeader('Authorization', authorization);
      },
    };
  }

  #onError({ ErrorTypes, ErrorDetails }: typeof import('hls.js'), data: ErrorData): void {
    if (this.#closed || !data.fatal) return;
    const status = data.response?.code ?? 0;
    if (data.details === ErrorDetails.MANIFEST_LOAD_ERROR && this.#isAudioOnly && this.#levels.length > 0) {
      this.#hasNoAudio = true;
      this.#reopen();
    } else if (data.type === ErrorTypes.MEDIA_ERROR && this.#mediaRecoveries++ < MEDIA_RECOVERIES) {
      this.#hls?.recoverMediaError();
    } else if (status === 401 || status === 403) this.#fail('unauthorized', data.error.message);
    else if (status === 404) this.#listener.notLive();
    else if (data.details === ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR)
      this.#fail('unsupported', data.error.message);
    else
      this.#fail(
        data.type === ErrorTypes.NETWORK_ERROR && status === 0 ? 'unreachable' : 'refused',
        data.error.message,
      );
  }

  /** Fetches the playlist first, because the browser's player reports neither the status nor the cause of a failure. */
  async #openNative(): Promise<void> {
    const url = this.#endpoint.hls;
    const signal = this.#life.signal;
    try {
      const response = await fetch(url, { headers: this.#endpoint.headers(url), signal });
      if (response.status === 404) return this.#listener.notLive();
      if (response.status === 401 || response.status === 403) return this.#fail('unauthorized', '');
      if (!response.ok) return this.#fail('refused', `HTTP ${response.status}`);
    } catch (error) {
      return this.#fail('unreachable', String(error));
    }
    this.video.addEventListener('error', () => this.#fail('refused', this.video.error?.message ?? ''), { signal });
    this.video.src = url;
  }

  #fail(reason: 'unsupported' | 'unauthorized' | 'unreachable' | 'refused', detail: string): void {
    if (!this.#closed) this.#listener.failed(reason, detail);
  }
}
