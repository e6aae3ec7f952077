// Defines the words of the transport choice: what plays, in which state and why, what the driver tells it, what it tells
// the driver, and its times.

import type { Backoff } from './backoff';
import type { Poor, Verdict } from './network_watch';
import type { RestartTiming } from './restart';

/** `mic` is the return feed of a person on mic, by WHEP. This state machine does not own its sessions. */
export type Transport = 'whep' | 'hls' | 'mic' | 'none';

/** `auto` is WHEP with LL-HLS as the fallback. The others stay with one transport. */
export type Choice = 'auto' | 'whep' | 'hls';

export type State = 'idle' | 'connecting' | 'waiting' | 'playing' | 'recovering' | 'failed' | 'closed';

/** The reasons to give WHEP up are also in `media/src/metric.rs`, where the node counts them. */
export type Reason =
  | Poor
  | 'still_poor' // The network still did not carry WebRTC when it was tried again.
  | 'not_live' // Nobody publishes in this room.
  | 'interrupted' // The publisher lost the connection and is expected back. The session is kept.
  | 'ended' // The program has ended.
  | 'unauthorized' // The token is missing, wrong or expired.
  | 'no_codec' // The browser plays none of the room's codecs.
  | 'full' // The node accepts no more viewers of this kind.
  | 'refused' // The node answered with another error.
  | 'unreachable' // No answer came.
  | 'blocked' // Signalling works, but no connection is made by UDP or TCP.
  | 'no_packet' // The connection was made, and no media came.
  | 'no_picture' // Video came, and the browser showed no frame of it.
  | 'audio_only' // Only audio came, and the room has video.
  | 'stalled' // Frames stopped.
  | 'unsupported'; // The browser lacks a feature that is needed.

/** The reasons to give WHEP up after the node took the offer. */
export const MEDIA_REASONS: readonly Reason[] = [
  'blocked',
  'no_packet',
  'no_picture',
  'audio_only',
  'stalled',
  'lossy',
  'frozen',
  'audio_gaps',
  'still_poor',
];

export type Input =
  | { kind: 'play' }
  | { kind: 'close' }
  | { kind: 'prefer'; choice: Choice }
  | { kind: 'online' } // The network is back.
  | { kind: 'other_network' } // The browser uses another network now.
  | { kind: 'woke' } // The page was hidden, or the machine slept.
  | { kind: 'visible'; visible: boolean }
  | { kind: 'park' } // The return feed is shown, so the sessions of the program end.
  | { kind: 'unpark' } // The program is shown again, by the transport that played before.
  | { kind: 'whep_answered' }
  | { kind: 'whep_connected' }
  | { kind: 'whep_received'; media: 'audio' | 'video' } // The first packets of this kind came.
  | { kind: 'whep_audio' } // Audio has come, and no frame for a while.
  | { kind: 'whep_frame' }
  | { kind: 'whep_pictures' } // A frame was shown, perhaps after audio alone.
  | { kind: 'whep_refused'; status: number; detail?: string; retryAfterMs?: number }
  | { kind: 'whep_unsupported' }
  | { kind: 'whep_down' }
  | { kind: 'whep_lost' }
  | { kind: 'whep_stalled' }
  | { kind: 'whep_restart_failed'; unreachable?: boolean } // The node refused, or no answer came.
  | { kind: 'whep_judged'; verdict: Verdict } // How well the network carries the session.
  | { kind: 'hls_frame' }
  | { kind: 'hls_not_live' }
  | { kind: 'hls_ended' }
  | { kind: 'hls_stalled' }
  | { kind: 'hls_judged'; verdict: Verdict }
  | { kind: 'hls_failed'; reason: 'unsupported' | 'unauthorized' | 'unreachable' | 'refused'; detail?: string }
  | { kind: 'room'; room: 'live' | 'interrupted' | 'gone' | 'unknown'; video?: boolean };

export type Effect =
  | { do: 'open_whep' }
  | { do: 'restart_whep'; early?: boolean } // Early, frames still come, or their absence was not noticed yet.
  | { do: 'close_whep'; reason?: Reason } // With a reason, WHEP is given up for now.
  | { do: 'play_audio' } // Plays the audio of the WHEP session without waiting for frames.
  | { do: 'open_hls' }
  | { do: 'close_hls' }
  | { do: 'show'; transport: Transport; reason?: Reason } // The reason says why it is LL-HLS.
  | { do: 'ask_room' }
  | { do: 'state'; state: State; reason?: Reason; detail?: string };

export type WhepPhase =
  | 'off'
  | 'asking'
  | 'connecting'
  | 'buffering'
  | 'playing'
  | 'held'
  | 'restarting'
  | 'resting'
  | 'given_up';
export type HlsPhase = 'off' | 'opening' | 'playing' | 'held' | 'resting' | 'given_up';

/** Where one of the two transports is. */
export interface Leg<Phase> {
  phase: Phase;
  /** The time when the phase has lasted too long or, in `resting`, long enough. */
  until: number;
  /** The number of failures in a row. Playing for `goodSpellMs` resets it. */
  failures: number;
  playingSince: number;
}

export interface Timing extends RestartTiming {
  /** The longest time from sending the offer to its answer. */
  askMs: number;
  /**
   * The longest time from the answer until ICE and DTLS are connected. If the network blocks it, falling back takes this long.
   */
  connectMs: number;
  /** The longest time from connecting to the first frame. It covers the start of re-encoding a stream with B-frames. */
  firstFrameMs: number;
  /** While audio plays alone, the room is asked this often whether it has video. */
  aloneMs: number;
  /** The longest time from opening HLS to the first frame. */
  hlsFirstFrameMs: number;
  /** The time to wait for the room's state, and between two requests for the state of an interrupted room. */
  askRoomMs: number;
  /** Playing for this long resets the count of failures. */
  goodSpellMs: number;
  /** The waits before WHEP is tried again while HLS plays. */
  probe: Backoff;
  /** The same after the network did not carry WHEP. */
  doubted: Backoff;
  /** The longest time from the first frame of such an attempt until the network is judged. */
  trialMs: number;
  /** Playing by WHEP for this long ends the doubt. */
  steadyMs: number;
  /** WHEP is kept for this long after LL-HLS turned out to be worse. */
  keptMs: number;
  /** The waits before the next attempt while nothing is shown. */
  retry: Backoff;
  /** The waits before the next attempt while the room is not live. */
  notLive: Backoff;
}

export const TIMING: Timing = {
  askMs: 6000,
  connectMs: 3000,
  firstFrameMs: 3000,
  aloneMs: 5000,
  hlsFirstFrameMs: 15_000,
  restartMs: 6000,
  standbyMs: 2500,
  askAgainMs: 1000,
  askRoomMs: 2000,
  goodSpellMs: 10_000,
  probe: { firstMs: 5000, limitMs: 60_000 },
  doubted: { firstMs: 30_000, limitMs: 300_000 },
  trialMs: 12_000,
  steadyMs: 60_000,
  keptMs: 300_000,
  retry: { firstMs: 500, limitMs: 10_000 },
  notLive: { firstMs: 1000, limitMs: 4000 },
};
