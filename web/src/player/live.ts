// Defines a session that the player has open, together with what it watches of it.

import type { FrameWatch } from './frame_watch';
import type { NetworkWatch } from './network_watch';
import type { Picture } from './pictures';
import type { Session } from './session';

/** A session, together with the watches of its frames and of its network. */
export interface Live<S extends Session> {
  session: S;
  watch: FrameWatch;
  network: NetworkWatch;
  picture: Picture | null;
  pictures: number;
  unwatch: () => void;
}

export type Measurable = Pick<Live<Session>, 'session' | 'picture' | 'pictures'>;

export function end<S extends Session>(live: Live<S> | null): null {
  live?.unwatch();
  live?.session.close();
  return null;
}
