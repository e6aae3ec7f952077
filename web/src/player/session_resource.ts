// The HTTP side of a WHIP or WHEP session (RFC 9725): POST an offer, PATCH an ICE restart, DELETE.
//
// A session that the server made is always deleted, also when the answer comes after `delete`.

import type { Endpoint } from './endpoint';
import { iceServersFromLink } from './link_header';
import { problemFrom, RequestError } from './problem';
import { type IceFragment, parseIceFragment } from './sdp';

const GOODBYE_MS = 500; // Longer than this no connection outlives its use.
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
    void this.#delete();
  }

  /**
   * Ends both sides: the session by name first, because a connection that closes ends it too, and then there would be
   * nothing to delete. Without `delete` if the node has ended it by itself, as DTLS says.
   */
  closeWith(peer: RTCPeerConnection, transport: RTCDtlsTransport | null | undefined): void {
    if (transport?.state === 'closed') this.#url = null;
    if (transport) transport.onstatechange = null;
    const limit = setTimeout(() => peer.close(), GOODBYE_MS);
    void this.#delete().then(() => {
      clearTimeout(limit);
      peer.close();
    });
  }

  async #delete(): Promise<void> {
    this.#over = true;
    const url = this.#url;
    this.#url = null;
    if (!url) return;
    // keepalive: leaves also when the page goes away. Unanswered, the node's ICE timeout does the same later.
    await this.#fetch(url, { method: 'DELETE', keepalive: true }).catch(() => {});
  }

  #fetch(url: string, init: RequestInit & { headers?: Record<string, string> }): Promise<Response> {
    return fetch(url, { ...init, headers: this.#endpoint.headers(url, init.headers), cache: 'no-store' }).catch(
      (error) => {
        throw RequestError.unreachable(error);
      },
    );
  }
}
