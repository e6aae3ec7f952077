// Handles the HTTP side of a WHIP or WHEP session (RFC 9725): POST with an offer, PATCH for an ICE restart, DELETE.
//
// A session that the server made is always deleted, even if the answer arrives after `delete` was called.

import type { Endpoint } from './endpoint';
import { iceServersFromLink, type SessionLinks, sessionLinks } from './link_header';
import { problemFrom, RequestError } from './problem';
import { type IceFragment, parseIceFragment } from './sdp';

const GOODBYE_MS = 500; // The connection is closed at the latest this long after DELETE was sent.
const ANSWER_LIMIT = 256 * 1024; // Characters. A real answer has a few thousand.

export interface Created {
  answer: string;
  iceServers: RTCIceServer[];
  /** The URLs of the resources beside the session. */
  links: SessionLinks;
  /** How far behind the node has the player play at least, in ms. */
  playoutDelay: number;
}

export class SessionResource {
  readonly #endpoint: Endpoint;
  #url: string | null = null;
  #over = false;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** Sends `offer` and returns the answer, or null if the session was deleted meanwhile. */
  async create(url: string, offer: string): Promise<Created | null> {
    const headers = { 'content-type': 'application/sdp' };
    const response = await this.#fetch(url, { method: 'POST', headers, body: offer });
    const location = response.headers.get('location');
    if (response.status === 201 && location) this.#url = this.#endpoint.located(location, response.url || url);
    if (this.#over) this.delete();
    if (this.#over) return null;
    if (response.status !== 201) throw new RequestError(await problemFrom(response));
    const answer = await response.text();
    if (answer.length > ANSWER_LIMIT) throw new Error('the answer is too long');
    if (this.#over) return null;
    const playoutDelay = Number(response.headers.get('onmic-playout-delay')) || 0;
    const link = response.headers.get('link');
    const { layer, events } = sessionLinks(link);
    const located = (stated: string | null) => stated && this.#endpoint.located(stated, response.url || url);
    const links = { layer: located(layer), events: located(events) };
    return { answer, iceServers: iceServersFromLink(link), links, playoutDelay };
  }

  /** Asks for an ICE restart and returns the server's new credentials. */
  async restart(fragment: string): Promise<IceFragment> {
    if (!this.#url) throw new Error('no session to restart');
    // RFC 9725 §4.3.3: a restart matches any entity tag.
    const headers = { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*' };
    const response = await this.#fetch(this.#url, { method: 'PATCH', headers, body: fragment });
    const answered = response.status === 200 ? parseIceFragment(await response.text()) : null;
    if (!answered) throw new Error(`the ICE restart failed: HTTP ${response.status}`);
    return answered;
  }

  delete(): void {
    void this.#delete();
  }

  /**
   * Ends the session and the connection. It sends DELETE first, because closing the connection also ends the session,
   * and then there would be nothing to delete. It sends no DELETE if the node has already ended the session, which the
   * state of DTLS shows. The node counts the `reason` to give the session up, if there is one.
   */
  closeWith(peer: RTCPeerConnection, transport: RTCDtlsTransport | null | undefined, reason?: string): void {
    if (transport?.state === 'closed') this.#url = null;
    if (transport) transport.onstatechange = null;
    const limit = setTimeout(() => peer.close(), GOODBYE_MS);
    void this.#delete(reason).then(() => {
      clearTimeout(limit);
      peer.close();
    });
  }

  async #delete(reason?: string): Promise<void> {
    this.#over = true;
    if (!this.#url) return;
    const url = new URL(this.#url);
    this.#url = null;
    if (reason) url.searchParams.set('reason', reason);
    // With keepalive the request is sent even if the page goes away. If it fails, the node's ICE timeout ends the
    // session later.
    await this.#fetch(url.href, { method: 'DELETE', keepalive: true }).catch(() => {});
  }

  #fetch(url: string, init: RequestInit & { headers?: Record<string, string> }): Promise<Response> {
    return fetch(url, { ...init, headers: this.#endpoint.headers(url, init.headers), cache: 'no-store' }).catch(
      (error) => {
        throw RequestError.unreachable(error);
      },
    );
  }
}
