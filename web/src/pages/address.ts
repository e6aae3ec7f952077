// Reads room, token and transport from the page's address, and makes links to other pages that keep what they need of
// it.

import type { Choice } from '../player';

export interface Address {
  room: string;
  token: string | null;
  transport: Choice;
}

export function readAddress(url: URL): Address {
  const inPath = /^\/(?:watch|studio)\/(.+?)\/?$/.exec(url.pathname)?.[1];
  const transport = url.searchParams.get('transport');
  return {
    room: inPath ? decode(inPath) : (url.searchParams.get('room') ?? ''),
    token: url.searchParams.get('token') || null,
    transport: transport === 'whep' || transport === 'hls' ? transport : 'auto',
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

/** Returns a link for others to open. It leaves out the token, which is personal. */
export function shareLink(url: URL, room: string): string {
  return `${url.origin}/watch/${room.split('/').map(encodeURIComponent).join('/')}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
