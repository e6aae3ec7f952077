// Defines what a page gives to the player, within its bounds, and the events that it gets from it.

import type { MicChange, SwitchReport } from '../room/mic';
import type { AvSync } from './endpoint';
import type { LatencyMethod } from './latency';
import type { LevelsSeen } from './level_control';
import type { LevelChoice } from './levels';
import type { Stats } from './stats';
import type { Choice, Reason, State, Transport } from './transport_words';

export interface PlayerOptions {
  /** The URL of the node, or of the proxy in front of it: `https://host`. */
  url: string;
  /** The room's name, or `room/participant` for one source (by WHEP only). */
  room: string;
  /** A container that the player fills, or a video element, which the player wraps in a container. */
  element: HTMLElement;
  /** `auto` (default) plays by WHEP and falls back to LL-HLS. `whep` and `hls` use only that transport. */
  prefer?: Choice;
  /** The player sends the token to the node as `Authorization: Bearer`, and never puts it in a URL. */
  token?: string;
  /**
   * How WHEP times audio and video: `lip-sync` plays them in step, `picture-first` shows video at once. The default is
   * the room's setting. LL-HLS is always in step.
   */
  sync?: AvSync;
  /**
   * How far behind WHEP plays at least, in ms from 0 to 2000: closeness against smoothness on a network that loses packets.
   * The default is the room's setting. It does not concern the return feed of somebody on mic.
   */
  playoutDelay?: number;
  /**
   * The quality of the video: the key of a level, `none` for audio only, or `auto` (default) for what the network carries
   * and the player can show.
   */
  level?: LevelChoice;
  /** The default is true, because browsers start audio only after a gesture. Call `unmute` from a gesture. */
  muted?: boolean;
}

export interface PlayerEvents {
  /** The state changed. `reason` says why, for every state except `playing`, `idle` and `closed`. */
  state: { state: State; reason?: Reason; detail?: string };
  /** The transport that is shown changed. `reason` says why it is LL-HLS and not WHEP, if the player decided it. */
  transport: { transport: Transport; reason?: Reason };
  latency: {
    latencyMs: number;
    method: LatencyMethod;
    transport: Transport;
    clock: 'node' | 'browser';
    errorMs: number | null;
  };
  /** The levels, the one that plays, or the choice changed. */
  levels: LevelsSeen;
  /** Is sent once a second while something plays. */
  stats: Stats;
  /** Volume or mute changed. `blocked` is true if the browser refused to play audio without a gesture. */
  sound: { muted: boolean; volume: number; blocked: boolean };
  /** The state of going on mic changed. `reason` and `problem` say why it ended. */
  mic: MicChange;
  /** A switch to the return feed, or back, is complete. The report has its gaps in video and audio. */
  switch: SwitchReport;
  /** An attempt failed. The player goes on trying unless `fatal` is true. */
  error: { transport: Transport; status: number; reason: Reason; detail: string; fatal: boolean };
}

const PLAYOUT_DELAY_MAX_MS = 2000; // As PLAYOUT_DELAY_MAX_MS in names/src/playout.rs. The node refuses more.

export function delayOf(asked: number | undefined): number | undefined {
  return asked === undefined || Number.isNaN(asked)
    ? undefined
    : Math.round(Math.min(Math.max(asked, 0), PLAYOUT_DELAY_MAX_MS));
}

/** Returns whether the viewer has asked the browser to save data. Not all browsers tell. */
export function savesData(): boolean {
  return (navigator as { connection?: { saveData?: boolean } }).connection?.saveData === true;
}
