// Asks the node whether the room is live and has video. The player asks when frames stop or do not come.

import type { Endpoint } from './endpoint';

export type RoomState = 'live' | 'interrupted' | 'gone' | 'unknown';

const ANSWER_WITHIN_MS = 1500;

export interface RoomSeen {
  room: RoomState;
  /** Whether somebody sends video. Is absent if the node did not say. */
  video?: boolean;
}

export async function askRoom(endpoint: Endpoint, signal?: AbortSignal): Promise<RoomSeen> {
  const limit = AbortSignal.timeout(ANSWER_WITHIN_MS);
  try {
    const response = await fetch(endpoint.room, {
      headers: endpoint.headers(endpoint.room),
      cache: 'no-store',
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    if (response.status === 404) return { room: 'gone' };
    if (!response.ok) return { room: 'unknown' };
    const room: unknown = await response.json();
    const video = hasVideo(room, endpoint.participant);
    return { room: roomState(room), ...(video === undefined ? {} : { video }) };
  } catch {
    return { room: 'unknown' };
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

/**
 * Returns whether this participant sends video now, or any participant if none is named. A camera that is paused has a
 * frame rate of 0.
 */
export function hasVideo(room: unknown, participant?: string): boolean | undefined {
  if (typeof room !== 'object' || room === null) return undefined;
  const { participants } = room as { participants?: unknown };
  if (!Array.isArray(participants)) return undefined;
  const asked = (one: { name?: unknown }) => participant === undefined || one?.name === participant;
  const sends = (one: { video?: { fps?: unknown } | null }) => Boolean(one?.video) && one.video?.fps !== 0;
  return participants.filter(asked).some(sends);
}
