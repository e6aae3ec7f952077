// Reads room, transport, sync and quality from the page's address, and the token that came with it, and makes links to other pages that
// keep what they need of it.

import { NODE } from '../api/node';
import type { AvSync, Choice, LevelChoice } from '../player';
import { handOnToken, takeToken } from './token';

export interface Address {
  room: string;
  transport: Choice;
  /** Is null where the room's setting counts. */
  sync: AvSync | null;
  /** In ms. Is null where the room's setting counts. */
  playoutDelay: number | null;
  /** Is null for the automatic choice. */
  quality: LevelChoice | null;
}

/** Reads the address of this page, and takes the token out of it. */
export function openPage(): Address & { token: string | null } {
  const token = takeToken();
  handOnToken(token);
  return { ...readAddress(new URL(location.href)), token };
}

/** Reads the address `url` of a page of `node`. */
export function readAddress(url: URL, node = NODE): Address {
  // Slashes too many, at the end or in a row, mean nothing to the node either.
  const [page, ...parts] = url.pathname
    .slice(node.pathname.length)
    .split('/')
    .filter((part) => part !== '');
  const inPath = page === 'watch' || page === 'studio' ? parts.join('/') : '';
  const transport = url.searchParams.get('transport');
  const sync = url.searchParams.get('sync');
  const quality = url.searchParams.get('quality') ?? '';
  const delay = url.searchParams.get('playout_delay') ?? '';
  return {
    room: inPath ? decode(inPath) : (url.searchParams.get('room') ?? ''),
    transport: transport === 'whep' || transport === 'hls' ? transport : 'auto',
    sync: sync === 'lip-sync' || sync === 'picture-first' ? sync : null,
    playoutDelay: /^\d{1,4}$/.test(delay) ? Number(delay) : null,
    quality: /^(none|video\d{0,3})$/.test(quality) ? quality : null,
  };
}

/** Returns the query for other pages of this node: the language. */
export function keptQuery(url: URL): string {
  const language = url.searchParams.get('lang');
  return language ? `?${new URLSearchParams({ lang: language })}` : '';
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
