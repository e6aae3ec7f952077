// The HTTP side of a WHIP or WHEP session (RFC 9725): POST an offer, PATCH an ICE restart, DELETE.
//
// A session that the server made is always deleted, also when the answer comes after `delete`.

import type { Endpoint } from './endpoint';
import { iceServersFromLink } from './link_header';
import { problemFrom, RequestError } from './problem';
import { type IceFragment, parseIceFragment } from './sdp';

const ANSWER_LIMIT = 256 * 1024; // Characters; a real answer has a few thousand.

export class SessionResource {
  readonly #endpoint: Endpoint;
  #url: string | null = null;
  #over = false;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** The answer to `offer`; null when the session was deleted meanwhile. */
  async create(url: string, offer: string): Promise<{ answer: string; iceServers: RTCIceServer[] } | null> {
    const headers = { 'content-type': 'application/sdp' };
    const response = await this.#fetch(url, { method: 'POST', headers, body: offer });
    const location = response.headers.get('location');
    if (response.status === 201 && location) this.#url = new URL(location, response.url || url).href;
    if (this.#over) this.delete();
    if (this.#over) return null;
    if (response.status !== 201) throw new RequestError(await problemFrom(response));
    const answer = await response.text();
    if (answer.length > ANSWER_LIMIT) throw new Error('the answer is too long');
    return this.#over ? null : { answer, iceServers: iceServersFromLink(response.headers.get('link')) };
  }

  /** The server's credentials for an ICE restart. */
  async restart(fragment: string): Promise<IceFragment> {
    if (!this.#url) throw new Error('no session to restart');
    // RFC 9725 §4.3.3: a restart matches whatever entity tag there is.
    const headers = { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*' };
    const response = await this.#fetch(this.#url, { method: 'PATCH', headers, body: fragment });
    const answered = response.status === 200 ? parseIceFragment(await response.text()) : null;
    if (!answered) throw new Error(`no ICE restart: HTTP ${response.status}`);
    return answered;
  }

  delete(): void {
    this.#over = true;
    const url = this.#url;
    this.#url = null;
    if (!url) return;
    // keepalive: leaves also when the page goes away. Unanswered, the node's ICE timeout does the same later.
    this.#fetch(url, { method: 'DELETE', keepalive: true }).catch(() => {});
  }

  #fetch(url: string, init: RequestInit & { headers?: Record<string, string> }): Promise<Response> {
    return fetch(url, { ...init, headers: this.#endpoint.headers(url, init.headers), cache: 'no-store' }).catch(
      (error) => {
        throw RequestError.unreachable(error);
      },
    );
  }
}
