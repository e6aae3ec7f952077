// Defines a room as `/api/v1/rooms` describes it.

import type { components } from './schema';

type Schemas = components['schemas'];

export type Room = Schemas['Room'];
export type Participant = Schemas['Participant'];
export type Video = Schemas['Video'];
export type Audio = Schemas['Audio'];
export type Advice = Schemas['Advice'];
export type Server = Schemas['Server'];

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

/** Formats a bit rate: `2.5 Mbit/s`, `128 kbit/s`. */
export function bitRate(bitsPerSecond: number): string {
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}
