// Reads the `Link` header of a WHEP answer (header syntax RFC 8288): ICE servers (RFC 9725 §4.6), and the resources of the
// session that draft-murillo-whep-02 §4.4 names: its layers and its events.
//
// Ignores all other links.

const MAX_ICE_SERVERS = 8; // Browsers warn about more than five, because each one makes ICE gathering longer.
const EXTENSION = 'urn:ietf:params:whep:ext:core:';

/** The resources beside a session, as the node stated them. */
export interface SessionLinks {
  layer: string | null;
  events: string | null;
}

export const NO_LINKS: SessionLinks = { layer: null, events: null };

export function iceServersFromLink(header: string | null): RTCIceServer[] {
  const servers: RTCIceServer[] = [];
  for (const { target, rel, values } of linksIn(header)) {
    if (!rel.includes('ice-server') || !/^(stun|turn)s?:/i.test(target)) continue;
    const server: RTCIceServer = { urls: target };
    const username = values.get('username');
    const credential = values.get('credential');
    if (username !== undefined) server.username = username;
    if (credential !== undefined) server.credential = credential;
    servers.push(server);
    if (servers.length === MAX_ICE_SERVERS) break;
  }
  return servers;
}

export function sessionLinks(header: string | null): SessionLinks {
  const links = linksIn(header);
  const of = (name: string) => links.find(({ rel }) => rel.includes(EXTENSION + name))?.target ?? null;
  return { layer: of('layer'), events: of('server-sent-events') };
}

function linksIn(header: string | null): { target: string; rel: string[]; values: Map<string, string> }[] {
  return splitOutside(header ?? '', ',').flatMap((link) => {
    const [uri, ...parameters] = splitOutside(link, ';');
    const target = /^\s*<([^>]*)>\s*$/.exec(uri ?? '')?.[1];
    const values = new Map(parameters.map(parameter));
    return target ? [{ target, values, rel: (values.get('rel') ?? '').toLowerCase().split(/\s+/) }] : [];
  });
}

function parameter(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 0) return [text.trim().toLowerCase(), ''];
  const name = text.slice(0, at).trim().toLowerCase();
  const raw = text.slice(at + 1).trim();
  const quoted = /^"((?:[^"\\]|\\.)*)"$/.exec(raw)?.[1];
  return [name, quoted === undefined ? raw : quoted.replace(/\\(.)/g, '$1')];
}

/** Splits at `separator`, but not inside `<…>` or a quoted string. */
function splitOutside(text: string, separator: string): string[] {
  const pieces: string[] = [];
  let start = 0;
  let quoted = false;
  let bracketed = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c === '\\') i++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === '<') bracketed = true;
    else if (c === '>') bracketed = false;
    else if (c === separator && !bracketed) {
      pieces.push(text.slice(start, i));
      start = i + 1;
    }
  }
  pieces.push(text.slice(start));
  return pieces;
}
