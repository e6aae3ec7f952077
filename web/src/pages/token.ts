// Keeps the token of this page. A link brings it in its address, after `#` (`/watch/demo#token=…`) or in the query. It is taken
// out of the address at once, so that it is in no screenshot, bookmark or copied link, and kept for the tab, so that the page can
// be loaded again. Links of this page that open another tab hand it on when they are followed, and do not hold it before.

import { NODE } from '../api/node';

const STORED = `onmic.token ${NODE.pathname}`;

/** Splits an address into the token and the rest. A token after `#` wins over one in the query. */
export function splitToken(url: URL): { token: string | null; rest: URL } {
  const rest = new URL(url);
  const query = rest.searchParams.get('token');
  rest.searchParams.delete('token');
  const fragment = new URLSearchParams(rest.hash.slice(1));
  const token = fragment.get('token');
  if (token !== null) {
    fragment.delete('token');
    rest.hash = fragment.size > 0 ? `#${fragment}` : '';
  }
  return { token: token || query || null, rest };
}

export function withToken(href: string, token: string): string {
  const url = new URL(href);
  url.hash = `#${new URLSearchParams({ token })}`;
  return url.href;
}

/** Takes the token out of the address, or returns the one that this tab has kept. */
export function takeToken(): string | null {
  const { token, rest } = splitToken(new URL(location.href));
  if (rest.href !== location.href) history.replaceState(history.state, '', rest);
  try {
    if (token === null) return sessionStorage.getItem(STORED);
    sessionStorage.setItem(STORED, token);
  } catch {
    // The browser blocks storage for this page, which then forgets the token when it is loaded again.
  }
  return token;
}

/** Returns whether a click opens the link in another tab. */
export function opensTab(
  event: Pick<MouseEvent, 'button' | 'ctrlKey' | 'metaKey' | 'shiftKey'>,
  target: string,
): boolean {
  if (event.button === 1) return true;
  return event.button === 0 && (target === '_blank' || event.ctrlKey || event.metaKey || event.shiftKey);
}

/** Hands the token on to pages of this node that are opened in another tab, and takes one that is put into the address later. */
export function handOnToken(token: string | null): void {
  addEventListener('hashchange', () => {
    if (splitToken(new URL(location.href)).token !== null) location.reload();
  });
  if (token === null) return;
  const follow = (event: MouseEvent) => {
    const link = event.target instanceof Element ? event.target.closest<HTMLAnchorElement>('a[href]') : null;
    if (!link?.href.startsWith(NODE.href) || !opensTab(event, link.target)) return;
    event.preventDefault();
    open(withToken(link.href, token), '_blank', 'noopener');
  };
  document.addEventListener('click', follow);
  document.addEventListener('auxclick', follow);
}
