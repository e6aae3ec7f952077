// Reads room, token, transport and sync from the page's address, and makes links to other pages that keep what they need of
// it.

import { NODE } from '../api/node';
import type { AvSync, Choice } from '../player';

export interface Address {
  room: string;
  token: string | null;
  transport: Choice;
  /** Is null where the room's setting counts. */
  sync: AvSync | null;
}

/** Reads the address `url` of a page of `node`. */
export function readAddress(url: URL, node = NODE): Address {
  const path = url.pathname.slice(node.pathname.length);
  const inPath = /^(?:watch|studio)\/(.+?)\/?$/.exec(path)?.[1];
  const transport = url.searchParams.get('transport');
  const sync = url.searchParams.get('sync');
  return {
    room: inPath ? decode(inPath) : (url.searchParams.get('room') ?? ''),
    token: url.searchParams.get('token') || null,
    transport: transport === 'whep' || transport === 'hls' ? transport : 'auto',
    sync: sync === 'lip-sync' || sync === 'picture-first' ? sync : null,
  };
}

/** Returns the query for other pages of this node: token and language. */
export function keptQuery(url: URL): string {
  const kept = new URLSearchParams();
  for (const name of ['token', 'lang']) {
    const value = url.searchParams.get(name);
    if (value) kept.set(name, value);
  }
  return kept.size > 0 ? `?${kept}` : '';
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
