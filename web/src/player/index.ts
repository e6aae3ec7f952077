// @onmic/player: everything a user of the SDK may rely on.

export type { LatencyMethod } from './latency';
export { Player, type PlayerEvents, type PlayerOptions } from './player';
export type { Stats } from './stats';
export type { Choice, Reason, State, Transport } from './transport_choice';
