// The node that served this page, and the addresses of its pages. A proxy may show the node under any path, so every
// address is relative to NODE, which is known from the address of this script: it is one folder below.

export const NODE = new URL(import.meta.env.DEV ? '/' : '..', import.meta.url);

/** Returns the address of a room's page. `room` may be `room/participant`. */
export function pageOf(kind: 'watch' | 'studio', room: string, query = '', node = NODE): string {
  return new URL(`${kind}/${room.split('/').map(encodeURIComponent).join('/')}${query}`, node).href;
}
