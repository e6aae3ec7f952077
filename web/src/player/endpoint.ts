// Holds the URLs of one room on one node, and the token. The token is sent only with requests to that node.
//
// The token is sent in the Authorization header and never in a URL, because playlists must be the same bytes for every
// viewer.

import type { components } from '../api/schema';

/**
 * Returns the URL of an address that the node at `base` stated. A node states absolute paths. If it does not know that a
 * proxy shows it under another path, they lack the path of `base`.
 */
export function statedUrl(address: string, base: URL): string {
  const below = address.startsWith('/') && !address.startsWith('//') && !address.startsWith(base.pathname);
  return new URL(below ? `.${address}` : address, base).href;
}

/** How audio and video are timed by WHEP: in step, or video at once and audio when it is ready. */
export type AvSync = components['schemas']['AvSync'];

export class Endpoint {
  readonly base: URL;
  readonly whep: string;
  readonly hls: string;
  /** The media playlist of the audio, which plays without video. */
  readonly hlsAudio: string;
  readonly room: string;
  readonly server: string;
  readonly whip: string;
  /** The participant, if the endpoint is one source of a room. */
  readonly participant: string | undefined;
  readonly #token: string | undefined;
  readonly #sync: AvSync | undefined;
  /** How far behind a WHEP session plays at least, in ms, or undefined where the room's setting counts. */
  readonly #playoutDelay: number | undefined;

  /**
   * `url` is the URL of the node or of the proxy in front of it. `room` is a room name, or `room/participant`. Without
   * `sync` and `playoutDelay` the room's settings count.
   */
  constructor(url: string, room: string, token?: string, sync?: AvSync, playoutDelay?: number) {
    this.base = new URL(url.endsWith('/') ? url : `${url}/`, globalThis.location?.href);
    const path = room.split('/').map(encodeURIComponent).join('/');
    const roomOnly = encodeURIComponent(room.split('/')[0] ?? '');
    this.#sync = sync;
    this.#playoutDelay = playoutDelay;
    this.whep = this.#timed(new URL(`whep/${path}`, this.base).href);
    this.whip = new URL(`whip/${path}`, this.base).href;
    this.hls = new URL(`hls/${roomOnly}/index.m3u8`, this.base).href;
    this.hlsAudio = new URL('audio.m3u8', this.hls).href;
    this.room = new URL(`api/v1/rooms/${roomOnly}`, this.base).href;
    this.server = new URL('api/v1/server', this.base).href;
    this.participant = room.split('/')[1] || undefined;
    this.#token = token || undefined;
  }

  /** Returns the URL of an address that the node stated, see `statedUrl`. */
  stated(address: string): string {
    return statedUrl(address, this.base);
  }

  /** Returns the URL of an address in the answer to a request to `asked`. A redirect may have led to another node. */
  located(address: string, asked: string): string {
    const isNode = new URL(asked, this.base).origin === this.base.origin;
    return isNode && address.startsWith('/') ? this.stated(address) : new URL(address, asked).href;
  }

  /**
   * Returns an endpoint for the same node with the session URL and the token of a ticket. It has no delay, because whoever
   * is on mic talks with others.
   */
  ticketed(url: string, kind: 'whip' | 'whep', token: string | undefined): Endpoint {
    const endpoint = new Endpoint(this.base.href, '', token ?? this.#token, this.#sync);
    return Object.assign(endpoint, { [kind]: kind === 'whep' ? endpoint.#timed(url) : url });
  }

  #timed(whep: string): string {
    const url = new URL(whep, this.base);
    if (this.#sync) url.searchParams.set('sync', this.#sync);
    if (this.#playoutDelay !== undefined) url.searchParams.set('playout_delay', String(this.#playoutDelay));
    return url.href;
  }

  /** Returns the Authorization value for a request to `url`, or undefined without a token or for another origin. */
  authorization(url: string): string | undefined {
    if (this.#token === undefined || new URL(url, this.base).origin !== this.base.origin) return undefined;
    return `Bearer ${this.#token}`;
  }

  headers(url: string, more: Record<string, string> = {}): Record<string, string> {
    const authorization = this.authorization(url);
    return authorization === undefined ? more : { ...more, authorization };
  }
}
