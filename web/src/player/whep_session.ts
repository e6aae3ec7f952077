// Plays one WHEP session: offer, POST, answer, ICE restart by PATCH, DELETE. The server is ICE-lite and has all its
// candidates in the answer. The browser does not trickle its candidates, because its connectivity checks tell the
// server its address.
//
// The session decides nothing. It reports events to the listener, and none after it is closed. `warm` does in advance
// what needs no server, so that `open` takes one round trip.

import type { ClockOffset } from './clock_offset';
import type { Endpoint } from './endpoint';
import { type Latency, type WhepReadings, whepLatency } from './latency';
import { LevelChannel } from './level_channel';
import type { Levels, LevelWish } from './levels';
import type { SessionLinks } from './link_header';
import type { Picture } from './pictures';
import { type Problem, RequestError } from './problem';
import { iceRestartFragment, playersOffer, withIceFragment } from './sdp';
import type { Session } from './session';
import { SessionClock } from './session_clock';
import { SessionResource } from './session_resource';
import { read, type StatsMember } from './whep_statistics';

export interface WhepListener {
  answered(): void;
  connected(): void;
  /** The first packets of this kind have come. */
  received(media: 'audio' | 'video'): void;
  /** Audio has come, and no video for `PICTURES_MS`, or the node has none. It plays after `playAudioAlone`. */
  audioAlone(): void;
  refused(problem: Problem): void;
  down(): void;
  /** The node ended the session, so a new one is needed. */
  lost(): void;
  /** `unreachable` means that no answer came, so the session may still be there. */
  restartFailed(unreachable: boolean): void;
  unsupported(): void;
  /** What the session knows of its levels has changed. A listener without this gets the program as the node chooses. */
  levels?(levels: Levels): void;
}

const ALIGNED_WITHIN_MS = 250;
const SLACK_MS = 100; // Latencies vary by about 100 ms.
const PICTURES_MS = 1000; // Video normally comes before the first audio, or within 1 s after it.
const LOOK_MS = 200;
const HEARD_MS = 1000;
const SERVERS_AFTER_MS = 700; // A direct way takes three round trips at most, and one through TURN has to be open within 3 s.
const CATCH_UP_MS = 200; // After this time, a frame that plays too fast is shown anyway.
const ABS_CAPTURE_TIME = 'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time';

// These members are missing in TypeScript's DOM library, or in some browsers.
interface Receiver extends RTCRtpReceiver {
  playoutDelayHint?: number | null;
}
interface Transceiver extends RTCRtpTransceiver {
  getHeaderExtensionsToNegotiate?(): { uri: string; direction: RTCRtpTransceiverDirection }[];
  setHeaderExtensionsToNegotiate?(extensions: { uri: string; direction: RTCRtpTransceiverDirection }[]): void;
}
interface Source extends RTCRtpSynchronizationSource {
  captureTimestamp?: number | null;
  senderCaptureTimeOffset?: number | null;
}

export class WhepSession implements Session {
  readonly video: HTMLVideoElement;
  readonly #listener: WhepListener;
  #endpoint: Endpoint;
  #resource: SessionResource | null = null;
  #peer: RTCPeerConnection | null = null;
  #transceiver: RTCRtpTransceiver | null = null;
  #sound: RTCRtpReceiver | null = null;
  #soundAlone = false;
  #levels: LevelChannel | null = null;
  #wish: LevelWish | null = null;
  readonly #received = new Set<'audio' | 'video'>();
  #looking: ReturnType<typeof setInterval> | undefined;
  #asking: ReturnType<typeof setTimeout> | undefined;
  #warm: Promise<RTCPeerConnection> | null = null;
  #answer = '';
  #restarts = 0;
  #catchingUpSince: number | null = null;
  readonly #clock = new SessionClock();
  #closed = false;

  constructor(endpoint: Endpoint, video: HTMLVideoElement, listener: WhepListener) {
    this.#endpoint = endpoint;
    this.video = video;
    this.#listener = listener;
  }

  get receives(): boolean {
    const receivers = [this.#transceiver?.receiver, this.#sound];
    return this.#peer?.connectionState === 'connected' && receivers.some((each) => each && receives(each));
  }

  get mayLackPictures(): boolean {
    return this.#soundAlone || this.isAudioOnly;
  }

  /** Is true while the node sends no video, because of the level. */
  get isAudioOnly(): boolean {
    return this.#levels?.isAudioOnly === true;
  }

  /** Is true if audio was played within the last second. */
  get isHeard(): boolean {
    const played = this.#sound?.getSynchronizationSources?.()[0]?.timestamp;
    return played !== undefined && performance.timeOrigin + performance.now() - played < HEARD_MS;
  }

  /**
   * Is true once audio plays. The first packet unmutes the track, and `receives` is true when audio has been played.
   */
  get hasSound(): boolean {
    return this.#sound !== null && !this.#sound.track.muted && receives(this.#sound);
  }

  /** Makes the connection and its offer, without contacting the server. */
  warm(): Promise<RTCPeerConnection> {
    this.#warm ??= this.#offer();
    return this.#warm;
  }

  /** Opens the session. The caller gives `endpoint` here if it was not known at construction. */
  async open(endpoint: Endpoint = this.#endpoint): Promise<void> {
    this.#endpoint = endpoint;
    try {
      if (typeof RTCPeerConnection === 'undefined') return this.#listener.unsupported();
      const peer = await this.warm();
      if (this.#closed) return;
      await this.#exchange(peer, peer.localDescription?.sdp ?? '');
    } catch (error) {
      if (this.#closed) return;
      const problem =
        error instanceof RequestError
          ? error.problem
          : { status: 500, title: 'The answer is not valid', detail: String(error) };
      this.#listener.refused(problem);
    }
  }

  /**
   * Restarts ICE with new credentials on both sides. DTLS and the streams are kept, so it survives a change of network.
   */
  async restartIce(): Promise<void> {
    const peer = this.#peer;
    const turn = ++this.#restarts;
    const isOver = () => this.#closed || turn !== this.#restarts; // Only the newest restart counts.
    try {
      if (!peer || !this.#resource) throw new Error('no session to restart');
      const offer = await peer.createOffer({ iceRestart: true });
      await peer.setLocalDescription({ type: 'offer', sdp: playersOffer(offer.sdp ?? '') });
      const fragment = iceRestartFragment(offer.sdp ?? '');
      if (!fragment) throw new Error('the offer has no ICE credentials');
      const answered = await this.#resource.restart(fragment);
      if (isOver()) return;
      this.#answer = withIceFragment(this.#answer, answered);
      await peer.setRemoteDescription({ type: 'answer', sdp: this.#answer });
      this.#levels?.renew();
    } catch (error) {
      if (!isOver()) this.#listener.restartFailed(error instanceof RequestError && error.problem.status === 0);
    }
  }

  async measure(picture: Picture | null, clock: ClockOffset) {
    if (!this.#peer || this.#closed) return { latency: null, readings: null };
    const report = await this.#peer.getStats();
    const { values, readings } = read(report, this.#clock);
    if (picture) {
      values.shownAt = picture.shownAt;
      values.shownRtp = picture.rtpTimestamp;
      values.captureTime = picture.captureTime;
    }
    const latency: Latency | null = whepLatency({ ...values, ...this.#captured() }, this.#clock.dates(clock));
    return { latency, readings };
  }

  /**
   * Returns true once the session has caught up. A new session begins with the frames that the node has kept since the
   * last keyframe, and plays them faster than real time.
   */
  align(picture: Picture | null, clock: ClockOffset, otherwiseMs = 0, patienceMs = CATCH_UP_MS): boolean {
    const now = performance.now();
    this.#catchingUpSince ??= now;
    if (!picture || now - this.#catchingUpSince > patienceMs) return true;
    const latency = this.latencyMs(picture, clock);
    return latency === null || latency <= Math.max(ALIGNED_WITHIN_MS, otherwiseMs + SLACK_MS);
  }

  /** Returns the latency of `picture`, the newest frame, or null if the node does not state its capture time. */
  latencyMs({ shownAt, rtpTimestamp: shownRtp }: Picture, clock: ClockOffset): number | null {
    const latency = whepLatency({ shownAt, shownRtp, ...this.#captured() }, this.#clock.dates(clock));
    return latency ? latency.ms : null;
  }

  /** Returns the capture time of the newest frame, from its header extension. */
  #captured(): WhepReadings {
    const source = this.#transceiver?.receiver.getSynchronizationSources()[0] as Source | undefined;
    if (!source || typeof source.captureTimestamp !== 'number') return {};
    return {
      captureTimestamp: source.captureTimestamp,
      captureClockOffset: source.senderCaptureTimeOffset ?? undefined,
      captureRtp: source.rtpTimestamp,
    };
  }

  wake(): void {} // ICE detects a broken connection by itself, and the frame watch causes a restart.

  /**
   * Plays the audio without waiting for video: an element plays no audio before the first video frame of its stream. The
   * video is shown as soon as it comes.
   */
  playAudioAlone(): void {
    if (this.#closed || !this.#sound || this.#soundAlone) return;
    this.#soundAlone = true;
    this.video.srcObject = new MediaStream([this.#sound.track]);
  }

  choose(wish: LevelWish): void {
    this.#wish = wish;
    this.#levels?.choose(wish);
  }

  /** The node counts the `reason`, if there is one. */
  close(reason?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#looking);
    clearTimeout(this.#asking);
    this.#levels?.close();
    this.#closePeer(reason);
  }

  async #offer(): Promise<RTCPeerConnection> {
    const peer = this.#makePeer();
    const offer = await peer.createOffer();
    await peer.setLocalDescription({ type: 'offer', sdp: playersOffer(offer.sdp ?? '') });
    return peer;
  }

  #makePeer(): RTCPeerConnection {
    const peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.#peer = peer;
    this.#transceiver = peer.addTransceiver('video', { direction: 'recvonly' });
    const audio = peer.addTransceiver('audio', { direction: 'recvonly' });
    this.#sound = audio.receiver;
    for (const transceiver of [this.#transceiver, audio]) {
      wantCaptureTime(transceiver);
      wantDelay(transceiver.receiver, 0);
    }
    const stream = new MediaStream();
    peer.ontrack = (event) => {
      stream.addTrack(event.track);
      if (this.video.srcObject !== stream) this.video.srcObject = stream;
    };
    peer.onconnectionstatechange = () => {
      if (this.#closed) return;
      if (peer.connectionState === 'connected') this.#listener.connected();
      else if (peer.connectionState === 'failed' || peer.connectionState === 'disconnected') this.#listener.down();
    };
    return peer;
  }

  /** Looks for the first audio and video, and reports audio that comes alone. */
  #waitForPictures(peer: RTCPeerConnection, pictures: RTCRtpTransceiver): void {
    const stream = this.video.srcObject;
    let heardSince: number | null = null;
    let told = false;
    this.#looking = setInterval(() => {
      if (this.#received.size < 2) void this.#lookForPackets(peer);
      if (receives(pictures.receiver)) {
        if (this.#received.has('video')) clearInterval(this.#looking);
        if (this.#soundAlone) this.video.srcObject = stream;
        this.#soundAlone = false;
      } else if (this.hasSound && this.isAudioOnly) {
        this.playAudioAlone();
      } else if (this.hasSound && !told) {
        heardSince ??= performance.now();
        const rejected = pictures.currentDirection !== 'recvonly';
        if (!rejected && performance.now() - heardSince < PICTURES_MS) return;
        told = true;
        this.#listener.audioAlone();
      }
    }, LOOK_MS);
  }

  async #lookForPackets(peer: RTCPeerConnection): Promise<void> {
    const report = await peer.getStats();
    // Packets that only probe the bandwidth have no bytes of media.
    for (const { type, kind, bytesReceived } of report.values() as Iterable<StatsMember>) {
      if (type !== 'inbound-rtp' || !bytesReceived || (kind !== 'audio' && kind !== 'video')) continue;
      if (this.#closed || this.#received.has(kind)) continue;
      this.#received.add(kind);
      this.#listener.received(kind);
    }
  }

  async #exchange(peer: RTCPeerConnection, offer: string): Promise<void> {
    this.#resource = new SessionResource(this.#endpoint);
    const created = await this.#resource.create(this.#endpoint.whep, offer);
    if (!created) return;
    const { answer, iceServers, links, playoutDelay } = created;
    // The node tells the receiver of video by its packets, and cannot tell that of audio.
    if (this.#sound && playoutDelay > 0) wantDelay(this.#sound, playoutDelay);
    // Host candidates are enough to reach a public node. These servers are used from the next ICE restart on, which comes soon where no
    // way is found without them.
    if (iceServers.length > 0) peer.setConfiguration({ ...peer.getConfiguration(), iceServers });
    this.#answer = answer;
    this.#listener.answered();
    this.#openLevels(links);
    await peer.setRemoteDescription({ type: 'answer', sdp: answer });
    if (this.#closed || !this.#transceiver || !this.#sound) return;
    if (iceServers.length > 0) this.#askServersLater(peer);
    this.#waitForPictures(peer, this.#transceiver);
    // When the node ends a session, DTLS gets close_notify, but the connection state stays `connected`.
    const { transport } = this.#transceiver.receiver;
    if (transport) {
      transport.onstatechange = () => {
        if (!this.#closed && transport.state === 'closed') this.#listener.lost();
      };
    }
  }

  #openLevels({ layer, events }: SessionLinks): void {
    const onLevels = this.#listener.levels?.bind(this.#listener);
    if (!layer || !onLevels || this.#closed) return;
    const tell = (levels: Levels) => this.#closed || onLevels(levels);
    this.#levels = new LevelChannel(this.#endpoint, { layer, events }, this.#transceiver?.mid ?? '0', tell);
    if (this.#wish) this.#levels.choose(this.#wish);
  }

  /** Looks for a way through the ICE servers once the direct ones have had their time. */
  #askServersLater(peer: RTCPeerConnection): void {
    this.#asking = setTimeout(() => {
      const isOpen = !this.#closed && this.#peer === peer;
      if (isOpen && (peer.connectionState === 'new' || peer.connectionState === 'connecting')) void this.restartIce();
    }, SERVERS_AFTER_MS);
  }

  #closePeer(reason?: string): void {
    const peer = this.#peer;
    if (!peer) return;
    peer.ontrack = null;
    peer.onconnectionstatechange = null;
    if (this.#resource) this.#resource.closeWith(peer, this.#transceiver?.receiver.transport, reason);
    else peer.close();
    this.#peer = null;
  }
}

/** Returns whether the receiver has played something recently. */
function receives(receiver: RTCRtpReceiver): boolean {
  return receiver.getSynchronizationSources === undefined || receiver.getSynchronizationSources().length > 0;
}

function wantCaptureTime(transceiver: Transceiver): void {
  try {
    const extensions = transceiver.getHeaderExtensionsToNegotiate?.();
    if (!extensions) return;
    for (const extension of extensions) if (extension.uri === ABS_CAPTURE_TIME) extension.direction = 'sendrecv';
    transceiver.setHeaderExtensionsToNegotiate?.(extensions);
  } catch {
    // Without the extension, latency is read from sender reports.
  }
}

function wantDelay(receiver: Receiver, ms: number): void {
  if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = ms;
  else if ('playoutDelayHint' in receiver) (receiver as Receiver).playoutDelayHint = ms / 1000;
}
