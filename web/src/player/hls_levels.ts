// Names the levels of hls.js as the node names them: a variant is called by its media playlist, `video1.m3u8`.
//
// The list is fixed when the multivariant playlist is read, because hls.js reads it once.

import type { Level as Variant } from 'hls.js';
import type { Level } from './levels';

/** Returns the key of the track that the playlist at `url` has. */
export function keyOf(url: string): string {
  const file = new URL(url, 'http://node').pathname.split('/').at(-1) ?? '';
  return decodeURIComponent(file).replace(/\.m3u8$/, '');
}

/** Returns the levels, the best first. */
export function levelsOf(variants: readonly Variant[]): Level[] {
  const levels = variants.map(({ uri, width, height, bitrate, frameRate }) => ({
    key: keyOf(uri),
    width: width || null,
    height: height || null,
    bitrate: bitrate || null,
    frameRate: frameRate || null,
    onDemand: false, // Playlists do not say it.
  }));
  const pixels = ({ width, height }: Level) => (width ?? 0) * (height ?? 0);
  return levels.sort((a, b) => pixels(b) - pixels(a) || (b.bitrate ?? 0) - (a.bitrate ?? 0));
}
