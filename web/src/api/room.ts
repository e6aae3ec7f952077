// A room as `/api/v1/rooms` describes it.

export interface Room {
  name: string;
  live: boolean;
  started_at: string | null;
  viewers: { whep: number; hls: number; flv: number; rtmp: number };
  participants: Participant[];
}

export interface Participant {
  name: string;
  protocol: 'rtmp' | 'whip';
  state: 'live' | 'interrupted';
  started_at: string;
  video: Video | null;
  audio: Audio | null;
  advice: Advice[];
}

export interface Video {
  codec: string;
  profile: string | null;
  width: number;
  height: number;
  fps: number | null;
  bitrate_bps: number | null;
  keyframe_interval_ms: number | null;
  b_frames: boolean;
}

export interface Audio {
  codec: string;
  sample_rate: number;
  channels: number;
  bitrate_bps: number | null;
}

export interface Advice {
  code: string;
  message: string;
  setting: string | null;
}

export interface Server {
  version: string;
  rtmp_port: number;
  now: string;
  auth: boolean;
}

export function viewerCount({ viewers }: Room): number {
  return viewers.whep + viewers.hls + viewers.flv + viewers.rtmp;
}

const CODEC_NAMES: Record<string, string> = {
  h264: 'H.264',
  h265: 'H.265',
  hevc: 'H.265',
  vp8: 'VP8',
  vp9: 'VP9',
  av1: 'AV1',
  aac: 'AAC',
  opus: 'Opus',
  mp3: 'MP3',
};

export function codecName(codec: string): string {
  return CODEC_NAMES[codec.toLowerCase()] ?? codec;
}

/** `2.5 Mbit/s`, `128 kbit/s`. */
export function bitRate(bitsPerSecond: number): string {
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}
