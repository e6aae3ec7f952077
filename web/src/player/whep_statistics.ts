// Reads the statistics of a WHEP session: the values from which latency is computed, the figures that people see, and
// what network_watch.ts judges.

import { unixMs, type WhepReadings } from './latency';
import type { RtpReadings } from './network_watch';
import { browserNow } from './node_clock';
import type { SessionClock } from './session_clock';
import type { SessionReadings } from './stats';

/** The readings of a session that has received nothing. */
export const NO_RTP: Readonly<RtpReadings> = {
  frames: 0,
  packets: 0,
  lost: 0,
  videoPackets: 0,
  audioLost: 0,
  samples: 0,
  concealed: 0,
  silent: 0,
  rttMs: null,
};

// The members of RTCStatsReport that are read here. Browsers leave out those that they do not support.
export interface StatsMember {
  type: string;
  kind?: string;
  timestamp: number;
  remoteTimestamp?: number;
  remoteId?: string;
  bytesReceived?: number;
  packetsReceived?: number;
  packetsLost?: number;
  framesDropped?: number;
  freezeCount?: number;
  totalFreezesDuration?: number;
  totalSamplesReceived?: number;
  concealedSamples?: number;
  silentConcealedSamples?: number;
  estimatedPlayoutTimestamp?: number;
  jitterBufferDelay?: number;
  jitterBufferEmittedCount?: number;
  totalDecodeTime?: number;
  framesDecoded?: number;
  codecId?: string;
  mimeType?: string;
  nominated?: boolean;
  currentRoundTripTime?: number;
}

/** Also takes in the newest sender report, for `clock`. */
export function read(report: RTCStatsReport, clock: SessionClock): { values: WhepReadings; readings: SessionReadings } {
  const values: WhepReadings = {};
  let remote: StatsMember | undefined;
  const rtp: RtpReadings = { ...NO_RTP };
  const network = { frozenMs: 0, rtp };
  const readings: SessionReadings = { bytesReceived: 0, framesDropped: 0, freezes: 0, rtt: null, codec: '', network };
  for (const member of report.values() as Iterable<StatsMember>) {
    if (member.type === 'candidate-pair' && member.nominated && member.currentRoundTripTime !== undefined) {
      readings.rtt = Math.round(member.currentRoundTripTime * 1000);
      values.roundTripMs = member.currentRoundTripTime * 1000;
      rtp.rttMs = values.roundTripMs;
    }
    if (member.type !== 'inbound-rtp') continue;
    readings.bytesReceived += member.bytesReceived ?? 0;
    rtp.packets += member.packetsReceived ?? 0;
    rtp.lost += member.packetsLost ?? 0;
    if (member.kind === 'audio') {
      rtp.audioLost = member.packetsLost ?? 0;
      rtp.samples = member.totalSamplesReceived ?? 0;
      rtp.concealed = member.concealedSamples ?? 0;
      rtp.silent = member.silentConcealedSamples ?? 0;
    }
    if (member.kind !== 'video') continue;
    rtp.videoPackets = member.packetsReceived ?? 0;
    rtp.frames = member.framesDecoded ?? 0;
    network.frozenMs = (member.totalFreezesDuration ?? 0) * 1000;
    readings.framesDropped = member.framesDropped ?? 0;
    readings.freezes = member.freezeCount ?? 0;
    const codec = member.codecId ? (report.get(member.codecId) as StatsMember | undefined) : undefined;
    readings.codec = codec?.mimeType?.replace(/^video\//, '') ?? '';
    values.playoutTimestamp = member.estimatedPlayoutTimestamp;
    values.playoutReadAt = browserNow();
    remote = member;
    if (member.jitterBufferEmittedCount) {
      values.jitterBufferMs = ((member.jitterBufferDelay ?? 0) / member.jitterBufferEmittedCount) * 1000;
    }
    if (member.framesDecoded) values.decodeMs = ((member.totalDecodeTime ?? 0) / member.framesDecoded) * 1000;
  }
  const sender = remote ? (report.get(remote.remoteId ?? '') as StatsMember | undefined) : undefined;
  if (remote && sender?.remoteTimestamp !== undefined && values.playoutReadAt !== undefined) {
    const age = remote.timestamp - sender.timestamp; // Both are on the clock of the statistics, whichever that is.
    clock.add(unixMs(sender.remoteTimestamp), values.playoutReadAt - age, values.roundTripMs ?? 0);
  }
  return { values, readings };
}
