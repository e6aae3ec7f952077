// Is a mock node for tests and for work on the pages: API, rooms (rooms.mjs), WHEP and WHIP (answered by a page,
// publisher.html), LL-HLS (hls_source.mjs) and the built pages. Each room says how it behaves.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HlsSource } from './hls_source.mjs';
import { MockLevels } from './levels.mjs';
import { MockRooms } from './rooms.mjs';

/**
 * @typedef {object} MockRoom @property {'peer' | 'blocked' | 'hang' | number} whep `blocked` answers with candidates
 * for UDP and TCP that lead nowhere. A number is the status of the refusal.
 * @property {boolean} hls
 * @property {'peer' | number} [whip]
 * @property {'peer' | 'blocked' | number} [back] The behaviour of the return feed.
 * @property {'live' | 'interrupted' | 'gone'} state
 * @property {import('./levels.mjs').MockLevel[]} [levels] The levels of its video, if a viewer may choose.
 * @property {object} [room] Members that the API adds to the room.
 */
/** @typedef {{ at: number, method: string, path: string, query: string, authorization: string, body: string }} Seen */

const here = fileURLToPath(new URL('.', import.meta.url));
const dist = join(here, '../../dist');
const TYPES = /** @type {Record<string, string>} */ ({
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
});

const HLS_JS = join(dist, '../node_modules/hls.js/dist/hls.mjs');

/** A page of another site that uses the library. */
const BLANK = `<!doctype html><title>blank</title>
<script type="importmap">{ "imports": { "@onmic/player": "/lib/index.js", "hls.js": "/hls.mjs" } }</script>
<script type="module">window.load = () => import('@onmic/player');</script>
<div id="here" style="width: 640px; height: 360px"></div>`;

export class MockServer {
  /**
   * `prefix` is a path under which a proxy shows this server. The server itself does not know it, so the absolute paths
   * that it states lack it.
   * @param {{ clockAheadMs?: number, auth?: string, source?: HlsSource | null, prefix?: string }} [options]
   */
  constructor({ clockAheadMs = 0, auth = '', source = new HlsSource(), prefix = '' } = {}) {
    this.prefix = prefix;
    /** @type {Map<string, MockRoom>} */
    this.rooms = new Map();
    /** @type {Seen[]} */
    this.seen = [];
    this.clockAheadMs = clockAheadMs;
    this.auth = auth;
    this.source = source;
    /** @type {Map<string, string>} The offer of each session. */
    this.sessions = new Map();
    /** @type {Map<string, (sdp: string) => void>} */
    this.answers = new Map();
    /** @type {import('node:http').ServerResponse | null} */
    this.publisher = null;
    this.sessionCount = 0;
    this.levels = new MockLevels();
    this.levels.switched = (id, level) => this.#toPublisher({ id, level });
    this.studio = new MockRooms();
    this.studio.unseated = (room, participant) => {
      for (const [id, one] of this.publishing) if (one.room === room && one.participant === participant) this.end(id);
    };
    this.studio.allows = (token) => !this.auth || token === this.auth;
    /** @type {Map<string, { room: string, participant: string }>} The publisher of each WHIP session. */
    this.publishing = new Map();
    this.server = createServer((request, response) => {
      this.#serve(request, response).catch((error) => {
        if (!response.headersSent) response.writeHead(500);
        response.end(String(error));
      });
    });
    this.server.on('upgrade', (request, socket, head) => {
      request.url = this.#behind(request.url ?? '/');
      this.studio.upgrade(request, socket, head);
    });
  }

  /** @param {number} port @returns {Promise<string>} the URL without a slash at the end */
  listen(port = 0) {
    return new Promise((resolve) => {
      this.server.listen(port, '127.0.0.1', () => {
        const address = /** @type {import('node:net').AddressInfo} */ (this.server.address());
        resolve(`http://127.0.0.1:${address.port}${this.prefix}`);
      });
    });
  }

  close() {
    this.source?.close();
    this.studio.clear();
    this.server.closeAllConnections();
    this.server.close();
  }

  /** Takes the prefix off as a proxy does, which knows nothing outside it. @param {string} url */
  #behind(url) {
    return url.startsWith(`${this.prefix}/`) ? url.slice(this.prefix.length) : '/not/found';
  }

  /** @param {string} method @param {RegExp} path */
  count(method, path) {
    return this.seen.filter((request) => request.method === method && path.test(request.path)).length;
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #serve(request, response) {
    const url = new URL(this.#behind(request.url ?? '/'), 'http://mock');
    const path = decodeURIComponent(url.pathname);
    const method = request.method ?? 'GET';
    const body = await text(request);
    const authorization = request.headers.authorization ?? '';
    this.seen.push({ at: Date.now(), method, path, query: url.search, authorization, body });
    response.setHeader('cache-control', 'no-store');
    const [, area = '', name = '', rest = '', end = '', last = ''] = path.split('/');
    if (area === 'mock') return this.#mock(request, response, name, rest, body);
    if (area === 'api' || area === 'whep' || area === 'whip' || area === 'hls') {
      const [, token = ''] = authorization.split(' ');
      if (this.auth && token !== this.auth && !token.startsWith('ticket-'))
        return problem(response, 401, 'A valid token is needed');
    }
    if (area === 'api') return this.#api(response, path);
    if (area === 'whep' && (end === 'layer' || end === 'sse')) {
      const status = this.levels.serve(
        request,
        response,
        rest,
        end,
        last,
        body,
        `/whep/${encodeURIComponent(name)}/${rest}`,
      );
      if (response.headersSent) return;
      return status < 300 ? response.writeHead(status).end() : problem(response, status, `Refused with ${status}`);
    }
    if (area === 'whep' || area === 'whip') return this.#rtc(response, area, method, name, rest, end, body);
    if (area === 'hls') return this.#hls(response, name, rest, url.searchParams);
    const library = { lib: join(dist, '../dist-lib', name), 'hls.mjs': HLS_JS }[area];
    if (library && !name.includes('..')) {
      return response.writeHead(200, { 'content-type': 'text/javascript' }).end(await readFile(library));
    }
    const file =
      path === '/' ? 'index.html' : area === 'watch' || area === 'studio' ? `${area}/index.html` : path.slice(1);
    const content = file.includes('..') ? null : await readFile(join(dist, file)).catch(() => null);
    if (!content) return problem(response, 404, 'No such page');
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(content);
  }

  /** @param {import('node:http').ServerResponse} response @param {string} path */
  #api(response, path) {
    if (path === '/api/v1/server') {
      const now = new Date(Date.now() + this.clockAheadMs).toISOString();
      return json(response, { version: '0.1.0', rtmp_port: 1935, rtmp_app: 'live', now, auth: this.auth !== '' });
    }
    if (path === '/api/v1/rooms') {
      const rooms = [...this.rooms]
        .filter(([, { state }]) => state !== 'gone')
        .map(([name, room]) => describe(name, room));
      return json(response, { rooms });
    }
    const crowd = /^\/api\/v1\/rooms\/([^/]+)\/persons$/.exec(path)?.[1];
    if (crowd) return json(response, { persons: this.studio.get(crowd).state['people'] });
    const name = /^\/api\/v1\/rooms\/([^/]+)$/.exec(path)?.[1] ?? '';
    const room = this.rooms.get(name);
    if (!room || room.state === 'gone') return problem(response, 404, 'No such room');
    return json(response, describe(name, room));
  }

  /**
   * @param {import('node:http').ServerResponse} response @param {'whip' | 'whep'} area @param {string} method
   * @param {string} name @param {string} rest A session, or a participant. @param {string} end @param {string} body
   */
  async #rtc(response, area, method, name, rest, end, body) {
    const room = this.rooms.get(name);
    const session = rest;
    if (method === 'DELETE' || method === 'PATCH') {
      const offer = this.sessions.get(session);
      if (offer === undefined) return problem(response, 404, 'No such session');
      if (method === 'DELETE') {
        this.end(session);
        return response.writeHead(200).end();
      }
      const credentials = /a=ice-ufrag:(\S+)\s+a=ice-pwd:(\S+)/.exec(body);
      if (!credentials) return problem(response, 400, 'No ICE credentials in the fragment');
      const renewed = offer
        .replace(/^a=ice-ufrag:.*$/gm, `a=ice-ufrag:${credentials[1]}`)
        .replace(/^a=ice-pwd:.*$/gm, `a=ice-pwd:${credentials[2]}`);
      const answer = await this.#ask(session, renewed);
      const lines = answer.split(/\r?\n/).filter((line) => /^(m=|a=(ice-ufrag|ice-pwd|candidate|mid):)/.test(line));
      const headers = { 'content-type': 'application/trickle-ice-sdpfrag', etag: `"${Date.now()}"` };
      return response.writeHead(200, headers).end(`${lines.join('\r\n')}\r\n`);
    }
    if (method !== 'POST') return problem(response, 405, 'Use POST');
    if (!room || (room.state === 'gone' && area !== 'whip')) return problem(response, 404, 'The room is not live');
    const way = (area === 'whip' ? room.whip : end === 'return' ? room.back : room.whep) ?? 'peer';
    if (way === 'hang') return;
    if (typeof way === 'number') return problem(response, way, `Refused with ${way} by the test`);
    const id = `s${++this.sessionCount}`;
    this.sessions.set(id, body);
    // The other side must not reach a blocked client either.
    let answer = await this.#ask(id, way === 'blocked' ? body.replace(/^a=candidate:.*\r?\n/gm, '') : body);
    // Nothing comes back from port 9 of a documentation address, as behind a firewall.
    if (way === 'blocked') {
      const tcp = 'a=candidate:9 1 tcp 1518280447 192.0.2.1 9 typ host tcptype passive';
      answer = answer
        .replace(/^(a=candidate:\S+ \d \S+ \d+) \S+ \d+/gm, '$1 192.0.2.1 9')
        .replace(/^a=candidate:/m, `${tcp}\r\na=candidate:`);
    }
    const { levels } = room;
    if (levels) this.levels.begin(id, levels);
    const own = `/whep/${encodeURIComponent(name)}/${id}`;
    const extension = 'urn:ietf:params:whep:ext:core';
    const links = [
      '<stun:127.0.0.1:9>; rel="ice-server"',
      ...(levels ? [`<${own}/layer>; rel="${extension}:layer"`] : []),
      ...(levels
        ? [`<${own}/sse>; rel="${extension}:server-sent-events"; events="active,inactive,layers,viewercount"`]
        : []),
    ];
    response
      .writeHead(201, {
        'content-type': 'application/sdp',
        location: `/${area}/${encodeURIComponent(name)}/${id}`,
        etag: `"${id}"`,
        link: links.join(', '),
      })
      .end(answer);
    if (area !== 'whip') return;
    const participant = rest || 'host';
    this.publishing.set(id, { room: name, participant });
    this.studio.get(name).published(participant);
  }

  /** Ends a session as the server does. @param {string} session @param {string} [reason] */
  end(session, reason) {
    this.sessions.delete(session);
    this.levels.end(session);
    this.#toPublisher({ id: session, close: true });
    const { room, participant } = this.publishing.get(session) ?? {};
    this.publishing.delete(session);
    if (room && participant) this.studio.get(room).unpublished(participant, reason);
  }

  /** @param {import('node:http').ServerResponse} response @param {string} name @param {string} file @param {URLSearchParams} query */
  async #hls(response, name, file, query) {
    const room = this.rooms.get(name);
    if (!room?.hls || room.state === 'gone' || !this.source?.ready)
      return problem(response, 404, 'The room is not live');
    const found = await this.source.get(file, query);
    if (!found) return problem(response, 404, 'No such file');
    return response.writeHead(200, { 'content-type': found.type }).end(found.body);
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response @param {string} name @param {string} id @param {string} body */
  async #mock(request, response, name, id, body) {
    if (name === 'publisher') {
      const page = await readFile(join(here, 'publisher.html'));
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
    } else if (name === 'blank') {
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(BLANK);
    } else if (name === 'offers') {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n');
      this.publisher = response;
      request.on('close', () => {
        if (this.publisher === response) this.publisher = null;
      });
    } else if (name === 'answers') {
      this.answers.get(id)?.(body);
      response.writeHead(204).end();
    } else problem(response, 404, 'No such thing');
  }

  /** @param {string} id @param {string} offer @returns {Promise<string>} */
  #ask(id, offer) {
    return new Promise((resolve, reject) => {
      if (!this.publisher) return reject(new Error('no publisher page is open'));
      this.answers.set(id, (sdp) => {
        this.answers.delete(id);
        resolve(sdp);
      });
      this.#toPublisher({ id, offer });
    });
  }

  /** @param {object} message */
  #toPublisher(message) {
    this.publisher?.write(`data: ${JSON.stringify(message)}\n\n`);
  }
}

/** @param {string} name @param {MockRoom} room */
function describe(name, room) {
  return {
    name,
    live: room.state === 'live',
    started_at: new Date(Date.now() - 754_000).toISOString(),
    viewers: { whep: 3, hls: 124, flv: 0, rtmp: 1 },
    participants: [
      {
        name: 'host',
        protocol: 'rtmp',
        state: room.state,
        started_at: new Date(Date.now() - 754_000).toISOString(),
        video: {
          codec: 'h264',
          profile: 'High',
          width: 1280,
          height: 720,
          fps: 30.0,
          bitrate_bps: 2_500_000,
          keyframe_interval_ms: 2000,
          b_frames: false,
        },
        audio: { codec: 'aac', sample_rate: 48_000, channels: 2, bitrate_bps: 128_000 },
        advice: [],
      },
    ],
    ...room.room,
  };
}

/** @param {import('node:http').IncomingMessage} request @returns {Promise<string>} */
async function text(request) {
  let body = '';
  for await (const chunk of request) body += chunk;
  return body;
}

/** @param {import('node:http').ServerResponse} response @param {object} value */
function json(response, value) {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

/** @param {import('node:http').ServerResponse} response @param {number} status @param {string} detail */
function problem(response, status, detail) {
  const body = { type: 'about:blank', title: detail, status, detail };
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(body));
}
