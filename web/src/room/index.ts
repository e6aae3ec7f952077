// Exports what users of the SDK need for rooms.

export type { DeviceChoice } from './devices';
export { openDevices, openScreen, stopTracks } from './devices';
export { LAYOUTS } from './layout_names';
export type { MicChange, MicOptions, SwitchReport } from './mic';
export type { MicReason, MicState } from './mic_switch';
export type * from './model';
export { type Connection, Room, type RoomEvents, type RoomOptions } from './room';
