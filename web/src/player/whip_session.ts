// Publishes a camera and a microphone, or a screen, in one WHIP session.
//
// `warm` does in advance what needs no server, the offer and the candidates, so that `open` takes one round trip. The
// session prefers H.264, because then the node need not encode the video again. It decides nothing, does not own the
// tracks, and makes no callback after it is closed.

import type { Endpoint } from './endpoint';
import { type Problem, RequestError } from './problem';
import { iceRestartFragment, withIceFragment } from './sdp';
import { SessionResource } from './session_resource';

export interface WhipListener {
  connected(): void;
  refused(problem: Problem): void;
  /** The node ended the session, or it cannot be repaired. */
  lost(): void;
}

// Host candidates take a few milliseconds. A slow network interface must not delay the session longer.
const GATHERING_MS = 1000;
const VIDEO_BITRATE = 2_500_000; // Enough for 720p30 of a talking person.
const AUDIO_BITRATE = 96_000;
const GRACE_MS = 3000; // A `disconnected` state often recovers by itself. After this time ICE is restarted.

export class WhipSession {
  readonly #listener: WhipListener;
  #peer: RTCPeerConnection | null = null;
  #resource: SessionResource | null = null;
  #warm: Promise<RTCPeerConnection> | null = null;
  #answer = '';
  #restarted = false;
  #grace: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  readonly #stream: MediaStream;

  constructor(stream: MediaStream, listener: WhipListener) {
    this.#stream = stream;
    this.#listener = listener;
  }

  warm(): Promise<RTCPeerConnection> {
    this.#warm ??= this.#offer();
    return this.#warm;
  }

  async open(endpoint: Endpoint): Promise<void> {
    try {
      const peer = await this.warm();
      if (this.#closed) return;
      this.#resource = new SessionResource(endpoint);
      const created = await this.#resource.create(endpoint.whip, peer.localDescription?.sdp ?? '');
      if (!created) return;
      this.#answer = created.answer;
      await peer.setRemoteDescription({ type: 'answer', sdp: created.answer });
      await limitRates(peer);
      this.#watchEnd(peer);
    } catch (error) {
      if (this.#closed) return;
      const ours = { status: 500, title: 'The answer is not valid', detail: String(error) };
      this.#listener.refused(error instanceof RequestError ? error.problem : ours);
    }
  }

  /** Sends another camera, microphone or screen in the same session. With null it sends nothing of that kind. */
  async replace(kind: 'audio' | 'video', track: MediaStreamTrack | null): Promise<void> {
    const senders = this.#peer?.getTransceivers().filter(({ receiver }) => receiver.track.kind === kind) ?? [];
    await senders[0]?.sender.replaceTrack(track);
  }

  async stats(): Promise<RTCStatsReport | null> {
    return this.#peer && !this.#closed ? this.#peer.getStats() : null;
  }

  /** Closes the session. `deletes` is false if the node already knows that the session ends. */
  close(deletes = true): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#grace);
    const peer = this.#peer;
    if (!peer) return;
    peer.onconnectionstatechange = null;
    if (this.#resource && deletes) this.#resource.closeWith(peer, peer.getSenders()[0]?.transport);
    else peer.close();
  }

  async #offer(): Promise<RTCPeerConnection> {
    const peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.#peer = peer;
    for (const kind of ['audio', 'video'] as const) {
      const track = this.#stream.getTracks().find((one) => one.kind === kind);
      // Both kinds are offered even without a track, because a session cannot add a kind later.
      const transceiver = peer.addTransceiver(track ?? kind, { direction: 'sendonly', streams: [this.#stream] });
      if (kind === 'video') preferH264(transceiver);
    }
    peer.onconnectionstatechange = () => this.#onState(peer.connectionState);
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);
    return peer;
  }

  #onState(state: RTCPeerConnectionState): void {
    if (this.#closed) return;
    clearTimeout(this.#grace);
    if (state === 'connected') {
      this.#restarted = false;
      this.#listener.connected();
    } else if (state === 'disconnected') this.#grace = setTimeout(() => void this.#restart(), GRACE_MS);
    else if (state === 'failed') void this.#restart();
  }

  /** Restarts ICE once. If the connection fails again before it recovers, the session is lost. */
  async #restart(): Promise<void> {
    const peer = this.#peer;
    if (this.#closed || !peer) return;
    if (this.#restarted) return this.#listener.lost();
    this.#restarted = true;
    try {
      const offer = await peer.createOffer({ iceRestart: true });
      await peer.setLocalDescription(offer);
      const fragment = iceRestartFragment(offer.sdp ?? '');
      if (!fragment || !this.#resource) throw new Error('nothing to restart');
      this.#answer = withIceFragment(this.#answer, await this.#resource.restart(fragment));
      if (!this.#closed) await peer.setRemoteDescription({ type: 'answer', sdp: this.#answer });
    } catch {
      if (!this.#closed) this.#listener.lost();
    }
  }

  /** Detects that the node ended the session: DTLS is closed then, but the connection state stays `connected`. */
  #watchEnd(peer: RTCPeerConnection): void {
    const transport = peer.getSenders()[0]?.transport;
    if (!transport) return;
    transport.onstatechange = () => {
      if (!this.#closed && transport.state === 'closed') this.#listener.lost();
    };
  }
}

function preferH264(transceiver: RTCRtpTransceiver): void {
  const codecs = RTCRtpSender.getCapabilities?.('video')?.codecs;
  if (!codecs || !('setCodecPreferences' in transceiver)) return;
  const isH264 = ({ mimeType }: { mimeType: string }) => mimeType.toLowerCase() === 'video/h264';
  transceiver.setCodecPreferences([...codecs.filter(isH264), ...codecs.filter((codec) => !isH264(codec))]);
}

async function limitRates(peer: RTCPeerConnection): Promise<void> {
  for (const sender of peer.getSenders()) {
    const parameters = sender.getParameters();
    const [encoding] = parameters.encodings ?? [];
    if (!encoding) continue;
    encoding.maxBitrate = sender.track?.kind === 'audio' ? AUDIO_BITRATE : VIDEO_BITRATE;
    await sender.setParameters(parameters).catch(() => {}); // If that fails, the browser's own limits apply.
  }
}

function gathered(peer: RTCPeerConnection): Promise<void> {
  if (peer.iceGatheringState === 'complete') return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(done, GATHERING_MS);
    function done() {
      clearTimeout(timer);
      peer.removeEventListener('icegatheringstatechange', look);
      resolve();
    }
    function look() {
      if (peer.iceGatheringState === 'complete') done();
    }
    peer.addEventListener('icegatheringstatechange', look);
  });
}
