// Exports everything of @onmic/player that a user of the SDK may rely on.

export * from '../room/index';
export { type AvSync, Endpoint } from './endpoint';
export type { LatencyMethod } from './latency';
export type { LevelsSeen } from './level_control';
export type { Level, LevelChoice } from './levels';
export { Player } from './player';
export type { PlayerEvents, PlayerOptions } from './player_options';
export { type Problem, RequestError } from './problem';
export type { Stats } from './stats';
export type { Choice, Reason, State, Transport } from './transport_words';
export { WhipSession } from './whip_session';
