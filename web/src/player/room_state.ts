// Asks the node whether the room is live. The player asks when frames stop.

import type { Endpoint } from './endpoint';

export type RoomState = 'live' | 'interrupted' | 'gone' | 'unknown';

const ANSWER_WITHIN_MS = 1500;

export async function askRoom(endpoint: Endpoint, signal: AbortSignal): Promise<RoomState> {
  try {
    const response = await fetch(endpoint.room, {
      headers: endpoint.headers(endpoint.room),
      cache: 'no-store',
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]),
    });
    if (response.status === 404) return 'gone';
    return response.ok ? roomState(await response.json()) : 'unknown';
  } catch {
    return 'unknown';
  }
}

/** Returns `live` if a participant is live, `interrupted` if none is live but one is interrupted, and else `gone`. */
export function roomState(room: unknown): RoomState {
  if (typeof room !== 'object' || room === null) return 'unknown';
  const { live, participants } = room as { live?: unknown; participants?: unknown };
  if (live === false && !(Array.isArray(participants) && participants.length > 0)) return 'gone';
  if (!Array.isArray(participants) || participants.length === 0) return live === true ? 'live' : 'gone';
  const states = participants.map((participant: { state?: unknown }) => participant?.state);
  if (states.includes('live')) return 'live';
  return states.includes('interrupted') ? 'interrupted' : 'gone';
}
