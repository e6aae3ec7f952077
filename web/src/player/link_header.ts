// Reads ICE servers from the `Link` header of a WHEP answer (RFC 9725 §4.6, header syntax RFC 8288).
//
// Accepts only `rel="ice-server"` with a stun or turn URI, and ignores all other links.

const MAX_ICE_SERVERS = 8; // Browsers warn about more than five, because each one makes ICE gathering longer.

export function iceServersFromLink(header: string | null): RTCIceServer[] {
  if (!header) return [];
  const servers: RTCIceServer[] = [];
  for (const link of splitOutside(header, ',')) {
    const [target, ...parameters] = splitOutside(link, ';');
    const uri = /^\s*<([^>]*)>\s*$/.exec(target ?? '')?.[1];
    if (!uri || !/^(stun|turn)s?:/i.test(uri)) continue;
    const values = new Map(parameters.map(parameter));
    if (!values.get('rel')?.toLowerCase().split(/\s+/).includes('ice-server')) continue;
    const server: RTCIceServer = { urls: uri };
    const username = values.get('username');
    const credential = values.get('credential');
    if (username !== undefined) server.username = username;
    if (credential !== undefined) server.credential = credential;
    servers.push(server);
    if (servers.length === MAX_ICE_SERVERS) break;
  }
  return servers;
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
