// Tells why a WHEP session shows no frames, and whether it plays audio alone. It is pure.
//
// A session plays audio alone only in a room without video, so what the room says decides.

import type { Reason } from './transport_words';

const NEVER = Number.POSITIVE_INFINITY;

/**
 * `play_audio`: nobody sends video. `pictures`: frames come again. `restart`: frames of the still picture do not come, though
 * somebody sends video. `fail`: the session does not bring the video of the room.
 */
export type VideoStep = 'play_audio' | 'pictures' | 'restart' | 'fail';

export class MissingVideo {
  readonly received = { audio: false, video: false };
  /**
   * Whether the WHEP session plays audio alone. `asked` means that the room's answer decides. `still` means that nobody
   * sends video at the moment, as with a paused camera, so the last frame stays. The node may send it again.
   */
  alone: 'no' | 'asked' | 'plays' | 'still' = 'no';
  /** Whether a frame has come since the last stall. Only the state `still` looks at it. */
  flows = true;
  /** When the room was first seen to have video that the session, which plays audio alone, does not bring. */
  #missedSince = NEVER;

  /** A new session begins. */
  begin(): void {
    this.received.audio = false;
    this.received.video = false;
    this.alone = 'no';
  }

  /** Frames stopped because nobody sends any. */
  stands(): void {
    this.alone = 'still';
    this.#missedSince = NEVER;
  }

  get reason(): Reason {
    if (this.received.video) return 'no_picture';
    return this.received.audio ? 'audio_only' : 'no_packet';
  }

  /** The room has said whether it has video. `undefined` means that it did not say. */
  heard(video: boolean | undefined, plays: boolean, now: number, patienceMs: number): VideoStep | null {
    if (this.alone === 'asked') {
      // With video in the room, the frames are waited for up to the deadline, and then played by LL-HLS.
      this.alone = video ? 'no' : 'plays';
      this.#missedSince = NEVER;
      return video ? null : 'play_audio';
    }
    if (this.alone === 'no' || !plays) return null;
    if (video && this.alone === 'still' && this.flows) {
      this.alone = 'no';
      return 'pictures';
    }
    if (!video) this.#missedSince = NEVER;
    else if (this.#missedSince === NEVER) this.#missedSince = now;
    else if (now - this.#missedSince >= patienceMs) return this.alone === 'still' ? 'restart' : 'fail';
    return null;
  }
}
