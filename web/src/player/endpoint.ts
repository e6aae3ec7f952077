// The URLs of one room on one node, and the token that goes with requests to that node only.
//
// The token travels in the Authorization header, never in a URL: playlists must be the same bytes for everybody.

export class Endpoint {
  readonly base: URL;
  readonly whep: string;
  readonly hls: string;
  readonly room: string;
  readonly server: string;
  readonly whip: string;
  readonly #token: string | undefined;

  /** `url` is the node (or what stands in front of it); `room` a room name, or `room/participant`. */
  constructor(url: string, room: string, token?: string) {
    this.base = new URL(url.endsWith('/') ? url : `${url}/`, globalThis.location?.href);
    const path = room.split('/').map(encodeURIComponent).join('/');
    const roomOnly = encodeURIComponent(room.split('/')[0] ?? '');
    this.whep = new URL(`whep/${path}`, this.base).href;
    this.whip = new URL(`whip/${path}`, this.base).href;
    this.hls = new URL(`hls/${roomOnly}/index.m3u8`, this.base).href;
    this.room = new URL(`api/v1/rooms/${roomOnly}`, this.base).href;
    this.server = new URL('api/v1/server', this.base).href;
    this.#token = token || undefined;
  }

  /** The same node with the session URL and the token of a ticket. */
  ticketed(url: string, kind: 'whip' | 'whep', token: string | undefined): Endpoint {
    const endpoint = new Endpoint(this.base.href, '', token ?? this.#token);
    return Object.assign(endpoint, { [kind]: url });
  }

  /** The Authorization value for a request to `url`; undefined without a token or for a foreign host. */
  authorization(url: string): string | undefined {
    if (this.#token === undefined || new URL(url, this.base).origin !== this.base.origin) return undefined;
    return `Bearer ${this.#token}`;
  }

  headers(url: string, more: Record<string, string> = {}): Record<string, string> {
    const authorization = this.authorization(url);
    return authorization === undefined ? more : { ...more, authorization };
  }
}
